"""A recording, played through a running gateway: frames in, and what came out on the bus.

A recording is JSON lines, one frame each, in the order in which they were seen:

    {"at_ms": 1200, "direction": "device->host", "transport": "mqtt", "topic": "…",
     "retained": false, "qos": 1, "payload": …}            or "payload_hex": "1794…"

`at_ms` counts from the first timed frame; null means that nobody noted it, and the frame follows
its predecessor at once. `retained` null means that nobody saw the flag: it is played as false.
What a device sent over MQTT can be played. A datagram cannot: panels are asked by the gateway, and
`doorfleet-sim run` has panels that answer.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiomqtt
import orjson

from devices.errors import ConfigError
from fleet_sim.stage import StageError
from gateway.app import ROOT

_EVENTS: Final = f"{ROOT}/+/+/+/event/#"
_MQTT_PORT: Final = 1883
_OURS: Final = "device->host"
_TOPIC_BYTES_MAX: Final = 65_535
_QOS_MAX: Final = 2
# The bus has fallen silent when nothing came for so long; and how long that is waited for.
_SILENT_S: Final = 0.5
_PATIENCE_S: Final = 15.0
_MISTAKES_MAX: Final = 20


class _Mistake(Exception):  # noqa: N818 -- the file's, and caught here
    """What is wrong with a line, and the remedy."""


class Recorded(NamedTuple):
    """One line that can be played; `at_ms` is None where the source has no time."""

    line: int
    at_ms: float | None
    topic: str
    payload: bytes
    qos: int
    retain: bool


class Recording(NamedTuple):
    """A file: its playable frames in order, and why the others are not, counted."""

    frames: Sequence[Recorded]
    records: int
    skipped: Counter[str]


def read(path: Path) -> Recording:
    """All lines of a recording.

    Raises:
        ConfigError: with every mistake (the first twenty): file, line, what is wrong, and remedy.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}; give a file of JSON lines",)) from error
    frames: list[Recorded] = []
    skipped: Counter[str] = Counter()
    problems: list[str] = []
    records = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        records += 1
        try:
            found = _frame(number, line)
        except _Mistake as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        if isinstance(found, str):
            skipped[found] += 1
        else:
            frames.append(found)
    if len(problems) > _MISTAKES_MAX:
        problems[_MISTAKES_MAX:] = [f"{path}: and {len(problems) - _MISTAKES_MAX} lines more"]
    if not records:
        problems.append(f"{path}: it is empty; give a file of JSON lines")
    if problems:
        raise ConfigError(tuple(problems))
    return Recording(frames, records, skipped)


