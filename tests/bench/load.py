"""A publisher and a subscriber that cost little: blocking sockets, packets coded beforehand.

What the bench measures must not be the load's own speed, so one thread sends ready bytes in
bulk, counts PUBACKs by their length, and holds no more than a window of messages under way.
"""

import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from vendors.wire import mqtt311 as mqtt

PUBACK_BYTES = 4


def dial(port: int, client_id: str) -> socket.socket:
    """A connected MQTT 3.1.1 session on loopback, CONNACK read."""
    link = socket.create_connection(("127.0.0.1", port), timeout=10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(mqtt.encode(mqtt.Connect(client_id=client_id, keep_alive_s=0, clean_session=True)))
    answer = b""
    while len(answer) < PUBACK_BYTES:  # a CONNACK is as long as a PUBACK
        if not (more := link.recv(64)):
            raise ConnectionError(f"the broker on port {port} closed before CONNACK")
        answer += more
    if answer[3] != 0:
        raise ConnectionError(f"CONNACK code {answer[3]} from the broker on port {port}")
    link.setblocking(False)
    return link


def packets(topics: Sequence[str], payloads: Sequence[bytes], count: int) -> list[bytes]:
    """`count` QoS 1 PUBLISH packets, round robin over the topics, each topic walking payloads."""
    ready = []
    for number in range(count):
        topic = topics[number % len(topics)]
        payload = payloads[number // len(topics) % len(payloads)]
        ready.append(
            mqtt.encode(
                mqtt.Publish(topic=topic, payload=payload, qos=1, packet_id=number % 65_000 + 1)
            )
        )
    return ready


def pump(port: int, ready: Sequence[bytes], seen_fd: int, window: int, limit_s: float) -> float:
    """Send all, never more than `window` ahead of what `seen_fd` shows; seconds from first to last.

    `seen_fd` yields two bytes for each message that came out at the far end.

    Raises:
        TimeoutError: not everything came out within `limit_s`.
    """
    link = dial(port, "bench-publisher")
    count, sent, acked_bytes, seen_bytes = len(ready), 0, 0, 0
    backlog = b""
    began = time.perf_counter()
    os.set_blocking(seen_fd, False)
    while seen_bytes < 2 * count:
        if time.perf_counter() - began > limit_s:
            raise TimeoutError(f"{seen_bytes // 2} of {count} came out within {limit_s} s")
        # No more un-acked packets than a broker keeps packet ids for, and than the window has.
        room = min(
            window - (sent - seen_bytes // 2),
            1000 - (sent - acked_bytes // PUBACK_BYTES),
            count - sent,
        )
        if not backlog and room >= min(50, count - sent) and room > 0:
            backlog = b"".join(ready[sent : sent + room])
            sent += room
        if backlog:
            select.select([], [link], [], 1.0)
            backlog = backlog[link.send(backlog) :]
        else:
            # Woken for each of a hundred thousand answers, the load would outweigh what it loads.
            time.sleep(0.001)
        with suppress(BlockingIOError):
            if not (answer := link.recv(262_144)):
                raise ConnectionError("the broker closed the publisher's connection")
            acked_bytes += len(answer)
        with suppress(BlockingIOError):
            if not (output := os.read(seen_fd, 262_144)):
                raise ConnectionError("the subscriber ended early")
            seen_bytes += len(output)
    took_s = time.perf_counter() - began
    link.close()
    return took_s


class Listener:
    """A QoS 1 subscriber that notes when each message came, in the order it came per topic part."""

    def __init__(self, port: int, topic: str) -> None:
        self.link = dial(port, "bench-listener")
        self.buffer = b""
        self.link.sendall(mqtt.encode(mqtt.Subscribe(packet_id=1, filters=((topic, 1),))))
        while not self.take():
            select.select([self.link], [], [], 5)

    def take(self) -> list[mqtt.Packet]:
        """Whatever packets have come; PUBLISHes are acknowledged at once."""
        try:
            self.buffer += self.link.recv(262_144)
        except BlockingIOError:
            return []
        came, acks, at = [], [], 0
        while (found := mqtt.read(self.buffer, at)) is not None:
            packet, used = found
            at += used
            came.append(packet)
            if isinstance(packet, mqtt.Publish) and packet.packet_id:
                acks.append(mqtt.encode(mqtt.PubAck(packet_id=packet.packet_id)))
        self.buffer = self.buffer[at:]
        if acks:
            self.link.sendall(b"".join(acks))
        return came


def paced(
    port: int,
    ready: Sequence[bytes],
    devices: Sequence[str],
    listener: Listener,
    rate_per_s: int,
    device_level: int,
) -> list[float]:
    """Send at a steady rate; the latency in ms of each event, matched per device in order."""
    link = dial(port, "bench-pacer")
    under_way: dict[str, deque[float]] = {device: deque() for device in devices}
    latencies_ms: list[float] = []
    began, sent = time.perf_counter(), 0
    deadline = began + len(ready) / rate_per_s + 20
    while len(latencies_ms) < len(ready):
        now = time.perf_counter()
        if now > deadline:
            raise TimeoutError(f"{len(latencies_ms)} of {len(ready)} events came")
        due = min(int((now - began) * rate_per_s) + 1, len(ready))
        if due > sent:
            for number in range(sent, due):
                under_way[devices[number % len(devices)]].append(now)
            link.sendall(b"".join(ready[sent:due]))
            sent = due
        wait_s = (
            max(0.0, began + sent / rate_per_s - time.perf_counter()) if sent < len(ready) else 0.05
        )
        readable, _, _ = select.select([link, listener.link], [], [], wait_s)
        if link in readable:
            link.recv(262_144)
        if listener.link in readable:
            packets_now = listener.take()
            at = time.perf_counter()
            for packet in packets_now:
                if isinstance(packet, mqtt.Publish):
                    device = packet.topic.split("/")[device_level]
                    latencies_ms.append((at - under_way[device].popleft()) * 1000)
    link.close()
    return latencies_ms
