"""Keeping in touch with panels over UDP: one socket to ask, one to be told.

                    push (a hint only: no acknowledgement, no authentication, may be lost)
    panel ─────────────────────────► listener ──► wake
      ▲  │ status, once in `poll_ms`                │
      │  └──────────────────────────► turn ◄────────┘
      └── get-event n, n+1, … newest ──┘ each record is offered with its index as cursor

What happened is read from the panel's ring by index, and only from there: each record once, in
order, whatever was pushed, lost or repeated, and after an outage from where we had committed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import structlog

from devices.command import Command, Reason
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from vendors.api import Decode, Port
from vendors.uhppote import codec, packets
from vendors.uhppote.panel import Panel
from vendors.uhppote.settings import UhppoteSettings, address_of
from vendors.wire.backoff import Backoff
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.udp import Address, Requester, UdpEndpoint

log = structlog.get_logger("vendors.uhppote")

#: What a command does: open for the panel's own delay, or change the door's mode.
MODES: Final[Mapping[str, int]] = {
    "UnlockDoor": packets.NORMALLY_OPEN,
    "LockDoor": packets.CONTROLLED,
    "BlockDoor": packets.NORMALLY_CLOSED,
}
COMMANDS: Final = ("AccessDoor", *MODES)

_ATTEMPTS_MAX: Final = 3
_OUTSTANDING_MAX: Final = 64
# Every panel may have a turn, a refresh and a command waiting.
_QUEUED_PER_PANEL: Final = 4
_SOCKET_RETRY: Final = Backoff(500, 10_000)
_NAMED_MAX: Final = 5


def decoder(settings: UhppoteSettings) -> Decode:
    """The decoder of a cell with these settings."""
    return codec.decoder(settings.zone, {panel.serial: panel.wired for panel in settings.panels})


def connect(settings: UhppoteSettings, port: Port) -> "UhppoteAdapter":
    """An adapter that opens nothing before `run`."""
    return UhppoteAdapter(settings, port)


class UhppoteAdapter:
    """All panels of one cell."""

    def __init__(self, settings: UhppoteSettings, port: Port) -> None:
        self._settings = settings
        self._port = port
        #: Datagrams to the listener that are no event of a panel of ours.
        self.foreign = 0
        opener = None if port.network is None else port.network.udp_opener
        self._asking = UdpEndpoint(self._answered, opener=opener)
        self._listening = UdpEndpoint(self._pushed, opener=opener)
        self._requester = Requester(
            self._asking.send,
            _key_of,
            timeout_ms=settings.timeout_ms,
            attempts_max=_ATTEMPTS_MAX,
            outstanding_max=_OUTSTANDING_MAX,
            queued_max=_QUEUED_PER_PANEL * len(settings.panels),
        )
        self._panels = {
            str(each.serial): Panel(each, settings, port, self._requester, self._tell)
            for each in settings.panels
        }

    async def run(self) -> None:
        """Poll and listen until cancelled; a port that is taken is waited for."""
        attempt = 0
        while True:
            try:
                listener = await self._open()
            except OSError as error:
                self._port.link(up=False, reason=str(error))
                log.warning("uhppote.no_socket", error=str(error))
                await self._close()
                await asyncio.sleep(_SOCKET_RETRY.delay_ms(attempt, self._port.rng) / 1000)
                attempt += 1
                continue
            try:
                async with asyncio.TaskGroup() as panels:
                    for panel in self._panels.values():
                        panels.create_task(panel.run(listener))
            finally:
                await self._close()

    async def _open(self) -> Address | None:
        """Bind both sockets; what panels are told to push to."""
        settings = self._settings
        await self._asking.open(*address_of(settings.bind))
        if settings.listener is None:
            return None
        host, port = address_of(settings.listener)
        await self._listening.open(*address_of(settings.listener_bind or settings.listener))
        return host, port or self._listening.address[1]

    async def _close(self) -> None:
        await self._asking.close()
        await self._listening.close()

    # --- from the wire ---

    def _answered(self, data: bytes, address: Address) -> None:
        self._requester.offer(data, address)

    def _pushed(self, data: bytes, address: Address) -> None:
        """A panel says that there is something to read; whoever else does costs one look."""
        try:
            function, serial = codec.checked(data)
        except DecodeError:
            self.foreign += 1
            return
        panel = self._panels.get(str(serial))
        if panel is None or function != packets.STATUS or address[0] != panel.address[0]:
            self.foreign += 1
            return
        panel.hint(packets.U32.unpack_from(data, packets.AT_INDEX)[0])

    def _tell(self) -> None:
        """Up while any panel answers: one dead panel is that panel's own reachability."""
        silent = [name for name, panel in self._panels.items() if not panel.answers]
        if len(silent) < len(self._panels):
            self._port.link(up=True, reason="")
            return
        named = ", ".join(silent[:_NAMED_MAX]) + (", …" if len(silent) > _NAMED_MAX else "")
        self._port.link(up=False, reason=f"no panel answers ({named})")

    # --- from the desk ---

    async def send(self, command: Command) -> None:
        """Ask the panel, once.

        Raises:
            RefusedError: nothing that moves a door left us.
            RejectedError: the panel said no.
            UnavailableError: it left us, and the panel did not answer.
        """
        panel = self._panels.get(command.device)
        if panel is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if command.name not in COMMANDS:
            raise RefusedError(Reason.UNSUPPORTED)
        door = _door_of(command.part)
        if not 1 <= door <= panel.settings.doors:
            raise RefusedError(Reason.INVALID_ARGUMENT)
        mode = MODES.get(command.name)
        if mode is None:
            act = partial(panel.once, packets.OPEN_DOOR, door=door)
        else:
            delay_s = await self._before(panel.delay_s(door))
            act = partial(panel.once, packets.SET_DOOR, door=door, mode=mode, delay_s=delay_s)
        if self._port.now_ms() >= command.deadline_ms:
            raise RefusedError(Reason.EXPIRED)
        reply = await self._acted(act)
        panel.look_again(modes=mode is not None)
        if not (reply["ok"] if mode is None else reply["mode"] == mode):
            raise RejectedError(codec.VENDOR, "vendor:refused")

    async def _before(self, asking: Awaitable[int]) -> int:
        """A question ahead of the act: its failure means that nothing was done."""
        try:
            return await asking
        except (NoReplyError, NotSentError):
            raise RefusedError(Reason.OFFLINE) from None

    async def _acted(self, act: Callable[[], Awaitable[Mapping[str, int]]]) -> Mapping[str, int]:
        try:
            return await act()
        except NotSentError:
            raise RefusedError(Reason.UNAVAILABLE) from None
        except NoReplyError as silence:
            raise UnavailableError(codec.VENDOR, str(silence)) from None

    async def refresh(self, device: str) -> None:
        """Ask a panel for its doors; the answers arrive like any others."""
        panel = self._panels.get(device)
        if panel is not None:
            with contextlib.suppress(NoReplyError, NotSentError):
                await panel.refresh()


def _door_of(part: str) -> int:
    name, _, number = part.partition(".")
    return int(number) if name == "door" and number.isascii() and number.isdigit() else 0


def _key_of(data: bytes, address: Address) -> tuple[Address, int, int] | None:
    """Address, serial and function; the protocol has no other name for a request."""
    try:
        function, serial = codec.checked(data)
    except DecodeError:
        return None
    return address, serial, function
