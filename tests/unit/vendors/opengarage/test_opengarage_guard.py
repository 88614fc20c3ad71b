"""What a ceiling sensor's `closed` is worth, after what was seen of the door before it."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, Final

import pytest

from devices.closure import Position
from devices.command import Command
from devices.errors import RefusedError
from devices.kinds import CLOSURE
from devices.reading import Provenance, Reading
from devices.twin import Twin
from fleet_sim.clock import SimLoop
from vendors.api import Frame
from vendors.http import HttpReply
from vendors.opengarage import adapter, codec
from vendors.opengarage.guard import MOVES, Guard
from vendors.opengarage.settings import OpenerSettings

SETTLING, UNSURE, SHUT = codec.SETTLING, codec.UNSURE, ""
#: (s, what it said of the door, the mark).
Look = tuple[float, int | None, str]
#: It has been shut for good, as far as a ceiling sensor can see that.
WAS_SHUT: Final[Sequence[Look]] = [
    (0, 0, UNSURE),
    *((second, 0, UNSURE) for second in range(1, 30)),
    *((second, 0, SHUT) for second in range(30, 40)),
]


def guard(
    position: Position | None = None, *, heard_every_ms: int = 4_000, **settings: object
) -> Guard:
    """One whose twin says so, and goes on saying so."""
    opener = OpenerSettings.model_validate(
        {"name": "left", "url": "http://192.0.2.1", "closing_takes_s": 30, **settings}
    )
    twin = Twin("left", CLOSURE)
    twin.fold([Reading("left", "position", position, Provenance.POLL)], 0)
    port: Any = SimpleNamespace(twin=lambda _: twin, now_ms=lambda: 0)
    return Guard(opener, port, heard_every_ms)


def marks(door: Guard, looks: Sequence[Look]) -> list[Look]:
    """The looks, with what the guard makes of them."""
    return [(at_s, said, door.seen(said, round(at_s * 1_000))) for at_s, said, _ in looks]


STORIES: Final[Mapping[str, Sequence[Look]]] = {
    "after our start it may be closing": [(0, 0, UNSURE), (7, 0, UNSURE), (14, 0, UNSURE)],
    "an answer that says nothing changes nothing": [
        *WAS_SHUT,
        (40, None, SHUT),
        (41, 0, SHUT),
    ],
    "it cannot have been open in so short a gap": [
        *WAS_SHUT,
        *((second, None, SHUT) for second in range(40, 46)),
        (46.9, 0, SHUT),
    ],
    "it may have been open in a longer one": [
        *WAS_SHUT,
        *((second, None, SHUT) for second in range(40, 47)),
        (47, 0, UNSURE),
        *((second, 0, UNSURE) for second in range(48, 77)),
        (77, 0, SHUT),
    ],
    "silence is a gap like any other": [
        *WAS_SHUT,
        (3_600, 0, UNSURE),
        *((second, 0, UNSURE) for second in range(3_601, 3_630)),
        (3_630, 0, SHUT),
    ],
    "what began to settle begins anew after a gap": [
        (0, 0, UNSURE),
        (7, 0, UNSURE),
        (15, 0, UNSURE),
        (22, 0, UNSURE),
        (29, 0, UNSURE),
        (36, 0, UNSURE),
        (43, 0, UNSURE),
        (45, 0, SHUT),
    ],
    "it was seen to leave the sensor": [
        *WAS_SHUT,
        (40, 1, ""),
        (41, 0, SETTLING),
        (45, None, ""),
        *((second, 0, SETTLING) for second in range(46, 71)),
        (71, 0, SHUT),
    ],
    "it left the sensor unseen": [
        *WAS_SHUT,
        (40, 1, ""),
        (41, None, ""),
        (900, 0, SETTLING),
        *((second, 0, SETTLING) for second in range(901, 930)),
        (930, 0, SHUT),
        (931, 0, SHUT),
    ],
    "a gap after it was shut for good is no departure": [
        (0, 1, ""),
        *((second, 0, SETTLING) for second in range(1, 31)),
        (31, 0, SHUT),
        (60, 0, UNSURE),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_closed_is_believed_when_nothing_else_can_be(story: str) -> None:
    assert marks(guard(), STORIES[story]) == list(STORIES[story])


def test_a_door_that_is_seldom_asked_for_is_shut_all_the_same() -> None:
    looks: list[Look] = [(0, 0, UNSURE), (300, 0, SHUT), (600, 0, SHUT), (904, 0, UNSURE)]

    assert marks(guard(heard_every_ms=303_000), looks) == looks


def test_the_gap_of_a_quick_door_is_shorter() -> None:
    looks: list[Look] = [(0, 0, UNSURE), (4, 0, UNSURE), (6, 0, SHUT), (11, 0, UNSURE)]

    assert marks(guard(closing_takes_s=5, heard_every_ms=1_000), looks) == looks


def test_a_longer_closing_time_never_excuses_a_longer_gap() -> None:
    looks: list[Look] = [*((second, 0, UNSURE) for second in range(300)), (300, 0, SHUT)]

    assert marks(guard(closing_takes_s=300), [*looks, (308, 0, UNSURE)])[-2:] == [
        (300, 0, SHUT),
        (308, 0, UNSURE),
    ]


@pytest.mark.parametrize(
    "settings", [{"sensor": "side"}, {"sensor": "switch"}, {"closing_takes_s": 0}]
)
def test_who_sees_the_shut_door_is_believed_at_once(settings: dict[str, object]) -> None:
    door = guard(Position.FULLY_CLOSED, **settings)

    assert marks(door, [(0, 0, ""), (9, 1, ""), (10, 0, ""), (99, 0, "")])[2:] == [
        (10, 0, ""),
        (99, 0, ""),
    ]
    assert door.permit(Command("id", "left", "MoveToFullyOpen", 1), 100_000) is not None


def test_a_motor_that_is_heard_is_believed_at_once() -> None:
    assert [guard().seen(0, 0, secv) for secv in (0, 1, 2)] == [UNSURE, "", ""]


@pytest.mark.parametrize(
    ("known", "mark"),
    [
        (None, UNSURE),
        (Position.FULLY_CLOSED, UNSURE),
        (Position.FULLY_OPENED, SETTLING),
        (Position.PARTIALLY_OPENED, SETTLING),
    ],
)
def test_what_was_known_before_our_start_says_where_it_came_from(
    known: Position | None, mark: str
) -> None:
    assert guard(known).seen(0, 0) == mark


def test_a_door_that_may_be_closing_is_not_pressed() -> None:
    door, command = guard(Position.FULLY_CLOSED), Command("id", "left", "MoveToFullyOpen", 1)
    marks(door, WAS_SHUT)

    assert door.permit(command, 40_000) == MOVES["MoveToFullyOpen"]
    door.seen(0, 60_000)
    with pytest.raises(RefusedError, match="unknown_state"):
        door.permit(command, 61_000)


# --- clocks that are set ----------------------------------------------------------------------


class Cell:
    """A `vendors.api.Port` in simulated time whose wall clock somebody sets; an HTTP network."""

    def __init__(self) -> None:
        self.rng = Random(1)
        self.network: Any = SimpleNamespace(http_send=self.answer)
        self.door = 1
        self.ahead_s = 0
        self.marks: list[tuple[float, str]] = []

    async def answer(self, method: str, url: str, *_: object) -> HttpReply:
        del method
        if "/cc" in url:
            return HttpReply(200, b'{"result":1}')
        body = b'{"dist":200,"secv":0,"door":%d,"fwv":124,"name":"a","mac":"M"}' % self.door
        return HttpReply(200, body)

    def now_ms(self) -> int:
        return round((1_800_000_000 + self.ahead_s + asyncio.get_running_loop().time()) * 1_000)

    def offer(self, frames: Sequence[Frame], committed: object) -> None:
        del committed
        at_s = asyncio.get_running_loop().time()
        self.marks += [(at_s, frame.source.removeprefix("http/left/jc")) for frame in frames]

    def link(self, *, up: bool, reason: str) -> None:
        del up, reason

    def cursor(self, name: str) -> None:
        del name

    def twin(self, device: str) -> Twin:
        twin = Twin(device, CLOSURE)
        twin.fold([Reading(device, "position", Position.FULLY_OPENED, Provenance.POLL)], 0)
        return twin


@pytest.mark.parametrize("ahead_s", [3_600, 20, -20, -3_600])
def test_a_clock_that_is_set_makes_no_closing_door_shut(ahead_s: int) -> None:
    cell = Cell()
    settings = adapter.OpenGarageSettings.model_validate(
        {"openers": [{"name": "left", "url": "http://192.0.2.1"}]}
    )

    async def story() -> None:
        running = asyncio.create_task(adapter.HttpOpeners(settings, cell).run())
        await asyncio.sleep(10)
        cell.door = 0
        await asyncio.sleep(10)
        cell.ahead_s = ahead_s
        await asyncio.sleep(60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(story())
    began_s = min(at_s for at_s, mark in cell.marks if mark == SETTLING)
    shut_s = min(at_s for at_s, mark in cell.marks if mark == SHUT and at_s > began_s)

    assert 30 <= shut_s - began_s <= 31


@pytest.mark.parametrize("ahead_s", [3_600, -3_600])
def test_a_clock_that_is_set_does_not_let_a_second_press_through(ahead_s: int) -> None:
    cell, sent = Cell(), list[str]()
    settings = adapter.OpenGarageSettings.model_validate(
        {"openers": [{"name": "left", "url": "http://192.0.2.1", "key": "k"}]}
    )

    async def story() -> None:
        openers = adapter.HttpOpeners(settings, cell)
        for after_s in (0, 1, 42, 2):
            await asyncio.sleep(after_s)
            command = Command("id", "left", "MoveToFullyClosed", cell.now_ms() + 5_000)
            try:
                await openers.send(command)
                sent.append("sent")
            except RefusedError as refused:
                sent.append(refused.reason)
            cell.ahead_s = ahead_s

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(story())

    assert sent == ["sent", "busy", "busy", "sent"]
