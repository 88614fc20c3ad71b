"""The kinds that change what a device says, or how often, whoever made it: at every vendor.

People use three devices; an outsider counts what is on the wires, and hears the bus.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import pytest

from fleet_sim.broker.memory_client import MemoryClient
from fleet_sim.faults import FAULTS, Family, Strikes
from fleet_sim.faults.respoken import STRANGE, SUFFIX
from fleet_sim.hub import HubUnit, Lapse
from fleet_sim.life import BEGINS_MS, EPOCH_MS
from fleet_sim.scenario import Scenario
from fleet_sim.virtual import VirtualRun, simulated
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Message, Webhook, WsText

#: How often cells ask: often enough for a test, and within what they allow.
ASKED: Final[Mapping[str, Mapping[str, object]]] = {
    "nuki_bridge": {"poll_interval_s": 10},
    "opengarage": {"poll_ms": 5_000},
    "shelly": {"poll_interval_ms": 10_000},
    "switchbot": {"poll_min_ms": 10_000},
    "tedee": {"poll_interval_s": 10},
    "uhppote": {"poll_ms": 5_000, "upkeep_ms": 3_600_000},
    "zigbee2mqtt": {"poll_interval_s": 20},
}
#: What an outsider sees of them in a place or in what is said there, and when each lasts, in s.
MARKS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "renamed_field": (SUFFIX.encode(),),
    "unknown_enum": (STRANGE.encode(),),
    "null_value": (b":null", b" null"),
}
LASTS: Final[Mapping[str, tuple[int, int]]] = {
    "renamed_field": (60, 180),
    "unknown_enum": (240, 360),
    "null_value": (420, 540),
}
#: Who says nothing in words or documents, and who nothing unless asked.
NO_WORDS: Final = frozenset({"uhppote"})
ONLY_ANSWER: Final = frozenset({"opengarage", "uhppote"})
BABBLES: Final = (60, 120)


class Lived(NamedTuple):
    """What became of a run: (s, where, what) of each frame, events by device, and the report."""

    frames: list[tuple[float, bytes]]
    events: dict[str, list[Any]]
    result: dict[str, Any]

    def seen(self, marks: Sequence[bytes], from_s: float, until_s: float) -> int:
        """How many frames of that time have one of these in them."""
        return sum(
            any(mark in what for mark in marks)
            for at_s, what in self.frames
            if from_s <= at_s < until_s
        )


class Run(VirtualRun):
    """A run that lets everything on its wires be seen."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.saw: Callable[[bytes], None] = lambda _: None

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        self.saw(payload)
        super().datagram(payload, address)

    def show(self, saw: Callable[[bytes], None]) -> None:
        self.saw = saw

        def heard(topic: str, payload: bytes, _qos: int, _retain: bool) -> None:
            if not topic.startswith("doorfleet/"):
                saw(b"%b %b" % (topic.encode(), payload))

        client = MemoryClient(self._broker, heard)
        client.connect("outsider", keep_alive_s=0)
        client.subscribe("#", qos=0)
        for hub in self.hubs:
            tap(hub, saw)


def tap(hub: HubUnit, saw: Callable[[bytes], None]) -> None:
    request, deliver = hub.request, hub.deliver

    async def requested(asked: HttpRequest, *lapse: Lapse) -> HttpReply | None:
        answer = await request(asked, *lapse)
        if answer is not None:
            saw(answer.body)
        return answer

    def delivered(message: Message, *rest: Any, **more: Any) -> None:
        if isinstance(message, Webhook):
            saw(message.body)
        elif isinstance(message, WsText):
            saw(message.text.encode())
        deliver(message, *rest, **more)

    hub.request = requested  # type: ignore[method-assign]
    hub.deliver = delivered  # type: ignore[method-assign]


