"""The way in: bounded, fair to each device, and never at the cost of a decision."""

import asyncio

import pytest

from devices.reading import Happening, Provenance, Reading
from vendors.api import Frame


def understand(frame):
    """`state:Locked`, `fault:LockJammed`, `alarm:Fire` of the device that the topic names."""
    device = frame.source.split("/")[1]
    what, _, value = frame.payload.decode().partition(":")
    if what == "alarm":
        return [Happening(device, "door.alarm", {"door": 1, "alarm": value})]
    axis = {"state": "lock_state", "battery": "battery_pct"}.get(what, what)
    held = int(value) if axis == "battery_pct" else value
    return [Reading(device, axis, held, Provenance.REPORT)]


def frame(device, payload, cursor=None):
    return Frame(f"t/{device}", payload.encode(), 1_000, cursor=cursor)


def battery(device, number):
    return frame(device, f"battery:{number % 101}")


@pytest.fixture
def cell(bench):
    def make(**limits):
        made = bench(**limits)
        made.facts = understand
        return made

    return make


def offer(cell, frames, ack=None):
    cell.ingest.offer(frames, None if ack is None else lambda: cell.acked.append(ack))


def per_device(cell, what="lock.changed"):
    counts = {}
    for row in cell.rows():
        if row.type == what:
            counts[row.device] = counts.get(row.device, 0) + 1
    return counts


