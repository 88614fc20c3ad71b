"""Locust's MQTT user beside our fleet: as many sessions as it manages in a bounded time.

Locust has an environment of its own, `.bench/locust`, made when it is first needed. Its users do
as little as can be: connect, and publish 120 bytes with QoS 1 every five seconds. What it is
charged with is read from outside: its open sockets, its memory, and what Mosquitto delivers to a
`mosquitto_sub`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from processes import cpu_s, process, rss

from fleet_sim import stage

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".bench" / "locust"
VERSION: Final = "2.47.0"
SPAWN_PER_S: Final = 3_000
START_LIMIT_S: Final = 30.0
RAMP_LIMIT_S: Final = 60.0
#: When so long no session was added, there will be no more.
STALL_S: Final = 8.0
STEADY_S: Final = 20.0
_LOCUSTFILE: Final = """\
from locust import constant_pacing, task
from locust.contrib.mqtt import MqttUser


class Board(MqttUser):
    host, port = "127.0.0.1", {port}
    use_loop_selectors = True
    wait_time = constant_pacing(5)

    @task
    def say(self):
        if self.client.is_connected():
            self.client.publish("locust/" + self.client._client_id.decode(), b"x" * 120, qos=1)
"""


def installed() -> str:
    """Make its environment if there is none; why not, if that is so."""
    python = HOME / "bin" / "python"
    probe = [str(python), "-c", "import locust.contrib.mqtt"]
    if python.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return ""
    venv.create(HOME, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "--quiet", "install", f"locust=={VERSION}", "paho-mqtt>=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"pip could not install it: {done.stderr[-300:]}"


def sockets(pid: int) -> int:
    """How many open sockets a process has."""
    count = 0
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            count += str(Path(entry.path).readlink()).startswith("socket:")
        except OSError:
            continue
    return count


def measure(users: int) -> dict[str, Any]:
    """Connects/s, memory and messages/s at as many of `users` as it manages."""
    if why := installed():
        return {"skipped": why}
    if (listener := shutil.which("mosquitto_sub")) is None:
        return {"skipped": "mosquitto_sub is not installed (Debian: mosquitto-clients)"}
    with TemporaryDirectory(prefix="doorfleet-locust-") as name:
        room = Path(name)
        port = stage.unused_port()
        (room / "mosquitto.conf").write_text(stage.mosquitto_config(port))
        (room / "locustfile.py").write_text(_LOCUSTFILE.format(port=port))
        broker = [stage.mosquitto_program(stage.search_path()), "-c", str(room / "mosquitto.conf")]
        heard = room / "heard"
        with (
            process(broker, stderr=subprocess.DEVNULL),
            heard.open("wb") as sink,
        ):
            time.sleep(0.5)  # it says so on a pipe that nobody reads
            ear = [listener, "-p", str(port), "-t", "locust/#", "-q", "1", "-F", "x"]
            locust = [
                str(HOME / "bin" / "locust"),
                *("-f", str(room / "locustfile.py"), "--headless", "--skip-log"),
                *("--users", str(users), "--spawn-rate", str(SPAWN_PER_S)),
            ]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            with process(ear, stdout=sink), process(locust, cwd=room, **quiet) as child:
                return {"version": VERSION, "users": users, **watched(child, users, heard)}


def watched(child: subprocess.Popen[bytes], users: int, heard: Path) -> dict[str, Any]:
    """How it fares, seen from outside."""
    pid, deadline_s = child.pid, time.perf_counter() + START_LIMIT_S
    while child.poll() is None and sockets(pid) < 3 and rss(pid) <= 60e6:
        if time.perf_counter() > deadline_s:
            return {"skipped": f"Locust did not come up within {START_LIMIT_S:g} s"}
        time.sleep(0.05)
    if child.poll() is not None:
        return {"skipped": f"Locust ended by itself, with code {child.returncode}"}
    base, base_sockets = rss(pid), sockets(pid)
    began_s = last_s = time.perf_counter()
    most, at_s = 0, began_s
    while time.perf_counter() - began_s < RAMP_LIMIT_S:
        now = sockets(pid) - base_sockets
        if now > most:
            most, at_s = now, time.perf_counter()
            last_s = at_s
        if most >= users - 5 or time.perf_counter() - last_s > STALL_S:
            break
        time.sleep(0.1)
    heard_before, cpu_before, since_s = heard.stat().st_size, cpu_s(pid), time.perf_counter()
    time.sleep(STEADY_S)
    took_s = time.perf_counter() - since_s
    return {
        "connected": sockets(pid) - base_sockets,
        "connects_per_s": round(most / max(at_s - began_s, 0.1), 1),
        "bytes_per_device": round((rss(pid) - base) / max(most, 1)),
        "messages_per_s": round((heard.stat().st_size - heard_before) / 2 / took_s, 1),
        "our_cores": round((cpu_s(pid) - cpu_before) / took_s, 3),
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1])), indent=2))
