"""What the samples do not say: whole lists, answers, and how old a memory may claim to be."""

import json
from typing import Any

import pytest

from devices.errors import DecodeError
from devices.reading import Provenance, Reading
from vendors.api import Frame
from vendors.nuki.bridge import codec

NOW_MS = 1_767_225_600_000
STATE = {"state": 1, "stateName": "locked"}


def entry(**last: Any) -> bytes:
    return json.dumps({"nukiId": 1, "deviceType": 4, "lastKnownState": {**STATE, **last}}).encode()


def lock_state(payload: bytes, what: str = "list") -> Reading:
    facts = codec.decode(Frame(f"http/00000001/{what}", payload, NOW_MS))
    (found,) = (f for f in facts if isinstance(f, Reading) and f.axis == "lock_state")
    return found


@pytest.mark.parametrize(
    ("what", "body", "provenance"),
    [
        ("list", {"lastKnownState": STATE}, Provenance.CACHED),
        ("state", {**STATE, "success": True}, Provenance.POLL),
        ("callback", STATE, Provenance.REPORT),
    ],
)
def test_a_memory_is_cached_an_answer_polled_and_a_callback_reported(
    what: str, body: dict[str, Any], provenance: Provenance
) -> None:
    found = lock_state(json.dumps({"nukiId": 1, **body}).encode(), what)

    assert (found.value, found.provenance) == ("Locked", provenance)


@pytest.mark.parametrize(
    ("stamp", "observed_at_ms"),
    [
        ("2025-12-31T22:00:00+00:00", NOW_MS - 7_200_000),
        ("2025-12-31T23:00:00+01:00", NOW_MS - 7_200_000),
        ("2026-01-01T00:00:59Z", NOW_MS + 59_000),
        ("2026-01-01T00:01:01Z", None),
        ("1970-01-01T00:00:07Z", None),
        ("2025-12-31T22:00:00", None),
        ("yesterday", None),
        ("x" * 10_000, None),
        (None, None),
        (7, None),
    ],
)
def test_a_memory_says_how_old_it_is_if_the_bridge_can_mean_it(
    stamp: object, observed_at_ms: int | None
) -> None:
    assert lock_state(entry(timestamp=stamp)).observed_at_ms == observed_at_ms


def test_a_list_is_taken_apart_and_what_is_no_lock_left_out() -> None:
    body = [
        {
            "nukiId": 0x3A000001,
            "deviceType": 4,
            "lastKnownState": {"timestamp": "2026-01-01T00:00:00Z"},
        },
        {"nukiId": 2, "deviceType": 2},
        {"nukiId": 3, "deviceType": 11},
        {"nukiId": 4, "deviceType": None},
        {"nukiId": 5, "deviceType": [0]},
        {"nukiId": 6},
    ]

    found = codec.entries(json.dumps(body).encode())

    assert [(each.device, each.nuki_id, each.type, each.stamp_ms) for each in found] == [
        ("3A000001", 0x3A000001, 4, NOW_MS),
        ("00000006", 6, 0, None),
    ]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'[{"nukiId": 0}]', b'[{"nukiId": 4294967296}]', b"[" * 5_000]
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.entries(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"callbacks": {}}',
        b'{"callbacks": [1]}',
        b'{"callbacks": [{"id": "0", "url": "http://a"}]}',
        b'{"callbacks": [{"id": 0}]}',
    ],
)
def test_what_is_no_list_of_callbacks_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.callbacks(body)


def test_callbacks_have_a_number_and_an_address() -> None:
    assert codec.callbacks(b'{"callbacks": [{"id": 0, "url": "http://a/b"}]}') == [
        (0, "http://a/b")
    ]


@pytest.mark.parametrize("body", [b"", b"true", b"{}", b'{"success": 1}', b'{"success": null}'])
def test_an_answer_that_says_neither_yes_nor_no_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.succeeded(body)


def test_yes_and_no() -> None:
    assert codec.succeeded(b'{"success": true, "batteryCritical": false}')
    assert not codec.succeeded(b'{"success": false}')


@pytest.mark.parametrize(
    "source",
    ["", "http/", "http/00000001", "http/00000001/list/", "http/0000001/list", "mqtt/1/list"],
)
def test_a_source_that_is_none_of_ours_says_nothing(source: str) -> None:
    assert codec.decode(Frame(source, b"\xff", NOW_MS)) == ()


def test_a_body_of_more_than_64_kib_is_refused() -> None:
    with pytest.raises(DecodeError, match="more than"):
        lock_state(entry(stateName="x" * 70_000))
