"""The seam between a simulated device and whatever runs it (sockets or simulated time).

A simulated device is a pure state machine: it is told the time, and gives back what it sends,
what really happened to it, and when it wants to be woken. It knows no loop, socket or chance
but the `Chance` it was made with.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from devices.reading import Value
from vendors.http import HttpReply, HttpRequest, Pairs

T = TypeVar("T")


class Chance(Protocol):
    """Where a device's chance comes from: what simulators use of `random.Random`."""

    def random(self) -> float:
        """From 0 to below 1."""

    def uniform(self, low: float, high: float, /) -> float:
        """Between the two."""

    def randint(self, low: int, high: int, /) -> int:
        """From `low` to `high`, both included."""

    def randrange(self, start: int, stop: int | None = None, /) -> int:
        """From `start` (0 if it stands alone) to below `stop`."""

    def getrandbits(self, width: int, /) -> int:
        """A number of so many bits."""

    def randbytes(self, count: int, /) -> bytes:
        """So many bytes."""

    def choice(self, among: Sequence[T], /) -> T:
        """One of these."""

    def choices(
        self, among: Sequence[T], weights: Sequence[float] | None = None, *, k: int = 1
    ) -> list[T]:
        """So many of these, each drawn anew, as often as its weight says."""

    def sample(self, among: Sequence[T], k: int) -> list[T]:
        """So many different ones of these."""

    def expovariate(self, rate: float, /) -> float:
        """The wait for what happens `rate` times in a unit of time on average."""

    def gauss(self, mean: float, deviation: float, /) -> float:
        """Normally distributed."""


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


class Webhook(NamedTuple):
    """An HTTP request that a hub or cloud makes to somebody who asked to be told."""

    url: str
    body: bytes = b""
    method: str = "POST"
    headers: Pairs = ()


class WsText(NamedTuple):
    """A WebSocket text message; `peer` names the connection, whichever way it goes."""

    peer: str
    text: str


class WsOpen(NamedTuple):
    """Somebody opens a WebSocket; an `answer` of the hub refuses it."""

    peer: str
    request: HttpRequest


class WsClose(NamedTuple):
    """A WebSocket is closed, by either end."""

    peer: str
    code: int = 1000


#: What leaves a device or its hub. The answer to an HTTP request is `HubEffects.answer`.
Message = Publish | Reply | Push | Webhook | WsText | WsClose
#: What reaches a hub.
Arrival = Publish | HttpRequest | WsOpen | WsText | WsClose


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


class HubEffects(NamedTuple):
    """What one call to a hub did.

    `answer` to the HTTP request (or the WebSocket's opening) that was made; None to an HTTP
    request cuts the connection without a word. `about` names the device that the request was
    for, empty if it was for the hub. `messages` are the hub's own; what became of its devices
    is in `devices`, by name. `wake_at_ms` replaces any earlier wish of the hub's own.
    """

    answer: HttpReply | None = None
    about: str = ""
    messages: Sequence[Message] = ()
    devices: Mapping[str, "Effects"] = {}
    wake_at_ms: int | None = None


class Hub(Protocol):
    """What speaks for its devices at one address or on one connection: a bridge, a hub, a cloud.

    A device that is a server itself is a hub of one. What its devices send (`Effects.messages`)
    leaves by the hub. `session` is its connection to a broker, if it has one; otherwise it is an
    HTTP and WebSocket server, over TLS if `tls`, and `connected` is its power.

    `REFUSALS` may hold the JSON body with which it says what fails about a server, by the fault's
    name (`error_inside_200`, `token_expired`, `too_many_requests`, …), if anybody knows it.
    `DATED` may be False: its webhooks do not say when it was, so an old one passes for news.
    """

    name: str
    session: MqttSession | None
    tls: bool

    def connected(self, now_ms: int) -> HubEffects:
        """The link to the broker came up; for a server: power on."""

    def disconnected(self, now_ms: int) -> HubEffects:
        """The link went away."""

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """Something arrived from the host side."""

    def wake(self, now_ms: int) -> HubEffects:
        """A planned moment of the hub's own has come."""


class SimDevice(Protocol):
    """One simulated device.

    `name` is its id on the bus. `session` is set for devices that are MQTT clients themselves;
    datagram devices have `serial` instead and receive raw datagrams. A device behind a hub has
    that `hub` and neither: its hub is spoken to, and only `wake` and `act` of it are called.
    """

    name: str
    session: MqttSession | None
    serial: int | None
    hub: Hub | None

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


