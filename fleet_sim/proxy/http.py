"""HTTP/1.1 messages in a stream: where each ends, and what a toxic may ask of it. Pure.

Source: RFC 9112, section 6.3 (where a message ends) and 7.1 (chunks).
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from fleet_sim.proxy.items import Item, Message, Piece

#: Longer messages go by in pieces, and no toxic sees them: so much is held for each direction.
MESSAGE_MAX: Final = 1024 * 1024
# Servers take 8 to 48 KiB of head; whoever sends more is not to be followed.
_HEAD_MAX: Final = 64 * 1024
#: Requests that wait for their answers: nobody sends so many ahead.
_ASKED_MAX: Final = 256
_CONTINUE, _SWITCHING, _OK, _NO_CONTENT, _NOT_MODIFIED = 100, 101, 200, 204, 304
_REDIRECTION: Final = 300


@dataclass(frozen=True, slots=True)
class Request(Message):
    """One request; `alone`: no answer to an earlier one is on its way."""

    method: str
    target: str
    alone: bool
    talk: "Talk"


@dataclass(frozen=True, slots=True)
class Response(Message):
    """One response; `target` is what was asked for, `body` where the body begins, as it came."""

    status: int
    target: str
    body: int
    fields: Mapping[str, str]


class Talk:
    """What both directions of a connection share: what has been asked, and not yet answered."""

    __slots__ = ("asked", "tunnel")

    def __init__(self) -> None:
        self.asked: deque[tuple[str, str]] = deque(maxlen=_ASKED_MAX)
        #: After an upgrade, or CONNECT, bytes are no longer HTTP.
        self.tunnel = False


@dataclass(frozen=True, slots=True)
class Head:
    """The start line's words, and the fields by lower-case name; the last of a name counts."""

    words: tuple[str, ...]
    fields: Mapping[str, str]
    size: int


def head_of(raw: bytes) -> Head:
    """Read a head, its empty line included.

    Raises:
        ValueError: it is none.
    """
    start, *lines = raw.lstrip(b"\r\n").decode("latin-1").split("\r\n")
    words = tuple(start.split(" ", 2))
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip().lower()] = value.strip()
    if not any(word.startswith("HTTP/1.") for word in (words[0], words[-1])) or len(words) < 2:  # noqa: PLR2004 -- method and target, or version and status
        raise ValueError(f"no HTTP/1: {start[:40]!r}")
    return Head(words, fields, len(raw))


class _At(Enum):
    """What comes next."""

    HEAD = auto()
    BODY = auto()
    SIZE = auto()
    CHUNK = auto()
    TRAILER = auto()
    #: Until the connection ends, or it is no HTTP any more.
    ENDLESS = auto()


