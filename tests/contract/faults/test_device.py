"""Each kind that a device acts out itself, at each vendor that has it.

One device in simulated time with its gateway's own cell, and what an outsider sees of both: before
the fault nothing of it, while it lasts what the kind says is to be seen, and afterwards nothing.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from devices.reading import Value
from fleet_sim import acts
from fleet_sim.act import Act, kinds_of
from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.faults import FAULTS, Strikes
from fleet_sim.hub import HubUnit, Lapse
from fleet_sim.scenario import Scenario
from fleet_sim.testing.diary import Diary
from fleet_sim.unit import Unit
from fleet_sim.virtual import VirtualRun, simulated
from vendors import registry
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Message, Webhook, WsText

#: How often cells ask: often enough for a test, and within what they allow.
ASKED: Final[Mapping[str, Mapping[str, object]]] = {
    "nuki_bridge": {"poll_interval_s": 5},
    "opengarage": {"poll_ms": 2_000},
    "shelly": {"poll_interval_ms": 5_000},
    "switchbot": {"poll_min_ms": 5_000},
    "tedee": {"poll_interval_s": 5},
    "uhppote": {"poll_ms": 5_000, "upkeep_ms": 3_600_000},
}
YEAR_S: Final = 365 * 86_400
_ANY: Final = object()
#: When the devices have told how they are, and their cell has heard it.
_SETTLED_S: Final = 45.0
_HEALED_S: Final = 60.0

#: Lets things happen, and calls its argument where the fault is to begin (nothing, in a life
#: without it); whether what the fault's kind says was seen.
Course = Callable[["Watched", Callable[[], None]], Awaitable[bool]]


class Run(VirtualRun):
    """A run that shows what is on its wires."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.wire: Callable[[str, bytes], None] = lambda _where, _what: None

    def show(self, wire: Callable[[str, bytes], None]) -> None:
        """Let this see every datagram, and every message on the broker."""
        self.wire = wire
        client = MemoryClient(
            self._broker, lambda topic, payload, _qos, _retain: wire(topic, payload)
        )
        client.connect("outsider", keep_alive_s=0)
        client.subscribe("#", qos=0)

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        self.wire("udp", payload)
        super().datagram(payload, address)


