"""Asking garage units for their doors, and pressing a door's button where that can go one way.

A unit pulses the button of the opener. It has one contact: it knows whether the door is shut, and
not whether it moves. Pressed while it moves, a door only stops; pressed once too often, it goes the
other way. So a door is pressed only while it is freshly known to be where the press leads away
from, and not again before it can have arrived.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from devices.closure import Position
from devices.command import Command, Reason
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.twin import Known
from vendors.api import Decode, Frame, HasHosts, HostStanding, Port
from vendors.meross import codec
from vendors.meross import envelope as envelopes
from vendors.meross.broker import UNITS_MAX, BrokerWay
from vendors.meross.codec import ALL, BIND, STATE, Dialect
from vendors.meross.envelope import Envelope
from vendors.meross.lan import LanWay
from vendors.meross.settings import MESSAGES_EACH, SHORTEST, MerossSettings, key_of
from vendors.meross.way import SIGN_ERROR, Question, Way, error_code
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.polling import Poller

#: Our name: what `open` shall become, and from where alone a press leads there.
VERBS: Final[Mapping[str, tuple[int, Position]]] = {
    "MoveToFullyOpen": (1, Position.FULLY_CLOSED),
    "MoveToFullyClosed": (0, Position.NOT_FULLY_CLOSED),
}
_HOUR_MS: Final = 3_600_000
#: Questions in a row without an answer after which a unit is told to be offline.
MISSES_MAX: Final = 2
#: A second look at a unit within this time is not worth its messages; on the LAN they are free.
_LOOK_AGAIN_MS: Final = 10_000
_LOOK_AGAIN_LAN_MS: Final = 1_000
# Without a link to the broker nothing is known of the units: they are asked when it is back.
_UNSENT_MS: Final = 1_000
#: Messages of an hour that only commands may use.
_FOR_COMMANDS: Final = 10


def decoder(settings: MerossSettings) -> Decode:
    """The decoder of a cell with these settings."""
    doors = {device.uuid: frozenset(device.doors) for device in settings.devices}
    return codec.decoder(Dialect(key_of(settings), doors))


def connect(settings: MerossSettings, port: Port) -> "MerossAdapter":
    """An adapter that opens nothing before `run`."""
    return MerossAdapter(settings, port)


class _Unit:
    """What we remember of one unit. `spent`: when its messages beside polling were exchanged."""

    def __init__(self, uuid: str, doors: set[str]) -> None:
        self.uuid = uuid
        self.doors = doors
        self.asks_all = not doors
        self.misses = 0
        self.unsent = False
        self.looked_ms: int | None = None
        self.spent: deque[int] = deque()
        #: By door, when its button was pressed, or may have been.
        self.pressed_ms: dict[str, int] = {}
        self.poller: Poller


class MerossAdapter:
    """The units of one account."""

    def __init__(self, settings: MerossSettings, port: Port) -> None:
        self._settings = settings
        self._port = port
        self._key = key_of(settings)
        self._way: Way = (
            BrokerWay(settings, self._key, port, self._heard)
            if settings.url
            else LanWay(settings, self._key, port)
        )
        self._units: dict[str, _Unit] = {}
        self._polling: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Listen and ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._polling = group
            group.create_task(self._way.run())
            for device in self._settings.devices:
                doors = {codec.door_name(device.uuid, channel) for channel in device.doors}
                self._adopt(device.uuid, doors)

    async def send(self, command: Command) -> None:
        """Press once, or not at all; returns when the unit took it.

        Raises:
            RefusedError: `unknown_device`, `unsupported`, `unknown_state` (the press could go
                the other way), `busy` (the door may still move), `rate_limited`, `expired`.
            RejectedError: the unit or the broker said no, or the unit says that it did nothing.
            UnavailableError: it left, and the unit did not answer.
        """
        uuid, channel = codec.door_of(command.device)
        unit = self._units.get(uuid)
        if unit is None or self._port.twin(command.device) is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if command.name not in VERBS:
            raise RefusedError(Reason.UNSUPPORTED)
        now_ms = self._port.now_ms()
        if now_ms >= command.deadline_ms:
            raise RefusedError(Reason.EXPIRED)
        wanted, start = VERBS[command.name]
        self._guard(unit, command.device, start, now_ms)
        if not self._spend(unit, now_ms, spared=0):
            raise RefusedError(Reason.RATE_LIMITED)
        pressed_before = unit.pressed_ms.get(command.device)
        unit.pressed_ms[command.device] = now_ms
        until_ms = min(command.deadline_ms, now_ms + self._settings.reply_timeout_ms)
        state = {"state": {"channel": channel, "open": wanted, "uuid": uuid}}
        try:
            answer = await self._way.ask(self._question(uuid, STATE, "SET", state), until_ms)
        except NotSentError as error:
            _restore(unit, command.device, pressed_before)
            raise RefusedError(Reason.UNAVAILABLE) from error
        except NoReplyError as error:
            raise UnavailableError(codec.VENDOR, str(error)) from error
        except (RefusedError, RejectedError):
            _restore(unit, command.device, pressed_before)
            raise
        if (no := _refusal(answer, channel)) is not None:
            _restore(unit, command.device, pressed_before)
            raise RejectedError(codec.VENDOR, no)

    def hosts(self) -> Iterable[HostStanding]:
        """The units, if each is spoken to at its own address."""
        return self._way.hosts() if isinstance(self._way, HasHosts) else ()

    async def refresh(self, device: str) -> None:
        """Ask the door's unit, unless it was just asked or its hour is used up."""
        unit = self._units.get(codec.door_of(device)[0])
        now_ms = self._port.now_ms()
        again_ms = _LOOK_AGAIN_MS if self._settings.url else _LOOK_AGAIN_LAN_MS
        if unit is None or (unit.looked_ms is not None and now_ms - unit.looked_ms < again_ms):
            return
        if self._polling is not None and self._spend(unit, now_ms, spared=_FOR_COMMANDS):
            # Whoever asks may lose patience; the answer is of use all the same.
            await asyncio.shield(self._polling.create_task(_once(unit)))

    # --- units ----------------------------------------------------------------------------------

    def _adopt(self, uuid: str, doors: set[str]) -> _Unit:
        unit = self._units[uuid] = _Unit(uuid, doors)

        def interval_ms() -> int:
            if unit.unsent:
                return _UNSENT_MS
            # So that units which began together do not go on asking together.
            shortened = self._port.rng.uniform(SHORTEST, 1)
            return round(self._settings.poll_interval_s * 1_000 * shortened)

        async def ask(asked_ms: int) -> Mapping[str, Sequence[Frame]]:
            del asked_ms  # the way offers the frames itself
            await self._look(unit)
            return {}

        unit.poller = Poller(
            self._port,
            ask,
            interval_ms=interval_ms,
            told=lambda _: None,
        )
        assert self._polling is not None
        self._polling.create_task(unit.poller.run())
        return unit

    def _heard(self, uuid: str, envelope: Envelope) -> None:
        """A unit told something by itself: it is there, and may have more to tell."""
        unit = self._units.get(uuid)
        if unit is None:
            invited = not self._settings.devices and len(self._units) < UNITS_MAX
            if invited and self._polling is not None:
                self._adopt(uuid, set())
            return
        wanted = unit.misses or envelope.namespace == BIND
        unit.misses = 0
        if wanted and self._spend(unit, self._port.now_ms(), spared=_FOR_COMMANDS):
            unit.poller.soon()

    async def _look(self, unit: _Unit) -> None:
        """Ask for the doors; what is amiss with the answer counts as none."""
        now_ms = self._port.now_ms()
        unit.looked_ms = now_ms
        what, field = (ALL, "all") if unit.asks_all else (STATE, "state")
        try:
            answer = await self._way.ask(
                self._question(unit.uuid, what, "GET", {field: {}}),
                now_ms + self._settings.reply_timeout_ms,
            )
            told = _doors_told(unit.uuid, answer)
        except NotSentError:
            # On the LAN that is the unit's silence; with a broker it is our own.
            unit.unsent = bool(self._settings.url)
            if not unit.unsent:
                self._missed(unit, "cannot be reached")
            raise
        except NoReplyError as error:
            unit.unsent = False
            self._missed(unit, str(error))
            raise
        unit.unsent = False
        unit.misses = 0
        if not self._settings.url:
            self._port.link(up=True, reason="")
        if unit.asks_all and not unit.doors:
            unit.doors, unit.asks_all = told, False
        elif not unit.asks_all and not unit.doors <= told:
            # It tells one door of several (an old shape), or calls it by another number.
            unit.asks_all = True
            unit.poller.soon()

    def _missed(self, unit: _Unit, why: str) -> None:
        unit.misses += 1
        if unit.misses == MISSES_MAX:
            now_ms = self._port.now_ms()
            silent = [Frame(f"meross/{door}/silent", b"", now_ms) for door in sorted(unit.doors)]
            if silent:
                self._port.offer(silent, None)
        if not self._settings.url and all(
            each.misses >= MISSES_MAX for each in self._units.values()
        ):
            self._port.link(up=False, reason=why)

    # --- questions and presses ------------------------------------------------------------------

    def _question(
        self, uuid: str, namespace: str, method: str, payload: Mapping[str, object]
    ) -> Question:
        message_id = f"{self._port.rng.getrandbits(128):032x}"
        body = envelopes.write(
            message_id=message_id,
            namespace=namespace,
            method=method,
            origin=self._settings.reply_topic,
            key=self._key or "",
            now_ms=self._port.now_ms(),
            payload=payload,
            extra={"uuid": uuid, "triggerSrc": "Doorfleet"},
        )
        return Question(uuid, message_id, body, moves=method == "SET")

    def _guard(self, unit: _Unit, device: str, start: Position, now_ms: int) -> None:
        """Raises unless a press can only lead where it shall."""
        twin = self._port.twin(device)
        known: Known | None = twin.axes.get("position") if twin is not None else None
        if known is None or known.value != start:
            raise RefusedError(Reason.UNKNOWN_STATE)
        travel_ms = self._settings.travel_s * 1_000
        pressed_ms = unit.pressed_ms.get(device)
        shut = start == Position.FULLY_CLOSED
        # A door that was seen to arrive shut since it was pressed is at rest.
        arrived = shut and pressed_ms is not None and known.since_ms > pressed_ms
        if pressed_ms is not None and now_ms - pressed_ms < travel_ms and not arrived:
            raise RefusedError(Reason.BUSY)
        if not shut and now_ms - known.since_ms < travel_ms:
            raise RefusedError(Reason.BUSY)

    def _spend(self, unit: _Unit, now_ms: int, *, spared: int) -> bool:
        """Take a question and its answer out of the unit's hour, if enough is left of it."""
        spare = self._settings.spare_per_hour
        if spare is None:
            return True
        while unit.spent and unit.spent[0] <= now_ms - _HOUR_MS:
            unit.spent.popleft()
        if (len(unit.spent) + 1) * MESSAGES_EACH > spare - spared:
            return False
        unit.spent.append(now_ms)
        return True


