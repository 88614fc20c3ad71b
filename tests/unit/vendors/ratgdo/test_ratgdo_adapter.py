"""The adapter at a real broker: what it hears, when it presses, and when it does not."""

import asyncio

import pytest
from pydantic import ValidationError

from devices.errors import RefusedError
from devices.kinds import CLOSURE
from devices.reading import Provenance, Reading
from devices.twin import Twin
from vendors.ratgdo import VENDOR
from vendors.ratgdo.adapter import RatgdoSettings

LEFT = "home/garage/Left"
CLOSED = ("Stopped", "FullyClosed", "None")
OPEN = ("Stopped", "FullyOpened", "None")
HALF = ("Stopped", "PartiallyOpened", "None")
OPENING = ("Moving", "PartiallyOpened", "MoveToFullyOpen")
CLOSING = ("Moving", "PartiallyOpened", "MoveToFullyClosed")
UNKNOWN = (None, None, None)


def twin(values: tuple[str | None, ...]) -> Twin:
    axes = ("main_state", "position", "target_position")
    found = Twin("Left", CLOSURE)
    found.fold(
        [Reading("Left", a, v, Provenance.REPORT) for a, v in zip(axes, values, strict=True)], 1
    )
    return found


async def test_frames_are_offered_with_what_the_broker_kept_marked(rig, eventually) -> None:
    async with rig(VENDOR, {}, "none/of/it") as it:
        await it.board.publish(f"{LEFT}/status/door", "closed", qos=0, retain=True)
        await it.board.publish(f"{LEFT}/status/light", "on")
        await it.board.publish(f"{LEFT}/command/door", "open")
        await it.board.publish("elsewhere/Left/status/door", "open")
        await it.board.publish("home/garage/Right/status/door", "open", qos=1)
        await eventually(lambda: len(it.cell.frames) == 3)

    assert [(f.source, f.payload, f.retained) for f in it.cell.frames] == [
        (f"{LEFT}/status/door", b"closed", False),
        (f"{LEFT}/status/light", b"on", False),
        ("home/garage/Right/status/door", b"open", False),
    ]


@pytest.mark.parametrize(
    ("name", "state", "word"),
    [
        ("MoveToFullyOpen", CLOSED, b"open"),
        ("MoveToFullyClosed", OPEN, b"close"),
        ("Stop", OPENING, b"stop"),
        ("Stop", CLOSING, b"stop"),
    ],
)
async def test_a_command_is_one_word_once_and_never_retained(
    rig, eventually, name, state, word
) -> None:
    async with rig(VENDOR, {}, f"{LEFT}/command/#") as it:
        it.cell.twins["Left"] = twin(state)
        await it.adapter.send(it.cell.command("Left", name))
        await eventually(lambda: it.heard)
        await it.board.publish(f"{LEFT}/command/fence", "x", qos=1)
        await eventually(lambda: it.heard[-1][1] == b"x")

    assert it.heard[:-1] == [(f"{LEFT}/command/door", word, 1, False)]


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("MoveToFullyOpen", UNKNOWN, "unknown_state"),
        ("MoveToFullyClosed", HALF, "unknown_state"),
        ("MoveToFullyOpen", HALF, "unknown_state"),
        ("MoveToFullyOpen", CLOSING, "precondition"),
        ("MoveToFullyClosed", OPENING, "precondition"),
        ("MoveToFullyOpen", None, "unknown_device"),
        ("LockDoor", CLOSED, "unsupported"),
    ],
)
async def test_a_press_that_could_go_the_wrong_way_is_not_made(
    rig, eventually, name, state, reason
) -> None:
    async with rig(VENDOR, {}, f"{LEFT}/command/#") as it:
        if state is not None:
            it.cell.twins["Left"] = twin(state)
        with pytest.raises(RefusedError) as refused:
            await it.adapter.send(it.cell.command("Left", name))
        await it.board.publish(f"{LEFT}/command/fence", "x", qos=1)
        await eventually(lambda: it.heard)

    assert refused.value.reason == reason
    assert it.heard == [(f"{LEFT}/command/fence", b"x", 1, False)]


async def test_a_door_on_its_way_is_not_pressed_again(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{LEFT}/command/#") as it:
        it.cell.twins["Left"] = twin(OPENING)
        await it.adapter.send(it.cell.command("Left", "MoveToFullyOpen"))
        await it.board.publish(f"{LEFT}/command/fence", "x", qos=1)
        await eventually(lambda: it.heard)

    assert [payload for _, payload, _, _ in it.heard] == [b"x"]


async def test_a_press_from_half_open_is_made_if_the_operator_allows_it(rig, eventually) -> None:
    async with rig(VENDOR, {"allow_press_from_stopped": True}, f"{LEFT}/command/#") as it:
        it.cell.twins["Left"] = twin(HALF)
        await it.adapter.send(it.cell.command("Left", "MoveToFullyClosed"))
        await eventually(lambda: it.heard)

    assert it.heard == [(f"{LEFT}/command/door", b"close", 1, False)]


async def test_a_command_past_its_deadline_does_not_leave(rig) -> None:
    async with rig(VENDOR, {}, f"{LEFT}/command/#") as it:
        it.cell.twins["Left"] = twin(CLOSED)
        with pytest.raises(RefusedError, match="expired"):
            await it.adapter.send(it.cell.command("Left", "MoveToFullyOpen", timeout_ms=-1))

    assert it.heard == []


async def test_a_refresh_is_a_query_below_no_door_and_not_twice_in_a_row(rig, eventually) -> None:
    async with rig(VENDOR, {}, f"{LEFT}/command/#") as it:
        it.cell.twins["Left"] = twin(CLOSED)
        await asyncio.gather(*(it.adapter.refresh("Left") for _ in range(3)))
        await it.adapter.refresh("Nobody")
        await eventually(lambda: it.heard)
        await it.board.publish(f"{LEFT}/command/fence", "x", qos=1)
        await eventually(lambda: it.heard[-1][1] == b"x")

    assert it.heard[:-1] == [(f"{LEFT}/command/query", b"query", 0, False)]


async def test_a_refresh_asks_nothing_where_the_operator_forbids_it(rig, eventually) -> None:
    async with rig(VENDOR, {"query_on_refresh": False}, f"{LEFT}/command/#") as it:
        it.cell.twins["Left"] = twin(CLOSED)
        await it.adapter.refresh("Left")
        await it.board.publish(f"{LEFT}/command/fence", "x", qos=1)
        await eventually(lambda: it.heard)

    assert [payload for _, payload, _, _ in it.heard] == [b"x"]


@pytest.mark.parametrize(
    ("prefix", "subscription"),
    [
        ("home/garage/", "home/garage/+/status/#"),
        ("/home/garage", "/home/+/status/#"),
        ("twocarside", "+/status/#"),
        ("", "+/status/#"),
    ],
)
def test_the_subscription_covers_every_board_below_the_prefix(prefix, subscription) -> None:
    assert RatgdoSettings(url="mqtt://b", prefix=prefix).subscription == subscription


@pytest.mark.parametrize("prefix", ["home/+/", "home/#", "home\0/"])
def test_a_prefix_is_a_topic_and_no_filter(prefix: str) -> None:
    with pytest.raises(ValidationError, match="prefix"):
        RatgdoSettings(url="mqtt://b", prefix=prefix)