class Watched:
    """The only device of a fleet."""

    def __init__(self, run: Run, diary: Diary) -> None:
        self._run = run
        self._diary = diary
        self._commands = 0
        #: Since `look`: (Unix s, where, what) of each frame, and every event of the device.
        self.frames: list[tuple[float, str, bytes]] = []
        self.events: list[Mapping[str, Any]] = []
        self.state: dict[str, Value] = {}

    def begin(self) -> None:
        """The devices are there: look at all that they and their cell say from now on."""
        run = self._run
        run.show(self._saw)
        run.overhears = self._overheard
        for hub in run.hubs:
            self._tap(hub)

    def _tap(self, hub: HubUnit) -> None:
        request, deliver = hub.request, hub.deliver

        async def requested(asked: HttpRequest, *lapse: Lapse) -> HttpReply | None:
            answer = await request(asked, *lapse)
            if answer is not None:
                self._saw(f"{answer.status} {asked.path}", answer.body)
            return answer

        def delivered(message: Message, *rest: Any, **more: Any) -> None:
            if isinstance(message, Webhook):
                self._saw("webhook", message.body)
            elif isinstance(message, WsText):
                self._saw("websocket", message.text.encode())
            deliver(message, *rest, **more)

        hub.request = requested  # type: ignore[method-assign]
        hub.deliver = delivered  # type: ignore[method-assign]

    def _saw(self, where: str, what: bytes) -> None:
        if not where.startswith("doorfleet/"):
            self.frames.append((self.now_s, where, what))

    def _overheard(self, payload: bytes, _at_ms: float) -> None:
        event = orjson.loads(payload)
        if event["data"].get("device") == self.unit.device.name:
            self.events.append(event)
            for axis, change in event["data"].get("changes", {}).items():
                self.state[axis] = change["value"]

    # --- what a course does -------------------------------------------------------------------

    @property
    def unit(self) -> Unit:
        return self._run.units[0]

    @property
    def now_s(self) -> float:
        """Unix time."""
        return self._run.now_ms() / 1000

    async def act(self, *habits: str, wait_s: float = 10.0) -> None:
        """Let people do this, one thing after the other."""
        for habit in habits:
            self.unit.act(habit)
            await asyncio.sleep(wait_s)

    async def ask(self, name: str, part: str = "", within_s: float = 60.0) -> str:
        """Ask for this on the bus; how it ended."""
        self._commands += 1
        id_ = f"c{self._commands}"
        request = {"id": id_, "name": name, "deadline_ms": round((self.now_s + within_s) * 1000)}
        say = self._run.world.say
        assert say is not None
        say(self.unit, orjson.dumps(request | ({"part": part} if part else {})))
        for _ in range(int(within_s + 5)):
            await asyncio.sleep(1)
            for event in self.events:
                if "command.finished" in event["type"] and event["data"]["command_id"] == id_:
                    return str(event["data"]["outcome"])
        raise AssertionError(f"{name} did not end within {within_s} s")

    def look(self) -> None:
        """What was until now is past."""
        self.frames.clear()
        self.events.clear()

    # --- what it sees -------------------------------------------------------------------------

    @property
    def truth(self) -> Mapping[str, Value]:
        """How the device is, whoever knows."""
        return self._diary.state(self.unit.name)

    def said(self, axis: str, value: object = _ANY) -> bool:
        """Whether the bus said so."""
        values = self.values(axis)
        return bool(values) if value is _ANY else value in values

    def values(self, axis: str) -> list[Value]:
        """All that the bus said of an axis, in order."""
        changes = [event["data"].get("changes", {}) for event in self.events]
        return [change[axis]["value"] for change in changes if axis in change]

    def took_place(self, kind: str) -> int:
        """How often the bus said that such a thing happened."""
        return sum(kind in event["type"] for event in self.events)

    def wire(self, part: bytes, where: str = "") -> int:
        """In how many frames this is, of those whose place has `where` in it."""
        return sum(part in what for _, place, what in self.frames if where in place)


def nothing() -> None:
    """Fails."""


def watch(
    vendor: str, kind: str, course: Course, folder: Path, options: Mapping[str, object]
) -> tuple[list[bool], dict[str, Any]]:
    """Let the course happen before, during and after the fault; what was seen, and the report."""
    diary, seen = Diary(), list[bool]()
    act = Act.model_validate({"at": 0, "for": 1, "vendor": vendor, "fault": kind})
    scenario = Scenario.model_validate(
        {
            "hours": 0.2,
            "pace": 0.0001,  # nobody but the course
            "arrive_s": 1,
            "fleet": {vendor: 1},
            "options": {vendor: dict(options)} if options else {},
            "gateway": {vendor: ASKED[vendor]} if vendor in ASKED else {},
        }
    )

    async def told(it: Watched) -> None:
        await asyncio.sleep(_SETTLED_S)
        for fail in (nothing, partial(acts.begin, act, [it.unit]), nothing):
            it.look()
            seen.append(await course(it, fail))
            if fail is not nothing:
                acts.end(act, [it.unit])
                await asyncio.sleep(_HEALED_S)

    async def whole() -> dict[str, Any]:
        run = Run(scenario, 5, folder, journal=diary)
        it = Watched(run, diary)
        stories: list[asyncio.Task[None]] = []

        def built() -> None:
            it.begin()
            stories.append(asyncio.create_task(told(it)))

        result = await run.run(built=built)
        assert stories[0].done(), "the scenario ended before the course did"
        await stories[0]
        return result

    with simulated() as (_, runner):
        result = runner.run(whole())
    return seen, result


# --- what a course is made of -----------------------------------------------------------------