async def _once(unit: _Unit) -> None:
    with suppress(NotSentError, NoReplyError):
        await unit.poller.once()


def _restore(unit: _Unit, device: str, pressed_ms: int | None) -> None:
    """It was not pressed after all."""
    if pressed_ms is None:
        unit.pressed_ms.pop(device, None)
    else:
        unit.pressed_ms[device] = pressed_ms


def _doors_told(uuid: str, answer: Envelope) -> set[str]:
    if answer.method == "ERROR":
        raise NoReplyError(f"error {error_code(answer)}")
    try:
        return {
            codec.door_name(uuid, codec.channel_of(entry))
            for entry in codec.entries(answer)
            if entry.get("doorEnable") != 0
        }
    except DecodeError as error:
        raise NoReplyError(error.detail) from error


def _refusal(answer: Envelope, channel: int) -> str | None:
    """Why the unit did not press; None if it did, as far as it says.

    `execute` 0 says that it did nothing; older firmware says 1 whatever it did (meross_lan#272,
    #361). The state beside it is the one before the press.
    """
    if answer.method == "ERROR":
        code = error_code(answer)
        return Reason.NOT_AUTHORIZED if code == SIGN_ERROR else f"vendor:{code}"
    said = answer.payload.get("state")
    for entry in said if isinstance(said, list) else [said]:
        if not isinstance(entry, dict) or entry.get("channel") not in (channel, None):
            continue
        execute = entry.get("execute")
        if type(execute) is int and execute == 0:
            return "vendor:not_executed"
    return None
