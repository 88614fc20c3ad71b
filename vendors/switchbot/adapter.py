"""One account's locks: polled as the day's quota allows, told by webhooks that are hints only.

device list, hourly ─► watches ─┐
webhook ─► trust ─► frame       ├─► patrol: whoever is due is asked ─► frame ─► Port.offer
             └─► ask soon ──────┤
command ─► accepted ─► read back┘
"""

import asyncio
import contextlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog

from devices.command import Command, Reason
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.lock import LockState
from vendors.api import Decode, Frame, HostStanding, Port
from vendors.http import HttpReply, HttpRequest
from vendors.switchbot import codec, keys
from vendors.switchbot.budget import STRETCH_MAX, Purpose, usual_interval_ms
from vendors.switchbot.cloud import Cloud, NoQuotaError, RefusedCallError
from vendors.switchbot.roll import Roll
from vendors.switchbot.settings import SwitchBotSettings, bind_of, secret_of
from vendors.switchbot.watch import Around, Watch
from vendors.switchbot.words import VENDOR
from vendors.wire.backoff import Backoff
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.webhook import WebhookListener

log = structlog.get_logger("vendors.switchbot")

#: `unlock` may pull the latch as well, by model: nobody documents which does.
WORDS: Final[Mapping[str, str]] = {"LockDoor": "lock", "UnlockDoor": "unlock"}
#: The lock state that ends the reading back.
GOALS: Final[Mapping[str, str]] = {
    "LockDoor": LockState.LOCKED,
    "UnlockDoor": LockState.UNLOCKED,
}
COMMANDS: Final = (*WORDS, "SetCredential", "ClearCredential")
#: statusCode that says for sure that nothing was done. 190 and undocumented ones do not.
REFUSALS: Final[Mapping[int, str]] = {
    151: Reason.UNSUPPORTED,
    152: Reason.UNKNOWN_DEVICE,
    160: Reason.UNSUPPORTED,
    161: Reason.OFFLINE,
    171: Reason.OFFLINE,
}
_REFUSED_CALLS: Final[Mapping[str, str]] = {
    "rate_limited": Reason.RATE_LIMITED,
    "not_authorized": Reason.NOT_AUTHORIZED,
}
#: Failures in a row before the cloud counts as away.
_MISSES_MAX: Final = 3
_IDLE_MS: Final = 60_000
_AGAIN: Final = Backoff(2_000, 120_000)
_KEY_CHARS_MIN: Final = 16


def decoder(settings: SwitchBotSettings) -> Decode:
    """The codec needs no settings."""
    del settings
    return codec.decode


def connect(settings: SwitchBotSettings, port: Port) -> "SwitchBotAdapter":
    """An adapter that opens nothing before `run`."""
    return SwitchBotAdapter(settings, port)


