"""`doorfleet-sim broker`."""

import argparse
from typing import Final

HELP: Final = "an MQTT 3.1.1 and 5 broker in this process, for tests"
_PORT: Final = 1883
_PORT_MAX: Final = 65_535


def arguments(sub: argparse.ArgumentParser) -> None:
    """Where it listens."""
    sub.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    sub.add_argument(
        "--port", type=_port, default=_PORT, help="port; 0 draws a free one (%(default)s)"
    )
    sub.add_argument("--json", action="store_true", help="say where it listens as JSON")


def act(options: argparse.Namespace) -> int:
    """Serve until told to stop; the exit code."""
    from fleet_sim.broker.cli import serve

    return serve(options)


def _port(text: str) -> int:
    if not text.isdecimal() or not int(text) <= _PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; one of 0..{_PORT_MAX} is")
    return int(text)
