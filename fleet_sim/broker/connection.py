"""One peer's byte stream: packets in, packets out, and everything a hostile peer can try.

```
 (new) ──CONNECT──► (open) ──DISCONNECT, error, silence, takeover──► (closed)
   └── anything else, or nothing in time ─────────────────────────────► (closed)
```
Whatever arrives, `receive` does not raise: the connection ends with a reason, the broker goes on.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from fleet_sim.broker.conversation import PUBREL, Conversation
from fleet_sim.broker.core import Broker, Hold
from fleet_sim.broker.dialect import ConnectRequest, Dialect, LeaveRequest, Welcome
from fleet_sim.broker.dialect5 import Dialect5
from fleet_sim.broker.dialect311 import Dialect311
from fleet_sim.broker.message import Delivery
from fleet_sim.broker.reasons import ProtocolError, Reason
from fleet_sim.broker.session import Session
from fleet_sim.broker.timers import Timer
from vendors.wire import mqtt311

_CONNECT: Final = 0x10
# "One and a half times the Keep Alive time" (3.1.1 [MQTT-3.1.2-24]; 5.0 [MQTT-3.1.2-22]).
KEEP_ALIVE_GRACE: Final = 1.5
# A handshake carries no payload worth more, and nobody has been authenticated yet.
_CONNECT_MAX_BYTES: Final = 256 * 1024

_DIALECT_311: Final = Dialect311()
# By (protocol name with its length, level): section 3.1.2.1 of both standards.
_DIALECTS: Final[Mapping[bytes, Dialect]] = {
    b"\x00\x06MQIsdp\x03": _DIALECT_311,
    b"\x00\x04MQTT\x04": _DIALECT_311,
    b"\x00\x04MQTT\x05": Dialect5(),
}


class Outlet(Protocol):
    """The transport under a connection."""

    def write(self, data: bytes) -> None:
        """Send; never waits."""

    def close(self) -> None:
        """Close once everything written is out."""

    def pause(self) -> None:
        """Stop reading from the peer."""

    def resume(self) -> None:
        """Read on."""


class Connection:
    """The broker's end of one connection; also the `Link` of the session that it carries."""

    instant = False

    def __init__(self, broker: Broker, outlet: Outlet, now_s: float) -> None:
        self.session: Session | None = None
        self.closed = False
        self.ready = True
        self._broker = broker
        self._outlet = outlet
        self._dialect: Dialect = _DIALECT_311
        self._out: list[bytes] = []
        # Bytes of packets that are not complete (or are held), and how many the first one needs.
        self._pending = bytearray()
        self._need = 0
        self._slow = False
        self._held = False
        self._gone = False
        self._full = False
        self._out_bytes = 0
        self._answers_bytes = 0
        self._timer: Timer | None = None
        self._waits_as: str | None = None
        self._packet_max_bytes: int | None = None
        self._expiry_s: int | None = 0
        self._talk: Conversation | None = None
        self._keep_alive_s = 0.0
        self._seen_s = now_s
        self._timer = broker.at(now_s + broker.limits.connect_timeout_s, self._check_connected)

    # What the transport says

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the peer."""
        if self.closed:
            return
        buffer: bytes | bytearray = data
        if self._pending or self._held:
            self._pending += data
            if self._held or len(self._pending) < self._need:
                return
            buffer = self._pending
            self._pending = bytearray()
        self._need = 0
        self._seen_s = now_s
        try:
            taken = self._take_packets(buffer, now_s)
        except ProtocolError as error:
            self._broker.counters.protocol_errors += 1
            self._end(error.reason, now_s)
        else:
            if taken < len(buffer):
                self._pending += memoryview(buffer)[taken:]
            if self._slow and self._answers_bytes > self._broker.limits.out_max_bytes:
                self._end(Reason.QUOTA_EXCEEDED, now_s)

    def lost(self, now_s: float) -> None:
        """The transport is closed."""
        if self._held and self._hold_is(Hold.PARTITIONED):
            self._gone = True  # the FIN is cut off like everything else
            return
        self._end(Reason.SUCCESS, now_s)

    def slowed(self, now_s: float) -> None:
        """The transport's buffer is full: messages wait in the session.

        The peer is still heard, for its pings and acknowledgements say that it lives; but one
        that makes us pile up answers which it does not read is put out, see `receive`.
        """
        self._slow = True
        self._answers_bytes = 0
        self._set_ready(now_s)

    def eased(self, now_s: float) -> None:
        """The transport's buffer has room again."""
        self._slow = False
        self._set_ready(now_s)

    def flush(self, now_s: float) -> None:
        """Write everything at once; called by the broker."""
        if self._out and not self._held:
            data = b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._outlet.write(data)
            if self._full:
                self._full = False
                self._set_ready(now_s)
        if self.closed:
            self._outlet.close()

    # What the session says (Link)

    def send(self, delivery: Delivery, packet_id: int, now_s: float, *, duplicate: bool) -> bool:
        """PUBLISH; False if the client said that it cannot take one so long."""
        qos = delivery.qos
        head, tail = self._dialect.publish(delivery, now_s)
        size = len(head) + len(tail) + (2 if qos else 0)
        limit = self._packet_max_bytes
        if limit is not None and size > limit:
            return False
        self._out_bytes += size
        if self._out_bytes > self._broker.limits.out_max_bytes:
            self._full = True  # until the next flush
            self.ready = False
        out = self._out
        if not out:
            self._broker.dirty.append(self)
        if qos:
            if duplicate:
                head = bytes((head[0] | 0x08,)) + head[1:]
            out += (head, packet_id.to_bytes(2, "big"), tail)
        else:
            out.append(head)
        return True

    def release(self, packet_id: int) -> None:
        """PUBREL."""
        self._emit(self._dialect.ack(PUBREL, packet_id, Reason.SUCCESS))

    def close(self, reason: Reason, now_s: float) -> None:
        """The broker ends it; `SUCCESS` says nothing to the peer."""
        del now_s
        self._finish(reason)

    # What a fault says (Holdable)

    def hold(self, now_s: float) -> None:
        """Let nothing pass; bytes from the peer wait, at most one read of them."""
        self._held = True
        self._set_ready(now_s)
        self._outlet.pause()

    def unhold(self, now_s: float) -> None:
        """Go on with what was held."""
        self._held = False
        if self._waits_as is not None:
            self._release_hold(self._waits_as)
            self._waits_as = None
        self._broker.dirty.append(self)
        if self._gone:
            self.lost(now_s)
        if self.closed:
            return
        self._outlet.resume()
        self.receive(b"", now_s)
        self._set_ready(now_s)

    # Packets

    def _take_packets(self, buffer: bytes | bytearray, now_s: float) -> int:
        """Handle every whole packet; how many bytes they were."""
        index, have = 0, len(buffer)
        packet_max = self._broker.limits.packet_max_bytes
        while not self._held:
            limit = packet_max
            if self.session is None:
                if have > index and buffer[index] != _CONNECT:
                    raise ProtocolError(Reason.SUCCESS, "the first packet is no CONNECT")
                limit = min(packet_max, _CONNECT_MAX_BYTES)
            try:
                measured = mqtt311.measure(buffer, index)
            except mqtt311.MalformedPacketError as exc:
                raise ProtocolError(Reason.MALFORMED_PACKET, str(exc)) from exc
            if measured is None:
                break
            end = measured[1]
            if end - index > limit:
                raise ProtocolError(Reason.PACKET_TOO_LARGE, f"{end - index} bytes")
            if end > have:
                self._need = end - index
                break
            if not self._packet(bytes(buffer[index:end]), measured[0] - index, now_s):
                break
            index = end
            if self.closed:
                return have  # nothing counts after goodbye
        return index

    def _packet(self, raw: bytes, body: int, now_s: float) -> bool:
        """Handle one; False if it has to wait."""
        if self._talk is None:
            return self._connect(raw, body, now_s)
        if (leave := self._talk.handle(raw, now_s)) is not None:
            self._leave(self._talk.session, leave, now_s)
        return True

    def _connect(self, raw: bytes, body: int, now_s: float) -> bool:
        broker = self._broker
        if (dialect := _dialect(raw, body)) is None:
            broker.counters.refused += 1
            self._end(Reason.UNSUPPORTED_VERSION, now_s)
            return True
        self._dialect = dialect
        request = dialect.read_connect(raw)
        if request.client_id in broker.held:
            self._waits_as = request.client_id
            self._take_hold(request.client_id)
            self.hold(now_s)
            return False
        reason = broker.judge(request)
        if reason is not Reason.SUCCESS:
            broker.counters.refused += 1
            self._end(reason, now_s)
            return True
        self._open(request, now_s)
        return True

    def _open(self, request: ConnectRequest, now_s: float) -> None:
        broker, limits = self._broker, self._broker.limits
        client_id = request.client_id or broker.new_client_id()
        broker.call_off(self._timer)
        session, present = broker.connect(client_id, request, self, now_s)
        self.session = session
        self._talk = Conversation(broker, self._dialect, session, self._emit, now_s)
        self._expiry_s = request.session_expiry_s
        self._take_hold(client_id)
        self._packet_max_bytes = request.packet_max_bytes
        keep_alive_s = request.keep_alive_s
        told_keep_alive_s = None
        longest_s = limits.keep_alive_max_s
        if longest_s and not 0 < keep_alive_s <= longest_s and self._dialect.version > 4:  # noqa: PLR2004 -- 3.1.1 has no way to be told
            keep_alive_s = told_keep_alive_s = longest_s
        if keep_alive_s:
            self._keep_alive_s = keep_alive_s * KEEP_ALIVE_GRACE
            self._timer = broker.at(now_s + self._keep_alive_s, self._check_alive)
        granted_s = session.expiry_s
        as_asked = granted_s is None or granted_s == request.session_expiry_s
        self._emit(
            self._dialect.welcome(
                Welcome(
                    session_present=present,
                    assigned_client_id=None if request.client_id else client_id,
                    keep_alive_s=told_keep_alive_s,
                    session_expiry_s=None if as_asked else int(granted_s or 0),
                    receive_max=limits.receive_max,
                    packet_max_bytes=limits.packet_max_bytes,
                    topic_alias_max=limits.topic_alias_max,
                )
            )
        )
        session.resume(now_s)

    def _leave(self, session: Session, request: LeaveRequest, now_s: float) -> None:
        if request.session_expiry_s != -1:
            if self._expiry_s == 0 and request.session_expiry_s != 0:
                raise ProtocolError(Reason.PROTOCOL_ERROR, "a session cannot be prolonged so late")
            longest_s = self._broker.limits.session_expiry_max_s
            wanted_s = request.session_expiry_s
            session.expiry_s = longest_s if wanted_s is None else min(wanted_s, longest_s)
        self._broker.detach(session, self, now_s, with_will=request.with_will)
        self._finish(Reason.SUCCESS)

    # Ends

    def _check_connected(self, now_s: float) -> None:
        if self.session is None and not self.closed and not self._held:
            self._end(Reason.SUCCESS, now_s)

    def _check_alive(self, now_s: float) -> None:
        if self.closed:
            return
        due_s = self._seen_s + self._keep_alive_s
        if now_s < due_s:
            self._timer = self._broker.at(due_s, self._check_alive)
        elif self._held and self._hold_is(Hold.STALLED):
            self._timer = self._broker.at(now_s + self._keep_alive_s, self._check_alive)
        else:
            self._end(Reason.KEEP_ALIVE_TIMEOUT, now_s)

    def _end(self, reason: Reason, now_s: float) -> None:
        """Close because of the peer: its will is due."""
        if self.closed:
            return
        session = self.session
        self._finish(reason)
        if session is not None:
            self._broker.detach(session, self, now_s, with_will=True)

    def _finish(self, reason: Reason) -> None:
        if self.closed:
            return
        if reason is not Reason.SUCCESS:
            last = self._dialect.refuse if self.session is None else self._dialect.disconnect
            self._emit(last(reason))
        self.closed = True
        self.ready = False
        self._broker.call_off(self._timer)
        self._pending = bytearray()
        if self._waits_as is not None:
            self._release_hold(self._waits_as)
        elif self.session is not None:
            self._release_hold(self.session.client_id)
        self._broker.dirty.append(self)

    def _emit(self, data: bytes) -> None:
        if not data:
            return  # 3.1.1 has no word for it
        self._answers_bytes += len(data)
        if not self._out:
            self._broker.dirty.append(self)
        self._out.append(data)

    def _set_ready(self, now_s: float) -> None:
        self.ready = not (self._slow or self._full or self._held or self.closed)
        if self.ready and (session := self.session) is not None and session.link is self:
            session.pump(now_s)

    def _take_hold(self, client_id: str) -> None:
        self._broker.holdables.setdefault(client_id, []).append(self)

    def _release_hold(self, client_id: str) -> None:
        holdables = self._broker.holdables.get(client_id, [])
        if self in holdables:
            holdables.remove(self)
            if not holdables:
                del self._broker.holdables[client_id]

    def _hold_is(self, hold: Hold) -> bool:
        client_id = self.session.client_id if self.session is not None else self._waits_as
        return client_id is not None and self._broker.held.get(client_id) is hold


def _dialect(raw: bytes, body: int) -> Dialect | None:
    """The dialect that a CONNECT speaks, by its protocol name and level."""
    size = 2 + (raw[body] << 8 | raw[body + 1]) + 1 if len(raw) > body + 1 else 0
    return _DIALECTS.get(raw[body : body + size])
