"""Stand-ins for what names somebody: the same for the same original, and of the same shape.

A pseudonym is a keyed permutation of all texts of one shape, so nothing has to be remembered, two
originals never share one, and the order in which they come does not matter. Numbers keep their
length in decimal and in hexadecimal, so one serial stays one serial however it is written.

Shape:    405419896 and 182a3778 (the same panel) become, say, 716235042 and 2ab0c922
Source:   the construction is a Feistel network with cycle walking (Black and Rogaway, "Ciphers
          with Arbitrary Finite Domains", CT-RSA 2002), rounds by keyed BLAKE2b.
"""

import re
from collections.abc import Callable, Container
from hashlib import blake2b
from typing import Final

#: Bytes of a key that is drawn for a recording; one that is given may have more or fewer.
KEY_BYTES: Final = 32
_KEY_BYTES_MAX: Final = 64
_ROUNDS: Final = 8
# A run longer than this is permuted piece by piece: a digest fills half of such a piece.
_PIECE: Final = 64
# How many are remembered for speed; they come out the same when they are computed again.
_CACHED_MAX: Final = 65_536
# Zeros in front of a number that pad it rather than belong to it.
_PADDING: Final = 3
# Numbers of eight hex digits: those of them that hold no letter read as decimals, too.
_EIGHT: Final = 8
_WORDLESS_MIN: Final = 8
_HEX_MIN: Final = 6
# Hexadecimal although it holds no digit: serial, MAC, IEEE address, UUID or key, SHA-1, SHA-256.
_HEX_LENGTHS: Final = frozenset({8, 12, 16, 32, 40, 64})
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_A: Final = ord("a")


def is_hex(text: str) -> bool:
    """Whether a run of letters and digits is a number in hexadecimal rather than a word."""
    if _HEX.fullmatch(text) is None or text.isdigit():
        return False
    has_digit = any(letter.isdigit() for letter in text)
    return (has_digit and len(text) >= _HEX_MIN) or len(text) in _HEX_LENGTHS


