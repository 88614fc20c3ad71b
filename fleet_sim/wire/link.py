"""A board's MQTT 3.1.1 client, or a hub's: as little of one as boards have.

    idle ──► connecting ──► greeting ──► up ──► idle               up ──► dead ──► idle
             (TCP)          (CONNECT)           a timer, and again        nobody is told

There are as many of these as devices, so one is a socket, a few numbers and, only while there is
something in them, two buffers. It has no task, no transport and no timer of its own.
"""

import enum
import errno
import selectors
import socket
from typing import TYPE_CHECKING, Final

from fleet_sim.faults import End
from fleet_sim.hub import HubUnit
from fleet_sim.reset import reset_at_close
from fleet_sim.unit import Unit
from vendors.sim import MqttSession, Publish
from vendors.wire import mqtt311 as mqtt

if TYPE_CHECKING:
    from fleet_sim.wire.switchboard import Switchboard

_CHUNK: Final = 16_384
#: No board takes a longer packet in.
_PACKET_MAX: Final = 1 << 20
#: A board's memory for what its socket does not take; a board that has more to say hangs up.
_OUTBOX_MAX: Final = 1 << 18
#: How long a broker may take from our SYN to its CONNACK.
PATIENCE_S: Final = 10.0
#: What waits for the broker longer than that does not keep others from connecting.
FRESH_S: Final = 1.0
_RETRY_S: Final = 1.0
_SPREAD: Final = (0.6, 1.4)
#: Of the keepalive: PubSubClient pings when it has been idle so long.
_PROBE_SHARE: Final = 0.75
#: A wait that is worth a thought: the shortest keepalive is a second.
_GAP_S: Final = 0.25
#: Whoever drips lets so much time pass between two pieces.
_PIECE_S: Final = 0.05
_UNDER_WAY: Final = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR)


class Phase(enum.IntEnum):
    """How far a connection is."""

    IDLE = 0
    CONNECTING = 1
    GREETING = 2
    UP = 3
    DEAD = 4
    LEAVING = 5
    GONE = 6


