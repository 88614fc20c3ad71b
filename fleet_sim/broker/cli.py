"""`doorfleet-sim broker`: the embedded broker as a process of its own.

It has no password and no TLS, so it listens on loopback unless told otherwise.
"""

import argparse
import asyncio
import errno
import json
import signal
import sys

from fleet_sim.broker.port_owner import port_owner
from fleet_sim.broker.tcp import TcpBroker

OK, FAILED = 0, 1


def serve(args: argparse.Namespace) -> int:
    """Run a broker until SIGINT or SIGTERM; the exit code.

    One line on stdout says that it listens, and where:
    `listening on mqtt://127.0.0.1:1883`, or as JSON `{"url", "host", "port"}`.
    """
    return asyncio.run(_serve(args.host, args.port, as_json=args.json))


async def _serve(host: str, port: int, *, as_json: bool) -> int:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    broker = TcpBroker(host=host, port=port)
    try:
        await broker.start()
    except OSError as error:
        print(f"doorfleet-sim broker: {_why(error, host, port)}", file=sys.stderr)  # noqa: T201 -- people read it
        return FAILED
    bracketed = f"[{host}]" if ":" in host else host
    url = f"mqtt://{bracketed}:{broker.port}"
    line = json.dumps({"url": url, "host": host, "port": broker.port})
    print(line if as_json else f"listening on {url}", flush=True)  # noqa: T201 -- likewise
    await told_to_stop.wait()
    await broker.stop()
    return OK


def _why(error: OSError, host: str, port: int) -> str:
    """What went wrong, and what to do about it."""
    remedy = "give --port another number, or 0 to draw a free one"
    if error.errno == errno.EADDRINUSE:
        owner = port_owner(port)
        taken_by = f" by {owner}" if owner else " (by whom, this user may not know)"
        return f"port {port} of {host} is taken{taken_by}: stop that, or {remedy}"
    if error.errno == errno.EACCES:
        return f"port {port} needs root: {remedy}"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"
