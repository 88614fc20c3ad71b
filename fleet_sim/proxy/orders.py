"""What people ask of a proxy, as JSON, checked: with Toxiproxy's errors, and ours behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from devices.errors import FleetError
from fleet_sim.proxy.catalogue import NAMES, TOXICS
from fleet_sim.proxy.link import DOWNSTREAM, STREAMS
from fleet_sim.proxy.sniff import Speaks
from fleet_sim.proxy.toxic import Toxic, made, values_of

_PORT_MAX: Final = 65_535


class Refusal(Enum):
    """Toxiproxy's own errors: what it says, and the HTTP status."""

    BAD_BODY = "bad request body", 400
    MISSING = "missing required field", 400
    NO_PROXY = "proxy not found", 404
    PROXY_THERE = "proxy already exists", 409
    BAD_STREAM = "stream was invalid, can be either upstream or downstream", 400
    BAD_TYPE = "invalid toxic type", 400
    TOXIC_THERE = "toxic already exists", 409
    NO_TOXIC = "toxic not found", 404
    #: What its Go library says of sockets comes with this status.
    COULD_NOT = "could not listen", 500


class OrderError(FleetError):
    """The caller's move: an order that is not carried out, with the reason and the remedy."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        text, self.status = refusal.value
        super().__init__(f"{text}: {detail}")


@dataclass(frozen=True, slots=True)
class Fields:
    """What a proxy is. `listen` and `upstream` are host:port; port 0 listens on any."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    protocol: Speaks = Speaks.AUTO


@dataclass(frozen=True, slots=True)
class Placed:
    """A toxic in its place: in which stream, of which share of the links, and for how long."""

    name: str
    stream: str
    toxicity: float
    toxic: Toxic
    for_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As Toxiproxy shows it; `for_s` is ours."""
        return {
            "attributes": values_of(self.toxic),
            "name": self.name,
            "type": NAMES[type(self.toxic)],
            "stream": self.stream,
            "toxicity": self.toxicity,
            **({} if self.for_s is None else {"for_s": self.for_s}),
        }


def proxy(given: Any, place: str = "") -> Fields:  # noqa: ANN401 -- JSON
    """A new proxy; `place` says where in a list it stands.

    Raises:
        OrderError: with the first mistake.
    """
    body = _object(given, "name", "listen", "upstream", "enabled", "protocol", "toxics")
    for name in ("name", "upstream"):
        if not body.get(name):
            raise OrderError(Refusal.MISSING, f"{name}{place}")
    fields = Fields(body["name"], "", "")
    return changed(fields, {"listen": "127.0.0.1:0", **body})


def proxies(given: Any) -> list[tuple[Fields, list[Placed]]]:  # noqa: ANN401 -- JSON
    """A list of proxies, each with its toxics.

    Raises:
        OrderError: with the first mistake, and where it is.
    """
    if not isinstance(given, list):
        raise OrderError(Refusal.BAD_BODY, "it is no JSON list")
    return [
        (proxy(each, f" at proxy {number}"), [toxic(one) for one in each.get("toxics") or ()])
        for number, each in enumerate(given, 1)
    ]


def changed(fields: Fields, given: Any) -> Fields:  # noqa: ANN401 -- JSON
    """The same proxy with what is said otherwise; its name stays.

    Raises:
        OrderError: with the first mistake.
    """
    body = _object(given, "name", "listen", "upstream", "enabled", "protocol", "toxics")
    for name, type_ in (("name", str), ("listen", str), ("upstream", str), ("enabled", bool)):
        if not isinstance(body.get(name, type_()), type_):
            wanted = "text" if type_ is str else "true or false"
            raise OrderError(Refusal.BAD_BODY, f"{name}: {body[name]!r} is not {wanted}")
    try:
        speaks = Speaks(body.get("protocol", fields.protocol))
    except ValueError:
        known = ", ".join(Speaks)
        raise OrderError(
            Refusal.BAD_BODY, f"protocol: {body['protocol']!r} is none of {known}"
        ) from None
    new = replace(
        fields,
        listen=body.get("listen", fields.listen) or "127.0.0.1:0",
        upstream=body.get("upstream", fields.upstream),
        enabled=body.get("enabled", fields.enabled),
        protocol=speaks,
    )
    for name, text, least in (("listen", new.listen, 0), ("upstream", new.upstream, 1)):
        if address(text)[1] < least:
            raise OrderError(Refusal.BAD_BODY, f"{name}: {text!r} is no address; write host:port")
    return new


def toxic(given: Any) -> Placed:  # noqa: ANN401 -- JSON
    """A new toxic.

    Raises:
        OrderError: with all mistakes of its attributes, or the first of another kind.
    """
    body = _object(given, "name", "type", "stream", "toxicity", "attributes", "for_s")
    kind, stream = body.get("type", ""), body.get("stream", DOWNSTREAM)
    if stream not in STREAMS:
        raise OrderError(Refusal.BAD_STREAM, f"{stream!r}")
    if kind not in TOXICS:
        raise OrderError(Refusal.BAD_TYPE, f"{kind!r}; known are {', '.join(TOXICS)}")
    name = body.get("name") or f"{kind}_{stream}"
    if not isinstance(name, str):
        raise OrderError(Refusal.BAD_BODY, f"name: {name!r} is not text")
    return _with(Placed(name, stream, 1.0, TOXICS[kind]()), body, {})


def changed_toxic(placed: Placed, given: Any) -> Placed:  # noqa: ANN401 -- JSON
    """The same toxic with other settings; those that are not named stay.

    Raises:
        OrderError: with all mistakes of its attributes, or the first of another kind.
    """
    body = _object(given, "name", "type", "stream", "toxicity", "attributes", "for_s")
    return _with(placed, body, values_of(placed.toxic))


def _with(placed: Placed, body: Mapping[str, Any], had: Mapping[str, Any]) -> Placed:
    attributes = body.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise OrderError(Refusal.BAD_BODY, f"attributes: {attributes!r} is no object")
    toxicity, for_s = body.get("toxicity", placed.toxicity), body.get("for_s", placed.for_s)
    if not _number(toxicity) or not 0 <= toxicity <= 1:
        raise OrderError(Refusal.BAD_BODY, f"toxicity: {toxicity!r} is not from 0 to 1")
    if for_s is not None and (not _number(for_s) or not for_s > 0):
        raise OrderError(Refusal.BAD_BODY, f"for_s: {for_s!r} is no number of seconds above 0")
    try:
        made_ = made(type(placed.toxic), {**had, **attributes})
    except ValueError as error:
        raise OrderError(Refusal.BAD_BODY, str(error)) from error
    return replace(placed, toxicity=toxicity, toxic=made_, for_s=for_s)


def address(text: str) -> tuple[str, int]:
    """`host:port`, `[::1]:port` or `:port` for every address; port -1 if it is none of these."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    good = colon and port.isascii() and port.isdigit() and int(port) <= _PORT_MAX
    if not good or (":" in bare and bare == host):
        return bare, -1
    return bare or "0.0.0.0", int(port)  # noqa: S104 -- as asked, and as Go has it


def shown(host: str, port: int) -> str:
    """An address as Toxiproxy writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _object(given: Any, *known: str) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    if not isinstance(given, dict):
        raise OrderError(Refusal.BAD_BODY, "it is no JSON object")
    for name in given:
        if name not in known:
            raise OrderError(Refusal.BAD_BODY, f"{name}: unknown; known are {', '.join(known)}")
    return given


def _number(value: Any) -> bool:  # noqa: ANN401 -- JSON
    return isinstance(value, int | float) and not isinstance(value, bool)