class BoardLink:
    """One device's connection, over all of its connections; a `fleet_sim.around.Link`."""

    drips = True

    __slots__ = (
        "_asked",
        "_board",
        "_dripping",
        "_full",
        "_inbox",
        "_outbox",
        "_packet_id",
        "_slot",
        "_socket",
        "_spoke_s",
        "_unit",
        "began_s",
        "fresh",
        "known",
        "phase",
    )

    def __init__(self, board: "Switchboard", unit: Unit | HubUnit) -> None:
        self._board = board
        self._unit = unit
        self._socket: socket.socket | None = None
        self._inbox: bytes | None = None
        self._outbox: bytearray | None = None
        #: What leaves in pieces, and all that is behind it.
        self._dripping: bytearray | None = None
        #: Its socket took less than it has to say.
        self._full = False
        self._packet_id = 0
        #: The one entry in the wheel that counts.
        self._slot = 0
        self._spoke_s = 0.0
        #: A PINGREQ is out, and nothing came since.
        self._asked = False
        self.phase = Phase.IDLE
        #: When the present connection was begun, and whether it was so a moment ago.
        self.began_s = 0.0
        self.fresh = False
        #: It was connected before.
        self.known = False

    @property
    def up(self) -> bool:
        """Whether what is published now may arrive."""
        return self.phase is Phase.UP

    @property
    def waiting(self) -> int:
        """Bytes that it has to say and its socket has not taken yet."""
        return len(self._outbox or b"") + len(self._dripping or b"")

    @property
    def _session(self) -> MqttSession:
        session = self._unit.session
        assert session is not None
        return session

    def overdue(self, now_s: float) -> bool:
        """Whether its broker has waited for a word for longer than it has to."""
        return self.up and 0 < self._session.keepalive_s < now_s - self._spoke_s

    def fresh_at(self, now_s: float) -> bool:
        """Whether it waits for the broker, and not for long."""
        return self.fresh and now_s - self.began_s < FRESH_S

    # --- connecting ---------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to connect; the switchboard says when, and power has to be there."""
        board = self._board
        if self.phase is Phase.GONE:
            return  # power came back when all was over
        if (waits := self._unit.waits) is not None:
            waits.append(self._wants)
            return
        self.began_s = board.now_s()
        self.phase = Phase.CONNECTING
        try:
            made, address = board.dial()
        except OSError as error:
            self._over(error.errno or errno.EIO)
            return
        self._socket = made
        board.opening(self)
        if (code := made.connect_ex(address)) not in _UNDER_WAY:
            self._over(code)
            return
        self._slot = board.wheel.at(self.began_s + board.patience_s, self)
        board.watch(made, self)
        self._unit.link = self
        # On loopback it is connected by now; elsewhere the word waits until the socket takes it.
        session, will = self._session, self._session.will
        self._write(
            mqtt.Connect(
                client_id=session.client_id,
                clean_session=session.clean_session,
                keep_alive_s=session.keepalive_s,
                username=session.username,
                will=None if will is None else mqtt.Will(*will),
            )
        )

    def _wants(self) -> None:
        self._board.enqueue(self)

    def ready(self, events: int) -> None:
        """Its socket can be written to, or read from, or is gone."""
        if events & selectors.EVENT_WRITE:
            self.flush()
        if events & selectors.EVENT_READ and self._socket is not None:
            self._read()

    def _welcome(self, packet: mqtt.Packet) -> None:
        """The first packet of a broker: a CONNACK, or this is none."""
        board = self._board
        if not isinstance(packet, mqtt.ConnAck):
            board.traffic.garbled += 1
            self.drop()
            return
        if packet.code:
            board.traffic.refused += 1
            self.drop()
            return
        board.welcomed(self)
        if self._session.subscriptions:
            self._write(
                mqtt.Subscribe(packet_id=self._next_id(), filters=self._session.subscriptions)
            )
        self.phase = Phase.UP
        self._probe_later()
        self._unit.came_up()

    # --- what comes ---------------------------------------------------------------------------

    def _read(self) -> None:
        made = self._socket
        assert made is not None
        try:
            data = made.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._over(error.errno or errno.EIO)
            return
        if not data:
            self._over(0)
            return
        self._asked = False
        if self._inbox is not None:
            data, self._inbox = self._inbox + data, None
        at = 0
        try:
            while (found := mqtt.read(data, at, packet_max=_PACKET_MAX)) is not None:
                packet, used = found
                at += used
                self._take(packet)
                if self._socket is not made:
                    return  # cut by what came
        except mqtt.MalformedPacketError:
            self._board.traffic.garbled += 1
            self.drop()
            return
        if at < len(data):
            self._inbox = data[at:]

    def _take(self, packet: mqtt.Packet) -> None:
        if self.phase < Phase.UP:
            self._welcome(packet)
        elif isinstance(packet, mqtt.Publish):
            self._board.traffic.heard += 1
            if packet.qos:
                self._write(mqtt.PubAck(packet_id=packet.packet_id))
            self._unit.received(Publish(packet.topic, packet.payload, packet.qos, packet.retain))
        elif isinstance(packet, mqtt.PubAck):
            self._board.traffic.acknowledged += 1

    # --- what goes ----------------------------------------------------------------------------

    def publish(self, message: Publish, over_ms: float = 0.0) -> bool:
        """Send one; QoS 1 is not repeated, as a board without a session does not.

        Args:
            message: what is said.
            over_ms: let it leave in pieces, over so long.

        Returns:
            False: what becomes of it only the broker knows.
        """
        if self.phase is not Phase.UP:
            return False
        if message.qos:
            self._board.traffic.to_acknowledge += 1
        self._board.sent(message)
        data = self._packet(message)
        if over_ms:
            self._drip(data, over_ms)
        else:
            self._put(data)
        return False

    def tear(self, message: Publish, share: float) -> None:
        """Send so much of it, and hang up."""
        if self.phase is Phase.UP:
            data = self._packet(message)
            self._put(data[: max(1, int(share * len(data)))])
            self.flush()
            self.drop()

    def _packet(self, message: Publish) -> bytes:
        topic, payload, qos, retain = message
        return mqtt.encode_publish(topic, payload, qos, retain, self._next_id() if qos else 0)

    def _drip(self, data: bytes, over_ms: float) -> None:
        """Let it trickle; whatever is said meanwhile comes behind it."""
        if self._dripping is not None:
            self._dripping += data
            return
        self._dripping = bytearray(data)
        self._piece(self._socket, max(1, round(len(data) * _PIECE_S * 1_000 / over_ms)))

    def _piece(self, made: socket.socket | None, size: int) -> None:
        rest = self._dripping
        if made is not self._socket or rest is None:
            return  # it was cut
        self._dripping = None
        self._put(bytes(rest[:size]))
        if self._socket is made and len(rest) > size:
            self._dripping = rest[size:]
            self._board.later(_PIECE_S, self._piece, made, size)

    def _write(self, packet: mqtt.Packet) -> None:
        if self._socket is not None:
            self._put(mqtt.encode(packet))

    def _put(self, data: bytes) -> None:
        """With all else that it says in this turn: a system call costs more than a packet."""
        if self._dripping is not None:
            self._dripping += data
            return
        self._speaks()
        if self._outbox is None:
            self._outbox = bytearray(data)
            self._board.speaks(self)
            return
        self._outbox += data
        if len(self._outbox) > _OUTBOX_MAX:
            self._board.traffic.choked += 1
            self._unit.cut()

    def _speaks(self) -> None:
        """Note how long the broker had to wait for a word."""
        now_s = self._board.now_s()
        if self.phase is Phase.UP and (gap_s := now_s - self._spoke_s) > _GAP_S:
            self._board.waited(gap_s, self._session.keepalive_s)
        self._spoke_s = now_s

    def flush(self) -> None:
        """Let the socket take what it takes of what was said; the rest when it can."""
        made = self._socket
        if made is None or self._outbox is None:
            return
        try:
            taken = made.send(self._outbox)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError as error:
            # What Linux calls EAGAIN while it connects, BSD and macOS call ENOTCONN.
            if self.phase is not Phase.CONNECTING or error.errno != errno.ENOTCONN:
                self._board.soon(self._gone, made, error.errno or errno.EIO)
                return
            taken = 0
        if taken < len(self._outbox):
            del self._outbox[:taken]
            self._full_now(made, full=True)
            return
        self._outbox = None
        self._full_now(made, full=False)
        if self.phase is Phase.CONNECTING:
            self.phase = Phase.GREETING
        if self.phase is Phase.LEAVING:
            self.close()

    def _gone(self, made: socket.socket, code: int) -> None:
        """Its socket refused what it was given."""
        if made is self._socket:
            self._over(code)

    def _full_now(self, made: socket.socket, *, full: bool) -> None:
        if full is not self._full:
            self._full = full
            also = selectors.EVENT_WRITE if full else 0
            self._board.turn(made, self, selectors.EVENT_READ | also)

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    # --- its one timer ------------------------------------------------------------------------

    def due(self, slot: int) -> None:
        """Its turn in the wheel: connect again, or give up, or say that it lives."""
        if slot != self._slot:
            return  # replaced since
        self._slot = 0
        match self.phase:
            case Phase.IDLE if (waits := self._unit.waits) is not None:
                waits.append(self._wants)
            case Phase.IDLE:
                self._wants()
            case Phase.CONNECTING | Phase.GREETING:
                self._over(errno.ETIMEDOUT)
            case Phase.UP:
                self._probe()
            case Phase.DEAD | Phase.LEAVING | Phase.GONE:
                pass

    def _probe(self) -> None:
        keepalive_s = self._session.keepalive_s
        if self._board.now_s() - self._spoke_s >= keepalive_s * _PROBE_SHARE:
            if self._asked:  # a whole turn ago, and no word since
                self._board.traffic.unanswered += 1
                self._unit.cut()
                return
            self._asked = True
            self._board.traffic.pings += 1
            self._write(mqtt.PingReq())
        if self.up:
            self._probe_later()

    def _probe_later(self) -> None:
        if self._session.keepalive_s:
            due_s = self._spoke_s + self._session.keepalive_s * _PROBE_SHARE
            self._slot = self._board.wheel.at(due_s, self)

    # --- the end ------------------------------------------------------------------------------

    def drop(self, how: End = End.CLOSED) -> None:
        """Cut the link without a word: the broker publishes the will.

        In silence, the socket stays as it is and nobody looks at it: no FIN, and no ping.
        """
        if self._socket is None:
            return
        if how is End.SILENT:
            if self.phase is Phase.UP:
                self.phase = Phase.DEAD
                self._board.forget(self._socket)
                self._outbox = self._dripping = None
            return
        if how is End.RESET:
            reset_at_close(self._socket)
        self._over(None)

    def usurp(self) -> None:
        """Have somebody else connect with its client id."""
        if self.phase is Phase.UP:
            self._board.usurp(self._session.client_id)

    def _over(self, code: int | None) -> None:
        """The connection is gone, or was never made.

        Args:
            code: why, as `errno` has it; 0: the broker closed it; None: we cut it.
        """
        was, self.phase = self.phase, Phase.IDLE
        if was is Phase.LEAVING:
            self.close()
            return
        self._free()
        self._board.over(self, was, code)
        if was is Phase.UP and code is not None:
            self._unit.broke()  # by itself
        if was in (Phase.UP, Phase.DEAD):
            # The device may be in the middle of something: whoever cut it was called by it.
            self._board.soon(self._unit.went_down)
        # Boards that went together do not come back in the same millisecond.
        wait_s = self._session.reconnect_s * self._unit.rng.uniform(*_SPREAD)
        if was is Phase.CONNECTING:
            wait_s = _RETRY_S
        self._slot = self._board.wheel.at(self._board.now_s() + wait_s, self)

    def _free(self) -> None:
        if self._socket is not None:
            self._board.forget(self._socket)
            self._socket.close()
            self._socket = None
        self._unit.link = None
        self._inbox = self._outbox = self._dripping = None
        self._asked = self._full = False
        self._packet_id = 0

    def leave(self) -> None:
        """Say DISCONNECT and go; what the socket does not take at once goes first."""
        if self.phase is Phase.UP:
            self._write(mqtt.Disconnect())
            self.phase = Phase.LEAVING
            if self._outbox is None:  # it has gone with what the others had to say
                self.close()
            else:
                self.flush()
        else:
            self.close()

    def close(self) -> None:
        """Go without a word, and for good."""
        self._free()
        self.phase = Phase.GONE
        self._board.gone(self)
