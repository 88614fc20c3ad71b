"""Shelly devices at addresses of their own: a WebSocket each, and HTTP where that fails.

    on_open ─► status asked (with `src`: notifications start only then) ─► deltas
    no reply ─► the link is dropped and made anew; meanwhile HTTP answers for the status

Firmware 2.0.0 answers over HTTP while its WebSocket hangs: home-assistant/core#177670, #179044.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from devices.command import Command, Reason
from devices.errors import RefusedError, UnavailableError
from vendors.api import Frame, HostStanding, Port
from vendors.http import HttpReply
from vendors.shelly import auth, codec, commands
from vendors.shelly.opener import Opener
from vendors.shelly.settings import ShellyDirect, ShellySettings
from vendors.shelly.watch import GET_STATUS, Watch
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.http import HostLimits, HttpHost
from vendors.wire.websocket import WsLink

_RPC: Final = "/rpc"
_IDS: Final = 2**31
_UNAUTHORIZED: Final = 401
_OK: Final = 200
# A challenge is met once, and once more if its nonce had only grown old.
_PROOFS_MAX: Final = 3
# A device has six channels for everybody; two of ours are enough.
_CHANNELS: Final = 2

Reply = Mapping[str, Any]


class DirectSide:
    """All devices of one cell that are spoken to at their own addresses."""

    def __init__(self, settings: ShellySettings, direct: ShellyDirect, port: Port) -> None:
        self._port = port
        self._silent: set[str] = set()
        self._devices = {
            name: Direct(name, url, settings, direct, port, self._answers)
            for name, url in direct.devices.items()
        }

    async def run(self) -> None:
        """Listen and ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for device in self._devices.values():
                    tasks.create_task(device.run())
        finally:
            for device in self._devices.values():
                await device.close()

    async def send(self, command: Command) -> None:
        """Let one request leave, and hear whether the device takes it."""
        device = self._devices.get(command.device)
        if device is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        await device.send(command)

    def hosts(self) -> Iterable[HostStanding]:
        """Each device is one."""
        return [device.host.standing for device in self._devices.values()]

    async def refresh(self, device: str) -> None:
        """Ask for the whole status."""
        if (found := self._devices.get(device)) is not None:
            await found.watch.once()

    def _answers(self, device: str, reason: str | None) -> None:
        """The link is up as long as one device answers."""
        if reason is None:
            self._silent.discard(device)
            self._port.link(up=True, reason="")
            return
        self._silent.add(device)
        if len(self._silent) == len(self._devices):
            self._port.link(up=False, reason=reason)


