"""The proofs, held against the vendor's published vector and against themselves."""

import pytest

from vendors.nuki.bridge import auth

NONCE = bytes(range(24))


def test_the_published_vector_of_the_hashed_token() -> None:
    """Bridge HTTP API 1.13: token 123456 at that moment, with that number."""
    proof = dict(auth.hashed("123456", "2019-03-05T01:06:53Z", 4711))

    assert proof == {
        "ts": "2019-03-05T01:06:53Z",
        "rnr": "4711",
        "hash": "f52eb5ce382e356c4239f8fb4d0a87402bb95b7b3124f0762b806ad7d0d01cb6",
    }


def test_an_encrypted_token_is_opened_by_the_same_token_only() -> None:
    proof = dict(auth.encrypted("123456", "2019-03-05T01:06:53Z", 4711, NONCE))

    opened = auth.opened("123456", proof["ctoken"], proof["nonce"])
    assert opened == ("2019-03-05T01:06:53Z", "4711")
    assert auth.opened("123457", proof["ctoken"], proof["nonce"]) is None
    assert proof["nonce"] == NONCE.hex()
    assert "123456" not in str(proof)


@pytest.mark.parametrize(
    ("ctoken", "nonce"),
    [("", ""), ("zz", NONCE.hex()), ("00" * 40, NONCE.hex()), ("00" * 40, "00"), ("0" * 9_999, "")],
)
def test_what_is_no_encrypted_token_opens_nothing(ctoken: str, nonce: str) -> None:
    assert auth.opened("123456", ctoken, nonce) is None


def test_a_timestamp_is_read_back_to_the_second() -> None:
    assert auth.timestamp(1_551_748_013_999) == "2019-03-05T01:06:53Z"
    assert auth.moment_ms("2019-03-05T01:06:53Z") == 1_551_748_013_000
    assert auth.moment_ms("2019-03-05T02:06:53+01:00") == 1_551_748_013_000


@pytest.mark.parametrize("stamp", ["", "now", "2019-03-05T01:06:53", "9999-99-99", "1e400"])
def test_what_has_no_zone_or_is_no_time_is_no_moment(stamp: str) -> None:
    assert auth.moment_ms(stamp) is None


def test_a_callbacks_key_is_made_of_token_and_name_and_shows_neither() -> None:
    key = auth.callback_key("123456", "doorfleet")

    assert len(key) == 32
    assert key == auth.callback_key("123456", "doorfleet")
    assert (
        len({key, auth.callback_key("123457", "doorfleet"), auth.callback_key("123456", "b")}) == 3
    )
