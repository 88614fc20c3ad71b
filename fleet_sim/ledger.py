"""The oracle: what really happened, held against what the bus said; pure.

    devices ─► truths ──┐
                        ├─► per device and key: lost, duplicated, reordered, invented, late
    bus ──────► events ─┘

Two promises. What a device *told* is announced exactly once and in order; it is `sure`. What it
could not tell for sure (its link was cut, a fault swallowed it, it only answers when polled) is
announced once at most, at its place in that order; and of a polled device the newest value is
known in the end, and each numbered happening, because it keeps those itself.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

from devices.reading import Value
from fleet_sim.alignment import Owed, align
from fleet_sim.promises import is_promise
from vendors.sim import Truth

#: Keys that a broker's will or an adapter speaks for, not the device: nothing is owed of them.
LOOSE: Final = frozenset({"reachability", "clock_skew_s"})
#: The key of a battery's charge.
BATTERY: Final = "battery_pct"
#: An announcement later than this is late.
LATE_MS: Final = 5_000.0
# A gateway tells of what it left out within a second or two; what was told this long before a
# `gap` event may be what it left out.
_GAP_MS: Final = 5_000.0
#: Nothing was said before.
_NOTHING: Final = object()
EVIDENCE_MAX: Final = 20


@dataclass(slots=True)
class Tally:
    """What is wrong, and how fast what is right was.

    `latencies` holds (Unix ms of the announcement, ms since the device told it). `redelivered`
    and `late` are no sins: the bus delivers at least once, and a link may be slow. `connected`
    counts the devices that are so now, `connected_min` those that were at the worst moment since
    somebody last looked; `lost_states` are those of `lost` that are states and no happenings;
    `deeds` what people did, and `battery_sum` is the charge
    in per cent of all the `battery_devices` that told theirs. `garbled` counts by topic what was
    sent besides the good messages and is none.
    """

    devices: int = 0
    connected: int = 0
    connected_min: int = 0
    deeds: int = 0
    frames: int = 0
    events: int = 0
    lost: int = 0
    lost_states: int = 0
    duplicated: int = 0
    reordered: int = 0
    invented: int = 0
    redelivered: int = 0
    late: int = 0
    evidence: list[str] = field(default_factory=list)
    latencies: list[tuple[int, float]] = field(default_factory=list)
    battery_sum: float = 0.0
    battery_devices: int = 0
    garbled: Counter[str] = field(default_factory=Counter)

    @property
    def sins(self) -> int:
        """How often a promise was broken."""
        return self.lost + self.duplicated + self.reordered + self.invented

    def linked(self, devices: int) -> None:
        """So many devices more have a connection; fewer, if it is negative."""
        self.connected += devices
        self.connected_min = min(self.connected_min, self.connected)

    def charge(self, before: Value, now: Value) -> None:
        """A device has so much left in its battery, in per cent; None if nobody knows."""
        if isinstance(before, int | float):
            self.battery_sum -= before
            self.battery_devices -= 1
        if isinstance(now, int | float):
            self.battery_sum += now
            self.battery_devices += 1

    def sin(self, kind: str, count: int, what: str) -> None:
        """Count something that must not be, with a word about where."""
        if not count:
            return
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.evidence) < EVIDENCE_MAX:
            self.evidence.append(f"{kind} {count}: {what}")


class _Device:
    """Both sides of one device."""

    __slots__ = (
        "awaited",
        "excused",
        "ids",
        "reordered",
        "said",
        "sequences",
        "told",
        "top",
        "veiled",
        "veiled_until_ms",
    )

    def __init__(self) -> None:
        self.told: dict[str, list[Owed]] = {}
        self.said: dict[str, list[Value]] = {}
        #: Per key, the first of `told` that was not yet seen on the bus.
        self.awaited: dict[str, int] = {}
        self.ids: set[str] = set()
        self.sequences: set[int] = set()
        #: Sequences that a `gap` event owned up to.
        self.excused: set[int] = set()
        self.top = 0
        self.reordered = 0
        #: Until when its states may be read as unknown, and what was said of those that were.
        self.veiled_until_ms = -math.inf
        self.veiled: dict[str, Value] = {}

    def misreads(self, key: str, value: Value, at_ms: float, *, told: bool) -> bool:
        """Whether this may come of a frame that was changed on its way: it promises nothing."""
        harmless = value is None or not (told or is_promise(key, value))
        if harmless and at_ms <= self.veiled_until_ms:
            self.veiled[key] = value
            return True
        return False

    def takes_back(self, key: str) -> bool:
        """Whether the last word was such a one."""
        return self.veiled.pop(key, _NOTHING) is not _NOTHING


class Ledger:
    """Truths and events of a run, by vendor and device.

    Args:
        polled: vendors whose devices are (also) asked for what they did not tell.
    """

    def __init__(self, polled: Collection[str] = ()) -> None:
        self._polled = frozenset(polled)
        self._devices: dict[tuple[str, str], _Device] = {}
        self._tallies: dict[str, Tally] = {}
        self._disregarded: set[tuple[str, str]] = set()

    def _of(self, vendor: str, device: str) -> _Device:
        found = self._devices.get((vendor, device))
        if found is None:
            found = self._devices[vendor, device] = _Device()
        return found

    def tally(self, vendor: str) -> Tally:
        """The running count of one vendor."""
        found = self._tallies.get(vendor)
        if found is None:
            found = self._tallies[vendor] = Tally()
        return found

    # --- what is true -------------------------------------------------------------------------

    def truth(
        self,
        vendor: str,
        truth: Truth,
        *,
        at_ms: float | None = None,
        copies: int = 1,
        stored: bool = False,
    ) -> None:
        """Something happened.

        Args:
            vendor: whose device it happened to.
            truth: what happened, and whether the device sent it out.
            at_ms: when the news left the device; absent, when it happened.
            copies: how many of the news left: 0 if a fault swallowed it, 2 if it was repeated.
            stored: a broker keeps the news for a gateway that is away.
        """
        _, key, value, happened_ms, sent = truth
        if key in LOOSE:
            return
        if at_ms is None:
            at_ms = float(happened_ms)
        device = self._of(vendor, truth.device)
        told = device.told.setdefault(key, [])
        sure = (sent and copies > 0) or self._kept(vendor, key, value)
        if device.veiled.get(key, _NOTHING) == value:
            sure = False  # the bus says so already, if for another reason
        if not is_state(key):
            told.append(Owed(value, at_ms, sure, stored))
            if value is None:  # nothing tells the second copy from another happening
                told.extend(Owed(value, at_ms, sure=False) for _ in range(1, copies))
        elif not told or told[-1].value != value or (sure and not told[-1].sure):
            if key == BATTERY:
                self.tally(vendor).charge(told[-1].value if told else None, value)
            told.append(Owed(value, at_ms, sure, stored))

    def loosen(  # noqa: PLR0913 -- by keyword
        self,
        vendor: str,
        name: str,
        since_ms: float,
        until_ms: float = math.inf,
        *,
        states_only: bool = False,
        unless_stored: bool = False,
    ) -> None:
        """What this device told in that time may not have arrived: its link was cut.

        With `unless_stored` it was the gateway that was away: what a broker keeps for it is owed.
        """
        for key, told in self._of(vendor, name).told.items():
            if states_only and not is_state(key):
                continue
            for owed in _since(told, since_ms):
                if owed.at_ms <= until_ms and not (unless_stored and owed.stored):
                    owed.sure = owed.sure and self._kept(vendor, key, owed.value)

    def retold(self, vendor: str, name: str, told_ms: float, at_ms: float) -> None:
        """What this device told then arrives (once more) only now, and nothing shows how old it is.

        The state that it was in then may be announced in this place, and after it the true one.
        """
        for key, told in self._of(vendor, name).told.items():
            if is_state(key):
                then = next((owed for owed in reversed(told) if owed.at_ms <= told_ms), told[-1])
                again = [] if then.value == told[-1].value else [then, told[-1]]
            else:
                again = [owed for owed in _since(told, told_ms) if owed.at_ms == told_ms]
            told += [Owed(owed.value, at_ms, sure=False) for owed in again]

    def veil(self, vendor: str, name: str, at_ms: float) -> None:
        """What this device said now was changed on its way.

        Who does not understand it may say for a moment that a state is unknown, or what promises
        nothing, and then that it is as it was; any other value is as wrong as ever.
        """
        self._of(vendor, name).veiled_until_ms = at_ms + LATE_MS

    def _kept(self, vendor: str, key: str, value: Value) -> bool:
        """Whether the device keeps this itself until it is asked for it: numbered happenings."""
        return vendor in self._polled and value is not None and not is_state(key)

    def disregard(self, vendor: str, name: str) -> None:
        """Nobody knows what this device told: it is owed nothing, whatever it tells or told."""
        self._disregarded.add((vendor, name))

    # --- what is said -------------------------------------------------------------------------

    def event(self, event: Mapping[str, Any], at_ms: float) -> None:
        """The bus said something at this time."""
        data = event["data"]
        vendor, name = data["vendor"], data["device"]
        device, tally = self._of(vendor, name), self.tally(vendor)
        if event["id"] in device.ids:
            tally.redelivered += 1
            return
        device.ids.add(event["id"])
        tally.events += 1
        sequence = int(event["sequence"])
        if sequence < device.top:
            device.reordered += 1
            tally.sin("reordered", 1, f"{vendor}/{name} sequence {sequence} after {device.top}")
        elif sequence in device.sequences:
            tally.sin("duplicated", 1, f"{vendor}/{name} sequence {sequence} under two ids")
        device.sequences.add(sequence)
        device.top = max(device.top, sequence)
        if (vendor, name) in self._disregarded:
            return
        kind = str(event["type"]).removeprefix("doorfleet.").removesuffix(".v1")
        if kind == "gap":
            self._excuse(vendor, name, data, at_ms)
        elif kind == "controller.events_lost":
            self._overwritten(device, data)
        elif "changes" in data:
            for axis, change in data["changes"].items():
                self._said(tally, device, axis, change["value"], at_ms)
        elif kind != "command.finished":
            self._said(tally, device, kind, data.get("vendor_key"), at_ms)

    def _excuse(self, vendor: str, name: str, data: Mapping[str, Any], at_ms: float) -> None:
        """The gateway owns up to states that it left out; happenings it may never leave out."""
        if "first_sequence" in data:
            owned_up = range(int(data["first_sequence"]), int(data["last_sequence"]) + 1)
            self._of(vendor, name).excused.update(owned_up)
            self.loosen(vendor, name, 0.0, states_only=True)
        else:
            since_ms = min(at_ms, data.get("since_ms", at_ms)) - _GAP_MS
            # A full queue leaves out whatever nobody would send again; all else keeps happenings.
            whole = data["cause"] == "queue_full"
            self.loosen(vendor, name, since_ms, states_only=not whole)

    @staticmethod
    def _overwritten(device: _Device, data: Mapping[str, Any]) -> None:
        """The device's own memory ran over, or was erased (count 0), before it was read."""
        left = int(data["count"])
        waiting = [
            owed
            for key, told in device.told.items()
            if not is_state(key)
            for owed in told[device.awaited.get(key, 0) :]
            if owed.sure and owed.value is not None
        ]
        waiting.sort(key=lambda owed: owed.at_ms)
        for owed in waiting[:left] if left else waiting:
            owed.sure = False

    def _said(self, tally: Tally, device: _Device, key: str, value: Value, at_ms: float) -> None:
        said = device.said.setdefault(key, [])
        if value is None and said and said[-1] is None and is_state(key):
            return  # unknown, for another reason
        before = said[-1] if said and is_state(key) else _NOTHING
        told = device.told.get(key, [])
        index = _told(told, device.awaited.get(key, 0), value, before)
        owed = index is not None and told[index].sure
        if is_state(key) and not owed:
            if device.misreads(key, value, at_ms, told=index is not None):
                return
            if device.takes_back(key) and value == before:
                return
        said.append(value)
        if index is None:
            return
        device.awaited[key] = index + 1
        if told[index].sure:
            latency_ms = at_ms - told[index].at_ms
            tally.latencies.append((int(at_ms), latency_ms))
            tally.late += latency_ms > LATE_MS

    # --- the verdict --------------------------------------------------------------------------

    def close(self, *, newest_owed: bool = True) -> Mapping[str, Tally]:
        """Hold everything against everything; call it once, when the bus has fallen silent.

        Args:
            newest_owed: there was time enough to ask every polled device for its present state.
        """
        for (vendor, name), device in self._devices.items():
            if (vendor, name) in self._disregarded:
                continue
            tally = self.tally(vendor)
            where = f"{vendor}/{name}"
            found: Counter[str] = Counter()
            for key in {**device.told, **device.said}:
                if key in LOOSE:
                    continue
                told, said = device.told.get(key, []), device.said.get(key, [])
                if newest_owed and told and vendor in self._polled and is_state(key):
                    told[-1].sure = True
                for sin, values in align(told, said, state=is_state(key)).items():
                    found[sin] += len(values)
                    tally.lost_states += len(values) if sin == "lost" and is_state(key) else 0
                    tally.sin(sin, len(values), f"{where} {key}: {values[:5]}; {_tail(said)}")
            # What a missing or late number adds to what is known from the values.
            missing = set(range(min(device.sequences, default=1), device.top + 1))
            missing -= device.sequences | device.excused
            more = len(missing) - found["lost"]
            tally.sin("lost", max(0, more), f"{where} sequences {sorted(missing)[:5]}")
            # An event out of order was counted by its number already.
            tally.reordered -= min(device.reordered, found["reordered"])
        return self._tallies