def live(vendor: str, *acts: Mapping[str, Any], minutes: int) -> Lived:
    scenario = Scenario.model_validate(
        {
            "hours": minutes / 60,
            "pace": 60,
            "fleet": {vendor: 3},
            "gateway": {vendor: ASKED[vendor]} if vendor in ASKED else {},
            "acts": [{"vendor": vendor, **act} for act in acts],
        }
    )
    frames: list[tuple[float, bytes]] = []
    events: dict[str, list[Any]] = {}

    async def whole(folder: Path) -> dict[str, Any]:
        run = Run(scenario, 5, folder)

        def now_s() -> float:
            return (run.now_ms() - EPOCH_MS - BEGINS_MS) / 1000

        def overheard(payload: bytes, _at_ms: float) -> None:
            event = orjson.loads(payload)
            events.setdefault(event["data"].get("device", ""), []).append(event)

        run.overhears = overheard
        return await run.run(built=lambda: run.show(lambda what: frames.append((now_s(), what))))

    with simulated() as (folder, runner):
        result = runner.run(whole(folder))
    return Lived(frames, events, result)


@cache
def quiet(vendor: str) -> Lived:
    return live(vendor, minutes=4)


def test_each_kind_of_this_sort_has_a_mark_or_babbles() -> None:
    of_links = {
        name
        for name, kind in FAULTS.items()
        if kind.family is Family.DEVICE and kind.strikes is Strikes.LINK
    }

    assert of_links == {*MARKS, "babbling_idiot"} == {*LASTS, "babbling_idiot"}


def test_what_new_firmware_says_otherwise_is_never_read_as_a_promise(vendor: str) -> None:
    acts = [
        {"at": begins_s, "for": ends_s - begins_s, "fault": kind}
        for kind, (begins_s, ends_s) in LASTS.items()
    ]

    lived = live(vendor, *acts, minutes=12)

    assert (lived.result["verdict"], lived.result["evidence"]) == ("pass", [])
    for kind, (begins_s, ends_s) in LASTS.items():
        marks = MARKS[kind]
        during = lived.seen(marks, begins_s, ends_s)
        otherwise = lived.seen(marks, 0, begins_s) + lived.seen(marks, ends_s + 5, 720)
        if vendor in NO_WORDS:
            assert during == 0, kind
        else:
            assert during > 2 * otherwise, (kind, during, otherwise)
    assert sum(map(len, lived.events.values())) > 20


def test_who_babbles_starves_none_of_its_siblings(vendor: str) -> None:
    begins_s, ends_s = BABBLES
    lived = live(
        vendor,
        {"at": begins_s, "for": ends_s - begins_s, "fault": "babbling_idiot"},
        minutes=4,
    )
    before = quiet(vendor)

    counts = [one.seen((b"",), begins_s, ends_s) for one in (before, lived)]
    names = sorted(before.events)
    babbler, *siblings = [name for name in names if name]

    assert (lived.result["verdict"], lived.result["evidence"]) == ("pass", [])
    if vendor in ONLY_ANSWER:
        assert counts[0] == counts[1]
    else:
        assert counts[1] > counts[0] + 15 * (ends_s - begins_s)
    assert len(siblings) == 2
    for name in siblings:
        assert told(lived.events[name]) == told(before.events[name])
    assert babbler in lived.events


def told(events: Sequence[Any]) -> list[Any]:
    """What was said of a device, in order."""
    changes = [event["data"].get("changes", {}) for event in events]
    return [
        (event["type"], event["sequence"], {axis: said["value"] for axis, said in each.items()})
        for event, each in zip(events, changes, strict=True)
    ]


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_one_babbles_whatever_the_share(share: float) -> None:
    act = {"at": 60, "for": 60, "fault": "babbling_idiot", "share": share}

    lived = live("nuki", act, minutes=4)

    told_by = Counter(what.split(b"/")[1] for _, what in lived.frames if what.startswith(b"nuki/"))
    (_, most), (_, second), *_ = told_by.most_common()
    assert most > 10 * second