class Pseudonyms:
    """What replaces what, under one key.

    Args:
        key: secret bytes; whoever has them can undo what is done here.
        reserved: words that no pseudonym may be, lower case.
    """

    def __init__(self, key: bytes, reserved: Container[str] = ()) -> None:
        self._key = blake2b(key, digest_size=_KEY_BYTES_MAX).digest()
        self._reserved = reserved
        self._known: dict[str, str] = {}

    def of(self, run: str) -> str:
        """The pseudonym of a run of letters and digits, in whichever alphabet it is written."""
        found = self._known.get(run)
        if found is None:
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            found = self._known[run] = self._of(run)
        return found

    def _of(self, run: str) -> str:
        if not run.isascii():
            return self._letters(run)
        if run.isdigit():
            return self.digits(run)
        prefix, rest = run[:2], run[2:]
        if prefix in {"0x", "0X"} and _HEX.fullmatch(rest):
            return prefix + self.hexadecimal(rest)
        if is_hex(run):
            return self.hexadecimal(run)
        half = len(run) // 2
        if half > 1 and run[:half] == run[half:]:  # a topic's prefix that is the device's name
            return self.of(run[:half]) * 2
        return "".join(self._word(run[at : at + _PIECE]) for at in range(0, len(run), _PIECE))

    def number(self, value: int) -> int:
        """The stand-in of a whole number: as many digits, decimal and hexadecimal."""
        sign = -1 if value < 0 else 1
        return sign * int(self.of(str(abs(value))))

    def digits(self, text: str) -> str:
        """Of decimal digits; zeros alone are nobody's and stay."""
        if len(text) > _PIECE:
            return "".join(
                self.digits(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE)
            )
        zeros = len(text) - len(text.lstrip("0"))
        if zeros == len(text):
            return text
        if zeros >= _PADDING:
            return self._padded(text, 10)
        value = int(text)
        if _reads_as_decimal(value):  # so the same number in hexadecimal looks like a decimal one
            return str(int(self.digits(f"{value:x}"), 16)).zfill(len(text))
        wanted = _shape(value, zeros)
        found = self._walk(
            value,
            10 ** (len(text) - zeros),
            f"digits{len(text) - zeros}",
            lambda other: other > 0 and _shape(other, zeros) == wanted,
        )
        return str(found).zfill(len(text))

    def hexadecimal(self, text: str) -> str:
        """Of hex digits in one case; what holds no letter is taken for a decimal number."""
        if text.isdigit():
            return self.digits(text)
        if len(text) > _PIECE:
            return "".join(self.of(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
        value = int(text, 16)
        if len(text) - len(text.lstrip("0")) >= _PADDING:
            found = self._padded(text, 16)
        elif value < 10**_PIECE:
            found = f"{self.number(value):x}".zfill(len(text))
        else:
            found = self._digest(value).zfill(len(text))
        return found.upper() if text.isupper() else found

    def bits(self, value: int, width: int, what: str) -> int:
        """Any number of `width` bits, by a permutation of its own."""
        return self._permute(value, width + width % 2, what) & ((1 << width) - 1)

    def filler(self, data: bytes) -> bytes:
        """As many bytes, none of which begins a character in UTF-8: no text, as they were none."""
        made = bytearray()
        while len(made) < len(data):
            made += blake2b(data, key=self._key, salt=len(made).to_bytes(16, "big")).digest()
        return bytes(0x80 | byte & 0x3F for byte in made[: len(data)])

    def _padded(self, text: str, base: int) -> str:
        """Keeps the first zeros; the rest is any number but zero of the same length."""
        kept, rest = text[:_PADDING], text[_PADDING:]
        has_letter = not rest.isdigit()
        form = "x" if base == 16 else "d"  # noqa: PLR2004 -- hexadecimal
        found = self._walk(
            int(rest, base),
            base ** len(rest),
            f"padded{base}.{len(rest)}",
            lambda other: other > 0 and (not f"{other:{form}}".isdigit()) == has_letter,
        )
        return kept + f"{found:{form}}".zfill(len(rest))

    def _digest(self, value: int) -> str:
        """What as a decimal would be cut into pieces, which keep no length in hexadecimal."""
        length = len(f"{value:x}")
        found = self._walk(
            value,
            16**length,
            f"digest{length}",
            lambda other: (
                other >= 10**_PIECE and len(f"{other:x}") == length and not f"{other:x}".isdigit()
            ),
        )
        return f"{found:x}"

    def _word(self, run: str) -> str:
        """Letters for letters, in their case, and digits for digits."""
        value, size = 0, 1
        for letter in run.lower():
            radix = 10 if letter.isdigit() else 26
            value = value * radix + int(letter, 36) - (0 if letter.isdigit() else 10)
            size *= radix

        def spelled(number: int) -> str:
            letters = []
            for letter in reversed(run):
                number, place = divmod(number, 10 if letter.isdigit() else 26)
                made = str(place) if letter.isdigit() else chr(_A + place)
                letters.append(made.upper() if letter.isupper() else made)
            return "".join(reversed(letters))

        pattern = "".join("0" if letter.isdigit() else "a" for letter in run)
        found = self._walk(
            value, size, pattern, lambda other: spelled(other).lower() not in self._reserved
        )
        return spelled(found)

    def _letters(self, run: str) -> str:
        """For an alphabet that we have no permutation of: enough letters to tell all apart."""
        digest = blake2b(run.encode("utf-8", "surrogatepass"), key=self._key, person=b"letters")
        number = int.from_bytes(digest.digest(), "big")
        letters = []
        for _ in range(min(max(len(run), _WORDLESS_MIN), 4 * _PIECE)):
            number, place = divmod(number, 26)
            letters.append(chr(_A + place))
        return "".join(letters)

    def _walk(self, value: int, size: int, what: str, good: Callable[[int], bool]) -> int:
        """Permute numbers below `size` until one is good: a permutation of the good ones."""
        bits = max(2, (size - 1).bit_length())
        bits += bits % 2
        found = value
        while True:
            found = self._permute(found, bits, what)
            if found == value or (found < size and good(found)):
                return found

    def _permute(self, value: int, bits: int, what: str) -> int:
        half = bits // 2
        mask = (1 << half) - 1
        width = (half + 7) // 8
        left, right = value >> half, value & mask
        salt = blake2b(what.encode(), digest_size=8).digest()
        for number in range(_ROUNDS):
            digest = blake2b(
                right.to_bytes(width, "big"),
                key=self._key,
                salt=salt + number.to_bytes(8, "big"),
            ).digest()
            left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
        return left << half | right


def _reads_as_decimal(value: int) -> bool:
    text = f"{value:x}"
    return len(text) == _EIGHT and text.isdigit()


def _shape(value: int, zeros: int) -> tuple[int, int, bool, int]:
    """What a number and its stand-in have in common."""
    text = str(value)
    as_hex = len(str(int(text, 16))) if len(text) == _EIGHT and not zeros else 0
    return len(text), len(f"{value:x}"), _reads_as_decimal(value), as_hex