class SwitchBotAdapter:
    """The locks of one account."""

    def __init__(self, settings: SwitchBotSettings, port: Port) -> None:
        self._settings = settings
        self._port = port
        #: The account; its budget is for status pages.
        self.cloud = Cloud(settings, port)
        self._watches: dict[str, Watch] = {}
        self._stirred = asyncio.Event()
        around = Around(settings, port, self.cloud, self._told, self._every_ms)
        self._roll = Roll(around, self._watches, self._stirred.set)
        self._results = keys.Results()
        self._looks: set[asyncio.Task[None]] = set()
        self._misses = 0
        self._key = ""
        self._hooks: WebhookListener | None = None

    async def run(self) -> None:
        """Listen, list and poll until cancelled."""
        self.cloud.restore()
        try:
            await self._listen()
            async with asyncio.TaskGroup() as together:
                together.create_task(self._roll.run())
                together.create_task(self._patrol())
        finally:
            for look in self._looks:
                look.cancel()
            await asyncio.gather(*self._looks, return_exceptions=True)
            if self._hooks is not None:
                await self._hooks.close()
            await self.cloud.close()

    async def _listen(self) -> None:
        """Open the webhook's listener, if there is to be one; wait for a port that is taken."""
        settings, attempt = self._settings, 0
        if settings.webhook_bind is None:
            return
        hooks = WebhookListener(self._port, self._accept, bind_of(settings.webhook_bind))
        while True:
            try:
                self._key = _hook_key(settings)
                await hooks.open()
            except OSError as error:
                self._port.link(up=False, reason=f"no webhook listener: {error}")
                log.warning("switchbot.no_listener", error=str(error))
                await asyncio.sleep(_AGAIN.delay_ms(attempt, self._port.rng) / 1000)
                attempt += 1
                continue
            self._hooks = hooks
            base = settings.webhook_url or hooks.base_url
            self._roll.hook = (f"{base}/{self._key}", base)
            return

    def _every_ms(self) -> int:
        """How far apart two polls of a lock are."""
        budget, least_ms = self.cloud.budget, self._settings.poll_min_ms
        return budget.interval_ms(len(self._watches), self._port.now_ms(), least_ms)

    # --- asking -------------------------------------------------------------------------------

    async def _patrol(self) -> None:
        """Ask whoever is due, as far as the quota allows."""
        before_ms = 0
        while True:
            self._stirred.clear()
            now_ms = self._port.now_ms()
            if now_ms < before_ms:
                self._set_back(now_ms)
            before_ms = now_ms
            free = [watch for watch in self._watches.values() if not watch.busy]
            for watch in free:
                due_ms, purpose = watch.due
                if due_ms > now_ms:
                    continue
                if not self.cloud.allows(purpose):
                    watch.skip()
                    watch.retry()
                    self._tell()
                    continue
                watch.busy = True
                look = asyncio.get_running_loop().create_task(self._look(watch, purpose))
                self._looks.add(look)
                look.add_done_callback(self._looks.discard)
            next_ms = min((w.due[0] for w in free if not w.busy), default=now_ms + _IDLE_MS)
            wait_ms = max(1, min(next_ms - self._port.now_ms(), _IDLE_MS))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._stirred.wait()

    def _set_back(self, now_ms: int) -> None:
        """Our clock was wrong: nobody waits until it is as late again."""
        self.cloud.set_back()
        for watch in self._watches.values():
            watch.set_back(now_ms)

    async def _look(self, watch: Watch, purpose: Purpose) -> None:
        first = not watch.seen_ms
        try:
            watch.skip()  # what is due is done with this question
            await watch.look(purpose)
        except (NotSentError, NoReplyError):
            watch.retry()
        finally:
            watch.busy = False
            self._stirred.set()
        if first and watch.seen_ms:
            order = list(self._watches)
            place = order.index(watch.device) + 1 if watch.device in self._watches else 1
            watch.place(place / max(1, len(order)))

    def _told(self, failure: Exception | None) -> None:
        """Count what the cloud does; it is away after some failures in a row."""
        if isinstance(failure, NoQuotaError):
            self._tell()
            return
        if failure is None:
            self._misses = 0
            if self.cloud.allows(Purpose.POLL):
                self._port.link(up=True, reason=self.cloud.spent)
            else:
                self._tell()
            return
        self._misses += 1
        if self._misses < _MISSES_MAX:
            return
        self._port.link(up=False, reason=f"{failure}; {self.cloud.spent}")
        word = failure.word if isinstance(failure, RefusedCallError) else ""
        self._say_silent(word, self._watches.values())

    def _tell(self) -> None:
        """Nobody is asked for lack of quota: the cell is not well, and says so."""
        self._port.link(up=False, reason=f"no quota left for polls; {self.cloud.spent}")
        usual_ms = usual_interval_ms(
            self._settings.quota_per_day, len(self._watches), self._settings.poll_min_ms
        )
        old_ms = self._port.now_ms() - STRETCH_MAX * usual_ms
        self._say_silent("rate_limited", [w for w in self._watches.values() if w.seen_ms < old_ms])

    def _say_silent(self, word: str, watches: Iterable[Watch]) -> None:
        """Say once of each lock why it cannot be seen; without a word, it is away."""
        now_ms, frames = self._port.now_ms(), []
        for watch in watches:
            if not watch.silent:
                watch.silent = True
                what, payload = ("unseen", word.encode()) if word else ("silent", b"")
                frames.append(Frame(f"http/{watch.device}/{what}", payload, now_ms))
        if frames:
            self._port.offer(frames, None)

    # --- being told ---------------------------------------------------------------------------

    def _accept(self, call: HttpRequest) -> tuple[Sequence[Frame], HttpReply]:
        """One webhook. Its URL is all that shows who calls."""
        key = call.path.rpartition("/")[2]
        if not hmac.compare_digest(key.encode(errors="replace"), self._key.encode()):
            return (), HttpReply(404)
        if call.method != "POST":
            return (), HttpReply(405)
        now_ms = self._port.now_ms()
        try:
            hook = codec.hook_of(call.body)
        except DecodeError:
            return [Frame("hook", call.body, now_ms)], HttpReply(400)
        watch = self._watches.get(hook.device)
        if watch is not None:
            frames = watch.hooked(hook, call.body)
            self._stirred.set()
            return frames, HttpReply(200)
        lock = self._roll.by_keypad.get(hook.device)
        if lock is None or not hook.event or not self._results.heard(hook):
            return (), HttpReply(200)
        self._roll.read_after(keys.HOOKED_MS)
        return [Frame(f"hook/{lock}/key", call.body, now_ms)], HttpReply(200)

    # --- from the desk ------------------------------------------------------------------------

    def hosts(self) -> Iterable[HostStanding]:
        """The vendor's cloud."""
        return (self.cloud.host.standing,)

    async def refresh(self, device: str) -> None:
        """Ask for a lock's state, unless that is planned or was just done, or costs too much."""
        watch = self._watches.get(device)
        if watch is None or not watch.may_ask or not self.cloud.allows(Purpose.READ_BACK):
            return
        with contextlib.suppress(NotSentError, NoReplyError):
            await watch.look(Purpose.READ_BACK)

    async def send(self, command: Command) -> None:
        """Ask the cloud, once.

        Raises:
            RefusedError: nothing that moves a lock left us; `rate_limited` without quota.
            RejectedError: the vendor said no.
            UnavailableError: it left us, and what became of it is not known.
        """
        watch = self._watches.get(command.device)
        if command.name not in COMMANDS:
            raise RefusedError(Reason.UNSUPPORTED)
        if watch is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if self._port.now_ms() >= command.deadline_ms:
            raise RefusedError(Reason.EXPIRED)
        word = WORDS.get(command.name)
        if word is None:
            await self._change_key(watch, command)
            return
        try:
            await self._act(watch.device, word, "default", command)
        except UnavailableError:
            self._left(watch, command)  # perhaps
            raise
        self._left(watch, command)

    def _left(self, watch: Watch, command: Command) -> None:
        watch.ordered(GOALS[command.name])
        self._stirred.set()

    async def _act(self, device: str, word: str, parameter: object, command: Command) -> Any:  # noqa: ANN401 -- a reply's body
        """The one call that does something; its body."""
        if not self.cloud.allows(Purpose.COMMAND):
            raise RefusedError(Reason.RATE_LIMITED)
        asked = {"commandType": "command", "command": word, "parameter": parameter}
        within_ms = command.deadline_ms - self._port.now_ms()
        try:
            code, body = await self.cloud.post(
                f"/devices/{device}/commands", Purpose.COMMAND, asked, within_ms
            )
        except NoQuotaError:
            raise RefusedError(Reason.RATE_LIMITED) from None
        except NotSentError:
            raise RefusedError(Reason.UNAVAILABLE) from None
        except NoReplyError as failure:
            no = _REFUSED_CALLS.get(failure.word) if isinstance(failure, RefusedCallError) else None
            if no is not None:
                raise RejectedError(VENDOR, no) from None
            raise UnavailableError(VENDOR, str(failure)) from None
        if code == codec.OK:
            return body
        if (reason := REFUSALS.get(code)) is not None:
            raise RejectedError(VENDOR, reason)
        raise UnavailableError(VENDOR, f"vendor:{str(code)[:9]}")

    # --- passcodes ----------------------------------------------------------------------------

    async def _change_key(self, watch: Watch, command: Command) -> None:
        """Fill or clear a slot of the lock's keypad, and wait for the keypad's own word."""
        keypad = watch.listed.keypad
        part, _, digits = command.part.partition(".")
        slot = int(digits) if digits.isascii() and digits.isdigit() else 0
        if not keypad:
            raise RefusedError(Reason.UNSUPPORTED)
        if part != "credential" or not 1 <= slot <= self._settings.code_slots:
            raise RefusedError(Reason.INVALID_ARGUMENT)
        new = _new_key(slot, command) if command.name == "SetCredential" else None
        key_id = await self._key_id(watch, slot, command.deadline_ms)
        if new is None and key_id is None:
            return  # the list, just read, shows that the slot is free
        if new is not None and key_id is not None:
            raise RefusedError(Reason.OCCUPIED)  # the old one would pass for the new one
        word, parameter = ("createKey", new) if new is not None else ("deleteKey", {"id": key_id})
        try:
            body = await self._act(keypad, word, parameter, command)
        except UnavailableError:
            self._roll.read_after(*keys.READ_BACK_MS)
            raise
        self._roll.read_after(*keys.READ_BACK_MS)
        with self._results.expected(body) as result:
            within_ms = min(keys.VERDICT_MS, command.deadline_ms - self._port.now_ms())
            told = await keys.verdict(result, within_ms)
        if told not in (None, "success"):
            raise RejectedError(VENDOR, f"vendor:{told[:16]}")

    async def _key_id(self, watch: Watch, slot: int, until_ms: int) -> str | None:
        """The vendor's id of the passcode in a slot, freshly read; None if there is none."""
        try:
            async with asyncio.timeout(max(0, until_ms - self._port.now_ms()) / 1000):
                await self._roll.read(Purpose.READ_BACK)
        except NoQuotaError:
            raise RefusedError(Reason.RATE_LIMITED) from None
        except (NotSentError, NoReplyError, TimeoutError):
            raise RefusedError(Reason.UNAVAILABLE) from None
        return codec.key_ids(watch.listed.keys).get(codec.key_name(slot))


def _hook_key(settings: SwitchBotSettings) -> str:
    """The last part of the webhook's URL.

    Raises:
        OSError: it cannot be read, or anybody could guess it.
    """
    key = secret_of(settings.webhook_key, settings.webhook_key_file)
    if len(key) < _KEY_CHARS_MIN or not (key.isascii() and key.isalnum()):
        raise OSError(f"the webhook's key is not {_KEY_CHARS_MIN} letters and digits or more")
    return key


def _new_key(slot: int, command: Command) -> Mapping[str, str]:
    pin = command.args.get("pin")
    if not (isinstance(pin, str) and len(pin) in keys.PIN_DIGITS and pin.isdigit()):
        raise RefusedError(Reason.INVALID_ARGUMENT)
    return {"name": codec.key_name(slot), "type": "permanent", "password": pin}
