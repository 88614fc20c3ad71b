"""What the samples do not show: the tables, whose word counts, and whose clock."""

import hashlib
import json
from typing import Any, Final

import pytest

from devices.closure import MainState, Position
from devices.errors import DecodeError
from devices.kinds import CLOSURE
from devices.reading import NO_SENSOR, Provenance, Reading
from vendors.api import Frame
from vendors.meross import codec, envelope, garage
from vendors.meross.codec import Dialect, door_name, door_of
from vendors.meross.lan_crypto import decrypted, encrypted, lan_key

NOW_MS: Final = 1_767_225_600_000
UUID: Final = "18000000000000000000000000000001"
KEY: Final = "a key"
PUSHED: Final = f"/appliance/{UUID}/publish"


def message(
    payload: Any, method: str = "PUSH", namespace: str = codec.STATE, at_ms: int = NOW_MS
) -> bytes:
    return envelope.write(
        message_id="0" * 32,
        namespace=namespace,
        method=method,
        origin=PUSHED,
        key=KEY,
        now_ms=at_ms,
        payload=payload,
    )


def read(payload: bytes, source: str = PUSHED, **more: Any) -> list[Any]:
    return list(codec.decoder(Dialect(KEY))(Frame(source, payload, NOW_MS, **more)))


def shut(open_: object = 0) -> dict[str, Any]:
    return {"state": [{"channel": 0, "open": open_}]}


def test_every_row_of_the_table_is_of_the_kind() -> None:
    for position, main_state, reason in codec.CONTACT.values():
        for axis, value in (("position", position), ("main_state", main_state)):
            spec = CLOSURE.axis(axis)
            assert spec is not None
            assert spec.holds(value) if value is not None else reason


def test_codec_and_simulator_read_the_same_contact_alike() -> None:
    for is_open, seen in garage.SEEN.items():
        position, main_state, _ = codec.CONTACT[int(is_open)]
        assert (position, main_state) == (seen["position"], seen["main_state"])


def test_only_a_shut_contact_reads_as_a_door_at_rest() -> None:
    assert codec.CONTACT[0] == (Position.FULLY_CLOSED, MainState.STOPPED, None)
    assert codec.CONTACT[1] == (Position.NOT_FULLY_CLOSED, None, NO_SENSOR)


def test_a_sign_is_the_md5_that_the_protocol_says() -> None:
    header = json.loads(message(shut()))["header"]

    wanted = hashlib.md5(f"{'0' * 32}{KEY}{NOW_MS // 1000}".encode()).hexdigest()
    assert header["sign"] == wanted


@pytest.mark.parametrize(
    ("method", "namespace", "retained", "provenance"),
    [
        ("PUSH", codec.STATE, False, Provenance.REPORT),
        ("GETACK", codec.STATE, False, Provenance.POLL),
        ("PUSH", codec.STATE, True, Provenance.RETAINED),
        ("GETACK", codec.STATE, True, Provenance.RETAINED),
    ],
)
def test_it_is_said_how_a_state_came(method, namespace, retained, provenance) -> None:
    facts = read(message(shut(), method, namespace), retained=retained)

    assert {fact.provenance for fact in facts} == {provenance}


@pytest.mark.parametrize(
    ("method", "off_ms", "provenance"),
    [
        ("PUSH", -15_000, Provenance.REPORT),
        ("PUSH", -31_000, Provenance.CACHED),
        ("PUSH", 31_000, Provenance.CACHED),
        ("PUSH", 3_000 - NOW_MS, Provenance.CACHED),
        ("GETACK", -31_000, Provenance.POLL),
        ("GETACK", 3_000 - NOW_MS, Provenance.POLL),
    ],
)
def test_a_push_of_an_age_that_nobody_knows_shows_what_once_was(method, off_ms, provenance) -> None:
    facts = read(message(shut(), method, at_ms=NOW_MS + off_ms))

    assert {fact.provenance for fact in facts} == {provenance}


@pytest.mark.parametrize("method", ["SETACK", "SET", "GET", "ERROR", "push", ""])
def test_no_other_method_tells_of_a_door(method) -> None:
    assert read(message(shut(), method)) == []


