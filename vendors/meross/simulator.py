"""Simulated Meross garage units: msg100 and msg200, on a broker or on the LAN; pure.

    msg100 on a broker: the door is the client          (`Garage.session`)
    msg200 on a broker: one client, up to three doors   (`Client`)
    on the LAN: `POST /config`, plain or encrypted      (`Server`)

Source: see `codec`, `box` and `garage`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from devices.errors import ConfigError
from vendors.http import HttpReply, HttpRequest
from vendors.meross.box import FIRMWARE, Box
from vendors.meross.garage import COURIER, FAULTS, HABITS, KINDS, WORLD, Garage
from vendors.meross.lan_crypto import decrypted, encrypted, lan_key
from vendors.sim import (
    Addresses,
    Arrival,
    Effects,
    FleetSpec,
    HubEffects,
    MqttSession,
    Publish,
    RandomFor,
)

__all__ = ["COURIER", "FAULTS", "HABITS", "KINDS", "WORLD", "fleet", "gateway_settings"]

#: The account's key, of every simulated fleet.
ACCOUNT_KEY: Final = "4b7c0f1e2d3c5a69788796a5b4c3d2e1"
_KEEPALIVE_S: Final = 30
_RECONNECT_S: Final = 2.0
OF_ONE: Final = frozenset({"firmware"})
_OPTIONS: Final[Mapping[str, tuple[object, ...]]] = {
    "model": ("msg100", "msg200"),
    "firmware": FIRMWARE,
    "transport": ("mqtt", "http"),
    "encrypted": (False, True),
}
_CHANNELS: Final[Mapping[str, tuple[int, ...]]] = {"msg100": (0,), "msg200": (1, 2, 3)}
_DEFAULT_FIRMWARE: Final[Mapping[str, str]] = {"msg100": "4.2.1", "msg200": "4.2.8"}
_UUID_BASE: Final[Mapping[str, int]] = {"msg100": 18 * 10**30, "msg200": 19 * 10**30}
# What an app may ask unencrypted of a unit that wants encryption.
_ALWAYS_PLAIN: Final = b'"Appliance.System.Ability"'


class Unit:
    """A unit that speaks for its doors: the common half of `Client` and `Server`."""

    tls = False
    session: MqttSession | None = None

    def __init__(self, name: str, doors: Sequence[Garage]) -> None:
        self.name = name
        self.box: Box
        self.doors = {door.channel: door for door in doors}

    def _all_doors(self) -> Mapping[str, Effects]:
        return {door.name: door.effects() for door in self.doors.values()}

    def connected(self, now_ms: int) -> HubEffects:
        """Power, or a broker."""
        box = self.box
        box.linked = self.session is not None
        told = box.announce(now_ms) if box.has_booted else box.boot(now_ms)
        sent = len(told) > 1 and box.is_heard  # a boot tells the doors too
        for door in self.doors.values():
            door.stated(now_ms, sent=sent)
        return self._effects(told, now_ms)

    def disconnected(self, now_ms: int) -> HubEffects:
        """No broker, or no power."""
        self.box.linked = False
        self.box.outbox.clear()
        for door in self.doors.values():
            door.away(now_ms)
        return self._effects([], now_ms)

    def wake(self, now_ms: int) -> HubEffects:
        """An answer is ready."""
        return self._effects([], now_ms)

    def _effects(self, told: list[Publish], now_ms: int) -> HubEffects:
        messages = [*told, *self.box.outbox.due(now_ms)]
        return HubEffects(
            messages=messages, devices=self._all_doors(), wake_at_ms=self.box.outbox.next_ms
        )


class Client(Unit):
    """A msg200 on a broker: a `vendors.sim.Hub`."""

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """A question or a command."""
        if isinstance(message, Publish) and self.box.linked:
            answer = self.box.answer(message.payload, now_ms)
            if answer is not None:
                self.box.outbox.put(
                    now_ms + answer.delay_ms,
                    lambda at_ms: Publish(answer.topic, answer.compose(at_ms), qos=1),
                )
        return self._effects([], now_ms)


class Server(Unit):
    """A unit on the LAN: a `vendors.sim.Hub`. It tells nothing by itself.

    Args:
        key: of its encryption; None if it speaks plainly.
    """

    def __init__(self, name: str, doors: Sequence[Garage], key: bytes | None) -> None:
        super().__init__(name, doors)
        self._key = key

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """One `POST /config`; what it cannot decrypt it cuts off without a word."""
        if not isinstance(message, HttpRequest):
            return HubEffects()
        if (message.method, message.path) != ("POST", "/config"):
            return HubEffects(HttpReply(404))
        body, plain = message.body, self._key is None or _ALWAYS_PLAIN in message.body
        if self._key is not None and not plain:
            try:
                body = decrypted(body, self._key)
            except ValueError:
                return HubEffects()
        answer = self.box.answer(body, now_ms)
        reply = None
        if answer is not None:
            said = answer.compose(now_ms)
            if self._key is not None and not plain:
                said = encrypted(said, self._key)
            headers = (("Content-Type", "application/json"),)
            reply = HttpReply(200, said, headers, delay_ms=answer.delay_ms)
        about = next(iter(self.doors.values())).name if len(self.doors) == 1 else ""
        return HubEffects(reply, about, devices=self._all_doors())


def _options(given: Mapping[str, object]) -> Mapping[str, object]:
    """The options with their defaults.

    Raises:
        ConfigError: one that does not exist, or has another value than it may.
    """
    problems = [
        f"meross: option {name}; there are {', '.join(_OPTIONS)}"
        for name in sorted(given.keys() - _OPTIONS.keys())
    ] + [
        f"meross: option {name} is {given[name]!r}; it may be {', '.join(map(str, values))}"
        for name, values in _OPTIONS.items()
        if given.get(name, values[0]) not in values
    ]
    if problems:
        raise ConfigError(tuple(problems))
    model = str(given.get("model", "msg100"))
    return {
        "model": model,
        "firmware": _DEFAULT_FIRMWARE[model],
        "transport": "mqtt",
        "encrypted": False,
        **given,
    }


def _units(spec: FleetSpec, model: str) -> list[tuple[int, str, str, tuple[int, ...]]]:
    """(first door, uuid, MAC, channels with a door) of each unit; the last may have room left."""
    per_unit = len(_CHANNELS[model])
    units = []
    for number in sorted({atom(spec, number) for number in spec.members}):
        left = spec.count - (number - 1) * per_unit
        mac = "48:e1:e9:" + ":".join(f"{byte:02x}" for byte in number.to_bytes(3))
        uuid = f"{_UUID_BASE[model] + number:032d}"
        units.append(((number - 1) * per_unit + 1, uuid, mac, _CHANNELS[model][:left]))
    return units


def atom(spec: FleetSpec, number: int) -> int:
    """The number of the unit that the door of this number is at; of options that are good."""
    return (number - 1) // len(_CHANNELS[str(spec.options.get("model", "msg100"))]) + 1


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Garage]:
    """Doors `<uuid>` of a msg100 or `<uuid>-<channel>` of a msg200, whose units have three.

    Options: `model` (msg100, msg200), `firmware` (3.2.7, 4.2.1, 4.2.8), `transport` (mqtt, http),
    `encrypted` (on the LAN).

    Raises:
        ConfigError: an option that does not exist, or has no such value.
    """
    for mix in spec.mixes:
        _options(mix)
    options = _options(spec.options)
    model = str(options["model"])
    garages: list[Garage] = []
    for first, uuid, mac, channels in _units(spec, model):
        doors = []
        for channel in channels:
            name = f"{uuid}-{channel}" if channel else uuid
            doors.append(Garage(name, channel, rng_for(name)))
        garages += doors
        alone = model == "msg100" and options["transport"] == "mqtt"
        box = Box(
            uuid=uuid,
            mac=mac,
            key=ACCOUNT_KEY,
            firmware=str(_options(spec.options_of(first))["firmware"]),
            channels=_CHANNELS[model],
            doors=doors,
            encrypts=bool(options["encrypted"]),
            rng=rng_for(f"box/{uuid}" if alone else f"hub/{uuid}"),
        )
        session = MqttSession(
            client_id=f"fmware:{uuid}_{mac.replace(':', '')}0000",
            keepalive_s=_KEEPALIVE_S,
            subscriptions=((f"/appliance/{uuid}/subscribe", 1),),
            will=None,
            username=mac,
            reconnect_s=_RECONNECT_S,
        )
        _connect(box, doors, session, options)
    return garages


def _connect(
    box: Box, doors: Sequence[Garage], session: MqttSession, options: Mapping[str, object]
) -> None:
    """Who speaks for the unit."""
    hub: Client | Server | None = None
    if options["transport"] == "http":
        key = lan_key(box.uuid, ACCOUNT_KEY, box.mac) if options["encrypted"] else None
        hub = Server(box.uuid, doors, key)
    elif options["model"] == "msg200":
        hub = Client(box.uuid, doors)
        hub.session = session
    else:
        doors[0].session = session
    if hub is not None:
        hub.box = box
    for door in doors:
        door.box, door.hub = box, hub


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that knows all units of the fleet."""
    options = _options(spec.options)
    on_the_lan = options["transport"] == "http"
    devices = []
    for _, uuid, mac, channels in _units(spec, str(options["model"])):
        device: dict[str, object] = {"uuid": uuid, "doors": list(channels)}
        if on_the_lan:
            device |= {"url": at.hubs.get(uuid, ""), "mac": mac, "encrypted": options["encrypted"]}
        devices.append(device)
    settings: dict[str, object] = {"account_key": ACCOUNT_KEY, "devices": devices}
    if on_the_lan:
        return {**settings, "poll_interval_s": 2}
    return {**settings, "url": at.broker}