class Direct:
    """One device at its address."""

    def __init__(  # noqa: PLR0913, PLR0917 -- made in one place
        self,
        name: str,
        url: str,
        settings: ShellySettings,
        direct: ShellyDirect,
        port: Port,
        answers: Callable[[str, str | None], None],
    ) -> None:
        self.name = name
        self._settings = settings
        self._direct = direct
        self._port = port
        self._answers = answers
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._challenge: auth.Challenge | None = None
        self._http_challenge: auth.Challenge | None = None
        self._hangs = False
        self._tasks: asyncio.TaskGroup | None = None
        self._probe: asyncio.Task[None] | None = None
        self.watch = Watch(port, name, settings, self._ask)
        limits = HostLimits(
            timeout_ms=settings.reply_timeout_ms, attempts_max=1, concurrency_max=_CHANNELS
        )
        self.host = HttpHost(
            url, limits, rng=port.rng, network=port.network, ca_file=direct.ca_file
        )
        self._link = WsLink(
            f"ws{url.rstrip('/').removeprefix('http')}{_RPC}",
            rng=port.rng,
            on_text=self._heard,
            on_open=self._opened,
            on_link=self._linked,
            network=port.network,
            ca_file=direct.ca_file,
        )

    async def run(self) -> None:
        """Stay connected and ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._link.run())
            tasks.create_task(self.watch.run())

    async def close(self) -> None:
        """Let go of the connections."""
        await self.host.close()

    async def send(self, command: Command) -> None:
        """Send once, by the way that answers.

        Raises:
            RefusedError: nothing left us.
            RejectedError: the device said no.
            UnavailableError: it may have left us, and nobody answered.
        """
        wiring = self._settings.openers.get(self.name)
        method, params = commands.call_for(command, self._port.twin(self.name), wiring)
        try:
            if wiring is not None:
                await self._look_first(command, wiring)
            reply = await self._rpc(method, params, self._within_ms(command))
        except NotSentError:
            raise RefusedError(Reason.UNAVAILABLE) from None
        except NoReplyError as error:
            # It is not sent again; but a `Stop` that comes next goes by the other way.
            self._hangs = self._link.up
            self.watch.soon()
            raise UnavailableError(codec.VENDOR, str(error)) from None
        commands.outcome(reply)

    async def _look_first(self, command: Command, wiring: Opener) -> None:
        """What was known a moment ago is too old for a toggle."""
        try:
            reply = await self._rpc(GET_STATUS, {}, self._within_ms(command))
        except NoReplyError as error:
            raise NotSentError(str(error)) from None
        commands.permit_press(command, wiring, reply)

    def _within_ms(self, command: Command) -> int:
        left_ms = command.deadline_ms - self._port.now_ms()
        if left_ms <= 0:
            raise RefusedError(Reason.EXPIRED)
        return min(left_ms, self._settings.reply_timeout_ms)

    async def _rpc(self, method: str, params: Mapping[str, object], within_ms: int) -> Reply:
        """One RPC by the way that answers.

        Raises:
            NotSentError, NoReplyError: as it met.
        """
        if self._link.up and not self._hangs:
            return await self._call(method, params, within_ms)
        reply, _ = await self._post(method, params, within_ms)
        return reply

    # --- questions ----------------------------------------------------------------------------

    async def _ask(self, asked_ms: int) -> Mapping[str, Sequence[Frame]]:
        """Ask by WebSocket, whose answer comes in its place among the deltas; else by HTTP."""
        within_ms = self._settings.reply_timeout_ms
        try:
            if self._link.up and not self._hangs:
                try:
                    _whole(await self._call(GET_STATUS, {}, within_ms))
                except _RefusedError:
                    raise
                except NoReplyError:
                    self._hangs = True
                    await self._link.drop()
                else:
                    self._answers(self.name, None)
                    return {}
            self._probe_soon()
            reply, body = await self._post(GET_STATUS, {}, within_ms)
            _whole(reply)
        except (NotSentError, NoReplyError) as error:
            self._answers(self.name, str(error))
            raise
        self._answers(self.name, None)
        return {self.name: [Frame(f"http/{self.name}", body, asked_ms)]}

    def _probe_soon(self) -> None:
        """Try a link that hung beside the answers by HTTP, which need not wait for it."""
        idle = self._probe is None or self._probe.done()
        if self._hangs and self._link.up and idle and self._tasks is not None:
            self._probe = self._tasks.create_task(self._probed())

    async def _probed(self) -> None:
        try:
            _whole(await self._call(GET_STATUS, {}, self._settings.reply_timeout_ms))
        except _RefusedError:
            self._hangs = False  # a no is an answer
        except (NotSentError, NoReplyError):
            await self._link.drop()
        else:
            self._hangs = False

    async def _call(self, method: str, params: Mapping[str, object], within_ms: int) -> Reply:
        """One RPC by WebSocket. What is answered with a challenge was not carried out.

        Raises:
            NotSentError, NoReplyError: as it met.
        """
        password = self._secret()
        try:
            async with asyncio.timeout(within_ms / 1_000):
                for proof in range(_PROOFS_MAX):
                    reply = await self._exchange(method, params, password)
                    challenge = auth.in_frame(reply.get("error"))
                    if challenge is None or password is None:
                        return reply
                    self._challenge = challenge
                    if proof and not challenge.stale:
                        return reply
        except TimeoutError:
            raise NoReplyError("no reply in time") from None
        return reply

    async def _exchange(
        self, method: str, params: Mapping[str, object], password: str | None
    ) -> Reply:
        number = self._port.rng.randrange(1, _IDS)
        frame: dict[str, object] = {
            "id": number,
            "src": f"doorfleet-{self.name}",
            "method": method,
            "params": params,
        }
        if self._challenge is not None and password is not None:
            frame["auth"] = self._challenge.frame(password, self._cnonce())
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            if not await self._link.send(orjson.dumps(frame).decode()):
                raise NotSentError("there is no link")
            return await answer
        finally:
            del self._waiting[number]

    async def _post(
        self, method: str, params: Mapping[str, object], within_ms: int
    ) -> tuple[Reply, bytes]:
        """One RPC by HTTP, likewise.

        Raises:
            NotSentError, NoReplyError: as it met.
        """
        password = self._secret()
        body = orjson.dumps(
            {
                "id": self._port.rng.randrange(1, _IDS),
                "src": f"doorfleet-{self.name}",
                "method": method,
                "params": params,
            }
        )
        until_ms = self._port.now_ms() + within_ms
        for _ in range(_PROOFS_MAX):
            left_ms = until_ms - self._port.now_ms()
            if left_ms <= 0:
                break
            answer = await self.host.request(
                "POST",
                _RPC,
                idempotent=False,  # what asks again is the watch
                headers=self._headers(password),
                body=body,
                within_ms=left_ms,
            )
            if answer.status != _UNAUTHORIZED:
                return _reply(answer), answer.body
            challenge = auth.in_header(answer.header("www-authenticate"))
            met = self._http_challenge is not None
            if challenge is None or password is None or (met and not challenge.stale):
                self._http_challenge = None
                break
            self._http_challenge = challenge
        return {"error": {"code": _UNAUTHORIZED, "message": ""}}, b""

    def _headers(self, password: str | None) -> Mapping[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._http_challenge is not None and password is not None:
            proof = self._http_challenge.header(password, self._cnonce(), "POST", _RPC)
            headers["Authorization"] = proof
        return headers

    def _cnonce(self) -> str:
        return f"{self._port.rng.getrandbits(64):016x}"

    def _secret(self) -> str | None:
        try:
            return self._direct.secret()
        except OSError:
            raise NotSentError("the password file cannot be read") from None

    # --- what comes in ------------------------------------------------------------------------

    async def _opened(self) -> None:
        """The first request with a `src` has the notifications begin; it is the status."""
        self.watch.soon()

    def _heard(self, text: str) -> None:
        payload = text.encode(errors="replace")
        try:
            said = orjson.loads(payload)
        except orjson.JSONDecodeError:
            said = None
        if isinstance(said, dict) and "method" in said:
            self.watch.heard()
            if commands.stirs(payload):
                self.watch.soon()
        self._port.offer([Frame(f"ws/{self.name}", payload, self._port.now_ms())], None)
        number = said.get("id") if isinstance(said, dict) and "method" not in said else None
        answer = self._waiting.get(number) if isinstance(number, int) else None
        if answer is not None and not answer.done():
            answer.set_result(said)

    def _linked(self, up: bool, reason: str) -> None:  # noqa: FBT001 -- the link's own order
        if up:
            return
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(NoReplyError(f"the link broke: {reason}"))


class _RefusedError(NoReplyError):
    """It answered, and would not say."""


def _whole(reply: Reply) -> None:
    if "result" not in reply:
        raise _RefusedError(f"refused: {commands.reason_of(reply.get('error'))}")


def _reply(answer: HttpReply) -> Reply:
    """The RPC frame of an HTTP answer; errors of a method come with a status of their own."""
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = None
    if isinstance(said, dict):
        if answer.status == _OK and ("result" in said or "error" in said):
            return said
        if "error" in said:
            return said
        if "code" in said:
            return {"error": said}
    raise NoReplyError(f"an answer that is none, with status {answer.status}")