def _frame(number: int, line: bytes) -> Recorded | str:
    """The frame in a line, or why it is not played.

    Raises:
        _Mistake: what is wrong with the line, and what to do about it.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _Mistake(f"no JSON: {error}; write one object on each line") from None
    if not isinstance(record, dict):
        raise _Mistake("no object; write one JSON object on each line")
    transport = record.get("transport")
    if not isinstance(transport, str):
        raise _Mistake('"transport" is missing; write mqtt, udp, http or what it was')
    if transport != "mqtt":
        return f"{transport}: only what went over MQTT can be played"
    if record.get("direction", _OURS) != _OURS:
        return "from the host: the gateway speaks for itself"
    topic, at_ms, qos = record.get("topic"), record.get("at_ms"), record.get("qos", 0)
    if not isinstance(topic, str) or not topic or len(topic.encode()) > _TOPIC_BYTES_MAX:
        raise _Mistake(f'"topic" is {_short(topic)}; write the topic as text')
    if "+" in topic or "#" in topic:
        return "a subscription: its topic holds wildcards"
    if at_ms is not None and (isinstance(at_ms, bool) or not isinstance(at_ms, int | float)):
        raise _Mistake(f'"at_ms" is {_short(at_ms)}; write milliseconds, or null')
    if qos is not None and (type(qos) is not int or not 0 <= qos <= _QOS_MAX):
        raise _Mistake(f'"qos" is {_short(qos)}; write 0, 1 or 2')
    retain = record.get("retained") is True
    return Recorded(number, at_ms, topic, _payload(record), qos or 0, retain)


def _payload(record: dict[str, Any]) -> bytes:
    if "payload_hex" in record:
        try:
            return bytes.fromhex(record["payload_hex"])
        except (TypeError, ValueError):
            shown = _short(record["payload_hex"])
            raise _Mistake(f'"payload_hex" is {shown}; write pairs of hex digits') from None
    if "payload" not in record:
        raise _Mistake('"payload" is missing; write it, or "payload_hex"')
    payload = record["payload"]
    return payload.encode() if isinstance(payload, str) else orjson.dumps(payload)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"  # noqa: PLR2004 -- enough to recognise it


async def play(
    path: Path, broker_url: str, *, speed: float = 1.0, realtime: bool = True
) -> dict[str, Any]:
    """Play a recording to the broker that a gateway listens to, and hear what the gateway says.

    Args:
        path: the recording.
        broker_url: `mqtt://host:port` of the devices' broker; events are heard on the same one.
        speed: times as fast as it was.
        realtime: keep the recorded pauses; if not, each frame follows at once.

    Returns:
        Counts, and under `came` each event with the line of the newest frame before it.

    Raises:
        ConfigError: the recording or the address is wrong.
        StageError: the broker cannot be reached, or went away.
    """
    recording = read(path)  # all of it, before anything is played
    parts = urlsplit(broker_url)
    if parts.scheme != "mqtt" or not parts.hostname:
        raise ConfigError((f"--broker {broker_url!r}: write mqtt://host:port",))
    try:
        async with aiomqtt.Client(
            parts.hostname,
            parts.port or _MQTT_PORT,
            identifier=f"doorfleet-replay-{secrets.token_hex(4)}",
        ) as client:
            return await _Player(client, recording).play(path, speed if realtime else None)
    except aiomqtt.MqttError as error:
        raise StageError(
            f"{broker_url}: {error}; is a broker running there, and --broker right?"
        ) from error


class _Player:
    def __init__(self, client: aiomqtt.Client, recording: Recording) -> None:
        self._client = client
        self._recording = recording
        self._line = 0
        self._came: list[dict[str, Any]] = []
        self._heard_s = 0.0

    async def play(self, path: Path, speed: float | None) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        await self._client.subscribe(_EVENTS, qos=1)
        self._began_s = self._heard_s = loop.time()
        listening = asyncio.create_task(self._listen())
        try:
            for frame in self._recording.frames:
                if frame.at_ms is not None and speed is not None:
                    due_s = self._began_s + frame.at_ms / 1000 / speed
                    await asyncio.sleep(max(0.0, due_s - loop.time()))
                self._line = frame.line
                # QoS 1 at least: the PUBACK says that the next one comes behind it.
                await self._client.publish(
                    frame.topic, frame.payload, qos=max(1, frame.qos), retain=frame.retain
                )
            played_s = loop.time() - self._began_s
            await self._silence(listening)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        types = Counter(each["type"] for each in self._came)
        return {
            "recording": str(path),
            "records": self._recording.records,
            "played": len(self._recording.frames),
            "skipped": dict(self._recording.skipped),
            "seconds": round(played_s, 3),
            "events": len(self._came),
            "types": dict(sorted(types.items())),
            "came": self._came,
        }

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        async for message in self._client.messages:
            self._heard_s = loop.time()
            event = orjson.loads(bytes(message.payload))
            data = event["data"]
            changes = data.get("changes", {})
            self._came.append(
                {
                    "after_line": self._line,
                    "at_ms": round((self._heard_s - self._began_s) * 1000, 1),
                    "type": event["type"],
                    "device": f"{data['vendor']}/{data['device']}",
                    "sequence": int(event["sequence"]),
                    "changes": {axis: change["value"] for axis, change in changes.items()},
                }
            )

    async def _silence(self, listening: asyncio.Task[None]) -> None:
        """Wait until nothing comes any more; the loss of the link ends that early, and is told."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _PATIENCE_S
        last_s = loop.time()
        while loop.time() < until_s:
            quiet_s = loop.time() - max(self._heard_s, last_s)
            if quiet_s >= _SILENT_S:
                return
            await asyncio.wait([listening], timeout=_SILENT_S - quiet_s)
            if listening.done():
                listening.result()
                return
