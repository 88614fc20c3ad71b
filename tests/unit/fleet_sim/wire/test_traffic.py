"""Counting what went over the wire, and what a broker owed."""

from fleet_sim.wire.traffic import Bag, Traffic
from fleet_sim.wire.verdict import problems


def bag(*messages: tuple[str, bytes]) -> Bag:
    made = Bag()
    for topic, payload in messages:
        made.add(topic, payload)
    return made


def test_bags_with_the_same_messages_are_equal_whatever_the_order() -> None:
    a, b = ("door/1", b"open"), ("door/2", b"closed")

    assert bag(a, b, b) == bag(b, a, b)
    assert len(bag(a, b, b)) == 3


def test_a_message_less_one_more_and_another_one_are_noticed() -> None:
    a, b = ("door/1", b"open"), ("door/1", b"closed")

    assert bag(a, a) != bag(a)
    assert bag(a, a).missing_from(bag(a)) == 1
    assert bag(a).missing_from(bag(a, a)) == 0
    assert bag(a, a) != bag(b, b)
    assert bag(a, b) != bag(b, b)


def figures(**but: int) -> dict[str, int]:
    return {**Traffic().plain(), "sessions": 3, "connected": 3, **but}


def test_a_broker_that_did_all_it_owes_has_no_problems() -> None:
    assert problems(figures(to_acknowledge=5, acknowledged=5)) == []


def test_what_a_broker_owes_is_said_in_words() -> None:
    said = problems(figures(connected=1, closed=2, unanswered=1, garbled=4))

    assert said == [
        "2 of 3 devices are not connected in the end",
        "2 connections were closed by the broker",
        "4 connections ended because the broker broke the protocol",
        "1 keepalives of devices were not answered by the broker",
    ]


def test_unacknowledged_messages_are_the_brokers_only_where_no_link_was_cut() -> None:
    assert problems(figures(to_acknowledge=5, acknowledged=3)) == [
        "2 messages of QoS 1 were not acknowledged by the broker"
    ]
    assert problems(figures(to_acknowledge=5, acknowledged=3, cut=1)) == []
