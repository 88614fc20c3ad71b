"""Who is there: the account's device list, which tells of passcodes too, and its webhook.

every `list_ms` ──────────► list ─► watches, keypads ─► frames of passcodes
passcode changed ─► soon ───┘  └──► is the webhook still ours?
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from devices.errors import DecodeError
from vendors.api import Frame
from vendors.switchbot import codec
from vendors.switchbot.budget import Purpose
from vendors.switchbot.watch import Around, Watch
from vendors.wire.backoff import Backoff
from vendors.wire.errors import NoReplyError, NotSentError

log = structlog.get_logger("vendors.switchbot")

# The first questions after a start do not leave in the same instant.
_FIRST_GAP_MS: Final = 200
_AGAIN: Final = Backoff(2_000, 120_000)
# Before the first list nothing works at all.
_AT_FIRST: Final = Backoff(500, 10_000)
_AGAIN_MIN_MS: Final = 1_000


class Roll:
    """The locks of one account.

    Args:
        around: what they share.
        watches: is kept up to date: the locks by id.
        changed: called after the list was read.
    """

    def __init__(
        self, around: Around, watches: dict[str, Watch], changed: Callable[[], None]
    ) -> None:
        self.watches = watches
        #: Locks by the keypad that is paired with them.
        self.by_keypad: dict[str, str] = {}
        #: The URL that the vendor is to call, and its part before the key; empty: none.
        self.hook: tuple[str, str] = ("", "")
        self._around = around
        self._changed = changed
        self._reading = asyncio.Lock()
        self._reads_ms: list[int] = []
        self._stirred = asyncio.Event()

    async def run(self) -> None:
        """Keep it up to date until cancelled."""
        around, attempt, purpose = self._around, 0, Purpose.POLL
        due_ms = around.port.now_ms()
        while True:
            try:
                await self.read(purpose)
                if purpose is Purpose.POLL:
                    await self._register()
            except (NotSentError, NoReplyError) as error:
                around.told(error)
                again = _AGAIN if self.watches else _AT_FIRST
                wait_ms = _AGAIN_MIN_MS + again.delay_ms(attempt, around.port.rng)
                attempt += 1
            else:
                wait_ms, attempt = around.settings.list_ms, 0
            if purpose is Purpose.POLL:
                due_ms = around.port.now_ms() + wait_ms
            purpose = await self._due(due_ms)

    async def _due(self, due_ms: int) -> Purpose:
        """Wait for the next reason to read the list."""
        while True:
            self._stirred.clear()
            now_ms = self._around.port.now_ms()
            if due_ms <= now_ms:
                return Purpose.POLL
            later = [at_ms for at_ms in self._reads_ms if at_ms > now_ms]
            if len(later) < len(self._reads_ms):
                self._reads_ms = later
                return Purpose.READ_BACK
            wait_ms = min([due_ms, *later]) - now_ms
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._stirred.wait()

    def read_after(self, *waits_ms: int) -> None:
        """Have the list read after each of these: passcodes may have changed."""
        now_ms = self._around.port.now_ms()
        self._reads_ms += [now_ms + wait_ms for wait_ms in waits_ms]
        self._stirred.set()

    async def read(self, purpose: Purpose) -> None:
        """Read the list now.

        Raises:
            NotSentError, NoReplyError: as the question met.
        """
        around = self._around
        async with self._reading:  # one after the other, or an older answer could come last
            asked_ms = around.port.now_ms()
            _, reply = await around.cloud.get("/devices", purpose)
            try:
                listed, gone = codec.listed(reply), codec.missing(reply, self.watches)
            except DecodeError as error:
                raise NoReplyError(error.detail) from error
            around.told(None)
            self._found(listed, gone, asked_ms)

    def _found(
        self, listed: Mapping[str, codec.Listed], gone: Sequence[str], asked_ms: int
    ) -> None:
        settings, watches = self._around.settings, self.watches
        wanted, slots = settings.devices, settings.code_slots
        listed = {name: each for name, each in listed.items() if not wanted or name in wanted}
        frames = [
            Frame(f"http/{name}/keys/{slots}", each.keys, asked_ms)
            for name, each in listed.items()
            if each.keys and slots
        ]
        for number, name in enumerate([name for name in listed if name not in watches]):
            watches[name] = Watch(listed[name], self._around)
            watches[name].begin(asked_ms + number * _FIRST_GAP_MS)
        for name in gone:
            del watches[name]  # it moved to another account, or lost its cloud service
            frames.append(Frame(f"http/{name}/unseen", b"not_listed", asked_ms))
        for name, each in listed.items():
            watches[name].listed = each
        self.by_keypad = {each.keypad: name for name, each in listed.items() if each.keypad}
        if frames:
            self._around.port.offer(frames, None)
        self._changed()

    async def _register(self) -> None:
        """Have our URL called, unless the account's webhook is somebody else's."""
        ours, base = self.hook
        if not ours:
            return
        around, asked = self._around, {"action": "queryUrl"}
        code, body = await around.cloud.post("/webhook/queryWebhook", Purpose.POLL, asked)
        urls = body.get("urls") if code == codec.OK and isinstance(body, dict) else None
        known = [url for url in urls if isinstance(url, str)] if isinstance(urls, list) else []
        if ours in known:
            return
        for url in known:
            # An earlier key of ours; anybody else's is left alone unless we are told otherwise.
            if url.startswith(f"{base}/") or around.settings.webhook_replace:
                gone = {"action": "deleteWebhook", "url": url}
                await around.cloud.post("/webhook/deleteWebhook", Purpose.POLL, gone)
        asked = {"action": "setupWebhook", "url": ours, "deviceList": "ALL"}
        code, _ = await around.cloud.post("/webhook/setupWebhook", Purpose.POLL, asked)
        if code != codec.OK:
            log.warning("switchbot.webhook_refused", status_code=code, others=len(known))
