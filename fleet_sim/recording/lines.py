"""The format of recordings: JSON lines, one frame each, in the order in which they were seen.

    {"at_ms": 1200, "direction": "device->host", "transport": "mqtt", "topic": "…",
     "retained": false, "qos": 1, "payload": …}            or "payload_hex": "1794…"

`at_ms` counts from the first timed frame; null means that nobody noted it, and the frame follows
its predecessor at once. `retained` null means that nobody saw the flag: it is played as false.
`qos` is what the frame had, and says nothing of how it is played: at QoS 1, in order.
`stored` true: the broker had kept it from before the recording began. `began_at_ms`, on the first
line only, is the Unix time of `at_ms` 0. A datagram has a payload only, a request `method` and
`path` beside it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from devices.errors import ConfigError

#: Who said it.
FROM_DEVICE: Final = "device->host"
FROM_HOST: Final = "host->device"
MQTT: Final = "mqtt"
_TOPIC_BYTES_MAX: Final = 65_535
_QOS_MAX: Final = 2
_MISTAKES_MAX: Final = 20
#: What must be given for a transport to be played.
_ASK: Final = {"udp": "give --udp to have datagrams sent", "http": "give --http to have it posted"}


class Mistake(Exception):  # noqa: N818 -- the file's, and caught here
    """What is wrong with a line, and the remedy."""


class Recorded(NamedTuple):
    """A message of a broker; `at_ms` is None where the source has no time. Its QoS is not kept."""

    line: int
    at_ms: float | None
    topic: str
    payload: bytes
    retain: bool


class Datagram(NamedTuple):
    """What a panel pushes to who listens."""

    line: int
    at_ms: float | None
    payload: bytes


class Request(NamedTuple):
    """What a bridge or a cloud posts to who asked to be told."""

    line: int
    at_ms: float | None
    method: str
    path: str
    payload: bytes


Playable = Recorded | Datagram | Request


class Recording(NamedTuple):
    """A file: its playable frames in order, and why the others are not, counted."""

    frames: Sequence[Playable]
    records: int
    skipped: Counter[str]


def read(path: Path, ways: Collection[str] = (MQTT,)) -> Recording:
    """All lines of a recording.

    Args:
        path: the file.
        ways: transports that can be played; frames of others are counted as skipped.

    Raises:
        ConfigError: with every mistake (the first twenty): file, line, what is wrong, and remedy.
    """
    frames: list[Playable] = []
    skipped: Counter[str] = Counter()

    def take(number: int, record: dict[str, Any]) -> None:
        found = _frame(number, record, ways)
        if isinstance(found, str):
            skipped[found] += 1
        else:
            frames.append(found)

    records, cut_off = _each(path, take)
    if cut_off:
        skipped["the last line is cut off: the recorder was ended while it wrote"] += 1
    return Recording(frames, records, skipped)


def stream(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file that we wrote, one at a time; what is no record is left out.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            for text in file:
                try:
                    record = orjson.loads(text)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(record, dict):
                    yield record
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}; give a file of JSON lines",)) from error


def line(record: dict[str, Any]) -> bytes:
    """A record as it is written."""
    return orjson.dumps(record) + b"\n"


def payload_fields(payload: bytes) -> dict[str, Any]:
    """`payload` or `payload_hex`: whatever gives the same bytes back when it is played.

    Documents are written as what they are if they come out the same, byte by byte; else as text.
    """
    if payload[:1] in {b"{", b"["}:
        try:
            document = orjson.loads(payload)
            if orjson.dumps(document) == payload:
                return {"payload": document}
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            pass
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payload_hex": payload.hex()}


def payload_of(record: dict[str, Any]) -> bytes:
    """The bytes that were on the wire.

    Raises:
        Mistake: there are none, or they are no hex digits.
    """
    if "payload_hex" in record:
        try:
            return bytes.fromhex(record["payload_hex"])
        except (TypeError, ValueError):
            shown = _short(record["payload_hex"])
            raise Mistake(f'"payload_hex" is {shown}; write pairs of hex digits') from None
    if "payload" not in record:
        raise Mistake('"payload" is missing; write it, or "payload_hex"')
    payload = record["payload"]
    return payload.encode() if isinstance(payload, str) else orjson.dumps(payload)


def _each(path: Path, take: Callable[[int, dict[str, Any]], None]) -> tuple[int, bool]:
    """Hand over each record with its line number; how many there were, and whether one was cut."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}; give a file of JSON lines",)) from error
    problems: list[str] = []
    count, cut_off = 0, False
    lines = data.splitlines()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            record = _object(text)
        except Mistake as error:
            cut_off = number == len(lines) and count > 0 and _is_cut_off(data, text)
            if not cut_off:
                problems.append(f"{path}:{number}: {error}")
            count += not cut_off
            continue
        count += 1
        try:
            take(number, record)
        except Mistake as error:
            problems.append(f"{path}:{number}: {error}")
    if len(problems) > _MISTAKES_MAX:
        problems[_MISTAKES_MAX:] = [f"{path}: and {len(problems) - _MISTAKES_MAX} lines more"]
    if not count:
        problems.append(f"{path}: it is empty; give a file of JSON lines")
    if problems:
        raise ConfigError(tuple(problems))
    return count, cut_off


