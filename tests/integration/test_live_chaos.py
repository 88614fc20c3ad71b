"""A fleet that is broken by hand while it runs, and healed whatever happens."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fleet_sim.chance import stream
from fleet_sim.live.client import LEASE_S
from fleet_sim.watching.server import RunServer

SIM: Final = str(Path(sys.executable).parent / "doorfleet-sim")
NUKIS: Final = [f"3900000{number}" for number in range(1, 9)]
SCENARIO: Final = """\
hours: 0.02
pace: 3000
fleet: {nuki: 8, ratgdo: 4}
"""
SEED: Final = 5
# Generous: the machine may be doing seven other things.
SOON_S: Final = 20.0
#: The first is struck in any case; the others draw for themselves.
STRUCK: Final = [
    name
    for name in NUKIS
    if name == NUKIS[0] or stream(SEED, f"act/live/hang/nuki/{name}").random() < 0.4
]


def until(done: Callable[[], Any], what: str, within_s: float = SOON_S) -> Any:
    """What is true at last."""
    deadline_s = time.monotonic() + within_s
    while not (found := done()):
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)
    return found


def ask(
    url: str,
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Status, and what the JSON says."""
    given = {} if body is None else {"Content-Type": "application/json"}
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {**given, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


# --- what the server takes, without a run ---------------------------------------------------------


@pytest.fixture
def faults_url(turning: RunServer) -> str:
    """Where to break a run that turns, and has no devices."""
    url = f"{turning.url}faults"
    until(lambda: ask(url)[0] == 200, "the run turns")
    return url


HANG: Final = {"vendor": "nuki", "fault": "hang", "for_s": 30}


def test_a_fault_is_begun_listed_held_and_healed_over_http(faults_url: str) -> None:
    begun, told = ask(faults_url, "POST", HANG)
    other = ask(faults_url, "POST", {**HANG, "vendor": "tedee", "settings": {"probability": 0.5}})
    listed = ask(faults_url)[1]["faults"]
    held = ask(f"{faults_url}/f1/lease", "PUT", {"for_s": 0.1})
    until(lambda: [one["id"] for one in ask(faults_url)[1]["faults"]] == ["f2"], "f1 lapses")
    healed = ask(f"{faults_url}/f2", "DELETE")

    assert (begun, other[0], held, healed) == (201, 201, (204, None), (204, None))
    assert {**told, "ends_in_s": 0} == {**listed[0], "ends_in_s": 0}
    assert told["struck"] == ["39000001"]
    assert ask(faults_url) == (200, {"faults": []})
    assert ask(faults_url, "DELETE") == (204, None)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "said"),
    [
        ("POST", "", {**HANG, "fault": "hagn"}, {}, 400, "did you mean hang?"),
        ("POST", "", {"fault": "hang"}, {}, 400, "say which, with `vendor`"),
        ("POST", "", {**HANG, "vendor": "ratgdo"}, {}, 400, "no ratgdo in this fleet"),
        ("POST", "", {**HANG, "fault": "cell_kill"}, {}, 400, "this run cannot reach that"),
        ("POST", "", [1], {}, 400, "the body is list; send a JSON object"),
        ("POST", "", b"{", {"Content-Type": "application/json"}, 400, "the body is no JSON"),
        ("POST", "", b"{}", {"Content-Type": "text/plain"}, 415, "send application/json"),
        ("POST", "", HANG, {"Host": "doors.example"}, 403, "use its address, or localhost"),
        ("POST", "", HANG, {"Origin": "http://doors.example"}, 403, "web pages may not"),
        ("DELETE", "/f7", None, {}, 404, "fault f7: there never was one; there are none"),
        ("PUT", "/f7/lease", {"for_s": 1}, {}, 404, "there never was one"),
        ("PUT", "/f7/lease", {"for": 1}, {}, 400, "write for_s, and nothing else"),
    ],
)
def test_what_is_refused_is_refused_in_words(
    faults_url: str,
    method: str,
    path: str,
    body: Any,
    headers: Mapping[str, str],
    status: int,
    said: str,
) -> None:
    found, told = ask(faults_url + path, method, body, headers)

    assert found == status
    assert said in told["error"]


def test_what_fails_already_is_a_conflict(faults_url: str) -> None:
    ask(faults_url, "POST", HANG)

    status, told = ask(faults_url, "POST", {**HANG, "fault": "latency"})

    assert (status, told["error"]) == (
        409,
        "all of nuki: hang (f1) is not over; heal f1 first",
    )


def test_a_run_that_cannot_be_broken_by_hand_says_where_to_write_it_instead() -> None:
    with RunServer("127.0.0.1", 0) as server:
        status, told = ask(f"{server.url}faults", "POST", HANG)

    assert status == 409
    assert "write it into the scenario's acts, or start one that can" in told["error"]


# --- real fleets ----------------------------------------------------------------------------------


