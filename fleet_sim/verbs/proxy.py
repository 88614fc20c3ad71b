"""`doorfleet-sim proxy`."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, outputs

HELP: Final = "a fault proxy for systems of your own: TCP, TLS, MQTT, HTTP; Toxiproxy's API"

_EXAMPLES: Final = """\
examples:
  doorfleet-sim proxy
  doorfleet-sim proxy --api 0 --config proxies.json --heal-after 60 --json
  doorfleet-sim proxy --listen 1884 --upstream 10.0.0.5:1883 --toxic latency:latency=300,jitter=50
  doorfleet-sim proxy --listen 1884 --upstream 10.0.0.5:1883 --toxic mqtt_drop:packets=puback
  doorfleet-sim proxy --listen 8081 --upstream 10.0.0.5:80 --toxic http_answer/upstream:status=429
  doorfleet-sim proxy --toxics

Without --listen it is driven over HTTP, by any client of Toxiproxy. --config is a list as Toxiproxy
has it: [{"name": "mqtt", "listen": "127.0.0.1:1884", "upstream": "127.0.0.1:1883"}].

exit codes: 0 it was told to stop, 2 bad input, 3 an address cannot be had
"""
#: Where clients of Toxiproxy look for it.
_API: Final = ("127.0.0.1", 8474)


def arguments(sub: argparse.ArgumentParser) -> None:
    """Where it listens, and what harms."""
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    sub.epilog = _EXAMPLES
    sub.add_argument(
        "--api",
        type=outputs.address,
        metavar="[HOST:]PORT",
        help="where the API listens (127.0.0.1:8474; with --listen nowhere; 0 is any free port)",
    )
    sub.add_argument("--config", type=Path, metavar="FILE", help="proxies to begin with, JSON")
    one = sub.add_argument_group("one proxy without more")
    one.add_argument("--listen", type=outputs.address, metavar="[HOST:]PORT", help="for clients")
    one.add_argument("--upstream", type=outputs.address, metavar="HOST:PORT", help="the system")
    one.add_argument(
        "--protocol", default="auto", metavar="NAME", help="auto, tcp, mqtt, http or tls (auto)"
    )
    one.add_argument(
        "--toxic",
        action="append",
        default=[],
        metavar="NAME[/STREAM][:KEY=VALUE,...]",
        help="at work from the start; STREAM is upstream or downstream (downstream)",
    )
    sub.add_argument("--toxics", action="store_true", help="list all toxics and their settings")
    sub.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    sub.add_argument(
        "--heal-after",
        type=common.positive,
        metavar="SECONDS",
        help="dead man's switch: all toxics go when no order came for so long",
    )
    sub.add_argument("--json", action="store_true", help="every event as a JSON line")


def act(options: argparse.Namespace) -> int:
    """Serve until told to stop; the exit code."""
    from fleet_sim.proxy import catalogue

    if options.toxics:
        text = json.dumps(catalogue.table(), indent=2) if options.json else catalogue.page()
        print(text)
        return common.OK
    if problems := _problems(options):
        raise ConfigError(tuple(problems))
    from fleet_sim.proxy import serve
    from fleet_sim.proxy.orders import OrderError, proxy, shown

    one, toxics, problems = None, [], []
    for text in options.toxic:
        try:
            toxics.append(serve.toxic_of(text))
        except OrderError as error:
            problems.append(f"--toxic {text}: {error}")
    if options.listen is not None:
        fields: dict[str, Any] = {"name": "proxy", "protocol": options.protocol}
        fields |= {"listen": shown(*options.listen), "upstream": shown(*options.upstream)}
        try:
            one = proxy(fields)
        except OrderError as error:
            problems.append(f"--protocol {options.protocol}: {error}")
    if problems:
        raise ConfigError(tuple(problems))
    serve.run(
        serve.Options(
            api=options.api or (None if one else _API),
            one=one,
            toxics=toxics,
            config=options.config,
            seed=options.seed,
            heal_after_s=options.heal_after,
            as_json=options.json,
        )
    )
    return common.OK


def _problems(options: argparse.Namespace) -> list[str]:
    """Every mistake that can be told before anything starts."""
    problems = []
    if (options.listen is None) != (options.upstream is None):
        problems.append("--listen and --upstream belong together: give both, or none for the API")
    if options.toxic and options.listen is None:
        problems.append("--toxic is of the one proxy: give --listen and --upstream, or use the API")
    if options.config is not None and not options.config.is_file():
        problems.append(f"--config {options.config}: there is no such file")
    return problems
