"""`send` and `tail`: the bus for people, over aiomqtt, which is none of the gateway's own code."""

import argparse
import asyncio
import contextlib
import fnmatch
import json
import secrets
import sys
import time
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from devices.command import Outcome
from devices.errors import ConfigError
from devices.health import CellState
from gateway.bus.mqtt import ROOT
from gateway.config import MqttBus
from gateway.config_file import VARIABLE, find, load
from gateway.roster import level_of

#: Options of who we are to the broker, named as in the configuration.
IDENTITY: Final = ("username", "password_file", "ca_file", "cert_file", "key_file")

_EXITS: Final = {Outcome.SUCCEEDED: 0, Outcome.REJECTED: 3, Outcome.FAILED: 4, Outcome.UNKNOWN: 5}
# The slowest command of the table takes 65 s; the answer comes a moment after its deadline.
_PATIENCE_S: Final = 75.0
# A cell's health is retained: it comes with the SUBACK, or there is none.
_HEALTH_S: Final = 3.0
_GONE: Final = (CellState.STOPPED, CellState.DOWN)
_DEVICE_LEVELS: Final = 2
_EVENT_LEVELS: Final = 7


def send(options: argparse.Namespace) -> int:
    """Send one command and print its outcome; the exit code says which one."""
    if options.device.count("/") != 1:
        raise ConfigError((f"{options.device!r}: write vendor/device, such as nuki/39000001",))
    return _with_broker(_send, options)


def tail(options: argparse.Namespace) -> int:
    """Print events until interrupted, or until `--count` of them came."""
    return _with_broker(_tail, options)


def _with_broker(what: Any, options: argparse.Namespace) -> int:  # noqa: ANN401 -- one of the two below
    async def ask() -> int:
        client, site = _client(options)  # within a loop, which aiomqtt's client binds itself to
        return int(await what(client, site, options))

    try:
        return asyncio.run(ask())
    except aiomqtt.MqttError as error:
        print(f"broker: {error}; is it running, and is --broker right?", file=sys.stderr)
        return 1


def _client(options: argparse.Namespace) -> tuple[aiomqtt.Client, str]:
    """A client for the broker of `--broker` or of the configuration, and the site."""
    bus, site = _bus(options)
    try:
        client = aiomqtt.Client(
            bus.host,
            bus.port,
            username=bus.username,
            password=bus.password_file.read_text().strip() if bus.password_file else None,
            identifier=f"doorfleet-people-{secrets.token_hex(4)}",
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_params=aiomqtt.TLSParameters(
                ca_certs=str(bus.ca_file) if bus.ca_file else None,
                certfile=str(bus.cert_file) if bus.cert_file else None,
                keyfile=str(bus.key_file) if bus.key_file else None,
            )
            if bus.tls
            else None,
        )
    except (OSError, ValueError) as error:  # a file of a certificate or password; SSLError is both
        raise ConfigError((f"{bus.where}: {error}; check the files of the identity",)) from error
    return client, site


def _bus(options: argparse.Namespace) -> tuple[MqttBus, str]:
    """The broker to speak to, as the options say, else as the configuration does; and the site."""
    given = {key: getattr(options, key) for key in IDENTITY if getattr(options, key)}
    site = options.site
    if options.broker:
        given["url"] = options.broker
    else:
        config = load(find(options.config))
        site = site or config.site
        bus = next((bus for bus in config.bus if isinstance(bus, MqttBus)), None)
        if bus is None:
            raise ConfigError((f"no mqtt sink in the configuration; give --broker or {VARIABLE}",))
        given = bus.model_dump(exclude_unset=True) | given
    try:
        return MqttBus(**given), site
    except ValidationError as failure:
        problems = [
            f"--{'broker' if error['loc'] == ('url',) else 'broker and its identity'}:"
            f" {error['msg'].removeprefix('Value error, ')}"
            for error in failure.errors()
        ]
        raise ConfigError(tuple(problems)) from failure


