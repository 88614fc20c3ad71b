"""The oracle is held to its word: it passes a good bus, and no sin gets past it."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_sim.alignment import Owed, align
from fleet_sim.ledger import Ledger, Tally
from vendors.sim import Truth

DOOR: Final = ("Closed", "Opening", "Open", "Closing", "Closed")


class Bus:
    """Says events about one device, numbered as a gateway numbers them."""

    def __init__(self, vendor: str = "acme", device: str = "d1") -> None:
        self.vendor, self.device = vendor, device
        self.events: list[dict[str, Any]] = []

    def _add(self, kind: str, data: Mapping[str, Any]) -> None:
        number = f"{len(self.events) + 1:016d}"
        self.events.append(
            {
                "id": f"e-{number}",
                "sequence": number,
                "type": f"doorfleet.{kind}.v1",
                "data": {"vendor": self.vendor, "device": self.device, **data},
            }
        )

    def changed(self, **axes: Any) -> None:
        self._add("lock.changed", {"changes": {axis: {"value": v} for axis, v in axes.items()}})

    def happened(self, kind: str, key: str | None = None, **data: Any) -> None:
        self._add(kind, data if key is None else {**data, "vendor_key": key})


def truths(ledger: Ledger, values: Sequence[Any], key: str = "door", **how: Any) -> None:
    for number, value in enumerate(values):
        ledger.truth("acme", Truth("d1", key, value, number * 100), **how)


def heard(ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> Tally:
    for number, event in enumerate(events):
        ledger.event(event, number * 100 + 7.0)
    return ledger.close()["acme"]


def sins(tally: Tally) -> dict[str, int]:
    counts = {sin: getattr(tally, sin) for sin in ("lost", "duplicated", "reordered", "invented")}
    return {sin: count for sin, count in counts.items() if count}


def good_day() -> tuple[Ledger, Bus]:
    ledger, bus = Ledger(), Bus()
    truths(ledger, DOOR)
    for value in DOOR:
        bus.changed(door=value)
    return ledger, bus


def test_a_bus_that_says_everything_once_and_in_order_is_clean() -> None:
    ledger, bus = good_day()

    tally = heard(ledger, bus.events)

    assert sins(tally) == {}
    assert tally.events == 5
    assert [ms for _, ms in tally.latencies] == [7.0] * 5


def _drop(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*events[:2], *events[3:]]


def _drop_last(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return events[:-1]


def _repeat_under_a_new_id(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    again = {**events[-1], "id": "e-again", "sequence": f"{len(events) + 1:016d}"}
    return [*events, again]


def _repeat_under_the_same_number(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*events, {**events[-1], "id": "other-epoch"}]


def _swap(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [events[0], events[2], events[1], *events[3:]]


def _swap_and_renumber(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a gateway would do that numbers late: the numbers are right, the order is not."""
    swapped = _swap(events)
    return [
        {**event, "id": old["id"], "sequence": old["sequence"]}
        for event, old in zip(swapped, events, strict=True)
    ]


def _alter(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wrong = {**events[2], "data": {**events[2]["data"], "changes": {"door": {"value": "Ajar"}}}}
    return [*events[:2], wrong, *events[3:]]


@pytest.mark.parametrize(
    ("sin", "found"),
    [
        (_drop, {"lost": 1}),
        (_drop_last, {"lost": 1}),
        (_repeat_under_a_new_id, {"duplicated": 1}),
        (_repeat_under_the_same_number, {"duplicated": 2}),
        (_swap, {"reordered": 1}),
        (_swap_and_renumber, {"reordered": 1}),
        (_alter, {"lost": 1, "invented": 1}),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_each_sin_is_seen(
    sin: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], found: dict[str, int]
) -> None:
    ledger, bus = good_day()

    tally = heard(ledger, sin(bus.events))

    assert sins(tally) == found
    assert tally.evidence


def test_the_same_event_again_is_a_redelivery_and_no_sin() -> None:
    ledger, bus = good_day()

    tally = heard(ledger, [*bus.events, bus.events[1]])

    assert (sins(tally), tally.redelivered, tally.events) == ({}, 1, 5)


def test_a_device_that_nobody_has_is_invented() -> None:
    ledger, bus = good_day()
    ghost = Bus(device="ghost")
    ghost.changed(door="Open")

    assert sins(heard(ledger, [*bus.events, *ghost.events])) == {"invented": 1}


def test_an_axis_that_nobody_told_is_invented() -> None:
    ledger, bus = good_day()
    bus.changed(jam="Jammed")

    assert sins(heard(ledger, bus.events)) == {"invented": 1}


def test_a_device_that_is_never_spoken_of_is_lost() -> None:
    ledger = Ledger()
    truths(ledger, DOOR)

    assert sins(ledger.close()["acme"]) == {"lost": 5}


def test_a_lost_event_of_many_axes_counts_for_each_and_once() -> None:
    ledger, bus = Ledger(), Bus()
    for value in ("a", "b", "c"):
        truths(ledger, [value], key="door")
        truths(ledger, [value], key="motion")
        bus.changed(door=value, motion=value)

    assert sins(heard(ledger, _drop(bus.events))) == {"lost": 2}


def test_an_event_that_held_nothing_owed_is_missed_by_its_number() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, ["a"])
    truths(ledger, ["b"], copies=0)
    truths(ledger, ["c"])
    for value in "abc":
        bus.changed(door=value)

    assert sins(heard(ledger, [bus.events[0], bus.events[2]])) == {"lost": 1}


# --- what was not told for sure -------------------------------------------------------------------


@pytest.mark.parametrize("said", ["", "b", "c", "bc"])
def test_what_a_fault_swallowed_may_be_said_or_not(said: str) -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, "a")
    truths(ledger, "bc", copies=0)
    truths(ledger, "d")
    for value in f"a{said}d":
        bus.changed(door=value)

    assert sins(heard(ledger, bus.events)) == {}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("acbd", {"duplicated": 1}),  # the unsure ones in the wrong order
        ("abbd", {"duplicated": 1}),
        ("axd", {"invented": 1}),
        ("a", {"lost": 1}),  # what came after the fault is owed again
        ("bd", {"lost": 1}),
    ],
)
def test_a_swallowed_value_excuses_nothing_else(said: str, found: dict[str, int]) -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, "a")
    truths(ledger, "bc", copies=0)
    truths(ledger, "d")
    for value in said:
        bus.changed(door=value)

    assert sins(heard(ledger, bus.events)) == found