#: By vendor, how somebody at the door opens it and closes it, and how long that takes.
AT_THE_DOOR: Final[Mapping[str, tuple[str, str, float]]] = {
    "meross": ("drive_in", "shut_by_hand", 75.0),
    "nuki": ("come_home", "leave", 15.0),
    "nuki_bridge": ("come_home", "leave", 20.0),
    "opengarage": ("wall_button", "wall_button", 60.0),
    "ratgdo": ("left_open", "close_up", 30.0),
    "shelly": ("left_open", "close_up", 45.0),
    "switchbot": ("come_home", "leave", 15.0),
    "tedee": ("come_home", "leave", 15.0),
    "zigbee2mqtt": ("keypad_unlock", "one_touch_lock", 15.0),
    "zwave_js": ("come_home", "leave", 15.0),
}
Seen = Callable[[Watched], bool]


def there_and_back(seen: Seen) -> Course:
    """Somebody opens and closes."""

    async def course(it: Watched, fail: Callable[[], None]) -> bool:
        opens, closes, wait_s = AT_THE_DOOR[it.unit.vendor]
        fail()
        await it.act(opens, closes, wait_s=wait_s)
        return seen(it)

    return course


def by_themselves(seen: Seen, *habits: str, wait_s: float = 75.0) -> Course:
    """Nobody does more than this."""

    async def course(it: Watched, fail: Callable[[], None]) -> bool:
        fail()
        await it.act(*habits, wait_s=wait_s)
        if not habits:
            await asyncio.sleep(wait_s)
        return seen(it)

    return course


def commanded(seen: Callable[[Watched, list[str]], bool], *names: str, part: str = "") -> Course:
    """Somebody asks for this on the bus, one thing after the other."""

    async def course(it: Watched, fail: Callable[[], None]) -> bool:
        fail()
        outcomes = [await it.ask(name, part) for name in names]
        await asyncio.sleep(10)
        return seen(it, outcomes)

    return course


def locked_and(seen: Seen) -> Course:
    """Somebody locks; and then comes home."""

    async def course(it: Watched, fail: Callable[[], None]) -> bool:
        await it.act("leave")
        it.look()
        fail()
        await it.act("come_home", wait_s=20)
        return seen(it)

    return course


async def turned_back(it: Watched, fail: Callable[[], None]) -> bool:
    """A closing door, and something in its way."""
    await it.act("left_open", wait_s=45)
    await it.act("close_up", wait_s=5)
    fail()
    await asyncio.sleep(60)
    return it.said("obstruction", "BlockedBySensor") or it.said("error", "PhysicallyBlocked")


def bolt_silent(it: Watched) -> bool:
    return not it.said("lock_state")


def jammed(it: Watched) -> bool:
    return it.said("fault", "LockJammed")


def not_done(_: Watched, outcomes: list[str]) -> bool:
    return {*outcomes} != {"succeeded"}


def slow_by_s(it: Watched) -> float:
    """How far the unit's clock is behind, as its messages say."""
    stamps = [
        (at_s, re.search(rb'"timestamp":(\d+)', what))
        for at_s, where, what in it.frames
        if where.endswith("/publish")
    ]
    return max(at_s - int(stamp[1]) for at_s, stamp in stamps if stamp is not None)


def panel_slow_by_s(it: Watched) -> float:
    """How far the panel's clock is behind, as its replies to a question for its status say."""

    def clock_s(what: bytes) -> float:
        local = (what[51:54] + what[37:40]).hex()
        return datetime.strptime(f"{local}+0000", "%y%m%d%H%M%S%z").timestamp()

    serial = it.unit.device.serial
    assert serial is not None
    begins = b"\x17\x20\0\0" + serial.to_bytes(4, "little")
    return max(at_s - clock_s(what) for at_s, _, what in it.frames if what.startswith(begins))


def mute_until_asked(it: Watched) -> bool:
    """After word of a hand its state comes only when somebody asks for it."""
    places = [
        place
        for _, place, what in it.frames
        if b"manual_" not in what and place.endswith(("/get", "Front Door 1"))
    ]
    return it.wire(b"manual_") > 0 and places[0].endswith("/get")


def told_twice(it: Watched) -> bool:
    """The same message, by its id."""
    ids = [
        re.findall(rb'"messageId":"(\w+)"', what)
        for _, where, what in it.frames
        if where.endswith("/publish")
    ]
    return any(count > 1 for count in Counter(one for each in ids for one in each).values())


