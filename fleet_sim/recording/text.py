"""One piece of text, cut into what stays and what is replaced; pure.

What stays is on a list: words of the vocabulary, small numbers, moments, versions. Everything else
goes, whatever it is. A stand-in depends on nothing but the original and the key of the recording,
never on where it stands: a name in a topic, in a document's key and in a sentence is one name.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import unquote

from fleet_sim.recording import meaning
from fleet_sim.recording.meaning import Meaning
from fleet_sim.recording.pseudonyms import Pseudonyms, is_hex
from fleet_sim.recording.vocabulary import RUN, Vocabulary

_HEX: Final = "[0-9A-Fa-f]"
#: What is looked for in a text, the longest shapes first.
_SHAPES: Final = re.compile(
    rf"""(?<![^\W_])(?:
      (?P<mail>[^\W_][\w.+-]{{0,63}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,8}})
    | (?P<uuid>{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}})
    | (?P<mac>(?:{_HEX}{{2}}:){{5,7}}{_HEX}{{2}}|(?:{_HEX}{{2}}-){{5,7}}{_HEX}{{2}})
    | (?P<ipv6>(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}|(?:{_HEX}{{1,4}}:)+(?::{_HEX}{{1,4}})+)
    | (?P<moment>[12]\d{{3}}[-/][01]\d[-/][0-3]\d(?:[T\ ][0-2]\d:[0-5]\d(?::[0-6]\d(?:\.\d+)?)?
          (?:Z|[+-][01]\d:?[0-5]\d)?)?
        | [0-2]?\d:[0-5]\d(?::[0-6]\d)?
        | (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\ +\d{{1,2}}\ +[12]\d{{3}}
          (?:\ [0-2]\d:[0-5]\d:[0-6]\d)?)
    | (?P<ipv4>\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!\.\d))
    | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?(?!\.\d))
    )(?![^\W_])
    | (?P<run>(?:%{_HEX}{{2}}|[^\W_])+)
    """,
    re.VERBOSE,
)
#: `key=value`, as in queries and some paths.
_PAIR: Final = re.compile(r"([A-Za-z_][\w.-]{0,63})=([^&\s/;,=]*)")
_DIGITS_KEPT: Final = 4
_CODE_KEPT: Final = 3
_MAKE_DIGITS: Final = 8
_MAKE_RUN: Final = 16
_COUNT_DIGITS: Final = 9
_HEX_KEPT: Final = 4
# More decimals than any sensor has: where on earth something is.
_DECIMALS: Final = 4
_DEGREES: Final = 90
_NETS: Final = ("0.", "127.", "255.")
#: Numbers that say "none", "all" or "too big".
_SENTINELS: Final = frozenset({65_535, 65_534, 32_767, 2**31 - 1, 2**32 - 1, 2**63 - 1})
# Moments between 2000 and 2100, in seconds, ms, us and ns; and how long anything lasts.
_MOMENTS: Final = tuple(
    (946_684_800 * unit, 4_102_444_800 * unit) for unit in (1, 10**3, 10**6, 10**9)
)
_LASTS_MAX: Final = 946_684_800
_ENCODED: Final = frozenset("+#/%$ ")


class Texts:
    """Replaces what is in texts.

    Args:
        names: stand-ins.
        words: what stays.
        told: is told of each original that was replaced, and its stand-in.
    """

    def __init__(
        self,
        names: Pseudonyms,
        words: Vocabulary,
        told: Callable[[str, str], None] | None = None,
    ) -> None:
        self._names = names
        self._words = words
        self._told = told

    def text(self, text: str, kind: Meaning = Meaning.PLAIN, *, loose: bool = False) -> str:
        """A text with stand-ins in it.

        Args:
            text: any.
            kind: what is known of it.
            loose: nothing is known of what its numbers are, so fewer of them stay.
        """
        if kind is Meaning.VERBATIM or text in self._words.texts:
            return text
        if "=" not in text:
            return self._plain(text, kind, loose=loose)
        made, at = [], 0
        for pair in _PAIR.finditer(text):
            made.append(self._plain(text[at : pair.start()], kind, loose=loose))
            key, value = pair.groups()
            own = meaning.of(key)
            made.append(self._plain(key, Meaning.PLAIN, loose=loose) + "=")
            made.append(self._plain(value, kind if own is Meaning.PLAIN else own, loose=loose))
            at = pair.end()
        made.append(self._plain(text[at:], kind, loose=loose))
        return "".join(made)

    def number(self, text: str, kind: Meaning, *, loose: bool = False) -> str:
        """A number of a document, as it is written there."""
        sign = "-" if text.startswith("-") else ""
        if "." in text or "e" in text or "E" in text:
            return sign + self._float(text.removeprefix("-"), kind)
        return sign + self._digits(text.removeprefix("-"), kind, loose=loose)

    def address(self, dotted: str) -> str:
        """An IPv4 address; masks and this machine's own stay."""
        if dotted.startswith(_NETS):
            return dotted
        try:
            number = int(IPv4Address(dotted))
        except ValueError:  # not four bytes, so a version
            return dotted
        low = self._names.bits(number, 32, "ipv4") & 0xFF_FFFF
        return self._instead(dotted, str(IPv4Address(10 << 24 | low)))

    def _plain(self, text: str, kind: Meaning, *, loose: bool) -> str:
        def replace(found: re.Match[str]) -> str:
            said, shape = found[0], str(found.lastgroup)
            if shape == "run":
                return self._run(said, kind, loose=loose)
            if kind is Meaning.SECRET:
                return RUN.sub(lambda run: self._replaced(run[0]), said)
            return self._shaped(shape, said, kind)

        return _SHAPES.sub(replace, text)

    def _shaped(self, shape: str, said: str, kind: Meaning) -> str:
        match shape:
            case "uuid" | "mac":
                found = self._spread(said)
            case "mail":  # its host may be made of words that we know
                found = self._instead(said, RUN.sub(lambda run: self._names.of(run[0]), said))
            case "ipv6":
                found = self._ipv6(said)
            case "ipv4" if kind is not Meaning.MAKE:
                found = self.address(said)
            case "float":
                found = self._float(said, kind)
            case _:
                found = said
        return found

    def _run(self, run: str, kind: Meaning, *, loose: bool) -> str:
        if "%" in run:
            return self._percent(run, kind, loose=loose)
        if kind is not Meaning.SECRET:
            if run.isascii() and run.isdigit():
                return self._digits(run, kind, loose=loose)
            if self._stays(run, kind):
                return run
        return self._replaced(run)

    def _stays(self, run: str, kind: Meaning) -> bool:
        if run[:2] in {"0x", "0X"} and len(run) <= _HEX_KEPT + 2:
            return True
        if kind is Meaning.MAKE and run.isascii():
            return len(run) <= (_MAKE_DIGITS if is_hex(run) else _MAKE_RUN)
        return not is_hex(run) and self._words.knows(run)

    def _digits(self, text: str, kind: Meaning, *, loose: bool) -> str:
        keeps = _CODE_KEPT if loose or kind is Meaning.CODE else _DIGITS_KEPT
        match kind:
            case Meaning.VERBATIM:
                return text
            case Meaning.SECRET:
                return self._replaced(text)
            case Meaning.MAKE:
                keeps = _MAKE_DIGITS - 1
            case Meaning.COUNT if text.startswith("0"):
                return text  # a number that was padded so that it sorts
            case Meaning.COUNT:
                keeps = _COUNT_DIGITS
            case Meaning.MOMENT if _is_moment(text):
                return text
            case _:
                pass
        return text if len(text) <= keeps or _is_round(text) else self._replaced(text)

    def _float(self, text: str, kind: Meaning) -> str:
        if kind is Meaning.VERBATIM:
            return text
        whole, _, rest = text.partition(".")
        fraction = re.split("[eE]", rest)[0]
        secret = kind in {Meaning.PLACE, Meaning.SECRET}
        if not secret and (len(fraction) <= _DECIMALS or kind in {Meaning.COUNT, Meaning.MOMENT}):
            return text
        if not fraction or len(whole) > _DIGITS_KEPT:
            return self._instead(text, self._names.digits(whole) + text[len(whole) :])
        degrees = int(self._names.digits(whole)) % _DEGREES
        made = f"{degrees}.{self._names.digits(fraction)}{rest[len(fraction) :]}"
        return self._instead(text, made)

    def _spread(self, text: str) -> str:
        """A number with marks between its digits, which stay where they are."""
        compact = re.sub("[:-]", "", text)
        if compact.strip("0") == "":
            return text
        one_case = compact if compact in {compact.lower(), compact.upper()} else compact.lower()
        digits = iter(self._names.of(one_case))
        return self._instead(text, "".join(c if c in ":-" else next(digits) for c in text))

    def _ipv6(self, text: str) -> str:
        try:
            number = int(IPv6Address(text))
        except ValueError:
            return RUN.sub(lambda run: self._run(run[0], Meaning.PLAIN, loose=True), text)
        low = self._names.bits(number, 128, "ipv6") & ((1 << 120) - 1)
        return self._instead(text, str(IPv6Address(0xFD << 120 | low)))

    def _percent(self, run: str, kind: Meaning, *, loose: bool) -> str:
        """What was written so that it fits into a topic or a URL."""
        try:
            plain = unquote(run, errors="strict")
        except UnicodeDecodeError:
            return re.sub(r"[^%]+", lambda part: self._replaced(part[0]), run)
        if plain == run:  # a percent sign that stands for itself
            return re.sub(r"[^%]+", lambda part: self._run(part[0], kind, loose=loose), run)
        made = self._plain(plain, kind, loose=loose)
        return "".join(
            f"%{ord(c):02X}" if c in _ENCODED or ord(c) < 32 or ord(c) == 127 else c  # noqa: PLR2004 -- control characters
            for c in made
        )

    def _replaced(self, run: str) -> str:
        return self._instead(run, self._names.of(run))

    def _instead(self, was: str, now: str) -> str:
        if self._told is not None and was != now:
            self._told(was, now)
        return now


def _is_round(text: str) -> bool:
    """Whether it is a number that programs have and people have not: 30000, or "none"."""
    return len(text.rstrip("0")) <= 2 or (len(text) < 20 and int(text) in _SENTINELS)  # noqa: PLR2004 -- two digits, and 64 bits


def _is_moment(text: str) -> bool:
    if len(text) > 19:  # noqa: PLR2004 -- ns of our time
        return False
    value = int(text)
    return value < _LASTS_MAX or any(low <= value < high for low, high in _MOMENTS)