async def test_a_babbling_device_starves_no_sibling(cell, eventually):
    cell = cell(rate_per_s=1, burst=10)
    for number in range(2_000):
        offer(cell, [battery("loud", number)], ack=None)
        if number % 100 == 0:
            offer(cell, [battery("quiet", number // 100)], ack=f"quiet {number // 100}")

    await eventually(lambda: len(cell.acked) == 20)

    counts = per_device(cell)
    assert counts["quiet"] >= 10
    assert counts["loud"] <= 13
    assert cell.ingest.waiting <= 12, "of the loud one only the newest state waits"


async def test_the_newest_state_comes_through_and_the_gap_tells_how_many_did_not(cell, eventually):
    cell = cell(rate_per_s=20, burst=5)
    for number in range(100):
        offer(cell, [battery("d", number)], ack=number)

    await eventually(lambda: len(cell.acked) == 100)
    await eventually(lambda: cell.data("gap"))

    changes = [data["changes"]["battery_pct"]["value"] for data in cell.data("lock.changed")]
    assert changes[-1] == 99
    assert len(changes) + sum(data["count"] for data in cell.data("gap")) == 100
    assert {data["cause"] for data in cell.data("gap")} == {"rate_limit"}
    assert cell.pipeline.counters.conflated == 100 - len(changes)


async def test_what_took_place_is_never_conflated_it_waits(cell, eventually):
    cell = cell(rate_per_s=500, burst=5)
    for number in range(60):
        offer(cell, [frame("d", "alarm:Fire"), battery("d", number)], ack=number)

    await eventually(lambda: len(cell.acked) == 60)

    assert len(cell.data("door.alarm")) == 60
    assert cell.ingest.waiting == 0


async def test_a_decision_among_the_states_is_never_conflated(cell, eventually):
    cell = cell(rate_per_s=500, burst=2)
    faults = ["None", "LockJammed", "ClutchFailure"]
    for number in range(60):
        offer(cell, [frame("d", f"fault:{faults[number % 3]}")] * 3, ack=number)

    await eventually(lambda: len(cell.acked) == 60)

    seen = [data["changes"]["fault"]["value"] for data in cell.data("lock.changed")]
    assert seen == [faults[number % 3] for number in range(60)]


async def test_an_acknowledgement_waits_for_the_last_of_its_frames(cell, eventually):
    cell = cell(rate_per_s=20, burst=1)
    offer(cell, [frame("d", "alarm:Fire"), *[frame("d", "alarm:Threat")] * 3], ack="all")
    await cell.committer.flush()
    assert cell.acked == []

    await eventually(lambda: cell.acked == ["all"])

    assert len(cell.data("door.alarm")) == 4


async def test_what_nobody_sends_again_is_shed_when_the_queue_is_full(cell, eventually):
    cell = cell(queue_max=50, pending_max=16, batch_max=16, linger_ms=20)
    offer(cell, [battery(f"d{n}", n) for n in range(500)])
    assert cell.ingest.waiting == 50

    await eventually(lambda: cell.ingest.waiting == 0)

    assert cell.pipeline.counters.shed == 500 - 50 - 16
    await eventually(lambda: sum(per_device(cell).values()) == 66)
    await eventually(lambda: len(cell.data("gap")) == 434)
    assert {data["cause"] for data in cell.data("gap")} == {"queue_full"}


async def test_a_gap_begins_with_the_oldest_that_is_left_out(cell, eventually):
    cell = cell(queue_max=16, pending_max=16, batch_max=16, rate_per_s=1, burst=17)
    for at_ms in range(1_000, 1_040):
        offer(cell, [Frame("t/d", b"battery:%d" % (at_ms % 100), at_ms)])

    await eventually(lambda: len(cell.data("gap")) == 2)

    # 18 went through, 14 waited (the newest of them is held), and the rest found no room.
    assert {data["cause"]: data["count"] for data in cell.data("gap")} == {
        "rate_limit": 13,
        "queue_full": 8,
    }
    assert {data["since_ms"] for data in cell.data("gap")} == {1_018}


async def test_what_awaits_its_acknowledgement_is_not_shed(cell, eventually):
    cell = cell(queue_max=16, pending_max=16)
    for n in range(500):
        offer(cell, [battery(f"d{n}", n)], ack=n)

    await eventually(lambda: len(cell.acked) == 500)

    assert cell.acked == list(range(500))
    assert cell.pipeline.counters.shed == 0


async def test_frames_of_a_vendors_own_memory_are_not_shed(cell, eventually):
    cell = cell(queue_max=16, pending_max=16)
    offer(cell, [frame("d", "alarm:Fire", ("ring", n + 1)) for n in range(150)])

    await eventually(lambda: len(cell.data("door.alarm")) == 150)

    assert cell.store.cursor("ring") == 150


async def test_a_cursor_does_not_pass_by_frames_that_wait(cell):
    cell = cell(rate_per_s=1, burst=1)
    cell.facts = lambda given: () if given.payload == b"odd" else understand(given)
    for number in range(1, 6):
        offer(cell, [frame("d", "alarm:Fire", ("ring", number))])
    offer(cell, [frame("d", "odd", ("ring", 6))])
    await cell.committer.flush()

    assert cell.store.cursor("ring") == len(cell.data("door.alarm")) < 5


async def test_the_order_of_a_device_is_kept_through_queue_and_bucket(cell, eventually):
    cell = cell(rate_per_s=2_000, burst=3, queue_max=1_000, pending_max=16)
    for number in range(200):
        offer(
            cell, [battery("d", number)] if number % 2 else [frame("d", "alarm:Fire")], ack=number
        )

    await eventually(lambda: len(cell.acked) == 200)

    values = [data["changes"]["battery_pct"]["value"] for data in cell.data("lock.changed")]
    known = [number % 101 for number in range(1, 200, 2)]
    at = [known.index(value) for value in values]
    assert at == sorted(at)
    assert [row.sequence for row in cell.rows()] == list(range(1, len(cell.rows()) + 1))
    assert len(cell.data("door.alarm")) == 100


async def test_the_wall_clock_set_back_holds_nobody_up(cell):
    cell = cell(rate_per_s=10, burst=5)
    late = [Frame("t/d", b"battery:%d" % n, 10**12) for n in range(5)]
    early = Frame("t/d", b"battery:50", 1)
    offer(cell, late, ack="late")
    await asyncio.sleep(0.3)  # the bucket refills by the loop's clock, whatever the wall says
    offer(cell, [early], ack="early")
    await cell.committer.flush()

    assert cell.acked == ["late", "early"]