def moved_and_refused(it: Watched, _: list[str]) -> bool:
    return it.wire(b"error", "406") > 0 and it.truth["lock_state"] == "Unlocked"


def back_and_forth(axis: str, value: str) -> Seen:
    """The value, something else, and the value again."""
    return lambda it: it.values(axis).count(value) > 1


#: By vendor and kind: what happens, and what is to be seen of it.
CASES: Final[Mapping[tuple[str, str], Course]] = {
    ("nuki", "jam"): there_and_back(jammed),
    ("nuki_bridge", "jam"): there_and_back(jammed),
    ("switchbot", "jam"): there_and_back(jammed),
    ("tedee", "jam"): there_and_back(jammed),
    ("zwave_js", "jam"): there_and_back(jammed),
    ("opengarage", "jam"): there_and_back(lambda it: not it.said("position")),
    ("ratgdo", "obstruction"): by_themselves(lambda it: it.said("obstruction", "BlockedBySensor")),
    ("opengarage", "obstruction"): there_and_back(
        lambda it: it.state["position"] == "PartiallyOpened" and it.state["main_state"] == "Stopped"
    ),
    ("shelly", "obstruction"): turned_back,
    ("meross", "stuck_moving"): commanded(not_done, "MoveToFullyOpen", "MoveToFullyClosed"),
    ("shelly", "bounce"): there_and_back(back_and_forth("position", "FullyClosed")),
    ("switchbot", "bounce"): locked_and(lambda it: it.wire(b'"LOCKED"', "webhook") > 0),
    ("zigbee2mqtt", "bounce"): commanded(
        lambda it, _: it.wire(b'"action":null') > 0, "UnlockDoor", "LockDoor"
    ),
    ("nuki", "brown_out"): there_and_back(lambda it: it.wire(b"255", "/state") > 0),
    ("nuki_bridge", "brown_out"): there_and_back(lambda it: it.wire(b'"state": 255') > 0),
    ("meross", "sensor_latched"): there_and_back(lambda it: not it.said("position")),
    ("opengarage", "sensor_latched"): by_themselves(lambda it: it.said("position", "FullyOpened")),
    ("ratgdo", "sensor_latched"): by_themselves(
        lambda it: it.said("obstruction", "BlockedBySensor"), "walk_by"
    ),
    ("shelly", "sensor_latched"): by_themselves(
        lambda it: it.said("obstruction", "BlockedBySensor")
    ),
    ("switchbot", "sensor_latched"): by_themselves(lambda it: not it.said("door_state"), "door"),
    ("zwave_js", "sensor_latched"): commanded(
        lambda it, _: (
            it.state["lock_state"] == "Locked" and vars(it.unit.device)["_bolt"] == "unlocked"
        ),
        "UnlockDoor",
        "LockDoor",
    ),
    ("meross", "phantom_event"): there_and_back(told_twice),
    ("opengarage", "phantom_event"): by_themselves(lambda it: it.said("position", "FullyOpened")),
    ("ratgdo", "phantom_event"): by_themselves(lambda it: it.wire(b"stopped", "status/door") > 0),
    ("zigbee2mqtt", "phantom_event"): by_themselves(lambda it: it.took_place("lock.operation") > 0),
    ("meross", "stale_state"): there_and_back(lambda it: not it.wire(b'"PUSH"')),
    ("nuki", "stale_state"): by_themselves(bolt_silent, "turn_by_hand"),
    ("nuki_bridge", "stale_state"): there_and_back(bolt_silent),
    ("opengarage", "stale_state"): there_and_back(lambda it: not it.said("position")),
    ("ratgdo", "stale_state"): there_and_back(lambda it: not it.said("position")),
    ("shelly", "stale_state"): there_and_back(lambda it: not it.wire(b"NotifyStatus")),
    ("switchbot", "stale_state"): locked_and(
        lambda it: not it.wire(b'"lockState":"unlock', f"{it.unit.device.name}/status")
    ),
    ("zigbee2mqtt", "stale_state"): by_themselves(mute_until_asked, "turn_by_hand", wait_s=20),
    ("zwave_js", "stale_state"): by_themselves(bolt_silent, "turn_by_hand"),
    ("nuki_bridge", "contradictory_state"): there_and_back(
        lambda it: it.wire(b'"state": 1, "stateName": "unlocked"') > 0
    ),
    ("switchbot", "contradictory_state"): by_themselves(
        lambda it: it.wire(b'"LOCKED"', "webhook") > 0, "come_home", "door"
    ),
    ("zigbee2mqtt", "contradictory_state"): there_and_back(
        lambda it: it.wire(b'"lock_state":"not_fully_locked"') > 0
    ),
    ("zwave_js", "contradictory_state"): there_and_back(lambda it: it.said("lock_state", None)),
    ("opengarage", "accepted_not_executed"): commanded(
        not_done, "MoveToFullyOpen", "MoveToFullyClosed"
    ),
    ("ratgdo", "accepted_not_executed"): commanded(
        not_done, "MoveToFullyOpen", "MoveToFullyClosed"
    ),
    ("switchbot", "accepted_not_executed"): commanded(not_done, "UnlockDoor", "LockDoor"),
    ("tedee", "accepted_not_executed"): commanded(not_done, "UnlockDoor", "LockDoor"),
    ("uhppote", "accepted_not_executed"): commanded(not_done, "AccessDoor", part="door.1"),
    ("zwave_js", "accepted_not_executed"): commanded(not_done, "UnlockDoor", "LockDoor"),
    ("tedee", "executed_not_answered"): commanded(moved_and_refused, "LockDoor", "UnlockDoor"),
    ("zigbee2mqtt", "executed_not_answered"): commanded(
        lambda it, _: not it.took_place("lock.operation"), "UnlockDoor", "LockDoor"
    ),
    ("zwave_js", "executed_not_answered"): commanded(
        lambda it, _: it.wire(b"did not acknowledge") > 0, "UnlockDoor", "LockDoor"
    ),
    ("tedee", "firmware_during_command"): commanded(
        lambda it, _: it.wire(b'"state":18') > 0, "UnlockDoor", "LockDoor"
    ),
    ("meross", "clock_skew"): there_and_back(lambda it: slow_by_s(it) > 10),
    ("nuki_bridge", "clock_skew"): by_themselves(lambda it: it.wire(b"", "401") > 0),
    ("tedee", "clock_skew"): by_themselves(lambda it: it.wire(b"Invalid token", "401") > 0),
    ("meross", "epoch_clock"): there_and_back(lambda it: slow_by_s(it) > 50 * YEAR_S),
    ("uhppote", "epoch_clock"): by_themselves(lambda it: panel_slow_by_s(it) > 25 * YEAR_S),
    ("uhppote", "dst_jump"): by_themselves(lambda it: 3_590 < panel_slow_by_s(it) < 3_610),
}
#: What a device must be for that, and what its simulator's options call it.
OPTIONS: Final[Mapping[tuple[str, str], Mapping[str, object]]] = {
    ("opengarage", "obstruction"): {"secv": 2},
    ("opengarage", "sensor_latched"): {"secv": 0, "sensor": "ceiling"},
    ("opengarage", "phantom_event"): {"secv": 0, "sensor": "ceiling"},
    ("shelly", "bounce"): {"profile": "opener"},
}
HAD: Final = [
    (vendor, kind)
    for vendor in registry.names()
    for kind in kinds_of(vendor)
    if vendor in registry.OURS
]


def test_every_kind_that_a_device_acts_out_has_a_vendor_and_a_case() -> None:
    of_devices = {name for name, kind in FAULTS.items() if kind.strikes is Strikes.DEVICE}

    assert {kind for _, kind in HAD} == of_devices
    assert set(CASES) == set(HAD)


@pytest.mark.parametrize(("whose", "kind"), HAD)
def test_it_is_seen_while_it_lasts_and_costs_no_truth(
    whose: str, kind: str, tmp_path: Path
) -> None:
    case = (whose, kind)

    seen, result = watch(whose, kind, CASES[case], tmp_path, OPTIONS.get(case, {}))

    assert seen == [False, True, False]
    assert (result["verdict"], result["evidence"]) == ("pass", [])