async def _send(client: aiomqtt.Client, site: str, options: argparse.Namespace) -> int:
    vendor, device = options.device.split("/")
    if not site:
        raise ConfigError(("which site? give --site, or --config",))
    key = secrets.token_hex(8)
    request: dict[str, Any] = {"id": key, "name": options.command, "part": options.part}
    request["args"] = _pairs(options.arg)
    request["expect"] = _pairs(options.expect)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if options.timeout:
        request["deadline_ms"] = time.time_ns() // 1_000_000 + int(options.timeout * 1000)
        properties.MessageExpiryInterval = max(1, int(options.timeout))
    base = f"{ROOT}/{site}/{vendor}/{level_of(device)}"
    patience_s = (options.timeout or _PATIENCE_S) + 5
    async with client:
        if (absence := await _absence(client, site, vendor)) is not None:
            print(f"{absence}; nothing was sent", file=sys.stderr)
            return 1
        # On `result`, not on a topic of our own: brokers let people read the one tree, and a
        # branch for replies is named after a user whom only the broker knows for sure.
        await client.subscribe(f"{base}/result", qos=1)
        await client.publish(f"{base}/command", json.dumps(request), qos=1, properties=properties)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                async for message in client.messages:
                    if str(message.topic) == f"{base}/result":
                        result = json.loads(message.payload)
                        if result["id"] == key:
                            return _told(result, as_json=options.json)
    print(
        f"no answer within {patience_s:g} s; the outcome is unknown. Look at the device, and at"
        " `doorfleet-gateway status`",
        file=sys.stderr,
    )
    return _EXITS[Outcome.UNKNOWN]


async def _absence(client: aiomqtt.Client, site: str, cell: str) -> str | None:
    """Why nobody would hear a command for this cell; None if its health says that it lives."""
    topic = f"{ROOT}/{site}/gateway/{cell}/health"
    await client.subscribe(topic, qos=1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_HEALTH_S):
            async for message in client.messages:
                health = json.loads(message.payload)
                if health["state"] not in _GONE:
                    return None
                reason = f" ({health['reason']})" if health.get("reason") else ""
                return f"cell {cell} of site {site} is {health['state']}{reason}"
    return (
        f"no gateway on this broker says that it runs a cell {cell} at site {site};"
        " is it running, and are site and name right?"
    )


def _told(result: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(result))
    else:
        reason = f" ({result['reason']})" if result.get("reason") else ""
        print(f"{result['device']} {result['name']}: {result['outcome']}{reason}")
    return _EXITS[Outcome(result["outcome"])]


def _pairs(given: list[str]) -> dict[str, Any]:
    """`k=v` options; numbers, true and false are read as such."""
    pairs = {}
    for item in given:
        key, found, value = item.partition("=")
        if not found:
            raise ConfigError((f"{item!r}: write KEY=VALUE",))
        try:
            pairs[key] = json.loads(value)
        except ValueError:
            pairs[key] = value
    return pairs


async def _tail(client: aiomqtt.Client, site: str, options: argparse.Namespace) -> int:
    pattern = options.filter
    if pattern.count("/") < _DEVICE_LEVELS and not pattern.endswith("*"):
        pattern += "/*"
    shown = 0
    async with client:
        await client.subscribe(f"{ROOT}/{site or '+'}/+/+/event/#", qos=1)
        async for message in client.messages:
            levels = str(message.topic).split("/")
            if len(levels) != _EVENT_LEVELS or not fnmatch.fnmatch(
                f"{levels[3]}/{levels[4]}/{levels[6]}", pattern
            ):
                continue
            event = json.loads(message.payload)
            print(json.dumps(event) if options.json else _line(event), flush=True)
            shown += 1
            if shown == options.count:
                return 0
    return 0


def _line(event: dict[str, Any]) -> str:
    """One event for people: when, who, what."""
    data = event["data"]
    if "changes" in data:
        what = ", ".join(
            f"{axis} {_value(change['was'])} → {_value(change['value'])}"
            + (f" ({change['reason']})" if change.get("reason") else "")
            for axis, change in data["changes"].items()
        )
    else:
        known = ("device", "vendor", "kind", "received_at_ms", "buffered", "observed_at_ms")
        what = " ".join(f"{key}={value}" for key, value in data.items() if key not in known)
    return f"{event['time']}  {data['vendor']}/{data['device']}  {event['type'][10:-3]}  {what}"


def _value(value: object) -> str:
    return "?" if value is None else str(value)