def test_a_cut_link_excuses_what_was_told_since_and_nothing_before() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, "abcd")  # at 0, 100, 200, 300 ms
    ledger.loosen("acme", "d1", since_ms=200)
    bus.changed(door="a")

    assert sins(heard(ledger, bus.events)) == {"lost": 1}


@pytest.mark.parametrize(
    ("said", "sins"),
    [
        (("Closed", "Open"), 0),
        (("Closed", "Open", "Closed", "Open"), 0),
        (("Closed", "Open", "Closed"), 0),  # nobody polls it: it may stay so
        (("Closed", "Open", "Closed", "Open", "Closed"), 1),
    ],
)
def test_what_is_told_again_may_be_said_again_and_then_what_is_true(
    said: tuple[str, ...], sins: int
) -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, ("Closed", "Open"))
    ledger.retold("acme", "d1", 50.0, 500.0)
    for value in said:
        bus.changed(door=value)

    assert heard(ledger, bus.events).sins == sins


def test_a_state_that_came_back_while_nobody_heard_is_no_news() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, "a")
    truths(ledger, "b", copies=0)
    truths(ledger, "a")
    bus.changed(door="a")

    assert sins(heard(ledger, bus.events)) == {}


def test_unknown_for_another_reason_is_no_second_value() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, ["Locked", None, "Locked"])
    for value in ("Locked", None, None, "Locked"):
        bus.changed(door=value)

    assert sins(heard(ledger, bus.events)) == {}


def test_reachability_is_the_brokers_to_say() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, ["a"])
    bus.changed(door="a", reachability="Offline")

    assert sins(heard(ledger, bus.events)) == {}


# --- happenings -------------------------------------------------------------------------------


def test_each_happening_is_owed_even_when_it_is_like_the_last() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, [None] * 3, key="motion.detected")
    for _ in range(2):
        bus.happened("motion.detected")

    assert sins(heard(ledger, bus.events)) == {"lost": 1}


def test_a_repeated_frame_without_a_number_may_be_two_happenings() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, [None, None], key="motion.detected", copies=2)
    for _ in range(4):
        bus.happened("motion.detected")

    assert sins(heard(ledger, bus.events)) == {}


def test_a_repeated_frame_with_a_number_is_one_happening() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, ["7"], key="access.granted", copies=2)
    for _ in range(2):
        bus.happened("access.granted", "7")

    assert sins(heard(ledger, bus.events)) == {"duplicated": 1}


# --- polled devices ---------------------------------------------------------------------------


def test_a_polled_device_owes_its_newest_value_and_may_skip_what_was_between() -> None:
    ledger, bus = Ledger(polled={"acme"}), Bus()
    for number, value in enumerate("abcb"):
        ledger.truth("acme", Truth("d1", "door.1.lock_state", value, number, sent=False))
    bus.changed(**{"door.1.lock_state": "a"})
    bus.changed(**{"door.1.lock_state": "c"})
    assert sins(heard(ledger, bus.events)) == {"lost": 1}

    bus.changed(**{"door.1.lock_state": "b"})
    ledger = Ledger(polled={"acme"})
    for number, value in enumerate("abcb"):
        ledger.truth("acme", Truth("d1", "door.1.lock_state", value, number, sent=False))
    assert sins(heard(ledger, bus.events)) == {}


