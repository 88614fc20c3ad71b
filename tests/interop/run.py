"""Drive our simulated devices with clients that we did not write, each in its own environment.

    tests/interop/<client>/
        fleet.json         what is served: {"vendor", "count", "options", "tls_broker"}
        requirements.txt   a Python client and all it needs, pinned
        package.json       a Node client, with its package-lock.json
        check.py           what is tried, see `tests/interop/kit.py`

    make interop                       all of them
    make interop ARGS="pynuki meross_iot"

Writes `.interop/report.json`: {client: {version, checks, passed, failed}}.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from environments import InteropError, environment, size_of

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
#: Environments and results; made anew when what a client needs has changed.
KEPT: Final = ROOT / ".interop"
_CHECK_S: Final = 180
_READY_S: Final = 60
# Installing computes and waits in turns, checks mostly wait.
_INSTALLS_AT_ONCE: Final = 3
_CHECKS_AT_ONCE: Final = 6


def clients() -> list[str]:
    """All that have a check."""
    return sorted(path.parent.name for path in HERE.glob("*/check.py"))


def version_of(client: str) -> str:
    """What is tested: the first pinned requirement, or the first dependency of package.json."""
    folder = HERE / client
    if (folder / "requirements.txt").exists():
        lines = (folder / "requirements.txt").read_text().splitlines()
        return next(line for line in lines if "==" in line and line[0] != "#").partition(";")[0]
    needed: dict[str, str] = json.loads((folder / "package.json").read_text())["dependencies"]
    return next(f"{name}@{version}" for name, version in needed.items())


def drive(client: str, python: Path, told: dict[str, str]) -> dict[str, Any]:
    """Serve the fleet, run the check, and give what it found.

    Raises:
        InteropError: the fleet did not come up, or the check ended without a word.
    """
    result = KEPT / client / "result.json"
    result.unlink(missing_ok=True)
    fleet: dict[str, Any] = {}
    if (HERE / client / "fleet.json").exists():
        fleet = json.loads((HERE / client / "fleet.json").read_text())
    serving: subprocess.Popen[str] | None = None
    env = {
        **os.environ,
        **told,
        "INTEROP_RESULT": str(result),
        "INTEROP_PYTHON": sys.executable,
        "PYTHONPATH": str(HERE),
    }
    try:
        if fleet:
            serving, env["INTEROP_CONTROL"] = served(client, fleet)
        with (KEPT / client / "check.log").open("wb") as log:
            done = subprocess.run(
                [str(python), str(HERE / client / "check.py")],
                env=env,
                cwd=KEPT / client,
                stdout=log,
                stderr=log,
                timeout=_CHECK_S,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise InteropError(f"{client}: its check took more than {_CHECK_S} s") from None
    finally:
        if serving is not None:
            end(serving)
    checks: list[dict[str, Any]] = json.loads(result.read_text()) if result.exists() else []
    if not checks or done.returncode != 0:
        said = (KEPT / client / "check.log").read_text(errors="replace")[-2000:]
        raise InteropError(f"{client}: its check ended with status {done.returncode}:\n{said}")
    passed = sum(check["passed"] for check in checks)
    return {
        "version": version_of(client),
        "checks": checks,
        "passed": passed,
        "failed": len(checks) - passed,
    }


def found_by(client: str, ready: Future[tuple[Path, dict[str, str]]]) -> dict[str, Any]:
    """One client's part of the report, once its environment is ready."""
    began_s = time.monotonic()
    try:
        python, told = ready.result()
        began_s = time.monotonic()
        found = drive(client, python, told)
    except InteropError as error:
        broken = {"check": "it could be run", "passed": False, "error": str(error)}
        found = {"version": version_of(client), "checks": [broken], "passed": 0, "failed": 1}
    found["took_s"] = round(time.monotonic() - began_s, 1)
    print(
        f"{client}: {found['passed']} passed, {found['failed']} failed in {found['took_s']} s",
        file=sys.stderr,
        flush=True,
    )
    return found


def served(client: str, fleet: dict[str, Any]) -> tuple[subprocess.Popen[str], str]:
    """A fleet that is up, and the URL of its control."""
    command = [sys.executable, str(HERE / "serve.py"), fleet["vendor"]]
    command += ["--count", str(fleet.get("count", 2))]
    command += ["--options", json.dumps(fleet.get("options", {}))]
    command += ["--tls-broker"] if fleet.get("tls_broker") else []
    serving = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert serving.stdout is not None
    with ThreadPoolExecutor(1) as reader:
        line = reader.submit(serving.stdout.readline)
        try:
            url = line.result(_READY_S).strip()
        except TimeoutError:
            url = ""
            serving.kill()
    if not url.startswith("http"):
        end(serving)
        raise InteropError(f"{client}: its fleet of {fleet['vendor']} did not come up")
    return serving, url


def end(serving: subprocess.Popen[str]) -> None:
    """Close its standard input, and wait; by force in the end."""
    assert serving.stdin is not None
    serving.stdin.close()
    try:
        serving.wait(10)
    except subprocess.TimeoutExpired:
        serving.kill()
        serving.wait()


def main() -> int:
    """`run.py [CLIENT ...]`: 0 if all held, 1 if something did not, 2 for an unknown client."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help="absent: all of them")
    wanted = parser.parse_args().clients or clients()
    if unknown := sorted(set(wanted) - set(clients())):
        print(f"unknown: {', '.join(unknown)}; known are {', '.join(clients())}", file=sys.stderr)
        return 2
    # Whoever has most to install takes longest to check, too: they begin.
    largest_first = sorted(wanted, key=size_of, reverse=True)
    # One after the other: a check that waits for its client must not wait for an installer too.
    with ThreadPoolExecutor(_INSTALLS_AT_ONCE) as installing:
        ready = {client: installing.submit(environment, client, KEPT) for client in largest_first}
    with ThreadPoolExecutor(_CHECKS_AT_ONCE) as checking:
        found = {
            client: checking.submit(found_by, client, ready[client]) for client in largest_first
        }
        report = {client: found[client].result() for client in wanted}
    KEPT.mkdir(exist_ok=True)
    (KEPT / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{'client':34} {'version':42} passed failed")
    for client, each in report.items():
        print(f"{client:34} {each['version']:42} {each['passed']:6} {each['failed']:6}")
        for check in each["checks"]:
            if not check["passed"]:
                print(f"  FAILED {check['check']}\n{check['error']}")
    passed, failed = (sum(each[what] for each in report.values()) for what in ("passed", "failed"))
    print(f"=== {passed} passed, {failed} failed ===")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
