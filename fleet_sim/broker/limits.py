"""What one peer may cost, and what the broker counts while it holds peers to it."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of the broker; the defaults fit some thousand boards on a laptop.

    `packet_max_bytes` counts the whole packet: a board's frames are under 2 KiB, an image of a
    door camera is under 1 MiB. `window_max` caps the receive maximum of a client that names none
    (65,535): a slow one then fills its queue, which is counted, and not our memory. `queue_max`
    messages wait for one offline or slow session; Mosquitto keeps 1,000, which 300 boards fill
    within seconds of a restart of their subscriber. `topic_alias_max` and `receive_max` are what
    clients are told. `out_max_bytes` is what one connection is handed at once: beyond it, and while
    its socket takes no more, its messages wait in its session, where room is counted.
    `rate_max_per_s` 0 means that nobody is counted; a burst of one second is free.
    `keep_alive_max_s` 0 leaves the client's choice alone.
    """

    packet_max_bytes: int = 1 * MIB
    connections_max: int = 20_000
    sessions_max: int = 100_000
    connect_timeout_s: float = 10.0
    window_max: int = 1_000
    receive_max: int = 1_000
    queue_max: int = 40_000
    queue_max_bytes: int = 16 * MIB
    out_max_bytes: int = 4 * MIB
    retained_max: int = 200_000
    retained_max_bytes: int = 256 * MIB
    subscriptions_max: int = 10_000
    topic_alias_max: int = 16
    keep_alive_max_s: int = 0
    session_expiry_max_s: int = 7 * 24 * 3600
    rate_max_per_s: int = 0


@dataclass(slots=True)
class Counters:
    """What happened since the broker was made.

    `dropped_absent` counts what a subscriber missed who was not there: QoS 0, or anything if the
    broker was made to forget its session.
    """

    connects: int = 0
    refused: int = 0
    protocol_errors: int = 0
    received: int = 0
    sent: int = 0
    wills: int = 0
    dropped_full: int = 0
    dropped_absent: int = 0
    dropped_expired: int = 0
    dropped_oversize: int = 0
    dropped_retained: int = 0

    @property
    def unheard(self) -> int:
        """How often a message was dropped that a subscriber was waiting for."""
        return self.dropped_full + self.dropped_absent
