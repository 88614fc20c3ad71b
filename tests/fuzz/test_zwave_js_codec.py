"""Anything at all into Z-Wave JS's codec: facts of the table or DecodeError, no false promise."""

import json
from typing import Any, Final

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS, LOCK
from devices.reading import Reading
from vendors.api import Frame
from vendors.zwave_js import codec, topics
from vendors.zwave_js.nodes import Node

NOW_MS: Final = 1_767_225_600_000
SOURCES: Final = [
    "ws/2/lock",
    "ws/2/value/113/Access Control/Lock state",
    "ws/2/notification",
    "ws/2/status",
    "ws/2/node",
    "ws/message",
    "ws/0/lock",
]
#: The only modes, and bolts beside them, that may ever read as this: written out here.
PROMISES: Final = {
    "Locked": ({255}, {None, "locked"}),
    "Unlocked": ({0, 1}, {None, "unlocked"}),
    "NotFullyLocked": ({16, 17, 32, 33}, {None, "locked", "unlocked"}),
}
PROPERTIES: Final = [
    "currentMode",
    "targetMode",
    "duration",
    "boltStatus",
    "doorStatus",
    "latchStatus",
    "insideHandlesCanOpenDoor",
    "outsideHandlesCanOpenDoor",
    "userIdStatus",
    "userCode",
    "keypadMode",
    "level",
    "isLow",
    "Access Control",
]
numbers = st.one_of(
    st.sampled_from([0, 1, 2, 11, 16, 22, 23, 32, 254, 255, 256, 300_000, 2**31, 2**53, 2**64]),
    st.integers(-2, 300),
)
words = st.sampled_from(["locked", "unlocked", "open", "closed", "Lock state", "Door state", "1"])
anything = st.recursive(
    st.one_of(
        numbers,
        words,
        st.none(),
        st.booleans(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
args = st.fixed_dictionaries(
    {},
    optional={
        "commandClass": st.one_of(st.sampled_from([98, 99, 113, 128]), anything),
        "endpoint": st.one_of(st.just(0), anything),
        "property": st.one_of(st.sampled_from(PROPERTIES), anything),
        "propertyKey": st.one_of(words, numbers, anything),
        "newValue": st.one_of(numbers, words, anything),
        "value": st.one_of(numbers, words, anything),
        "ccVersion": st.one_of(numbers, anything),
        "type": st.one_of(st.just(6), anything),
        "event": st.one_of(numbers, anything),
        "parameters": st.one_of(st.fixed_dictionaries({"userId": anything}), anything),
    },
)
knows = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("mode", "version", "door", "jammed", "jam_age_ms"), anything),
)
node = st.fixed_dictionaries(
    {}, optional={"status": anything, "values": st.one_of(st.lists(args, max_size=5), anything)}
)
frames = st.fixed_dictionaries(
    {},
    optional={
        "events": st.one_of(st.lists(st.one_of(args, anything), max_size=6), anything),
        "event": st.one_of(
            st.fixed_dictionaries({}, optional={"args": args, "event": words}), anything
        ),
        "node": st.one_of(node, anything),
        "knows": st.one_of(knows, anything),
    },
)
names = st.sampled_from(
    ["value updated", "value added", "value removed", "notification", "dead", "alive", "ready"]
)
events = st.fixed_dictionaries(
    {"event": st.one_of(names, anything)},
    optional={"args": st.one_of(args, anything), "ccId": st.just(113), "nodeState": node},
)


def said(payload: bytes, source: str) -> list[tuple[Any, Any]]:
    """Modes and bolts that the bytes could mean, read without the codec."""
    body = json.loads(payload)
    if source == "ws/2/node":
        rows = [v for v in body["node"].get("values", []) if not v.get("endpoint")]
        key = "value"
    else:
        rows, key = body["events"], "newValue"
    modes = [row.get(key) for row in rows if row.get("property") == "currentMode"]
    bolts = [row.get(key) for row in rows if row.get("property") == "boltStatus"]
    return [(mode, bolt) for mode in modes for bolt in bolts or [None]]


def check(source: str, payload: bytes) -> None:
    try:
        facts = list(codec.decode(Frame(source, payload, NOW_MS)))
    except DecodeError:
        return
    for fact in facts:
        if not isinstance(fact, Reading):
            spec = HAPPENINGS[fact.type]
            assert spec.required.keys() <= fact.data.keys()
            assert fact.data.keys() <= (spec.required | spec.optional).keys()
            continue
        axis = LOCK.axis(fact.axis)
        assert axis is not None
        assert axis.holds(fact.value) if fact.value is not None else fact.reason
        if fact.axis != "lock_state" or fact.value is None or source.endswith("notification"):
            continue
        modes, bolts = PROMISES[str(fact.value)]
        found = said(payload, source)
        assert any(mode in modes and bolt in bolts for mode, bolt in found), (payload, fact)


# Beside the codec: conversations and long lists, which cost ten times what a frame costs.
FEWER = settings(max_examples=max(20, settings.default.max_examples // 5))


@given(source=st.one_of(st.sampled_from(SOURCES), st.text(max_size=40)), payload=st.binary())
@example("ws/2/lock", b"[" * 100_000)
@example("ws/2/lock", b'{"events":[{"property":"currentMode","newValue":1e999}]}')
@example("ws/2/node", b'{"node":{"values":[{"value":NaN}]}}')
@example("ws/2/lock", b"\xed\xa0\x80")
@example("ws/2/lock", b"{" + b" " * 1_000_000)
def test_any_bytes_are_facts_or_refused(source: str, payload: bytes) -> None:
    check(source, payload)


@given(source=st.sampled_from(SOURCES), body=frames)
def test_any_frame_is_facts_or_refused(source: str, body: Any) -> None:
    check(source, json.dumps(body).encode())


@FEWER
@given(heard=st.lists(events, max_size=8), state=node)
def test_any_row_of_events_makes_frames_that_can_be_read(heard: list[Any], state: Any) -> None:
    memory = Node("ws/2")
    made = memory.remembered(orjson.loads(json.dumps(state)), NOW_MS)
    for number, event in enumerate(orjson.loads(json.dumps(heard))):
        made += memory.heard(event, NOW_MS + number * 100)
    made += memory.settled()

    for frame in made:
        check(frame.source, frame.payload)
        assert b'"userCode"' not in frame.payload
    assert not memory.waiting


levels = st.one_of(
    st.sampled_from(["zwave", "_CLIENTS", "ZWAVE_GATEWAY-ui", "status", "Hall", "nodeID_2", "98"]),
    st.sampled_from(["0", "endpoint_0", "door_lock", "113", "Access_Control", "currentMode", ""]),
    st.text(max_size=6),
)


@given(topic=st.lists(levels, max_size=8).map("/".join))
@example("zwave/" * 100_000)
def test_any_topic_is_a_value_or_nobodys(topic: str) -> None:
    found = topics.read("zwave", "ui", topic)

    if isinstance(found, topics.ValueTopic):
        assert found.args["commandClass"] in {98, 99, 113, 128}
        assert topic.startswith(f"zwave/{found.device}/{found.way}/")
