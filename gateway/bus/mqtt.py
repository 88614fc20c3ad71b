"""The northbound broker: events, retained states and health out, commands in.

doorfleet/v1/<site>/<cell>/<device>/event/<type>    QoS 1, CloudEvents JSON
                                   /state           QoS 1, retained, at most one per interval
                                   /command         subscribed; MQTT 5 request and response
                                   /result          QoS 1
doorfleet/v1/<site>/gateway/<cell>/health           QoS 1, retained, with a will
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import orjson
import structlog
from mqtt5 import PubAckReasonCode, PublishPacket, QoS, TopicFilter, Will

from devices.health import CellState
from gateway.bus.feed import Feed
from gateway.clock import Clock
from gateway.config import MqttBus
from gateway.events import CONTENT_TYPE
from gateway.roster import Entry, device_of, level_of
from gateway.store import DeadLetter, Row, Store
from vendors.wire.mqtt import Link, Session

log = structlog.get_logger("gateway.bus")

ROOT: Final = "doorfleet/v1"
_JSON: Final = "application/json"
_FAILURE: Final = 0x80
_DEVICE_LEVEL: Final = 4
_DRAIN_POLL_S: Final = 0.01
# Results that wait for a link; each is also an event in the outbox, which loses none.
_ANSWERS_MAX: Final = 1_024

#: (message, device)
OnCommand = Callable[[PublishPacket, str], None]


class MqttSink:
    """One cell's session on the northbound broker.

    Args:
        on_command: told of each message on a device's `command` topic.
        on_refused: told of an event that the broker refused for good.
        entries: all devices, for their states after the link came up.
    """

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        config: MqttBus,
        *,
        site: str,
        cell: str,
        vendor: str,
        kind: str,
        store: Store,
        committed: int,
        clock: Clock,
        rng: random.Random,
        network: Any,  # noqa: ANN401 -- the simulators' own type
        state_interval_ms: int,
        refusals_max: int,
        entries: Callable[[], Iterable[Entry]],
        on_command: OnCommand,
        on_refused: Callable[[DeadLetter], None],
    ) -> None:
        self.name = config.name
        self.trouble = "not connected yet"
        self._prefix = f"{ROOT}/{site}/{cell}/"
        self._health_topic = f"{ROOT}/{site}/gateway/{cell}/health"
        self._clock = clock
        self._interval_ms = state_interval_ms
        self._refusals_max = refusals_max
        self._refusals: dict[int, int] = {}
        self._entries = entries
        self._on_command = on_command
        self._on_refused = on_refused
        self._state_head = b'{"vendor":"%b","kind":"%b","device":' % (
            vendor.encode(),
            kind.encode(),
        )
        self._topics: dict[tuple[str, str], str] = {}
        self._due: dict[Entry, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._health = b""
        self._answers: deque[tuple[str, bytes, bytes | None]] = deque(maxlen=_ANSWERS_MAX)
        down = {"cell": cell, "state": CellState.DOWN, "reason": "connection lost"}
        self._session = Session(
            config,
            client_id=config.client_id or f"doorfleet-{site}-{cell}",
            rng=rng,
            subscriptions=[
                TopicFilter(self._prefix + "+/command", max_qos=QoS.AT_LEAST_ONCE, no_local=True)
            ],
            will=Will(
                self._health_topic,
                payload=orjson.dumps(down),
                qos=QoS.AT_LEAST_ONCE,
                retain=True,
                content_type=_JSON,
            ),
            on_publish=self._commands,
            on_link=self._linked,
            # A command that waited for us while we were away is too old to move a door.
            clean_start=True,
            opener=network.mqtt_opener if network is not None else None,
        )
        self._session.on_window(self.pump)
        self.feed = Feed(store, store.sinks.get(config.name, 0), committed, self.pump)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await self._session.run()

    async def drain(self, limit_s: float) -> None:
        """Wait for what is under way, say that we are stopped, and leave politely."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + limit_s
        self._tick()
        while self._session.up and not self.feed.idle and loop.time() < until_s:
            self.pump()
            await asyncio.sleep(_DRAIN_POLL_S)
        await self._session.close(drain_s=max(0.0, until_s - loop.time()))

    # --- out ----------------------------------------------------------------------------------

    def pump(self) -> None:
        """Let go as many answers and events as the broker's window takes."""
        session, feed = self._session, self.feed
        while self._answers and session.up:
            topic, payload, correlation = self._answers[0]
            if not session.publish(
                topic, payload, qos=1, content_type=_JSON, correlation_data=correlation
            ):
                return
            self._answers.popleft()
        while session.up:
            rows = feed.take(session.window_free)
            if not rows:
                break
            for index, row in enumerate(rows):
                if not self._publish(row):
                    feed.put_back(rows[index:])
                    return

    def _publish(self, row: Row) -> bool:
        key = (row.device, row.type)
        topic = self._topics.get(key)
        if topic is None:
            if len(self._topics) > 100_000:  # noqa: PLR2004 -- devices_max bounds it far below
                self._topics.clear()
            level = level_of(row.device)
            topic = self._topics[key] = f"{self._prefix}{level}/event/{row.type}"
        return self._session.publish(
            topic,
            row.event,
            qos=1,
            content_type=CONTENT_TYPE,
            done=partial(self._done, row),
        )

    def _done(self, row: Row, code: PubAckReasonCode | None) -> None:
        if code is None:
            return  # the session ended with the process; the store still has it
        if code.value >= _FAILURE:
            tries = self._refusals.get(row.row, 0) + 1
            if tries < self._refusals_max and self._publish(row):
                self._refusals[row.row] = tries
                return
            reason = f"sink {self.name} refused: {code.name.lower()}"
            log.warning("sink.refused", sink=self.name, type=row.type, code=code.name.lower())
            self._on_refused(
                DeadLetter(self._clock.now_ms(), f"bus/{self.name}", row.event, reason)
            )
        self._refusals.pop(row.row, None)
        self.feed.delivered(row.row)

    def states(self, entries: Iterable[Entry]) -> None:
        """These devices' states are committed: say them, each seldom enough."""
        now_ms = self._clock.now_ms()
        interval_ms = self._interval_ms
        due = self._due
        for entry in entries:
            if entry in due:
                continue
            if now_ms - entry.state_at_ms < interval_ms or not self._say(entry, now_ms):
                due[entry] = None
        if due and self._timer is None and self._session.up:
            self._arm()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(self._interval_ms, 10) / 1000, self._tick)

    def _tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ms = self._clock.now_ms()
        for entry in list(self._due):
            if not self._say(entry, now_ms):
                break
            del self._due[entry]
        if self._due and self._session.up:
            self._arm()

    def _say(self, entry: Entry, now_ms: int) -> bool:
        """Publish one device's retained state as it was last committed."""
        if not entry.axes_json:
            return True
        if not self._session.up:
            return False
        payload = b'%b%b,"sequence":%d,"at_ms":%d,"axes":%b}' % (
            self._state_head,
            orjson.dumps(entry.name),
            entry.committed,
            now_ms,
            entry.axes_json,
        )
        said = self._session.publish(
            f"{self._prefix}{entry.level}/state", payload, qos=1, retain=True, content_type=_JSON
        )
        if said:
            entry.state_at_ms = now_ms
        return said

    def health(self, body: dict[str, object]) -> None:
        """Publish the cell's health, now and whenever the link comes up again."""
        self._health = orjson.dumps(body)
        if self._session.up:
            self._session.publish(
                self._health_topic, self._health, qos=1, retain=True, content_type=_JSON
            )

    def answer(
        self,
        device: str,
        body: dict[str, str | int | None],
        response_topic: str | None,
        correlation: bytes | None,
    ) -> None:
        """Publish a command's result on `result`, and where the caller asked for it."""
        payload = orjson.dumps(body)
        self._answers.append((f"{self._prefix}{level_of(device)}/result", payload, correlation))
        if response_topic:
            self._answers.append((response_topic, payload, correlation))
        self.pump()

    # --- in -----------------------------------------------------------------------------------

    def _commands(self, packets: list[PublishPacket], generation: int) -> None:
        for packet in packets:
            self._on_command(packet, device_of(packet.topic.split("/")[_DEVICE_LEVEL]))
        # At once: a command that is lost with us was never begun, and one that is delivered
        # again after a restart could move a door late.
        self._session.ack(generation, [p.packet_id for p in packets if p.packet_id is not None])

    def _linked(self, link: Link) -> None:
        self.trouble = "" if link.up else link.reason
        if self._session.up:  # events leave, even if we are not let hear commands
            if self._health:
                self.health(orjson.loads(self._health))
            self._due = dict.fromkeys(self._entries())
            self._tick()
            self.pump()