def _is_cut_off(data: bytes, text: bytes) -> bool:
    return text.startswith(b'{"') and not data.endswith(b"\n")


def _object(text: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Mistake(f"no JSON: {error}; write one object on each line") from None
    if not isinstance(record, dict):
        raise Mistake("no object; write one JSON object on each line")
    return record


def _frame(number: int, record: dict[str, Any], ways: Collection[str]) -> Playable | str:
    """The frame of a record, or why it is not played.

    Raises:
        Mistake: what is wrong with the line, and what to do about it.
    """
    transport, at_ms = record.get("transport"), record.get("at_ms")
    if not isinstance(transport, str):
        raise Mistake('"transport" is missing; write mqtt, udp, http or what it was')
    if at_ms is not None and (isinstance(at_ms, bool) or not isinstance(at_ms, int | float)):
        raise Mistake(f'"at_ms" is {_short(at_ms)}; write milliseconds, or null')
    if transport not in ways:
        return f"{transport}: {_ASK.get(transport, 'nothing here plays it')}"
    if record.get("direction", FROM_DEVICE) != FROM_DEVICE:
        return "from the host: the gateway speaks for itself"
    return _OF[transport](number, at_ms, record)


def _datagram(number: int, at_ms: float | None, record: dict[str, Any]) -> Datagram | str:
    if "payload_hex" not in record:
        return "udp: what a program had made of a datagram"
    return Datagram(number, at_ms, payload_of(record))


def _request(number: int, at_ms: float | None, record: dict[str, Any]) -> Request | str:
    method, path = record.get("method"), record.get("path")
    if not isinstance(method, str) or not isinstance(path, str):
        return "http: an answer, which nobody here asked for"
    if not path.startswith("/"):
        raise Mistake(f'"path" is {_short(path)}; write it with a slash in front')
    return Request(number, at_ms, method, path, payload_of(record))


def _message(number: int, at_ms: float | None, record: dict[str, Any]) -> Recorded | str:
    topic, qos = record.get("topic"), record.get("qos", 0)
    if not isinstance(topic, str) or not topic or _is_too_long(topic):
        raise Mistake(f'"topic" is {_short(topic)}; write the topic as text')
    if "+" in topic or "#" in topic:
        return "a subscription: its topic holds wildcards"
    if qos is not None and (type(qos) is not int or not 0 <= qos <= _QOS_MAX):
        raise Mistake(f'"qos" is {_short(qos)}; write 0, 1 or 2')
    retain = record.get("retained") is True
    return Recorded(number, at_ms, topic, payload_of(record), retain)


_OF: Final[Mapping[str, Callable[[int, float | None, dict[str, Any]], Playable | str]]] = {
    MQTT: _message,
    "udp": _datagram,
    "http": _request,
}


def _is_too_long(topic: str) -> bool:
    return len(topic.encode("utf-8", "surrogatepass")) > _TOPIC_BYTES_MAX


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"  # noqa: PLR2004 -- enough to recognise it