def deed(what: str, faults: Mapping[str, str], world: Collection[str] = ()) -> tuple[str, str]:
    """What `SimDevice.act` is told: ("fault" or "heal", its name), or ("", a habit).

    Or a verb of the device's `WORLD` with its value.

    Raises:
        KeyError: a fault that is none of these, or something else before the colon.
    """
    verb, _, fault = what.partition(":")
    if not fault:
        return "", what
    if verb in world:
        return verb, fault
    if verb not in ("fault", "heal") or fault not in faults:
        raise KeyError(what)
    return verb, fault


@dataclass(frozen=True, slots=True)
class Group:
    """Some devices of a vendor that are otherwise: their numbers, from 1 on, and their options."""

    numbers: range
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """The devices of one vendor in a run, and the options of the vendor's own.

    `count`: how many there are in all, numbered from 1 on. `only`: the numbers of those that are
    to be made here, rising; None: all. What a device is depends on its number alone. `groups`:
    devices whose options differ from `options` in what concerns one device only; they do not
    overlap.
    """

    count: int
    prefix: str
    epoch_ms: int
    options: Mapping[str, object]
    only: Sequence[int] | None = None
    groups: tuple[Group, ...] = ()

    @property
    def members(self) -> Sequence[int]:
        """The numbers of the devices to make."""
        return range(1, self.count + 1) if self.only is None else self.only

    @property
    def mixes(self) -> Sequence[Mapping[str, object]]:
        """Every mix of options in the fleet: that of all first, then that of each group."""
        return [self.options, *({**self.options, **group.options} for group in self.groups)]

    def options_of(self, number: int) -> Mapping[str, object]:
        """The options of the device of this number."""
        for group in self.groups:
            if number in group.numbers:
                return {**self.options, **group.options}
        return self.options


def one_hub(spec: FleetSpec, number: int) -> int:
    """The `atom` of a vendor whose devices are all behind the same hub."""
    del spec, number
    return 1


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a gateway finds a fleet.

    `broker`: URL of the MQTT broker that its devices use. `datagrams`: `host:port` of the socket
    that its datagram devices share. `hubs`: by name of the hub, `http://host:port`, or `https://`
    with the PEM file of the authority that signed its certificate in `ca_file`.
    """

    broker: str = ""
    datagrams: str = ""
    hubs: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""


class SimulatorModule(Protocol):
    """What a vendor's `simulator` module offers to a fleet.

    `HABITS` maps a habit's name to its rate per device and day, as people use such devices.
    `FAULTS` names the device-level faults that it can act out, with one line of source each;
    `device.act("fault:<name>", now)` starts one and `device.act("heal:<name>", now)` ends it.
    `KINDS` may say which of these is what a kind of the catalogue means (`fleet_sim.faults`, those
    that strike a device): acts name a fault by its kind, whoever made the device.
    `QUIET_FAULTS` may name those among them that a gateway which never was away cannot notice at
    a fleet's first device, with the reason. `WORLD` may name what of the world around it a device
    can be told by `act("<verb>:<value>", now)`, where its protocol has something to say about it:
    `battery` (percent left: from then on nothing else drains it), `clock` (how many ms it runs
    fast from now on, beside what it was), `firmware` (the version that it has now). `COURIER` may
    name the habits by which somebody at the door opens and closes it; the second is empty if it
    closes by itself. `OF_ONE` may name the options in which one device of
    a fleet may differ from another. `atom(spec, number)` may say which hub a device is behind, by
    any number of that hub's own: devices of one atom are never parted. Without it each device is
    an atom.
    """

    HABITS: Mapping[str, float]
    FAULTS: Mapping[str, str]

    def fleet(self, spec: FleetSpec, rng_for: "RandomFor") -> Sequence[SimDevice]:
        """Make the devices of `spec.members`; each takes chance from `rng_for(its name)` only."""

    def gateway_settings(self, spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
        """The `settings` of a gateway cell that listens to this fleet at these addresses."""


class RandomFor(Protocol):
    """One stream of chance per device, so that adding a device moves no other."""

    def __call__(self, name: str) -> Chance:
        """The stream of this name."""
