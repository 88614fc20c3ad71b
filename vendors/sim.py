"""The seam between a simulated device and whatever runs it (sockets or simulated time).

A simulated device is a pure state machine: it is told the time, and gives back what it sends,
what really happened to it, and when it wants to be woken. It knows no loop, socket or chance
but the `Random` it was made with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from devices.reading import Value


class Publish(NamedTuple):
    """An MQTT PUBLISH that the device sends, or one that it receives."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Reply(NamedTuple):
    """A datagram back to whoever asked."""

    payload: bytes


class Push(NamedTuple):
    """A datagram to a listener that the device was told of: (host, port)."""

    payload: bytes
    to: tuple[str, int]


Message = Publish | Reply | Push


class Truth(NamedTuple):
    """What really happened to the device: the ledger holds the bus against it.

    `key` is an axis (`position`, `door.1.lock_state`) with its new `value`, or the type of a
    happening (`access.granted`) with the vendor key as `value`. Only facts that the protocol
    can tell are truths. `sent` says whether the device sent this out at that moment (a board
    without a link keeps it to itself; the next report then tells the newest value only).
    """

    device: str
    key: str
    value: Value
    at_ms: int
    sent: bool = True


class Effects(NamedTuple):
    """What one call did. `wake_at_ms` replaces any earlier wish; None: nothing planned."""

    messages: Sequence[Message] = ()
    truths: Sequence[Truth] = ()
    wake_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class MqttSession:
    """How the device connects, as its firmware does (MQTT 3.1.1)."""

    client_id: str
    keepalive_s: int
    subscriptions: tuple[tuple[str, int], ...]
    will: Publish | None
    clean_session: bool = True
    username: str | None = None
    reconnect_s: float = 0.5


class SimDevice(Protocol):
    """One simulated device.

    `name` is its id on the bus. `session` is set for MQTT devices; datagram devices have
    `serial` instead and receive raw datagrams.
    """

    name: str
    session: MqttSession | None
    serial: int | None

    def connected(self, now_ms: int) -> Effects:
        """The link came up (MQTT CONNACK); for a datagram device: power on."""

    def disconnected(self, now_ms: int) -> Effects:
        """The link went away."""

    def receive(self, message: Publish | bytes, now_ms: int) -> Effects:
        """Something arrived from the host side."""

    def wake(self, now_ms: int) -> Effects:
        """A planned moment has come; called at or after `wake_at_ms`."""

    def act(self, habit: str, now_ms: int) -> Effects:
        """A person or the world does something; `habit` is one of the module's `HABITS`."""


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """How many devices of one vendor to make, and with which options of the vendor's own."""

    count: int
    prefix: str
    epoch_ms: int
    options: Mapping[str, object]


class SimulatorModule(Protocol):
    """What a vendor's `simulator` module offers to a fleet.

    `HABITS` maps a habit's name to its rate per device and day, as people use such devices.
    `FAULTS` names the device-level faults that it can act out, with one line of source each;
    `device.act("fault:<name>", now)` starts one and `device.act("heal:<name>", now)` ends it.
    """

    HABITS: Mapping[str, float]
    FAULTS: Mapping[str, str]

    def fleet(self, spec: FleetSpec, rng_for: "RandomFor") -> Sequence[SimDevice]:
        """Make the devices; each takes chance from `rng_for(its name)` only."""

    def gateway_settings(self, spec: FleetSpec, address: str) -> Mapping[str, object]:
        """The `settings` of a gateway cell that listens to this fleet at `address`.

        `address` is the broker URL for MQTT vendors, `host:port` of the device side otherwise.
        """


class RandomFor(Protocol):
    """One stream of chance per device, so that adding a device moves no other."""

    def __call__(self, name: str) -> Random:
        """The stream of this name."""
