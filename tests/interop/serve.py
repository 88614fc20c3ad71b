"""A fleet on sockets for a foreign client, its people told what to do over HTTP.

    check (client's environment) ── HTTP ──► control ──► fleet ◄── its protocol ── client

Prints one line when it is ready: the control's URL. Ends with its standard input.
"""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trustme
from aiohttp import web

from devices.reading import Value
from fleet_sim import stage
from fleet_sim.faults import make
from fleet_sim.fleet import Population
from fleet_sim.ledger import Ledger
from fleet_sim.wire import WireFleet, wall_ms
from vendors import registry
from vendors.sim import Addresses, Truth

# Nobody does anything by himself within a check.
_PACE: Final = 1e-9
#: Two doors to one broker: boards come in plainly, clients that insist on it over TLS.
_MOSQUITTO: Final = """\
user {user}
allow_anonymous true
persistence false
listener {port} 127.0.0.1
listener {tls_port} 127.0.0.1
cafile {folder}/broker-ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
"""


class Remembering(Ledger):
    """A ledger that also knows what was stated last."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, dict[str, Value]] = {}

    def truth(self, vendor: str, truth: Truth, **how: Any) -> None:
        """Note it; how it was told is the ledger's business."""
        self.last.setdefault(truth.device, {})[truth.key] = truth.value
        super().truth(vendor, truth, **how)


class Control:
    """What the check may ask for; every question is a POST of JSON."""

    def __init__(self, fleet: WireFleet, population: Population, about: Mapping[str, Any]) -> None:
        self._fleet = fleet
        self._units = {unit.device.name: unit for unit in fleet.units}
        self._population = population
        self._about = about

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """One question."""
        body = json.loads(await request.read() or b"{}")
        match request.path:
            case "/about":
                return web.json_response(self._about)
            case "/act":
                self._units[body["device"]].act(body["what"])
            case "/strike":
                fault = make(body["fault"], body["settings"])
                for unit in self._fleet.units:
                    unit.strike(fault)
            case "/heal":
                for unit in self._fleet.units:
                    unit.heal()
            case "/truth":
                ledger = self._fleet.ledger
                assert isinstance(ledger, Remembering)
                return web.json_response(ledger.last.get(body["device"], {}))
            case _:
                return web.json_response({"error": "no such question"}, status=404)
        return web.json_response({})


async def tls_broker(folder: Path) -> tuple[stage.Process, int, int]:
    """Mosquitto with a plain and a TLS listener: process, port, TLS port.

    Raises:
        StageError: it cannot be had.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "broker-ca.pem"))
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    leaf.private_key_pem.write_to_path(str(folder / "broker.key"))
    for number, part in enumerate(leaf.cert_chain_pems):
        part.write_to_path(str(folder / "broker.pem"), append=bool(number))
    program = stage.mosquitto_program(stage.search_path())
    config = folder / "broker.conf"
    for _ in range(5):
        port, tls_port = stage.unused_port(), stage.unused_port()
        config.write_text(
            _MOSQUITTO.format(port=port, tls_port=tls_port, folder=folder, user=getpass.getuser())
        )
        process = await stage.Process.start("mosquitto", program, "-v", "-c", str(config))
        if await process.line(r" running$") is not None:
            return process, port, tls_port
        await process.stop()
    raise process.failure()


async def serve(arguments: argparse.Namespace) -> None:
    """Until standard input ends."""
    with TemporaryDirectory(prefix="doorfleet-interop-") as name:
        folder = Path(name)
        if arguments.tls_broker:
            process, port, tls_port = await tls_broker(folder)
            ca_file = str(folder / "broker-ca.pem")
            broker = {"host": "127.0.0.1", "port": port, "tls_port": tls_port, "ca_file": ca_file}
            try:
                await play(arguments, folder, broker)
            finally:
                await process.stop()
        else:
            async with stage.broker("embedded", folder) as (found, _):
                await play(arguments, folder, {"host": found.host, "port": found.port})


async def play(arguments: argparse.Namespace, folder: Path, broker: Mapping[str, Any]) -> None:
    """The fleet, from power on to the end of standard input."""
    options = json.loads(arguments.options)
    population = Population(arguments.vendor, arguments.count, 7, wall_ms(), options)
    fleet = WireFleet(
        [population], seed=7, pace=_PACE, broker=(broker["host"], int(broker["port"]))
    )
    fleet.ledger = Remembering()
    hubs = await fleet.open_hubs(folder)
    at: Addresses = replace(
        hubs,
        broker=f"mqtt://{broker['host']}:{broker['port']}",
        datagrams=f"127.0.0.1:{await fleet.open_datagrams()}",
    )
    about = {
        "vendor": arguments.vendor,
        "kind": registry.vendor(arguments.vendor).kind.name,
        "devices": [device.name for device in population.devices],
        "hubs": dict(at.hubs),
        "datagrams": at.datagrams,
        "broker": broker,
        "ca_file": at.ca_file,
        "settings": population.gateway_settings(at),
    }
    control = Control(fleet, population, about)
    runner = web.ServerRunner(web.Server(control.answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await fleet.start()
    async with asyncio.timeout(20):
        while not all(unit.up for unit in fleet.units):  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(0.02)
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await fleet.stop()
    await runner.cleanup()


def main() -> None:
    """`serve.py VENDOR [--count N] [--options JSON] [--tls-broker]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vendor", choices=registry.names())
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--options", default="{}", help="of the vendor's fleet, as JSON")
    parser.add_argument("--tls-broker", action="store_true", help="Mosquitto with a TLS listener")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
