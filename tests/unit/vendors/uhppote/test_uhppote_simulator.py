"""The panel's documented oddities, one by one."""

from datetime import UTC, datetime
from random import Random

import pytest

from devices.errors import ConfigError
from vendors.sim import FleetSpec, Push, Reply
from vendors.uhppote import packets, simulator
from vendors.uhppote.ring import RECORDS_MAX, Record, Ring

NOW_MS = 1_767_571_200_000
SERIAL = 405_000_001


def panel_of(**options: object) -> simulator.SimPanel:
    spec = FleetSpec(1, "uhppote", NOW_MS, options)
    (panel,) = simulator.fleet(spec, lambda _: Random(5))
    panel.connected(NOW_MS)
    return panel


def ask(panel, function, at_ms=NOW_MS, **values):
    """The reply's fields; None for silence."""
    effects = panel.receive(packets.request(function, SERIAL, **values), at_ms)
    replies = [each.payload for each in effects.messages if isinstance(each, Reply)]
    return packets.unpack(packets.REPLIES[function], replies[-1]) if replies else None


def happened(effects) -> list[str]:
    return [truth.key for truth in effects.truths if truth.key.count(".") == 1]


# --- the ring ---------------------------------------------------------------------------------


def test_with_more_than_204800_records_the_oldest_is_2049():
    ring = Ring()
    for _ in range(RECORDS_MAX):
        ring.add(Record())
    assert (ring.oldest, ring.newest) == (1, 204_800)

    ring.add(Record())

    assert (ring.oldest, ring.newest) == (2_049, 204_801)
    assert ring.place(2_048).type == packets.OVERWRITTEN
    assert ring.place(0) == ring.place(2_049) == Record(index=2_049)
    assert ring.place(packets.NEWEST).index == 204_801
    assert ring.place(204_802) == Record()


def test_an_empty_ring_has_empty_places():
    ring = Ring(10)

    assert ring.place(0) == ring.place(1) == ring.place(packets.NEWEST) == ring.last() == Record()


def test_an_erased_ring_counts_from_one_and_its_keys_differ():
    ring = Ring(10)
    first = ring.add(Record(at=datetime(2026, 1, 1, 8, 0, 0)))  # noqa: DTZ001 -- panels know no zone
    ring.erase()
    again = ring.add(Record(at=datetime(2026, 1, 1, 8, 0, 1)))  # noqa: DTZ001 -- likewise

    assert (first.index, again.index) == (1, 1)
    assert (first.key, again.key) == ("1-20260101080000", "1-20260101080001")


# --- what it answers --------------------------------------------------------------------------


def test_who_is_asked_answers_and_everybody_answers_a_discovery():
    panel = panel_of()

    assert ask(panel, packets.CONTROLLER)["version"] == b"\x08\x92"
    assert panel.receive(packets.request(packets.CONTROLLER, 0), NOW_MS).messages
    for data in (
        packets.request(packets.CONTROLLER, SERIAL + 1),
        packets.request(packets.STATUS, 0),
        packets.request(packets.STATUS, SERIAL)[:-1],
        b"\x18" + packets.request(packets.STATUS, SERIAL)[1:],
        b"\x17\xff" + packets.request(packets.STATUS, SERIAL)[2:],
        b"",
    ):
        assert panel.receive(data, NOW_MS).messages == ()


@pytest.mark.parametrize("function", sorted(packets.REPLIES))
def test_every_function_is_answered_whatever_the_request_holds(function):
    panel, dice = panel_of(), Random(7)

    for _ in range(50):
        body = dice.randbytes(56)
        request = bytes((0x17, function, 0, 0)) + SERIAL.to_bytes(4, "little") + body
        effects = panel.receive(request, NOW_MS)
        (reply,) = (each for each in effects.messages if isinstance(each, Reply))
        assert reply.payload[:8] == request[:8]
        assert len(reply.payload) == packets.SIZE


def test_what_destroys_needs_the_magic_word():
    panel = panel_of()
    cards = ask(panel, packets.CARD_COUNT)["count"]

    assert not ask(panel, packets.DELETE_CARDS, magic=1)["ok"]
    assert ask(panel, packets.CARD_COUNT)["count"] == cards > 0
    assert ask(panel, packets.DELETE_CARDS, magic=packets.MAGIC)["ok"]
    assert ask(panel, packets.CARD_COUNT)["count"] == 0


def test_factory_settings_forget_all_but_the_records():
    panel = panel_of()
    ask(panel, packets.SPECIAL_EVENTS, enabled=True)
    ask(panel, packets.SET_LISTENER, host="192.0.2.9", port=60_001, interval_s=0)
    ask(panel, packets.SET_DOOR, door=1, mode=1, delay_s=9)
    panel.act("stranger", NOW_MS)

    assert ask(panel, packets.FACTORY_RESET, magic=packets.MAGIC)["ok"]
    assert ask(panel, packets.LISTENER)["port"] == 0
    assert ask(panel, packets.DOOR, door=1)["mode"] == packets.CONTROLLED
    assert ask(panel, packets.STATUS)["index"] == 1


def test_a_pin_of_seven_digits_becomes_none():
    panel = panel_of()

    ask(panel, packets.PUT_CARD, card=7, pin=1_000_000)

    assert ask(panel, packets.CARD, card=7)["pin"] == 0


# --- doors ------------------------------------------------------------------------------------


