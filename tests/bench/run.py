"""How fast a door's news crosses the gateway, beside what the broker alone can do.

    python tests/bench/run.py [--events 150000] [--seconds 10] [--broker mosquitto|embedded]

In one run and on one broker: the bare relay (publisher, broker, `mosquitto_sub`); a steady 2,000
events/s through a gateway with its durable outbox, for latency and memory; then the publisher of
the bare relay through that gateway to the same subscriber, now on the northbound tree. Writes
`.bench/latest.json` and prints a table. Only ratios of one run compare; absolute figures belong to
the machine. A message crosses the broker once in the relay and twice with the gateway, so where
the broker is what is busy the ratio cannot exceed a half.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import load
import orjson
import processes
import yaml
from processes import family, process

BIN = Path(sys.executable).parent
DEVICES = [f"{0x10000000 + number:08X}" for number in range(300)]
TOPICS = [f"nuki/{device}/state" for device in DEVICES]
# Locking, locked, unlocking, unlocked: every message changes the lock, so each is one event.
PAYLOADS = [b"4", b"1", b"2", b"3"]
EVENTS = "doorfleet/v1/bench/nuki/+/event/#"
DEVICE_LEVEL = 4  # of doorfleet/v1/<site>/<vendor>/<device>/event/<type>
WINDOW = 4000  # messages between publisher and subscriber: about a quarter second of them
STEADY_PER_S = 2000
READY_LIMIT_S = 15


def free_port() -> int:
    """A loopback port that was free a moment ago; the broker's start proves it ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(check: object, what: str, limit_s: float = READY_LIMIT_S) -> object:
    """Poll until `check()` is true; a TimeoutError names what was awaited."""
    deadline = time.monotonic() + limit_s
    while not (found := check()):  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit_s} s")
        time.sleep(0.01)
    return found


def answers(port: int) -> bool:
    """Whether an MQTT broker says CONNACK there."""
    try:
        load.dial(port, "bench-probe").close()
    except OSError:
        return False
    return True


@contextmanager
def broker(kind: str, room: Path) -> Iterator[int]:
    """A broker of our own with queues that do not drop, so that a loss is never the broker's."""
    port = free_port()
    if kind == "mosquitto":
        config = room / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            "max_inflight_messages 1000\nmax_queued_messages 1000000\nlog_type error\n"
        )
        command = [mosquitto(), "-c", str(config)]
    else:
        command = [str(BIN / "doorfleet-sim"), "broker", "--port", str(port)]
    with process(command, stdout=subprocess.DEVNULL) as child:
        until(lambda: child.poll() is not None or answers(port), f"{kind} on port {port}")
        if child.poll() is not None:
            raise RuntimeError(f"{kind} ended at once with code {child.returncode}")
        yield port


def mosquitto() -> str:
    """Where the broker is; Debian puts it where only root looks."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


@contextmanager
def subscriber(port: int, topic: str) -> Iterator[int]:
    """A `mosquitto_sub` (C) that writes two bytes for each message; yields the pipe to read."""
    tool = shutil.which("mosquitto_sub")
    if tool is None:
        raise RuntimeError("mosquitto_sub is missing: apt-get install mosquitto-clients")
    read_fd, write_fd = os.pipe()
    arguments = [tool, "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-q", "1", "-F", "x"]
    with process(arguments, stdout=write_fd) as child:
        os.close(write_fd)
        time.sleep(0.5)  # mosquitto_sub does not say when its SUBACK came
        if child.poll() is not None:
            raise RuntimeError(f"mosquitto_sub ended with code {child.returncode}")
        yield read_fd
    os.close(read_fd)


@contextmanager
def gateway(port: int, room: Path) -> Iterator[tuple[int, float, Path]]:
    """A gateway process with two cells; yields its pid, seconds to READY and its state folder."""
    url = f"mqtt://127.0.0.1:{port}"
    limits = {"rate_per_s": 100_000, "burst": 1_000_000}
    config = {
        "site": "bench",
        "state_dir": str(room / "state"),
        "bus": [{"kind": "mqtt", "url": url}],
        "cells": [
            {"vendor": "nuki", "settings": {"url": url}, "limits": limits},
            {"vendor": "ratgdo", "settings": {"url": url}, "limits": limits},
        ],
    }
    file = room / "gateway.yaml"
    file.write_text(yaml.safe_dump(config))
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(room / "notify"))
    notify.settimeout(READY_LIMIT_S)
    began = time.perf_counter()
    with (
        (room / "gateway.log").open("wb") as log,
        process(
            [str(BIN / "doorfleet-gateway"), "run", str(file)],
            stdout=log,
            stderr=log,
            env={**os.environ, "NOTIFY_SOCKET": str(room / "notify")},
        ) as child,
    ):
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
        except TimeoutError as exc:
            raise RuntimeError(f"gateway not ready: {(room / 'gateway.log').read_text()}") from exc
        yield child.pid, time.perf_counter() - began, room / "state"


def cpu_s(pid: int) -> float:
    """User and system seconds of the process and its children so far."""
    return sum(map(processes.cpu_s, family(pid)))


def memory_mb(pid: int) -> dict[str, float]:
    """RSS and private memory of one process."""
    sizes: dict[str, float] = {"private": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        if name == "Rss:":
            sizes["rss"] = int(value) / 1024
        elif name.startswith("Private_"):
            sizes["private"] += int(value) / 1024
    return {name: round(value, 1) for name, value in sizes.items()}


def quantiles(latencies_ms: list[float]) -> dict[str, float]:
    """p50, p90 and p99."""
    cuts = statistics.quantiles(latencies_ms, n=100)
    return {f"p{share}_ms": round(cuts[share - 1], 2) for share in (50, 90, 99)}


def weighed(pid: int) -> dict[str, dict[str, float]]:
    """Memory of the supervisor and of each cell."""
    return {
        "supervisor" if each == pid else f"cell-{number}": memory_mb(each)
        for number, each in enumerate(family(pid))
    }


def told(state: Path) -> dict[str, object]:
    """The busy cell's part of the status page."""
    cell: dict[str, object] = json.loads((state / "status.json").read_text())["cells"]["nuki"]
    return cell


