"""Chaos Toolkit 1.19 runs experiments against `doorfleet-sim run`, by our extension of it.

The program is the real `chaos run`; the run is a process of its own, and has no act but theirs.
"""

import contextlib
import copy
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit import kit

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PROGRAM = Path(os.environ["INTEROP_PYTHON"]).with_name("doorfleet-sim")
CHAOS = Path(sys.executable).with_name("chaos")
EXPERIMENT = json.loads((HERE / "experiment.json").read_text())
SOON_S = 30
#: What the extension promises when `chaos` is killed, and what a busy machine adds.
LEASE_S, PATIENCE_S = 5, 10


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A fleet, and where its server is."""
    command = [PROGRAM, "run", HERE / "street.yaml", "--time", "real", "--seconds", "170"]
    command += ["--http", "0", "--no-ui", "--json", "run.json"]
    with (
        Path("run.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            kit.eventually(lambda: url() and answers(url() + "/status"), SOON_S)
            yield url()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(SOON_S)


def url() -> str:
    """What the run says of itself."""
    found = re.search(r"http://[\d.:]+", Path("run.log").read_text(errors="replace"))
    return found[0] if found else ""


def answers(at: str) -> Any:
    """Its JSON, or None until there is any."""
    with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(at, timeout=10) as said:
        return json.loads(said.read())
    return None


def chaos(at: str, name: str, experiment: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """`chaos run` on this experiment; its journal is written to NAME.journal.json."""
    path = Path(f"{name}.json")
    path.write_text(json.dumps(experiment))
    command = [CHAOS, "--no-version-check", "--log-file", f"{name}.log", "run"]
    command += ["--journal-path", f"{name}.journal.json", path]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DOORFLEET_RUN": at}
    with Path(f"{name}.out").open("wb") as out:
        return subprocess.Popen(command, env=env, stdout=out, stderr=out)


def journal(at: str, name: str, experiment: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The exit code and the journal of a whole `chaos run`."""
    code = chaos(at, name, experiment).wait(SOON_S)
    found: dict[str, Any] = json.loads(Path(f"{name}.journal.json").read_text())
    return code, found


def said(told: dict[str, Any], name: str) -> Any:
    """What an activity of the method came to."""
    (found,) = [each for each in told["run"] if each["activity"]["name"] == name]
    assert found["status"] == "succeeded", found
    return found["output"]


def with_action(**arguments: Any) -> dict[str, Any]:
    """The experiment, its action with other arguments."""
    changed = copy.deepcopy(EXPERIMENT)
    changed["method"][0]["provider"]["arguments"].update(arguments)
    return changed


def broken(at: str) -> list[dict[str, Any]]:
    """What is broken by hand at present."""
    found: list[dict[str, Any]] = answers(at + "/faults")["faults"]
    return found


@contextlib.contextmanager
def in_the_middle(at: str, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`chaos run`, when the fault has begun, and is to last for long."""
    experiment = with_action(for_s=100)
    experiment["method"][0]["pauses"] = {"after": 100}
    process = chaos(at, name, experiment)
    try:
        kit.eventually(lambda: broken(at), SOON_S)
        yield process
    finally:
        process.kill()
        process.wait(SOON_S)


def main() -> None:
    """All checks, one after the other."""
    with running() as at:
        with kit.check("an experiment breaks a vendor, holds, and leaves nothing behind"):
            code, told = journal(at, "holds", EXPERIMENT)
            assert (code, told["status"], told["deviated"]) == (0, "completed", False), told
            struck = said(told, "hang-a-fifth")["struck"]
            (fault,) = said(told, "it-is-broken")
            assert (fault["vendor"], fault["fault"], fault["struck"]) == ("nuki", "hang", struck)
            assert 0 < len(struck) < 40
            assert said(told, "others-while-it-lasts") is True
            assert 0 < said(told, "ratgdo-is-quick") < 5_000
            assert told["rollbacks"][0]["output"] == [fault["id"]]
            assert broken(at) == []

        with kit.check("a hypothesis that does not hold afterwards fails the command"):
            wrong = with_action(fault="latency", share=1.0, settings={"latency_ms": 1500})
            wrong["steady-state-hypothesis"]["probes"] = [
                {
                    "type": "probe",
                    "name": "nuki-is-quick",
                    "tolerance": {"type": "range", "range": [0, 1000]},
                    "provider": {
                        "type": "python",
                        "module": "fleet_sim.chaostoolkit.probes",
                        "func": "p99_ms",
                        "arguments": {"vendor": "nuki"},
                    },
                }
            ]
            wrong["method"][0]["pauses"] = {"after": 3}
            code, told = journal(at, "deviates", wrong)
            assert (code, told["deviated"]) == (1, True), told["steady_states"]
            assert broken(at) == []

        with kit.check("what the run refuses is said with place and remedy"):
            wrong = with_action(vendor="nukki")
            del wrong["method"][1:], wrong["method"][0]["pauses"]
            _, told = journal(at, "refused", wrong)
            (failed,) = [each for each in told["run"] if each["status"] == "failed"]
            assert "nukki" in failed["exception"][-1], failed["exception"]

        with kit.check("Ctrl-C in the middle heals everything"), in_the_middle(at, "stopped") as it:
            it.send_signal(signal.SIGINT)
            it.wait(SOON_S)
            assert broken(at) == []

        with (
            kit.check("kill -9 in the middle heals everything when the lease is over"),
            in_the_middle(at, "killed") as it,
        ):
            it.kill()
            kit.eventually(lambda: not broken(at), LEASE_S + PATIENCE_S)


if __name__ == "__main__":
    main()