class Framing:
    """Walks along one direction and says where messages end."""

    __slots__ = ("_at", "_left", "_line", "_responses", "_talk", "alone", "head", "target")

    def __init__(self, talk: Talk, *, responses: bool) -> None:
        self._talk = talk
        self._responses = responses
        self._at = _At.HEAD
        self._left = 0
        self._line = bytearray()
        self.head: Head | None = None
        self.target = ""
        self.alone = True

    @property
    def endless(self) -> bool:
        """Whether the message in passing must not be waited for: nobody knows when it ends.

        A client that expects "100 Continue" sends its body when the server has seen the head.
        """
        waits = self.head is not None and "expect" in self.head.fields
        return self._at is _At.ENDLESS or (waits and self._at is not _At.HEAD)

    def walk(self, data: bytes, at: int) -> tuple[int, bool]:
        """Go on to the end of the message, or of the data: (how far, whether the message ended)."""
        while at < len(data):
            match self._at:
                case _At.ENDLESS:
                    return len(data), False
                case _At.BODY | _At.CHUNK:
                    step = min(self._left, len(data) - at)
                    self._left -= step
                    at += step
                    if not self._left and self._at is _At.BODY:
                        return at, self._end()
                    if not self._left:
                        self._at = _At.SIZE
                case _:
                    at, line = self._gather(data, at)
                    if line and self._read(line):
                        return at, self._end()
        return at, False

    def _gather(self, data: bytes, at: int) -> tuple[int, bytes]:
        """The next line, or head, once it is all there."""
        mark = b"\r\n\r\n" if self._at is _At.HEAD else b"\r\n"
        had = len(self._line)
        self._line += data[at:]
        found = self._line.find(mark, max(0, had - len(mark)))
        if found < 0:
            if len(self._line) > _HEAD_MAX:
                self._at = _At.ENDLESS
                self._line.clear()
            return len(data), b""
        line = bytes(self._line[: found + len(mark)])
        self._line.clear()
        return at + len(line) - had, line

    def _read(self, line: bytes) -> bool:
        """Take a line; whether the message ends with it."""
        try:
            if self._at is _At.HEAD:
                return self._begin(head_of(line))
            if self._at is _At.TRAILER:
                return line == b"\r\n"
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            self._at = _At.ENDLESS
            return False
        self._left = size + 2  # and the line's end behind the chunk
        self._at = _At.CHUNK if size else _At.TRAILER
        return False

    def _begin(self, head: Head) -> bool:
        self.head = head
        none = self._answered(head) if self._responses else self._asked(head)
        if self._at is _At.ENDLESS or none:
            return none
        if "chunked" in head.fields.get("transfer-encoding", "").lower():
            self._at = _At.SIZE
        elif (length := head.fields.get("content-length")) is not None:
            if not length.isdecimal():
                raise ValueError(f"no length: {length!r}")
            self._left = int(length)
            self._at = _At.BODY
            return not self._left
        elif self._responses:
            self._at = _At.ENDLESS
        else:
            return True
        return False

    def _asked(self, head: Head) -> bool:
        """A request; without a length it has no body, which the caller finds."""
        self.alone = not self._talk.asked
        self.target = head.words[1]
        self._talk.asked.append((head.words[0], self.target))
        return False

    def _answered(self, head: Head) -> bool:
        """A response; whether it has no body, whatever it says."""
        status = int(head.words[1])
        method, self.target = self._talk.asked[0] if self._talk.asked else ("", "")
        if status == _SWITCHING or (method == "CONNECT" and _OK <= status < _REDIRECTION):
            self._talk.tunnel = True
        return (
            method in ("HEAD", "CONNECT") or status in (_NO_CONTENT, _NOT_MODIFIED) or status < _OK
        )

    def _end(self) -> bool:
        self._at = _At.HEAD
        if self._responses and self.head is not None and self._talk.asked:
            status = int(self.head.words[1])
            if status >= _OK or status == _SWITCHING:
                self._talk.asked.popleft()
        return True


class MessageCutter:
    """Cuts messages out of one direction; a `fleet_sim.proxy.flow.Cutter`."""

    __slots__ = ("_buffer", "_framing", "_passing", "_responses", "_talk")

    def __init__(self, talk: Talk, *, responses: bool) -> None:
        self._talk = talk
        self._responses = responses
        self._framing = Framing(talk, responses=responses)
        self._buffer = bytearray()
        self._passing = False

    @property
    def held(self) -> int:
        """Bytes of a message that is not all there yet."""
        return len(self._buffer)

    @property
    def midway(self) -> bool:
        """Whether the rest of a message is to come, of which a part has been given out."""
        return self._passing

    def follow(self, data: bytes) -> None:
        """Only walk along."""
        for _, ended in self._parts(data):
            self._passing = not ended

    def release(self) -> bytes:
        """What is held; from here on its message goes by in pieces."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._passing = self._passing or bool(rest)
        return rest

    def cut(self, data: bytes) -> Iterator[Item]:
        """Whole messages, and pieces of those that are too long, or endless."""
        for part, ended in self._parts(data):
            if self._passing:
                self._passing = not ended
                yield Piece(part, last=ended)
                continue
            self._buffer += part
            if ended:
                raw = bytes(self._buffer)
                self._buffer.clear()
                yield self._message(raw)
            elif len(self._buffer) > MESSAGE_MAX or self._framing.endless or self._talk.tunnel:
                yield Piece(self.release(), last=False)

    def _parts(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        at = 0
        while at < len(data):
            if self._talk.tunnel:
                yield data[at:], False
                return
            end, ended = self._framing.walk(data, at)
            yield data[at:end], ended
            at = end

    def _message(self, raw: bytes) -> Message:
        framing = self._framing
        assert framing.head is not None
        words = framing.head.words
        if self._responses:
            return Response(
                raw, int(words[1]), framing.target, framing.head.size, framing.head.fields
            )
        return Request(raw, words[0], words[1], framing.alone, self._talk)