class Run:
    """`doorfleet-sim run --time real`, and the verbs that speak to it."""

    def __init__(self, folder: Path, seconds: int, *more: str) -> None:
        self.folder = folder
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        scenario = folder / "broken.yaml"
        scenario.write_text(SCENARIO)
        self.lines: list[str] = []
        self.process = self.start(
            *("run", str(scenario), "--time", "real", "--seconds", str(seconds), "--seed"),
            *(str(SEED), "--no-ui", "--json", str(folder / "out.json"), *more),
        )
        self.reading = threading.Thread(target=self._read)
        self.reading.start()

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """One of the verbs."""
        return subprocess.Popen(
            [SIM, *words], env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def do(self, *words: str) -> tuple[int, str]:
        """One of the verbs, to its end: exit code, and what it said."""
        done = self.start(*words)
        out, err = done.communicate(timeout=SOON_S)
        return done.returncode, out + err

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def heard(self, pattern: str) -> str:
        """The first group of the first line like this that it said."""
        found = until(
            lambda: next((m for line in list(self.lines) if (m := re.search(pattern, line))), None),
            f"it says {pattern}; it said {self.lines[-5:]}",
        )
        return str(found[1])

    @property
    def url(self) -> str:
        """Of its server."""
        (found,) = (self.folder / "doorfleet").glob("*.run.json")
        return str(json.loads(found.read_text())["url"])

    def broken(self) -> list[str]:
        """What is broken by hand, by name."""
        return [one["fault"] for one in ask(f"{self.url}faults")[1].get("faults", ())]

    def report(self) -> dict[str, Any]:
        """What it found, in the end."""
        assert self.process.stdout is not None
        self.process.stdout.read()
        assert self.process.wait(40) == 0, self.lines
        found: dict[str, Any] = json.loads((self.folder / "out.json").read_text())
        return found


@contextmanager
def running(folder: Path, seconds: int, *more: str) -> Iterator[Run]:
    """A run whose people live."""
    run = Run(folder, seconds, *more)
    try:
        run.heard(r"(devices are up)")
        until(lambda: ask(f"{run.url}faults")[0] == 200, "it may be broken")
        yield run
    finally:
        run.process.terminate()
        run.process.communicate(timeout=SOON_S)
        run.reading.join(SOON_S)


@contextmanager
def overheard(url: str) -> Iterator[list[str]]:
    """Which Nuki lock said something, and how a cell fares, as any MQTT client hears it."""
    heard: list[str] = []

    def take(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        del client, data
        levels = message.topic.split("/")
        if levels[-1] == "health":
            heard.append(f"{levels[-2]} {json.loads(message.payload)['state']}")
        elif not message.retain:
            heard.append(levels[1])

    host, port = url.removeprefix("mqtt://").split(":")
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client.subscribe(
        [("nuki/#", 0), ("doorfleet/v1/+/gateway/+/health", 0)]
    )
    client.on_message = take
    client.connect(host, int(port))
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def test_break_lasts_as_long_as_whoever_holds_it(tmp_path: Path) -> None:
    with running(tmp_path, 12) as run, overheard(run.heard(r"broker embedded at (\S+),")) as heard:
        held = run.start("break", "nuki", "hang", "--share", "40%")
        assert held.stdout is not None
        said = held.stdout.readline()
        seen = len(heard)
        until(lambda: len(heard) > seen + 20, "the others speak")
        meanwhile = set(heard[seen:])
        status = until(
            lambda: (told := ask(f"{run.url}status")[1])["vendors"]["nuki"]["fault"] and told,
            "the status says so",
        )
        held.send_signal(signal.SIGKILL)
        held.communicate()
        killed_s, seen = time.monotonic(), len(heard)

        polite = run.start("break", "ratgdo", "latency", "--set", "latency_ms=40", "--for", "9s")
        until(lambda: run.broken() == ["hang", "latency"], "somebody else is broken, too")
        polite.send_signal(signal.SIGINT)
        out, err = polite.communicate(timeout=SOON_S)
        left = run.do("break", "nuki", "jam", "--for", "1m", "--detach")
        listed = run.do("break", "--list")
        killed = run.do("break", "ratgdo", "cell_kill", "--for", "1s", "--detach")
        until(lambda: "ratgdo down" in heard, "its will is heard")
        healed = run.do("heal", "f3")
        unknown = run.do("heal", "f3")

        until(lambda: not run.broken(), "nobody holds it")
        healed_after_s = time.monotonic() - killed_s
        until(lambda: set(STRUCK) <= set(heard[seen:]), "they are back")
        report = run.report()

    assert 1 < len(STRUCK) < len(NUKIS)
    assert said.startswith(f"f1: hang at 40% of nuki, {len(STRUCK)} devices ({STRUCK[0]}, ")
    assert meanwhile.isdisjoint(STRUCK)
    assert [act["fault"] for act in status["acts"]] == ["hang"]
    assert LEASE_S - 2 < healed_after_s < LEASE_S + 2
    assert (polite.returncode, err) == (0, "")
    assert out.endswith("f2: healed\n")
    assert left[0] == 0
    assert left[1].endswith("it heals then, or by: doorfleet-sim heal f3\n")
    assert [line.partition(" at ")[0] for line in listed[1].splitlines()] == ["f1: hang", "f3: jam"]
    assert killed[1].startswith("f4: cell_kill at ratgdo, 1 s; ")
    assert healed == (0, "healed: f3\n")
    assert unknown[0] == 2
    assert "fault f3: it is healed; there are" in unknown[1]
    assert report["verdict"] == "pass", report["evidence"]
    assert [act["fault"] for act in report["acts"]] == ["hang", "latency", "jam", "cell_kill"]
    hang, hurry = report["acts"][0], report["simulated_s"] / report["wall_s"]
    assert LEASE_S < (hang["until_s"] - hang["at_s"]) / hurry < 12


def test_a_fleet_of_workers_is_broken_alike_and_all_heals_with_the_run(tmp_path: Path) -> None:
    with running(tmp_path, 5, "--workers", "2", "--http", "0") as run:
        told = ask(f"{run.url}faults", "POST", {**HANG, "share": 0.4})[1]
        healed = ask(f"{run.url}faults/f1", "DELETE")
        ask(f"{run.url}faults", "POST", {**HANG, "share": 0.4})
        report = run.report()
        cards = list((tmp_path / "doorfleet").iterdir())

    assert told["struck"] == STRUCK
    assert healed == (204, None)
    assert report["verdict"] == "pass", report["evidence"]
    assert [act["fault"] for act in report["acts"]] == ["hang", "hang"]
    assert report["acts"][1]["until_s"] == report["simulated_s"]
    assert cards == []
