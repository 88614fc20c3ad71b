"""The committer over a real file: what is durable, when, and what a full disk or outbox does."""

import asyncio

from devices.lock import LockState
from gateway.clock import SystemClock

MIB = 1_048_576
STATES = [LockState.LOCKED, LockState.UNLOCKED]


async def test_events_that_come_together_are_committed_together(bench, eventually):
    cell = bench(linger_ms=20)
    for number in range(50):
        cell.say(f"d{number}", LockState.LOCKED, ack=number)

    await eventually(lambda: len(cell.acked) == 50)

    assert cell.committer.commits == 1
    assert len(cell.rows()) == 50


async def test_nothing_is_told_before_it_is_durable(bench, eventually):
    cell = bench()
    cell.say("d", LockState.LOCKED, ack="first")
    seen = []
    cell.committer.batch.callbacks.append(lambda: seen.append(len(cell.rows())))
    assert cell.acked == []

    await eventually(lambda: cell.acked)

    assert seen == [1]


async def test_a_decision_does_not_wait_for_company(bench, eventually):
    cell = bench(linger_ms=20, batch_max=10_000)
    loop = asyncio.get_running_loop()
    cell.alarm("d", ack="alarm")
    woken = loop.time()

    await eventually(lambda: cell.acked)

    assert cell.committer.commits == 1
    assert loop.time() - woken < 5