def test_a_polled_device_may_be_asked_too_early_for_its_newest_value() -> None:
    ledger = Ledger(polled={"acme"})
    ledger.truth("acme", Truth("d1", "door.1.lock_state", "a", 0, sent=False))

    assert sins(ledger.close(newest_owed=False)["acme"]) == {}


def test_a_numbered_happening_survives_an_outage_in_the_devices_own_memory() -> None:
    ledger, bus = Ledger(polled={"acme"}), Bus()
    truths(ledger, ["1", "2", "3"], key="access.granted", copies=0)
    ledger.loosen("acme", "d1", since_ms=0)
    bus.happened("access.granted", "1")
    bus.happened("access.granted", "3")

    assert sins(heard(ledger, bus.events)) == {"lost": 1}


def test_records_that_were_overwritten_are_owned_up_to_by_their_number() -> None:
    ledger, bus = Ledger(polled={"acme"}), Bus()
    truths(ledger, ["1", "2", "3", "4"], key="access.granted")
    bus.happened("access.granted", "1")
    bus.happened("controller.events_lost", count=2, first=2, last=3)
    bus.happened("access.granted", "4")
    assert sins(heard(ledger, bus.events)) == {}

    ledger = Ledger(polled={"acme"})
    truths(ledger, ["1", "2", "3", "4"], key="access.granted")
    assert sins(heard(ledger, bus.events[:2])) == {"lost": 1}


# --- gaps -------------------------------------------------------------------------------------


def test_a_gap_excuses_states_shortly_before_it_and_no_happenings() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, "abcd")
    truths(ledger, [None], key="motion.detected")
    bus.changed(door="a")
    bus.happened("gap", count=2, cause="rate_limit")
    bus.changed(door="d")

    assert sins(heard(ledger, bus.events)) == {"lost": 1}


def test_a_gap_names_the_sequences_that_gave_way() -> None:
    ledger, bus = good_day()
    bus.happened("gap", count=2, cause="outbox_full", first_sequence=2, last_sequence=3)

    assert sins(heard(ledger, [bus.events[0], *bus.events[3:]])) == {}


# --- how fast ---------------------------------------------------------------------------------


def test_what_is_late_is_counted_and_no_sin() -> None:
    ledger, bus = Ledger(), Bus()
    truths(ledger, "a")
    bus.changed(door="a")
    ledger.event(bus.events[0], 5_001.0)

    tally = ledger.close()["acme"]
    assert (tally.late, sins(tally)) == (1, {})


# --- the alignment against brute force ----------------------------------------------------------

VALUES: Final = st.sampled_from("abc")


@given(st.lists(st.tuples(VALUES, st.booleans()), max_size=9), st.randoms(use_true_random=False))
def test_any_choice_of_what_was_unsure_agrees(
    owed: list[tuple[str, bool]], rng: random.Random
) -> None:
    told = [Owed(value, 0.0, sure) for value, sure in owed]
    said = [each.value for each in told if each.sure or rng.random() < 0.5]

    assert align(told, said, state=False) == {}


@given(st.lists(VALUES, max_size=9), st.lists(VALUES, max_size=9))
def test_two_different_sequences_never_agree(owed: list[str], said: list[str]) -> None:
    told = [Owed(value, 0.0, sure=True) for value in owed]

    assert (align(told, said, state=False) == {}) == (owed == said)


@given(st.lists(VALUES, min_size=1, max_size=9), st.data())
def test_one_sin_is_counted_as_one(owed: list[str], data: st.DataObject) -> None:
    told = [Owed(value, 0.0, sure=True) for value in owed]
    at = data.draw(st.integers(0, len(owed) - 1))

    missing = align(told, owed[:at] + owed[at + 1 :], state=False)
    strange = align(told, [*owed[:at], "x", *owed[at:]], state=False)

    assert missing == {"lost": [owed[at]]}
    assert strange == {"invented": ["x"]}


def test_a_hopeless_comparison_is_counted_roughly_and_in_time() -> None:
    rng = random.Random(1)
    told = [Owed(rng.choice("abcd"), 0.0, sure=False) for _ in range(1_500)]
    told.append(Owed("end", 0.0, sure=True))
    said = [rng.choice("abcd") for _ in range(1_500)]

    assert sum(len(values) for values in align(told, said, state=False).values()) > 0


def test_what_a_broker_keeps_is_owed_though_the_gateway_was_away() -> None:
    ledger = Ledger()
    for stored, value in ((True, "Unlocked"), (False, "Locked")):
        ledger.truth("nuki", Truth("one", "lock_state", value, 5_000), stored=stored)
    ledger.loosen("nuki", "one", 4_000, 6_000, unless_stored=True)

    tally = ledger.close()["nuki"]

    assert tally.lost == 1
    assert "Unlocked" in tally.evidence[0]
    assert "Locked'" not in tally.evidence[0]
