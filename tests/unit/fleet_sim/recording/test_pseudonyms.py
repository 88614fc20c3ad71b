"""Stand-ins: of the same shape, one for each original, and the same in every way of writing it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleet_sim.recording.pseudonyms import Pseudonyms

NAMES = Pseudonyms(b"a key of nobody")
RUNS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFXYZ0123456789", min_size=1, max_size=64)
HEX = st.text("0123456789abcdef", min_size=1, max_size=64)


def shape(text: str) -> str:
    return "".join("0" if c.isdigit() else "A" if c.isupper() else "a" for c in text)


@pytest.mark.parametrize(
    ("decimal", "hexadecimal"),
    [(405419896, "182A3778"), (201020304, "0bfb5390"), (956301313, "39000001"), (3, "3")],
)
def test_a_serial_is_one_serial_in_decimal_and_in_hexadecimal(
    decimal: int, hexadecimal: str
) -> None:
    assert int(NAMES.of(hexadecimal), 16) == NAMES.number(decimal)


@given(st.integers(1 << 28, (1 << 32) - 1))
def test_every_eight_digit_serial_is_one_serial_in_both(number: int) -> None:
    as_hex = f"{number:08x}"

    found = NAMES.of(as_hex)

    assert int(found, 16) == NAMES.number(number)
    assert len(found) == 8
    assert len(str(NAMES.number(number))) == len(str(number))


@given(RUNS | HEX)
@example("f" * 54)
@example("ffd93f16" * 8)
def test_a_stand_in_has_the_shape_of_the_original(run: str) -> None:
    found = NAMES.of(run)

    assert len(found) == len(run)
    is_hex = set(run.lower()) <= set("0123456789abcdefx") and not run.isdigit()
    assert is_hex or shape(found) == shape(run)


@given(st.text("0123456789abcdef", min_size=54, max_size=64))
def test_a_digest_keeps_its_length_whatever_it_is_in_decimal(digest: str) -> None:
    found = NAMES.of(digest)

    assert len(found) == len(digest)
    assert set(found) <= set("0123456789abcdef")
    assert NAMES.of(digest.upper()) == found.upper()


@given(HEX, HEX)
def test_two_numbers_in_hexadecimal_never_share_a_stand_in(one: str, other: str) -> None:
    assert (NAMES.of(one) == NAMES.of(other)) == (one == other)


@given(RUNS, RUNS)
def test_two_originals_never_share_a_stand_in(one: str, other: str) -> None:
    assert (NAMES.of(one) == NAMES.of(other)) == (one == other)


def test_all_numbers_of_five_digits_have_a_stand_in_of_their_own() -> None:
    numbers = range(10_000, 12_000)

    assert len({NAMES.number(number) for number in numbers}) == len(numbers)


def test_what_depends_on_another_key_is_another_stand_in() -> None:
    other = Pseudonyms(b"another key of nobody")

    assert NAMES.of("Schmidt") == Pseudonyms(b"a key of nobody").of("Schmidt")
    assert NAMES.of("Schmidt") != other.of("Schmidt")
    assert NAMES.of("schmidt") == NAMES.of("Schmidt").lower()


def test_no_stand_in_is_a_word_of_a_protocol() -> None:
    words = {chr(a) + chr(b) for a in range(97, 123) for b in range(97, 123) if (a + b) % 7}
    names = Pseudonyms(b"a key of nobody", words)

    assert {names.of(word) for word in ("on", "up", "ok", "hi")} & words == set()


@given(st.text(st.characters(categories=["L", "N"]), max_size=60))
def test_no_letters_of_any_alphabet_break_it(text: str) -> None:
    if text:
        assert NAMES.of(text) == Pseudonyms(b"a key of nobody").of(text)


@given(st.binary(max_size=200))
def test_bytes_of_nothing_are_as_many_and_no_text(data: bytes) -> None:
    made = NAMES.filler(data)

    assert len(made) == len(data)
    assert "\N{REPLACEMENT CHARACTER}" in made.decode(errors="replace") or not data
