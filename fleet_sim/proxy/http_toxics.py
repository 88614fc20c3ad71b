"""Toxics that read HTTP/1.1 messages."""

import json
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, ClassVar, Final

from fleet_sim.proxy.http import Request, Response
from fleet_sim.proxy.items import Answer, Message, Sign
from fleet_sim.proxy.stage import Stage
from fleet_sim.proxy.toxic import Toxic, setting, share

_LEAST, _MOST = 200, 599
_CHUNKED: Final = "transfer-encoding"
# RFC 9110, 6.4.1: No Content, Not Modified.
_WITHOUT_BODY: Final = (204, 304)


@dataclass(frozen=True, slots=True)
class HttpAnswer(Toxic):
    """Requests are answered by the proxy, and the server never hears of them. Stream: upstream.

    A request that was sent before the answer to an earlier one came goes through.
    """

    status: int = setting(503, "", "of the answer", _LEAST, _MOST)
    retry_after: int = setting(-1, "s", "in the Retry-After field; -1: there is none", -1)
    location: str = setting("", "", "in the Location field, for a redirect; empty: there is none")
    body: str = setting("", "", "of the answer")
    content_type: str = setting("text/plain", "", "of the body")
    method: str = setting("*", "", "pattern of the methods that it strikes")
    path: str = setting("*", "", "pattern of the targets that it strikes, query included")
    share: float = share("of those requests")

    reads: ClassVar[type[Message] | None] = Request
    source: ClassVar[str] = "home-assistant/core#157221: 429 of a cloud, with and without JSON"

    def strike(self, message: Request, at_s: float, stage: Stage) -> None:
        """Answer it, or let it by."""
        if (
            message.alone
            and fnmatchcase(message.method, self.method)
            and fnmatchcase(message.target, self.path)
            and stage.chance.random() < self.share
        ):
            message.talk.asked.pop()
            stage.add(at_s, Answer(Message(self._answer(message.method))))
        else:
            stage.add(at_s, message)

    def _answer(self, method: str) -> bytes:
        body = self.body.encode()
        fields = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        if self.status not in _WITHOUT_BODY:
            fields += [f"Content-Type: {self.content_type}", f"Content-Length: {len(body)}"]
        if self.retry_after >= 0:
            fields.append(f"Retry-After: {self.retry_after}")
        if self.location:
            fields.append(f"Location: {self.location}")
        head = "\r\n".join(fields).encode() + b"\r\n\r\n"
        return head if method == "HEAD" else head + body

    def problems(self) -> list[str]:
        """What would break the head, or the promise of a status."""
        return [
            f"{name}: no line breaks, please"
            for name in ("location", "content_type")
            if any(each in getattr(self, name) for each in "\r\n")
        ] + (["body: a 204 or 304 has none"] if self.body and self.status in _WITHOUT_BODY else [])


@dataclass(frozen=True, slots=True)
class HttpTruncate(Toxic):
    """The body ends in the middle, and so does the connection. Stream: downstream."""

    bytes: int = setting(0, "bytes", "so many of the body are sent")
    path: str = setting("*", "", "pattern of the targets that it strikes, query included")
    share: float = share("of those responses")

    reads: ClassVar[type[Message] | None] = Response
    source: ClassVar[str] = "RFC 9112, 8: a response that is incomplete must be taken for one"

    def strike(self, message: Response, at_s: float, stage: Stage) -> None:
        """Send the first bytes and close, or let it by; a body as short as that is whole."""
        end = message.body + self.bytes
        if end >= len(message.raw) or not _meant(self.path, message, self.share, stage):
            stage.add(at_s, message)
            return
        stage.add(at_s, replace(message, raw=message.raw[:end]))
        stage.add(at_s, Sign.CLOSE)


@dataclass(frozen=True, slots=True)
class HttpJson(Toxic):
    """A field of a JSON body has another value; a body without the field, or coded, is let by."""

    field: str = setting("/state", "", "JSON Pointer of the field: /devices/0/state")
    value: Any = setting(None, "", "its value from now on, any JSON")  # noqa: RUF009 -- a field
    path: str = setting("*", "", "pattern of the targets that it strikes, query included")
    share: float = share("of those responses")

    reads: ClassVar[type[Message] | None] = Response
    source: ClassVar[str] = "RFC 6901; a firmware that brings states which nobody knew before"

    def strike(self, message: Response, at_s: float, stage: Stage) -> None:
        """Change it, or let it by."""
        if "content-encoding" not in message.fields and _meant(
            self.path, message, self.share, stage
        ):
            message = self._changed(message)
        stage.add(at_s, message)

    def _changed(self, message: Response) -> Response:
        try:
            document = json.loads(_body(message))
            _put(document, self.field, self.value)
        except (ValueError, LookupError, TypeError):
            return message
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        lines = message.raw[: message.body].rstrip().split(b"\r\n")
        kept = [
            line
            for line in lines
            if line.partition(b":")[0].lower() not in (b"content-length", _CHUNKED.encode())
        ]
        kept.append(b"Content-Length: %d" % len(body))
        return replace(message, raw=b"\r\n".join(kept) + b"\r\n\r\n" + body)

    def problems(self) -> list[str]:
        """A pointer that points nowhere."""
        right = self.field.startswith("/")
        return [] if right else [f"field: {self.field!r} is no JSON Pointer; write /state"]


def _meant(path: str, message: Response, share: float, stage: Stage) -> bool:
    return fnmatchcase(message.target, path) and stage.chance.random() < share


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _body(message: Response) -> bytes:
    """Without its chunks."""
    raw = message.raw[message.body :]
    if "chunked" not in message.fields.get(_CHUNKED, "").lower():
        return raw
    body, at = b"", 0
    while size := int(raw[at : (line := raw.index(b"\r\n", at))].partition(b";")[0], 16):
        body += raw[line + 2 : line + 2 + size]
        at = line + 2 + size + 2
    return body


def _put(document: Any, pointer: str, value: Any) -> None:  # noqa: ANN401 -- JSON
    """Replace what is there.

    Raises:
        LookupError: nothing is.
        ValueError: likewise, of a list.
    """
    *way, last = (each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:])
    for name in way:
        document = document[int(name) if isinstance(document, list) else name]
    key = int(last) if isinstance(document, list) else last
    document[key]  # what is not there is not replaced
    document[key] = value