class Forgetful(Ledger):
    """For a fleet whose events nobody hears: it counts, and keeps nothing to hold against them."""

    def truth(
        self,
        vendor: str,
        truth: Truth,
        *,
        at_ms: float | None = None,
        copies: int = 1,
        stored: bool = False,
    ) -> None:
        """Whatever happened, nothing is owed of it."""

    def loosen(  # noqa: PLR0913 -- by keyword
        self,
        vendor: str,
        name: str,
        since_ms: float,
        until_ms: float = math.inf,
        *,
        states_only: bool = False,
        unless_stored: bool = False,
    ) -> None:
        """Nothing is owed, so nothing is excused."""

    def veil(self, vendor: str, name: str, at_ms: float) -> None:
        """Nobody says anything."""

    def retold(self, vendor: str, name: str, told_ms: float, at_ms: float) -> None:
        """Nobody hears it either time."""


def _told(told: Sequence[Owed], start: int, value: Value, before: Value | object) -> int | None:
    """Which of what was told is said now: the first sure one, unless another had to come first.

    What only repeated the value that was said `before` did not have to.
    """
    found = None
    for index in range(start, len(told)):
        owed = told[index]
        if owed.value == value:
            if owed.sure:
                return index
            found = index if found is None else found
        elif owed.sure and found is not None and owed.value != before:
            break
    return found


def _since(told: Sequence[Owed], since_ms: float) -> Iterator[Owed]:
    """What was told from then on, the latest first."""
    return takewhile(lambda owed: owed.at_ms >= since_ms, reversed(told))


def is_state(key: str) -> bool:
    """`position` and `door.1.lock_state` are axes; `access.granted` is a happening."""
    return key.count(".") != 1


def _tail(values: list[Value]) -> str:
    return f"said {len(values)}, last {values[-6:]}"