def block(store):
    """From now on the disk is full, but for a little slack."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()  # noqa: SLF001
    store._db.execute(f"PRAGMA max_page_count={pages}")  # noqa: SLF001


def unblock(store):
    """There is room again."""
    store._db.execute("PRAGMA max_page_count=1000000")  # noqa: SLF001


async def test_twin_and_event_are_of_one_instant_even_when_more_comes_meanwhile(bench, eventually):
    cell = bench()
    block(cell.store)
    for number in range(61):
        cell.say("d", STATES[number % 2])
    await eventually(lambda: cell.committer.trouble)

    # In the next batch, while the first one is tried again; `Bench.committed` looks at the disk.
    cell.say("d", STATES[1], ack="later")
    unblock(cell.store)
    await eventually(lambda: cell.acked, 20)

    assert cell.committer.commits == 2
    assert [r.sequence for r in cell.rows()] == list(range(1, 63))


async def test_a_full_disk_stops_the_acknowledgements_and_heals_by_itself(bench, eventually):
    cell = bench(pending_max=16)
    cell.say("d", LockState.LOCKED, ack="before")
    await eventually(lambda: cell.acked == ["before"])
    block(cell.store)

    for number in range(40):
        cell.say("d", STATES[number % 2 - 1], ack=number)
    await eventually(lambda: cell.committer.trouble)
    assert "full" in cell.committer.trouble
    assert not cell.committer.room
    assert cell.acked == ["before"]

    unblock(cell.store)
    await eventually(lambda: len(cell.acked) == 41, 20)

    assert cell.committer.trouble == ""
    assert cell.committer.room
    assert cell.acked == ["before", *range(40)]
    assert [r.sequence for r in cell.rows()] == list(range(1, 42))


async def test_a_cell_stopped_on_a_full_disk_has_no_hole_when_it_heals(bench, eventually):
    cell = bench()
    cell.say("d", LockState.LOCKED)
    await eventually(lambda: cell.committer.commits == 1)
    block(cell.store)
    for number in range(60):
        cell.say("d", STATES[number % 2 - 1])
    await eventually(lambda: cell.committer.trouble)
    cell.say("d", STATES[1])
    cell.running.cancel()
    await asyncio.gather(cell.running, return_exceptions=True)
    unblock(cell.store)

    await cell.committer.flush()

    sequences = [r.sequence for r in cell.rows()]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) >= 61


async def test_telemetry_gives_way_and_the_gap_says_exactly_what(bench, eventually):
    cell = bench(outbox_max_bytes=MIB)
    total = 2_500
    for number in range(total):
        cell.say(f"d{number % 5}", STATES[number // 5 % 2], ack=number)
        if number % 100 == 99:
            await eventually(lambda n=number: len(cell.acked) == n + 1)

    rows = cell.rows()
    told = {}
    for data in cell.data("gap"):
        assert data["cause"] == "outbox_full"
        told[data["device"]] = told.get(data["device"], 0) + data["count"]

    assert cell.store.outbox_bytes <= MIB * 0.85
    assert cell.store.outbox_bytes == sum(len(r.event) for r in rows)
    for device in (f"d{n}" for n in range(5)):
        kept = [r.sequence for r in rows if r.device == device]
        assert told[device] == max(kept) - len(kept), "each hole is told, and nothing else is"
    gaps = sum(1 for r in rows if r.type == "gap")
    assert gaps < len(rows) * 0.1, "older gaps are told again, not kept"


async def test_decisions_never_give_way_they_stop_the_cell_until_a_sink_is_back(bench, eventually):
    cell = bench(outbox_max_bytes=MIB, pending_max=100)
    cell.say("d", LockState.LOCKED)
    sent = 0
    while not cell.committer.trouble:
        for _ in range(20):
            cell.alarm("d", ack=sent)
            sent += 1
        await eventually(lambda n=sent: len(cell.acked) == n or cell.committer.trouble)
        assert sent < 5_000, "the outbox has an end"

    assert "outbox full of decisions" in cell.committer.trouble
    assert not cell.committer.room
    acked = len(cell.acked)
    assert acked < sent
    assert cell.store.outbox_bytes <= MIB
    assert len(cell.data("door.alarm")) == acked, "all that was acknowledged is there"

    cell.cursors["sink"] = cell.rows()[-1].row
    await eventually(lambda: len(cell.acked) == sent, 20)

    assert cell.committer.trouble == ""
    assert cell.committer.room


async def test_decisions_have_a_fifth_of_the_room_for_themselves(bench, eventually):
    cell = bench(outbox_max_bytes=MIB)
    number = 0
    while cell.store.outbox_bytes < MIB * 0.75:
        for _ in range(50):
            cell.say(f"d{number % 7}", STATES[number // 7 % 2], ack=number)
            number += 1
        await eventually(lambda want=number: len(cell.acked) == want)

    for n in range(200):
        cell.alarm("d0", ack=number + n)
    await eventually(lambda: len(cell.acked) == number + 200)

    assert len(cell.data("door.alarm")) == 200
    assert cell.store.outbox_bytes <= MIB


async def test_what_is_too_old_gives_way_and_says_so(bench, eventually):
    cell = bench(outbox_max_age_s=60)
    cell.committer._sweep_at_s = float("inf")  # noqa: SLF001 -- not yet
    cell.say("d", LockState.LOCKED, at_ms=1_000)
    await eventually(lambda: cell.committer.commits == 1)
    cell.committer._sweep_at_s = 0.0  # noqa: SLF001
    cell.say("d", LockState.UNLOCKED, at_ms=SystemClock().now_ms())
    await eventually(lambda: cell.committer.commits == 2)

    assert [r.type for r in cell.rows()] == ["lock.changed", "gap"]
    assert [(d["count"], d["cause"]) for d in cell.data("gap")] == [(1, "outbox_age")]


async def test_the_sinks_progress_is_noted_without_an_event(bench, eventually):
    cell = bench()
    cell.committer._lag_s = 0.2  # noqa: SLF001 -- a minute where time is simulated
    cell.say("d", LockState.LOCKED)
    await eventually(lambda: cell.committer.commits == 1)

    cell.cursors["sink"] = 1

    await eventually(lambda: cell.store.outbox_rows == 0)


async def test_an_acknowledgement_of_what_changed_nothing_waits_for_no_disk(bench, eventually):
    cell, told = bench(), []
    cell.say("d", LockState.LOCKED)
    await eventually(lambda: cell.committer.commits == 1)

    cell.committer.batch.callbacks.append(lambda: told.append(1))
    cell.committer.wake()
    await eventually(lambda: told)

    assert cell.committer.commits == 1