def counted(state: Path, events: int) -> dict[str, object]:
    """What the busy cell says it did; a figure of events that were not all there is none.

    Raises:
        RuntimeError: an event was conflated, shed, dropped or buried.
        TimeoutError: the cell has not told of so many events.
    """
    cell: dict[str, object] = {}

    def all_told() -> bool:
        cell.update(told(state))
        return cell["events"] == events and cell["outbox_rows"] == 0

    until(all_told, f"{events} events, all delivered")
    left_out = ("conflated", "shed", "dropped", "dead_letters", "repeats")
    if wrong := {name: cell[name] for name in left_out if cell[name]}:
        raise RuntimeError(f"the gateway did not pass on every event: {wrong}")
    return cell


def measure(kind: str, events: int, seconds: int) -> dict[str, object]:
    """All figures of one run."""
    limit_s = events / 500 + 30
    steady = load.packets(TOPICS, PAYLOADS, STEADY_PER_S * seconds)
    with (
        tempfile.TemporaryDirectory(prefix="doorfleet-bench-") as folder,
        broker(kind, Path(folder)) as port,
    ):
        room = Path(folder)
        ready = load.packets(TOPICS, PAYLOADS, events)
        with subscriber(port, "nuki/+/state") as seen:
            relay_s = load.pump(port, ready, seen, WINDOW, limit_s)
        with gateway(port, room) as (pid, ready_s, state):
            until(lambda: told(state).get("state") == "up", "a link to the devices")
            listener = load.Listener(port, EVENTS)
            latencies_ms = load.paced(port, steady, DEVICES, listener, STEADY_PER_S, DEVICE_LEVEL)
            listener.link.close()
            memory = weighed(pid)
            with subscriber(port, EVENTS) as seen:
                before_s = cpu_s(pid)
                gateway_s = load.pump(port, ready, seen, WINDOW, limit_s)
                used_s = cpu_s(pid) - before_s
            at_full_speed = weighed(pid)
            cell = counted(state, events + len(steady))
    relay, through = events / relay_s, events / gateway_s
    return {
        "relay_per_s": round(relay),
        "gateway_per_s": round(through),
        "ratio": round(through / relay, 3),
        "latency_at_2000": quantiles(latencies_ms),
        "cpu_us_per_event": round(used_s / events * 1e6, 1),
        "rss_mb": memory,
        "rss_mb_at_full_speed": at_full_speed,
        "ready_s": round(ready_s, 2),
        "broker": kind,
        "events": events,
        "commits": cell["commits"],
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "load_1m": round(os.getloadavg()[0], 1),
    }


def table(figures: dict[str, object]) -> str:
    """The figures for people."""
    latency = figures["latency_at_2000"]
    rows = [
        ("broker", figures["broker"]),
        ("bare relay", f"{figures['relay_per_s']:,} messages/s"),
        ("through the gateway, durable and validated", f"{figures['gateway_per_s']:,} events/s"),
        ("ratio", figures["ratio"]),
        ("latency at 2,000 events/s", "  ".join(f"{k} {v}" for k, v in latency.items())),  # type: ignore[attr-defined]
        ("gateway CPU per event", f"{figures['cpu_us_per_event']} us"),
        ("ready after", f"{figures['ready_s']} s"),
    ]
    for when, key in (("2,000 events/s", "rss_mb"), ("full speed", "rss_mb_at_full_speed")):
        rows += [
            (f"memory at {when}, {who}", f"{size['rss']} MB RSS, {size['private']} MB private")
            for who, size in figures[key].items()  # type: ignore[attr-defined]
        ]
    rows += [("machine", f"{figures['machine']}, load {figures['load_1m']} when done")]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def main() -> int:
    """Run, print and write; exit 1 if the broker or the gateway would not play."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--events", type=int, default=150_000, help="events of the two throughput runs"
    )
    parser.add_argument("--seconds", type=int, default=10, help="length of the latency run")
    parser.add_argument(
        "--broker", choices=("mosquitto", "embedded"), help="default: Mosquitto if installed"
    )
    parser.add_argument("--out", type=Path, default=Path(".bench/latest.json"))
    options = parser.parse_args()
    kind = options.broker or ("mosquitto" if mosquitto() else "embedded")
    if not options.broker and kind == "embedded":
        print("mosquitto is not installed: measuring on the embedded broker")
    try:
        figures = measure(kind, options.events, options.seconds)
    except (RuntimeError, TimeoutError, ConnectionError) as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
