"""What becomes of a frame: an event, a repeat, or a dead letter; never a crash, never a guess."""

import orjson
import pytest

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS, LOCK
from devices.reading import Happening, Provenance, Reading
from gateway.dead_letters import frame_of
from gateway.pipeline import PAYLOAD_KEPT_MAX
from gateway.schemas import installed
from vendors import registry
from vendors.api import Frame

SURROGATE = "\ud800"


def reading(axis="lock_state", value="Locked", reason=None, observed_at_ms=None, device="d"):
    return Reading(device, axis, value, Provenance.REPORT, observed_at_ms, reason)


def frame(payload=b"p", at_ms=1_000, source="t/d", cursor=None):
    return Frame(source, payload, at_ms, cursor=cursor)


async def take(cell, *facts, **how):
    cell.facts = lambda _: facts
    cell.ingest.offer([frame(**how)], lambda: cell.acked.append("ack"))
    await cell.committer.flush()


async def test_a_repeat_makes_no_event_and_is_acknowledged(bench):
    cell = bench()
    await take(cell, reading())
    await take(cell, reading())

    assert len(cell.rows()) == 1
    assert cell.acked == ["ack", "ack"]
    assert cell.pipeline.counters.repeats == 1


async def test_a_frame_of_two_devices_makes_an_event_of_each(bench):
    cell = bench()
    await take(
        cell, reading(device="a"), reading(device="b"), reading("motion", "Idle", device="a")
    )

    rows = cell.rows()
    assert [(r.device, r.sequence) for r in rows] == [("a", 1), ("b", 1)]
    assert set(orjson.loads(rows[0].event)["data"]["changes"]) == {"lock_state", "motion"}


async def test_a_decode_error_is_a_dead_letter_with_its_payload(bench):
    cell = bench()

    def refuse(_):
        raise DecodeError("toy", "no such word")

    cell.facts = refuse
    cell.ingest.offer([frame(b"\xff\x00odd")], lambda: cell.acked.append("ack"))
    await cell.committer.flush()

    (letter,) = cell.letters()
    assert (letter.source, letter.payload, letter.reason) == ("t/d", b"\xff\x00odd", "no such word")
    assert cell.acked == ["ack"], "it is kept: the broker need not send it again"
    assert cell.rows() == []


async def test_a_codec_that_breaks_costs_its_frame_only(bench):
    cell = bench()

    def broken(given):
        if given.payload == b"bad":
            raise ZeroDivisionError("oops")
        return [reading()]

    cell.facts = broken
    cell.ingest.offer([frame(b"bad"), frame(b"good")], lambda: cell.acked.append("ack"))
    await cell.committer.flush()

    assert "ZeroDivisionError" in cell.letters()[0].reason
    assert len(cell.rows()) == 1
    assert cell.acked == ["ack"]


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (Happening("d", "door.alarm", {"door": 1, "alarm": "NoSuchAlarm"}), "invalid event"),
        (Happening("d", "door.alarm", {"door": 10**30, "alarm": "Fire"}), "invalid event"),
        (Happening("d", "lock.button", {"source": "Manual", "presses": 10**30}), "invalid event"),
        (Happening("d", "lock.button", {"source": "Manual", "presses": float("nan")}), "invalid"),
        (Happening("d", "lock.operation", {"source": SURROGATE, "operation": "Lock"}), "invalid"),
        (Happening("d", "motion.detected", {}, observed_at_ms=10**30), "invalid event"),
        (Happening("d", "no.such.thing", {}), "no such happening"),
        (reading(value=None, reason=SURROGATE), "invalid event"),
        (reading(value=None, reason="x" * 500), "invalid event"),
        (reading(observed_at_ms=10**30), "invalid event"),
        (reading(device="x" * 500), "device name impossible"),
        (reading(device=""), "device name impossible"),
    ],
)
async def test_what_cannot_be_said_is_a_dead_letter_and_the_cell_goes_on(bench, fact, why):
    cell = bench()
    await take(cell, fact)
    await take(cell, fact)
    # The same device with sound facts, twice, so that its twin goes to the disk as well.
    await take(cell, reading("motion", "Locking", device="d"))
    await take(cell, reading("motion", "Idle", device="d"))

    assert [why in letter.reason for letter in cell.letters()] == [True, True]
    assert [r.sequence for r in cell.rows()] == [1, 2]
    assert len(cell.acked) == 4
    assert not any(b'"value":"Locked"' in r.event for r in cell.rows())


async def test_a_repeat_with_an_impossible_time_cannot_hurt_the_store(bench):
    cell = bench()
    await take(cell, reading())
    await take(cell, reading(observed_at_ms=10**30))
    await take(cell, reading("motion", "Idle"))

    axes = orjson.loads(cell.store._db.execute("SELECT axes FROM twins").fetchone()[0])  # noqa: SLF001
    assert axes["lock_state"]["value"] is None
    assert axes["lock_state"]["reason"] == "invalid"


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        ("lock_state", "Ajar"),
        ("lock_state", 3),
        ("lock_state", True),
        ("battery_pct", float("nan")),
        ("battery_pct", float("inf")),
        ("battery_pct", 10**30),
        ("battery_pct", "50"),
        ("battery_pct", True),
        ("charging", 1),
    ],
)
async def test_a_value_outside_its_table_is_unknown_with_its_reason(bench, axis, value):
    cell = bench()
    await take(cell, reading(axis, value))

    (row,) = cell.rows()
    change = orjson.loads(row.event)["data"]["changes"][axis]
    assert change["value"] is None
    assert change["reason"].startswith("unmapped:")


