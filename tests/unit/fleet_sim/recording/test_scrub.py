"""Who is gone from a frame, what stays of it, and that nothing breaks the scrubber."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_sim.recording.scrub import Scrubber

KEY = b"a key that tests may know"
SCRUBBER = Scrubber(KEY)


def runs(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text))


HOUSEHOLD = {
    "friendly_name": "Oma Ernas Haustür",
    "serialNumber": "19420103-104856",
    "mac": "AA:BB:C0:DD:EE:0F",
    "id": "shellyplus1-aabbc0ddee0f",
    "nukiId": 964784884,
    "ip": "192.168.178.23",
    "url": "http://gateway.schmidt-family.net:8080/hook?token=abc123&x=1",
    "mail": "erna@schmidt.example",
    "user": {"name": "Erna Schmidt", "pin_code": "4711", "card": 6154410},
    "token": "open",
    "location": {"latitude": 48.858370, "longitude": 2.294481},
    "nested": json.dumps({"ssid": "FritzBox 7590 Schmidt", "state": "locked"}),
    "uuid": "6fa459ea-ee8a-3ca4-894e-db77e160355e",
}


@pytest.mark.parametrize(
    "gone",
    [
        "Oma", "Ernas", "Haustür", "19420103", "104856", "AA:BB", "aabbc0ddee0f", "964784884",
        "192.168", "schmidt", "Schmidt", "family", "abc123", "erna", "4711", "6154410", "48.8",
        "2.29", "FritzBox", "6fa459ea", "db77e160355e", '"open"',
    ],
)  # fmt: skip
def test_nobody_is_left(gone: str) -> None:
    assert gone in json.dumps(HOUSEHOLD, ensure_ascii=False)
    assert gone not in SCRUBBER.text(json.dumps(HOUSEHOLD, ensure_ascii=False))


def test_one_device_is_one_device_wherever_it_is_named() -> None:
    said = json.loads(SCRUBBER.text(json.dumps(HOUSEHOLD, ensure_ascii=False)))

    compact = said["mac"].replace(":", "").lower()
    assert said["id"] == f"shellyplus1-{compact}"
    assert SCRUBBER.topic("nuki/398172F4/state") == f"nuki/{said['nukiId']:08X}/state"
    assert said["friendly_name"] in SCRUBBER.topic("zigbee2mqtt/Oma Ernas Haustür/set")
    assert SCRUBBER.topic("a/Oma%2FErna") == "a/{}%2F{}".format(
        *SCRUBBER.text("Oma Erna").split(" ")
    )


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("home/garage/light/status/door", "opening"),
        ("nuki/x/state", "254"),
        ("a/b", '{"state":"LOCK","lock_state":"not_fully_locked","battery":95,"user":65535}'),
        ("a/b", '{ "timestamp" : 1676149112,\n "ts": 1788945292.88, "at_ms": 1676149112123}'),
        ("a/b", '{"at":"2023-07-25T14:41:48.825Z","ver":"1.6.1-beta1","a":1,"a":2}'),
        ("a/b", '{"main_state":{"value":"Stopped","was":null},"position_pct":1e2}'),
        ("a/b", "-60"),
    ],
)  # fmt: skip
def test_states_times_and_versions_stay_byte_by_byte(topic: str, payload: str) -> None:
    assert SCRUBBER.payload(payload.encode(), topic) == payload.encode()


def test_a_pin_goes_from_where_only_the_topic_says_that_it_is_one() -> None:
    assert SCRUBBER.payload(b"4711", "zwave/lock/99/0/userCode/1") != b"4711"
    assert SCRUBBER.payload(b"4711", "zwave/lock/50/0/value/1") == b"4711"
    said = '{"property":"userCode","newValue":"4711","commandClass":99}'
    assert "4711" not in SCRUBBER.text(said)


def test_an_event_of_our_bus_stays_one() -> None:
    event = {
        "specversion": "1.0",
        "id": "mc0q2x8k-0000000000000012",
        "source": "/doorfleet/villa-schmidt/nuki/398172F4",
        "type": "doorfleet.lock.changed.v1",
        "time": "2026-01-31T08:15:30.123Z",
        "sequence": "0000000000000012",
        "data": {"device": "398172F4", "vendor": "nuki", "kind": "lock", "changes": {}},
    }
    topic = "doorfleet/v1/villa-schmidt/nuki/398172F4/event/lock.changed"

    said = json.loads(SCRUBBER.payload(orjson.dumps(event), topic))
    where = SCRUBBER.topic(topic).split("/")

    assert "schmidt" not in json.dumps(said) + str(where)
    assert {key for key in event if said[key] != event[key]} == {"source", "data"}
    assert said["source"].split("/")[2:] == [where[2], "nuki", where[4]]
    assert said["data"]["device"] == where[4]


def test_keys_that_nobody_knows_go_and_can_be_kept() -> None:
    said = '{"Schmidts Kamin":{"state":"on"},"battery":3}'
    keeper = Scrubber(KEY, frozenset({"Kamin", "Schmidts"}))

    assert "Kamin" not in SCRUBBER.text(said)
    assert keeper.text(said) == said
    assert "Schmidts Kamin" in SCRUBBER.unknown_keys


def test_fields_of_a_line_that_nobody_knows_name_nobody() -> None:
    line = {"at_ms": 1, "transport": "http", "method": "GET", "path": "/a", "note": "x", "qos": 1}

    made = SCRUBBER.record({**line, "Oma Erna": 1, "topic": "a", "payload": "1"})
    other = SCRUBBER.record({**line, "Oma Erna": 1, "payload_hex": "31", "payload": "1"})

    assert {"Oma", "Erna"} & runs(json.dumps(made)) == set()
    instead = SCRUBBER.text("Oma Erna")
    assert list(made) == [*line, instead, "topic", "payload"]
    assert list(other) == [*line, instead, "payload_hex", "payload"]
    assert "Oma Erna" in SCRUBBER.unknown_keys


def test_a_packet_of_a_panel_stays_one_and_names_nobody() -> None:
    packet = bytes.fromhex("17b0000078372a186a0000000101030022e85d002026010112000006" + "00" * 36)

    made = SCRUBBER.payload(packet)

    assert int.from_bytes(made[4:8], "little") == SCRUBBER.number(405419896)
    assert int.from_bytes(made[16:20], "little") == SCRUBBER.number(0x5DE822)
    assert (made[:4], made[8:16], made[20:]) == (packet[:4], packet[8:16], packet[20:])


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=300), st.text(max_size=30))
@settings(max_examples=200)
def test_no_bytes_break_it_and_they_give_the_same_twice(data: bytes, topic: str) -> None:
    assert SCRUBBER.payload(data, topic) == Scrubber(KEY).payload(data, topic)
    SCRUBBER.topic(topic)


@given(JSON, st.booleans())
@settings(max_examples=200)
def test_a_document_stays_a_document_of_the_same_shape(document: Any, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)

    made = json.loads(SCRUBBER.payload(text.encode("utf-8", "surrogatepass")))

    assert shape(made) == shape(document)


def shape(document: Any) -> Any:
    if isinstance(document, dict):
        return sorted((shape(value) for value in document.values()), key=repr)
    if isinstance(document, list):
        return [shape(each) for each in document]
    return type(document).__name__


@given(st.text('abcdefghij KLMN019:-_/.=@%"{}[],', max_size=60))
@settings(max_examples=300)
def test_a_word_has_one_stand_in_in_every_surrounding(text: str) -> None:
    found: dict[str, str] = {}

    def told(was: str, now: str) -> None:
        assert found.setdefault(was, now) == now

    scrubber = Scrubber(KEY, told=told)
    scrubber.topic(text)
    scrubber.text(text)
    scrubber.text(json.dumps({text: [text, {"name": text}]}))


@pytest.mark.parametrize("cut", [5, 17, 40, 61, 80, 120])
def test_what_is_left_of_a_document_names_nobody_either(cut: int) -> None:
    text = '{"pin_code":"4711","name":"Erna Schmidt","mac":"AA:BB:C0:DD:EE:0F","serial":19420103}'

    made = SCRUBBER.text(text[:cut])

    assert {"4711", "Erna", "Schmidt", "C0", "19420103"} & runs(made) == set()
