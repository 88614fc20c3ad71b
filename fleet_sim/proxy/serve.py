"""`doorfleet-sim proxy`: proxies, and their API, until told to stop."""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from devices.errors import ConfigError
from fleet_sim.proxy import orders
from fleet_sim.proxy.api import application
from fleet_sim.proxy.link import DOWNSTREAM
from fleet_sim.proxy.orders import Fields, OrderError, Placed, Refusal
from fleet_sim.proxy.proxies import Proxies
from fleet_sim.proxy.proxy import why
from fleet_sim.stage import StageError

#: What people at a terminal are told; machines get every event.
_FOR_PEOPLE: Final = {
    "listening": "the API listens on {url}",
    "proxy_up": "{proxy}: listens on {listen}, leads to {upstream}",
    "proxy_down": "{proxy}: listens no longer",
    "toxic_added": "{proxy}: {name} strikes {stream}",
    "toxic_changed": "{proxy}: {name} has other settings",
    "toxic_removed": "{proxy}: {name} is gone: {why}",
    "accept_failed": "{proxy}: cannot accept: {why}",
    "heal_failed": "could not heal everything: {why}",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `api` and the parts of `one` are addresses; None: without."""

    api: tuple[str, int] | None
    one: Fields | None
    toxics: Sequence[Placed]
    config: Path | None
    seed: int
    heal_after_s: float | None
    as_json: bool


def run(options: Options) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigError: the file of proxies is none.
        StageError: an address cannot be had.
    """
    asyncio.run(_run(options))


async def _run(options: Options) -> None:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)

    def tell(event: str, **more: Any) -> None:  # noqa: ANN401 -- JSON
        if options.as_json:
            _print(json.dumps({"event": event, **more}))
        elif event in _FOR_PEOPLE:
            _print(_FOR_PEOPLE[event].format(**more))

    proxies = Proxies(options.seed, tell, options.heal_after_s)
    runner = web.AppRunner(application(proxies), access_log=None, shutdown_timeout=1.0)
    try:
        await _make(proxies, options)
        if options.api is not None:
            tell("listening", url=await _listen(runner, *options.api))
        proxies.alive()
        await told_to_stop.wait()
    finally:
        await runner.cleanup()
        await proxies.end()


async def _make(proxies: Proxies, options: Options) -> None:
    """The proxies that were named on the command line."""
    try:
        if options.one is not None:
            proxy = await proxies.add(options.one)
            for placed in options.toxics:
                proxy.put(placed)
    except OrderError as error:
        raise StageError(str(error)) from error
    if options.config is None:
        return
    try:
        given = json.loads(options.config.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError((f"--config {options.config}: {error}",)) from error
    _, wrong = await proxies.populate(given)
    if wrong is not None and wrong.status != Refusal.COULD_NOT.value[1]:
        raise ConfigError((f"--config {options.config}: {wrong}",))
    if wrong is not None:
        raise StageError(f"--config {options.config}: {wrong}")


async def _listen(runner: web.AppRunner, host: str, port: int) -> str:
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise StageError(f"--api {why(error, host, port)}") from error
    return f"http://{orders.shown(*runner.addresses[0][:2])}"


def toxic_of(text: str) -> Placed:
    """`latency:latency=500,jitter=50`, or `mqtt_drop/upstream:packets=puback`.

    Raises:
        OrderError: there is no such toxic, or it takes no such settings.
    """
    kind, _, settings = text.partition(":")
    kind, _, stream = kind.partition("/")
    attributes = {}
    for each in _settings(settings):
        name, _, value = each.partition("=")
        attributes[name] = _value(value)
    return orders.toxic({"type": kind, "stream": stream or DOWNSTREAM, "attributes": attributes})


def _settings(text: str) -> list[str]:
    """At commas, but a part without `=` goes on the one before: packets=publish,puback."""
    found: list[str] = []
    for part in text.split(",") if text else ():
        if "=" not in part and found:
            found[-1] += "," + part
        else:
            found.append(part)
    return found


def _value(text: str) -> Any:  # noqa: ANN401 -- JSON
    """JSON if it is, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
