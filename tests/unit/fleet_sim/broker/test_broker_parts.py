"""The broker's small parts: timers, topics, retained messages, who owns a port."""

import os
import socket
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_sim.broker.message import Message, Properties
from fleet_sim.broker.port_owner import port_owner
from fleet_sim.broker.retained import Retained
from fleet_sim.broker.timers import Timers
from fleet_sim.broker.topics import Trie, matches, valid_filter, valid_topic

LEVELS = st.sampled_from(["a", "b", "", "$s"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(
        st.lists(st.one_of(LEVELS, st.just("+")), max_size=4),
        st.sampled_from(["a", "+", "#"]),
    )
    .map(lambda parts: "/".join([*parts[0], parts[1]]))
    .filter(bool)
)


def test_timers_run_in_order_of_time_and_then_of_setting():
    timers, done = Timers(), []
    for number, when_s in enumerate((3.0, 1.0, 3.0, 2.0)):
        timers.at(when_s, lambda _, number=number: done.append(number))
    assert timers.next_s == 1.0

    timers.run(2.5)
    assert done == [1, 3]
    timers.run(3.0)

    assert done == [1, 3, 0, 2]
    assert timers.next_s is None


def test_a_timer_may_set_another_and_call_one_off():
    timers, done = Timers(), []
    doomed = timers.at(2.0, lambda _: done.append("doomed"))

    def first(now_s: float) -> None:
        timers.call_off(doomed)
        timers.at(now_s, lambda _: done.append("at once"))

    timer = timers.at(1.0, first)
    timers.run(5.0)
    timers.call_off(timer)  # done: nothing to call off
    timers.call_off(None)

    assert done == ["at once"]
    assert len(timers) == 0


def test_timers_called_off_do_not_pile_up():
    timers, done = Timers(), []
    kept = [timers.at(1e6 + number, lambda _: done.append(1)) for number in range(50)]
    for number in range(10_000):
        timers.call_off(timers.at(number, lambda _: done.append(2)))
        assert len(timers) < 200

    timers.run(2e6)
    assert done == [1] * len(kept)


@given(topic_filter=FILTERS, topic=TOPICS)
def test_the_tree_finds_what_the_definition_says(topic_filter, topic):
    tree: Trie[str] = Trie()
    tree.put(topic_filter, "owner", "value")

    assert list(tree.find(topic)) == ["value"] * matches(topic_filter, topic)
    tree.remove(topic_filter, "owner")
    assert list(tree.find(topic)) == []


@given(topics=st.lists(TOPICS, unique=True), topic_filter=FILTERS)
def test_retained_messages_are_found_as_the_definition_says(topics, topic_filter):
    store = Retained(100, 1_000_000)
    for topic in topics:
        assert store.keep(Message(topic, b"x"))

    found = sorted(message.topic for message in store.find(topic_filter))

    assert found == sorted(topic for topic in topics if matches(topic_filter, topic))


def test_retained_messages_are_counted_in_numbers_and_bytes_whatever_comes_and_goes():
    rng, store = Random(7), Retained(5, 3_000)
    mirror: dict[str, int] = {}
    for _ in range(5_000):
        topic, size = f"a/{rng.randrange(9)}", rng.choice((0, 0, 1, 100, 800, 2_000))
        message = Message(topic, b"x" * size)
        kept = store.keep(message)
        mirror.pop(topic, None)
        if kept and size:
            mirror[topic] = message.size
        assert len(store) == len(mirror) <= 5
        assert sum(mirror.values()) <= 3_000
        assert kept or size

    store.clear()
    assert store.keep(Message("a", b"x" * 2_000))


def test_a_message_says_what_it_holds_on_to():
    plain = Message("a", b"x" * 100)
    rich = Message("a", b"", properties=Properties(user_properties=(("k" * 500, "v" * 500),)))

    assert 100 <= plain.size < 500
    assert rich.size > 1_000


@pytest.mark.parametrize("topic", ["", "+", "a/#", "a\x00", "/".join(["a"] * 200)])
def test_no_message_carries_such_a_topic(topic):
    assert not valid_topic(topic)


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a+/b", "\x00", "ü" * 40_000])
def test_nobody_subscribes_to_such_a_filter(topic_filter):
    assert not valid_filter(topic_filter)


def test_a_port_of_our_own_names_this_process():
    if not Path("/proc/net").is_dir():
        pytest.skip("this system has no /proc")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        owner = port_owner(taken.getsockname()[1])

    assert owner is not None
    assert owner.endswith(f"pid {os.getpid()}")


def test_who_owns_a_port_may_be_unknown(tmp_path):
    (tmp_path / "net").mkdir()
    header = (
        "  sl  local_address rem_address   st tx rx tr tm->when retrnsmt   uid  timeout inode\n"
    )
    line = (
        "   0: 0100007F:075B 00000000:0000 {} 00000000:00000000 00:00000000 00000000  0  0 4711 1\n"
    )
    (tmp_path / "net" / "tcp").write_text(header + line.format("0A"))
    process = tmp_path / "42"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("mosquitto\n")

    assert port_owner(1883, tmp_path / "nothing") is None
    assert port_owner(1883, tmp_path) is None
    (process / "fd" / "7").symlink_to("socket:[4711]")
    assert port_owner(1883, tmp_path) == "mosquitto, pid 42"
    assert port_owner(1884, tmp_path) is None
    (tmp_path / "net" / "tcp").write_text(header + line.format("01"))
    assert port_owner(1883, tmp_path) is None  # connected, not listening