@pytest.mark.parametrize(
    ("clock_ms", "observed_ms"),
    [
        (NOW_MS - 4_000, NOW_MS - 4_000),
        (NOW_MS + 5_000, NOW_MS + 5_000),
        (NOW_MS - 15_000, None),
        (3_000, None),
        (0, None),
        (NOW_MS + 86_400_000, None),
    ],
)
def test_a_clock_is_believed_only_near_to_ours(clock_ms, observed_ms) -> None:
    facts = read(message(shut(), at_ms=clock_ms))

    assert {fact.observed_at_ms for fact in facts} == {observed_ms}
    assert facts[0].value == Position.FULLY_CLOSED


def test_an_answer_tells_of_the_unit_that_sent_it() -> None:
    facts = read(message(shut(1), "GETACK"), "/app/0-doorfleet/subscribe")

    assert {fact.device for fact in facts} == {UUID}


def test_an_answer_from_nowhere_is_refused() -> None:
    header = json.loads(message(shut(), "GETACK"))
    header["header"]["from"] = "/app/4242/subscribe"

    with pytest.raises(DecodeError, match="names no device"):
        read(json.dumps(header).encode(), "/app/0-doorfleet/subscribe")


def test_without_a_key_no_sign_is_checked() -> None:
    decode = codec.decoder(Dialect())
    bare = {"header": {"namespace": codec.STATE, "method": "PUSH"}, "payload": shut()}

    facts = decode(Frame(PUSHED, json.dumps(bare).encode(), NOW_MS))

    assert facts[0] == Reading(UUID, "position", Position.FULLY_CLOSED, Provenance.CACHED)


def test_a_unit_that_is_not_listed_tells_nothing() -> None:
    decode = codec.decoder(Dialect(KEY, {"another": frozenset({0})}))

    assert list(decode(Frame(PUSHED, message(shut()), NOW_MS))) == []


@pytest.mark.parametrize("sign", [None, 7, "", "é", "0" * 32])
def test_whatever_stands_for_a_sign_it_is_compared(sign) -> None:
    said = json.loads(message(shut()))
    said["header"]["sign"] = sign

    with pytest.raises(DecodeError, match="not signed"):
        read(json.dumps(said).encode())


def test_a_timestamp_that_is_no_whole_number_signs_nothing() -> None:
    said = json.loads(message(shut()))
    for at in (True, 1.5, "1767225600", None):
        said["header"]["timestamp"] = at
        with pytest.raises(DecodeError, match="not signed"):
            read(json.dumps(said).encode())


@pytest.mark.parametrize(
    ("name", "parts"),
    [("abc", ("abc", 0)), ("abc-1", ("abc", 1)), ("abc-13", ("abc", 13)), ("abc-x", ("abc", 0))],
)
def test_a_doors_name_is_taken_apart(name, parts) -> None:
    assert door_of(name) == parts


def test_a_doors_name_is_one_level_of_a_topic() -> None:
    names = [door_name(UUID, channel) for channel in range(4)]

    assert len(set(names)) == 4
    assert all("/" not in name and "+" not in name and "#" not in name for name in names)


def test_deep_nesting_is_refused_wherever_it_stands() -> None:
    deep = b"[" * 900 + b"]" * 900
    for whole in (
        message(shut()).replace(b'"open":0', b'"open":' + deep),
        message(shut()).replace(b'"channel":0', b'"channel":' + deep),
        message(shut()).replace(b'"state":[', b'"state":[' + deep + b","),
    ):
        try:
            facts = read(whole)
        except DecodeError:
            continue
        assert {fact.value for fact in facts if fact.axis == "position"} == {None}


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 4_000])
def test_what_is_encrypted_can_be_decrypted(length) -> None:
    key = lan_key(UUID, "0123456789abcdef0123456789abcdef", "48:e1:e9:00:00:01")

    assert decrypted(encrypted(b"x" * length, key), key) == b"x" * length
    assert len(key) == 32


@pytest.mark.parametrize("body", [b"!", b"YWJj", b"\xff\xfe", b"YWJ"])
def test_what_is_cut_off_cannot_be_decrypted(body) -> None:
    with pytest.raises(ValueError, match=r"base64|blocks"):
        decrypted(body, b"0" * 32)