@pytest.mark.parametrize("at_ms", [0, 1, 4_102_444_800_000, 253_402_300_799_999])
async def test_the_gateways_own_clock_may_stand_anywhere(bench, at_ms):
    cell = bench()
    await take(cell, reading(), at_ms=at_ms)

    assert installed().fault("lock.changed", orjson.loads(cell.rows()[0].event)) == ""


@pytest.mark.parametrize("observed_at_ms", [-86_400_000, 0, 4_102_444_800_000])
async def test_a_devices_clock_in_1970_or_2100_is_told_as_it_is(bench, observed_at_ms):
    cell = bench()
    await take(cell, reading(observed_at_ms=observed_at_ms))

    change = orjson.loads(cell.rows()[0].event)["data"]["changes"]["lock_state"]
    assert change["observed_at_ms"] == observed_at_ms


async def test_a_large_payload_is_kept_up_to_its_limit(bench):
    cell = bench()

    def refuse(_):
        raise DecodeError("toy", "too long" * 1_000)

    cell.facts = refuse
    cell.ingest.offer([frame(b"x" * 1_048_576, source="t" * 70_000)], None)
    await cell.committer.flush()

    (letter,) = cell.letters()
    assert len(letter.payload) == PAYLOAD_KEPT_MAX
    assert len(letter.reason) <= 500
    assert len(letter.source) <= 1_024


async def test_a_flood_of_dead_letters_is_counted_not_kept(bench):
    cell = bench(dead_letters_per_s=10)

    def refuse(_):
        raise DecodeError("toy", "no")

    cell.facts = refuse
    cell.ingest.offer([frame()] * 5_000, lambda: cell.acked.append("ack"))
    await cell.committer.flush()

    kept = len(cell.letters())
    assert 10 <= kept < 100
    assert cell.pipeline.counters.dead_letters == 5_000
    assert cell.pipeline.counters.dead_letters_unkept == 5_000 - kept
    assert cell.acked == ["ack"]


async def test_no_more_devices_than_allowed(bench):
    cell = bench()
    for number in range(1_001):
        await take(cell, reading(device=f"d{number}"))

    assert len(cell.roster) == 1_000
    assert "devices_max" in cell.letters()[0].reason


async def test_a_second_sighting_of_an_occurrence_is_a_repeat(bench):
    cell = bench()
    for _ in range(2):
        await take(cell, Happening("d", "access.granted", {"door": 1}, vendor_key="17"))
    await take(cell, Happening("d", "access.granted", {"door": 1}, vendor_key="18"))

    assert [r.sequence for r in cell.rows()] == [1, 2]


async def test_a_cursor_is_durable_with_what_it_led_to(bench):
    cell = bench()
    await take(cell, Happening("d", "access.granted", {"door": 1}), cursor=("ring", 5))
    assert cell.store.cursor("ring") == 5

    await take(cell, cursor=("ring", 6))
    assert cell.store.cursor("ring") == 6, "also of a frame that we do not model"


async def test_a_replayed_dead_letter_is_old_news(bench):
    cell = bench()

    def refuse(_):
        raise DecodeError("toy", "not yet understood")

    cell.facts = refuse
    cell.ingest.offer([frame(b"new firmware")], None)
    await cell.committer.flush()
    seen = []

    def understand(given):
        seen.append(given)
        return [reading()]

    cell.facts = understand
    cell.ingest.offer([frame_of(cell.letters()[0], 2_000)], None)
    await cell.committer.flush()

    assert seen == [Frame("t/d", b"new firmware", 2_000, retained=True)]
    assert len(cell.rows()) == 1


HOSTILE = [
    b"",
    b"\xff\xfe\x80",
    b"\x00" * 64,
    b"x" * 1_048_576,
    b"9" * 5_000,
    b"{" * 20_000,
    b"[" * 200_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"state": NaN}',
    b"NaN",
    b"-1",
    b"1e999",
    b"null",
    b"true",
    b'"\\ud800"',
    "٣".encode(),
    "🔒".encode(),
]
TOPICS = {
    "nuki": [f"nuki/398172F4/{what}" for what in ("state", "lockActionEvent", "connected", "x")],
    "ratgdo": [
        f"home/garage/door/status/{w}" for w in ("door", "obstruction", "availability", "x")
    ],
}


@pytest.mark.parametrize("vendor", TOPICS)
def test_no_bytes_make_a_vendors_decoder_claim_closed_locked_or_crash(vendor):
    found = registry.vendor(vendor)
    decode = found.decoder(found.settings(url="mqtt://localhost"))
    assumed = {"Locked", "FullyClosed", "DoorClosed", "Unlocked", "FullyOpened"}
    for source in (*TOPICS[vendor], "", "/", "nuki", "🔒/\x7f"):
        for payload in HOSTILE:
            try:
                facts = decode(Frame(source, payload, 1))
            except DecodeError:
                continue
            for fact in facts:
                if isinstance(fact, Reading):
                    assert fact.value not in assumed, (source, payload[:20])


def test_every_happening_has_a_schema():
    checks = installed()

    assert all(checks.check_of(what) for what in HAPPENINGS)
    assert LOCK.axis("lock_state") is not None
