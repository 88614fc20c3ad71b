"""A frame with nobody in it: what names a person, a place, a device or a secret is replaced.

    topic ────► text
    payload ─┬► JSON: keys and values in place, so that every byte between them stays
             ├► text
             └► bytes: the vendor's own `personal` module, or as many bytes of nothing

The codecs read a scrubbed frame as they read the original one, but for the names in it.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

import orjson

from fleet_sim.recording import lines, meaning
from fleet_sim.recording.meaning import Meaning
from fleet_sim.recording.pseudonyms import Pseudonyms
from fleet_sim.recording.text import Texts
from fleet_sim.recording.vocabulary import Vocabulary, packages, source, vocabulary
from gateway.app import ROOT

#: What of a document may have to be replaced, or says where we are in it.
_TOKENS: Final = re.compile(
    r"""(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<open>[{\[]) | (?P<close>[}\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_STRANGE: Final = re.compile("[\udc80-\udcff]")
#: In what is no document any more: a key, and what seems to be its value.
_PAIR: Final = re.compile(
    r""""([A-Za-z_][\w.-]{0,63})"\s*:\s*("(?:[^"\\]|\\.)*"|[^,{}\[\]\s"]+)""", re.DOTALL
)
#: A document begins so; a number alone is read as text.
_BEGINS: Final = frozenset({"{", "[", '"'})
_DEPTH_MAX: Final = 6
_CACHED_MAX: Final = 4_096
_CACHED_LENGTH: Final = 80
#: Of an event on our bus: who and when are in `source` and `data`, the rest is bookkeeping.
_ENVELOPE: Final = frozenset(
    (
        "specversion",
        "id",
        "type",
        "time",
        "datacontenttype",
        "dataschema",
        "sequence",
        "traceparent",
    )
)
# A topic or a document that speaks of what people type at a door.
_CODES: Final = re.compile(r"(?i)user_?codes?\b|pin_?code|passcode")
_CODE_KEYS: Final = frozenset({"value", "newValue", "prevValue", "currentValue", ""})
#: Fields of a recording's line that are the recorder's own.
_OWN: Final = frozenset(
    {"at_ms", "direction", "transport", "retained", "stored", "qos", "status", "began_at_ms"}
)
#: And those that say what was on the wire, or what somebody noted of it.
_FIELDS: Final = _OWN | {"topic", "payload", "payload_hex", "method", "path", "note"}


class Scrubber:
    """Scrubs the frames of one recording.

    Args:
        key: what the stand-ins depend on; the same key gives the same ones.
        keep: more words that may stay.
        told: is told of each original that was replaced, and its stand-in.
    """

    def __init__(
        self,
        key: bytes,
        keep: frozenset[str] = frozenset(),
        told: Callable[[str, str], None] | None = None,
    ) -> None:
        self.words: Vocabulary = vocabulary().plus(keep) if keep else vocabulary()
        self.names = Pseudonyms(key, self.words.words)
        #: Keys of documents that nobody knows, and that were therefore replaced; the first ones.
        self.unknown_keys: dict[str, None] = {}
        self._texts = Texts(self.names, self.words, told)
        self._topics: dict[str, str] = {}
        self._keys: dict[str, tuple[str, str]] = {}
        self._strings: dict[tuple[str, Meaning, bool], str] = {}

    # --- what a vendor's `personal` module is given ---

    def number(self, value: int) -> int:
        """For a serial, a card or a code."""
        return int(self._texts.number(str(value), Meaning.SECRET))

    def address(self, dotted: str) -> str:
        """For an IPv4 address."""
        return self._texts.address(dotted)

    def mac(self, octets: bytes) -> bytes:
        """For the bytes of a MAC address."""
        return bytes.fromhex(self._texts.text(octets.hex(), Meaning.SECRET))

    def filler(self, data: bytes) -> bytes:
        """For bytes of which nobody knows what they are."""
        return self.names.filler(data)

    # --- frames ---

    def topic(self, topic: str) -> str:
        """A topic, level by level."""
        found = self._topics.get(topic)
        if found is None:
            if len(self._topics) >= _CACHED_MAX:
                self._topics.clear()
            made = (
                self._texts.text(level, Meaning.CODE if _speaks_of_codes(topic) else Meaning.PLAIN)
                for level in topic.split("/")
            )
            found = self._topics[topic] = "/".join(made)
        return found

    def payload(self, data: bytes, topic: str = "", *, of_device: bool = True) -> bytes:
        """A payload; `topic` is where it was said, as it was."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            if sum(32 <= byte < 127 for byte in data) * 4 < len(data) * 3:  # noqa: PLR2004 -- three in four printable
                return self._binary(data, of_device=of_device)
            # A name in another encoding within what is text: its strange bytes are all one.
            text = _STRANGE.sub("\udcff", data.decode("utf-8", "surrogateescape"))
            return self.text(text, topic).encode("utf-8", "surrogateescape")
        if "\0" in text:
            return self._binary(data, of_device=of_device)
        return self.text(text, topic).encode("utf-8", "surrogatepass")

    def text(self, text: str, topic: str = "") -> str:
        """A text, be it a document or not."""
        codes = _speaks_of_codes(topic) or _speaks_of_codes(text)
        if text.lstrip()[:1] in _BEGINS:
            own = topic.startswith(ROOT + "/") and "/event/" in topic
            return self._document(text, Meaning.PLAIN, codes=codes, own=own)
        return self._texts.text(text, Meaning.CODE if codes else Meaning.PLAIN)

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A line of a recording that was made without us, its notes included."""
        made: dict[str, Any] = {}
        topic = record.get("topic")
        source = topic if isinstance(topic, str) else ""
        of_device = record.get("direction") != lines.FROM_HOST
        for given, value in record.items():
            field = given if given in _FIELDS else _inside(self._key(json.dumps(given))[1])
            if field in _OWN or value is None:
                made[field] = value
            elif field == "topic":
                made[field] = self.topic(str(value))
            elif field == "payload_hex" and _is_hex_bytes(value):
                data = self.payload(bytes.fromhex(value), source, of_device=of_device)
                made[field] = data.hex()
            elif isinstance(value, str):
                made[field] = self.text(value, source if field == "payload" else "")
            else:
                made[field] = orjson.loads(self.text(json.dumps(value), source))
        return made

    def _binary(self, data: bytes, *, of_device: bool) -> bytes:
        for scrub in _personal():
            found: bytes | None = scrub(data, self, of_device=of_device)
            if found is not None:
                return found
        return self.names.filler(data)

    def _document(
        self, text: str, kind: Meaning, *, codes: bool, own: bool = False, depth: int = 0
    ) -> str:
        """A JSON document: strings and numbers in place."""
        if not _is_json(text):
            return self._remains(text)
        made: list[str] = []
        #: The meaning and the key that hold at each depth.
        place: list[tuple[Meaning, str]] = [(kind, "")]
        at = 0
        for token in _TOKENS.finditer(text):
            said, shape = token[0], token.lastgroup
            if shape == "open":
                place.append(place[-1])
                continue
            if shape == "close":
                place.pop()
                continue
            held, key = place[-1]
            if shape == "key":
                key, now = self._key(said)
                place[-1] = (self._meaning(key, place, own=own), key)
            elif shape == "string":
                if codes and held is Meaning.PLAIN and key in _CODE_KEYS:
                    held = Meaning.CODE
                now = self._string(said, held, codes=codes, depth=depth)
            else:
                now = self._texts.number(said, Meaning.PLAIN if held is Meaning.CODE else held)
            made += (text[at : token.start()], now)
            at = token.end()
        made.append(text[at:])
        return "".join(made)

    def _meaning(self, key: str, place: list[tuple[Meaning, str]], *, own: bool) -> Meaning:
        if own and len(place) == 2 and key in _ENVELOPE:  # noqa: PLR2004 -- the document's own keys
            return Meaning.VERBATIM
        found = meaning.of(key)
        above = place[-2][0] if len(place) > 1 else Meaning.PLAIN
        if above is Meaning.SECRET and found in {Meaning.PLAIN, Meaning.CODE}:
            return above
        return found

    def _key(self, said: str) -> tuple[str, str]:
        """A key as it is meant, and as it is written from now on."""
        found = self._keys.get(said)
        if found is None:
            key = _inside(said)
            made = self._texts.text(key)
            found = key, said
            if made != key:
                found = key, _quoted(made, like=said)
                if len(self.unknown_keys) < _CACHED_MAX:
                    self.unknown_keys.setdefault(key)
            if len(self._keys) >= _CACHED_MAX:
                self._keys.clear()
            self._keys[said] = found
        return found

    def _remains(self, text: str) -> str:
        """What would be a document: cut off, or with marks in it that its maker did not escape."""
        made, at = [], 0
        for pair in _PAIR.finditer(text):
            key, value = pair.span(1), pair.span(2)
            made.append(self._texts.text(text[at : value[0]], loose=True))
            made.append(self._texts.text(pair[2], meaning.of(text[slice(*key)]), loose=True))
            at = value[1]
        made.append(self._texts.text(text[at:], loose=True))
        return "".join(made)

    def _string(self, said: str, held: Meaning, *, codes: bool, depth: int) -> str:
        known = said, held, codes
        found = self._strings.get(known)
        if found is not None:
            return found
        inside = _inside(said)
        if inside.lstrip()[:1] in _BEGINS and depth < _DEPTH_MAX:
            made = self._document(inside, held, codes=codes, depth=depth + 1)
        else:
            made = self._texts.text(inside, held)
        found = said if made == inside else _quoted(made, like=said)
        if len(said) <= _CACHED_LENGTH:
            if len(self._strings) >= _CACHED_MAX:
                self._strings.clear()
            self._strings[known] = found
        return found


def _speaks_of_codes(text: str) -> bool:
    return "code" in text.lower() and _CODES.search(text) is not None


def _inside(said: str) -> str:
    if "\\" not in said:
        return said[1:-1]
    try:
        found: str = json.loads(said, strict=False)
    except ValueError:  # an escape that is none
        return said[1:-1]
    return found


def _quoted(text: str, *, like: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a pair, which only an escape can say
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=like.isascii())


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def _is_hex_bytes(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("(?:[0-9A-Fa-f]{2})*", value) is not None


@cache
def _personal() -> tuple[Callable[..., bytes | None], ...]:
    """What vendors know of their own binary frames."""
    return tuple(
        import_module(f"{package}.personal").scrub
        for package in packages().values()
        if source(f"{package}.personal") is not None
    )
