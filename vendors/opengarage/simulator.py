"""Simulated OpenGarage openers: a server each (HTTP), or a client of a broker (MQTT); pure.

    people ─► door ◄─ press ─ board ◄── /cc, IN/STATE     `result:1` before anything is checked
                └─ sensor ──► board ──► /jc when asked · OUT/JSON at events and every 16 s

Source: see `board` and `codec`; what people do all day is a guess.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from devices.errors import ConfigError
from vendors.http import HttpReply, HttpRequest
from vendors.opengarage import board as boards
from vendors.opengarage.board import Board
from vendors.opengarage.door import Door
from vendors.opengarage.opener import FAULTS, KEY, KINDS, QUIET_FAULTS, WORLD, Opener
from vendors.sim import (
    Addresses,
    Arrival,
    Chance,
    FleetSpec,
    HubEffects,
    MqttSession,
    RandomFor,
)

__all__ = [
    "COURIER",
    "FAULTS",
    "HABITS",
    "KINDS",
    "QUIET_FAULTS",
    "WORLD",
    "fleet",
    "gateway_settings",
]

#: How somebody at the door opens it; it is closed behind him.
COURIER: Final = ("come_home", "")

#: Rates per device and day.
HABITS: Final[Mapping[str, float]] = {
    "come_home": 2.0,
    "leave": 2.0,
    "wall_button": 1.0,
    "lamp": 3.0,
    "beam": 3.0,
    "lock_out": 0.1,
}

# The waits for a clock last longer than anybody waits for an answer.
_CLOCK_WAIT_MS: Final = 10_000
_CLOCK_WAIT_SHARE: Final = 0.5


class Server:
    """An opener as an HTTP server: a `vendors.sim.Hub` of one.

    It serves one call at a time, and none while it waits for its own relay.
    """

    session: MqttSession | None = None
    tls = False
    REFUSALS: Final[Mapping[str, bytes]] = {"error_inside_200": b'{"result":48,"item":""}'}

    def __init__(self, opener: Opener, rng: Chance) -> None:
        self.name = opener.name
        self._opener = opener
        self._rng = rng
        opener.hub = self

    def connected(self, now_ms: int) -> HubEffects:
        """Power on."""
        return HubEffects(devices={self.name: self._opener.connected(now_ms)})

    def disconnected(self, now_ms: int) -> HubEffects:
        """No power."""
        return HubEffects(devices={self.name: self._opener.disconnected(now_ms)})

    def receive(self, message: Arrival, now_ms: int) -> HubEffects:
        """Answer a call; whatever is no HTTP request is not for it."""
        opener = self._opener
        if not isinstance(message, HttpRequest):
            return HubEffects()
        opener.catch_up(now_ms)
        delay_ms = max(0, opener.board.blocked_until_ms - now_ms)
        if "no_internet" in opener.faults and self._rng.random() < _CLOCK_WAIT_SHARE:
            delay_ms += _CLOCK_WAIT_MS
        status, body = _PAGES.get(message.path, _missing)(opener, message, now_ms)
        answer = HttpReply(status, body, _HEADERS, delay_ms)
        return HubEffects(answer, self.name, devices={self.name: opener.effects(now_ms)})

    def wake(self, now_ms: int) -> HubEffects:
        """It plans nothing of its own."""
        del now_ms
        return HubEffects()


def _missing(opener: Opener, request: HttpRequest, now_ms: int) -> tuple[int, bytes]:
    del opener, request, now_ms
    return 404, b""


def _variables(opener: Opener, request: HttpRequest, now_ms: int) -> tuple[int, bytes]:
    """`/jc`: open to everybody."""
    del request, now_ms
    return 200, opener.board.document()


def _change(opener: Opener, request: HttpRequest, now_ms: int) -> tuple[int, bytes]:
    """`/cc`: success is said before anything is looked at but the key."""
    if request.argument("dkey") != opener.key:
        return 200, _result(2)
    for word in (boards.TOGGLE, boards.CLOSE, boards.OPEN_IT):
        if request.argument(word) is not None:
            opener.order(word, now_ms)
            return 200, _result(1)
    for what in ("light", "lock"):
        if (how := request.argument(what)) is not None:
            opener.order(f"{how}{what}", now_ms)
            return 200, _result(1)
    if request.argument("reboot") is not None:
        opener.restart_soon(now_ms)
        return 200, _result(1)
    return 200, _result(48)


def _result(code: int) -> bytes:
    return b'{"result":%d,"item":""}' % code


_HEADERS: Final = (
    ("Content-Type", "application/json"),
    ("Access-Control-Allow-Origin", "*"),
    ("Connection", "close"),
)
_PAGES: Final[Mapping[str, Callable[[Opener, HttpRequest, int], tuple[int, bytes]]]] = {
    "/jc": _variables,
    "/cc": _change,
}


# --- the fleet --------------------------------------------------------------------------------

#: Security+ of the first, second, third opener and so on, if the fleet does not say.
_SECV: Final = (0, 2, 1)
OF_ONE: Final = frozenset({"secv", "sensor", "alarm_s"})
_OPTIONS: Final[Mapping[str, tuple[object, ...]]] = {
    "transport": ("http", "mqtt"),
    "secv": (0, 1, 2),
    "sensor": ("ceiling", "side", "switch"),
    "alarm_s": (0, 5, 10),
}


def fleet(spec: FleetSpec, rng_for: RandomFor) -> Sequence[Opener]:
    """Openers named `<prefix>-0001` and on.

    Options: `transport` (http, mqtt), `secv` (0, 1, 2; absent, by turns), `sensor` (ceiling,
    side, switch), `alarm_s` (0, 5, 10).

    Raises:
        ConfigError: an option that they do not have, or a value that it cannot have.
    """
    for mix in spec.mixes:
        _check(mix)
    openers = []
    for number, name in _names(spec):
        rng, options = rng_for(name), spec.options_of(number)
        secv = options.get("secv", _SECV[(number - 1) % len(_SECV)])
        board = Board(
            Door(rng),
            rng,
            mac=_mac(number),
            secv=int(str(secv)),
            sensor=str(options.get("sensor", "ceiling")),
            alarm_s=int(str(options.get("alarm_s", 5))),
        )
        mqtt = spec.options.get("transport") == "mqtt"
        opener = Opener(name, rng, board, mqtt=mqtt)
        if not mqtt:
            Server(opener, rng_for(f"hub/{name}"))
        openers.append(opener)
    return openers


def _check(options: Mapping[str, object]) -> None:
    problems = [
        f"opengarage: option {name}; there are {', '.join(_OPTIONS)}"
        for name in sorted(options.keys() - _OPTIONS.keys())
    ] + [
        f"opengarage: {name} {options[name]!r}; it is one of {', '.join(map(str, values))}"
        for name, values in _OPTIONS.items()
        if name in options and options[name] not in values
    ]
    if problems:
        raise ConfigError(tuple(problems))


def _names(spec: FleetSpec) -> list[tuple[int, str]]:
    return [(number, f"{spec.prefix}-{number:04d}") for number in spec.members]


def _mac(number: int) -> str:
    """Of the maker of the chip (5C:CF:7F), as these boards have it."""
    return ":".join(["5C:CF:7F", *(f"{number >> shift & 0xFF:02X}" for shift in (16, 8, 0))])


def gateway_settings(spec: FleetSpec, at: Addresses) -> Mapping[str, object]:
    """A cell that asks each opener, or listens to all of them on the broker."""
    openers: list[Mapping[str, object]] = []
    mqtt = spec.options.get("transport") == "mqtt"
    for number, name in _names(spec):
        sensor = spec.options_of(number).get("sensor", "ceiling")
        one = {"name": name, "mac": _mac(number), "sensor": sensor}
        openers.append(one | ({"topic": name} if mqtt else {"url": at.hubs[name], "key": KEY}))
    return {"openers": openers, **({"broker": {"url": at.broker}} if mqtt else {})}