def test_a_door_relocks_after_its_delay_without_a_word():
    panel = panel_of()
    ask(panel, packets.SET_DOOR, door=2, mode=3, delay_s=7)

    opened = panel.receive(packets.request(packets.OPEN_DOOR, SERIAL, door=2), NOW_MS)

    assert happened(opened) == ["door.unlocked"]
    assert opened.wake_at_ms == NOW_MS + 7_000
    assert ask(panel, packets.STATUS, NOW_MS + 6_999)["relays"] == 0b10
    relocked = panel.wake(NOW_MS + 7_000)
    assert relocked.messages == ()
    assert [(t.key, t.value, t.sent) for t in relocked.truths] == [
        ("door.2.lock_state", "Locked", False)
    ]
    assert ask(panel, packets.STATUS, NOW_MS + 7_000)["relays"] == 0


def test_normally_open_stays_unlocked_and_normally_closed_lets_nobody_in():
    panel = panel_of(doors=1)
    ask(panel, packets.SET_DOOR, door=1, mode=1, delay_s=3)
    assert ask(panel, packets.STATUS, NOW_MS + 86_400_000)["relays"] == 1

    ask(panel, packets.SET_DOOR, door=1, mode=2, delay_s=3)
    assert ask(panel, packets.STATUS)["relays"] == 0
    assert happened(panel.act("enter", NOW_MS)) == ["access.denied"]
    assert not ask(panel, packets.OPEN_DOOR, door=1)["ok"]
    assert ask(panel, packets.EVENT, index=packets.NEWEST)["reason"] == 11


def test_door_records_are_kept_only_when_asked_for():
    panel = panel_of()
    assert happened(panel.act("exit_button", NOW_MS)) == []

    ask(panel, packets.SPECIAL_EVENTS, enabled=True)

    effects = panel.act("exit_button", NOW_MS + 10_000)
    assert happened(effects) == ["access.request_to_exit"]


def test_a_forced_door_is_an_alarm_until_it_is_seen_closed():
    panel = panel_of(doors=1)
    ask(panel, packets.SPECIAL_EVENTS, enabled=True)
    forced = panel.act("force", NOW_MS)
    assert happened(forced) == ["door.opened", "door.alarm"]
    assert ("door.1.alarm", "DoorForcedOpen") in {(t.key, t.value) for t in forced.truths}

    shut = panel.wake(forced.wake_at_ms)

    assert happened(shut) == ["door.closed"]
    seen = panel.receive(packets.request(packets.STATUS, SERIAL), NOW_MS + 9_000)
    assert ("door.1.alarm", "Normal") in {(t.key, t.value) for t in seen.truths}


@pytest.mark.parametrize(("serial", "start"), [(SERIAL, 0x17), (SERIAL + 2, 0x19)])
def test_a_record_is_pushed_once_with_the_start_of_its_firmware(serial, start):
    spec = FleetSpec(3, "uhppote", NOW_MS, {})
    panel = simulator.fleet(spec, lambda _: Random(5))[serial - SERIAL]
    listener = packets.request(
        packets.SET_LISTENER, serial, host="192.0.2.9", port=60_001, interval_s=0
    )
    panel.receive(listener, NOW_MS)

    effects = panel.act("stranger", NOW_MS)

    (push,) = effects.messages
    assert isinstance(push, Push)
    assert push.to == ("192.0.2.9", 60_001)
    assert push.payload[:2] == bytes((start, packets.STATUS))
    fields = packets.unpack(packets.REPLIES[packets.STATUS], push.payload)
    assert (fields["index"], fields["type"], fields["reason"]) == (1, 1, 18)
    assert datetime.combine(fields["date"], fields["time"], UTC).timestamp() * 1000 == NOW_MS


def test_without_power_nothing_is_heard_and_then_a_record_says_so():
    panel = panel_of()
    panel.act("fault:power_failure", NOW_MS)

    assert ask(panel, packets.STATUS) is None
    assert panel.act("enter", NOW_MS).truths == ()
    assert happened(panel.act("heal:power_failure", NOW_MS)) == ["controller.power_on"]
    assert ask(panel, packets.EVENT, index=packets.NEWEST)["reason"] == 28


def test_a_dead_strike_is_granted_and_does_not_move():
    panel = panel_of()
    panel.act("fault:dead_strike", NOW_MS)

    assert ask(panel, packets.OPEN_DOOR, door=1)["ok"]
    assert ask(panel, packets.STATUS)["relays"] == 0


# --- fleets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"doors": 0}, {"doors": 5}, {"doors": True}, {"ring_records": "9"}, {"colour": 1}]
)
def test_options_that_cannot_be_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        simulator.fleet(FleetSpec(1, "uhppote", NOW_MS, options), lambda _: Random(1))


def test_a_fault_that_is_none_is_refused():
    with pytest.raises(KeyError, match="no_such"):
        panel_of().act("fault:no_such", NOW_MS)


@pytest.mark.parametrize("version", ["v8.92", "8.9.2", "1008.92", "8.921", "new", "8."])
def test_a_version_without_a_form_on_the_wire_is_refused(version: str) -> None:
    (panel,) = simulator.fleet(FleetSpec(1, "uhppote", NOW_MS, {}), lambda _: Random(5))

    with pytest.raises(ValueError, match=r"write it like 8\.92"):
        panel.act(f"firmware:{version}", NOW_MS)


@pytest.mark.parametrize(("version", "told"), [("8.92", b"\x08\x92"), ("12", b"\x12\x00")])
def test_a_version_is_told_as_two_bytes(version: str, told: bytes) -> None:
    (panel,) = simulator.fleet(FleetSpec(1, "uhppote", NOW_MS, {}), lambda _: Random(5))

    panel.act(f"firmware:{version}", NOW_MS)

    assert panel.memory.firmware == told
