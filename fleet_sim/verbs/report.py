"""`doorfleet-sim report`."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, outputs

HELP: Final = "make a web page or JUnit XML of a report that was written as JSON"
_NEEDED: Final = ("verdict", "vendors")


def arguments(sub: argparse.ArgumentParser) -> None:
    """Which report, and what to make of it."""
    sub.add_argument("report", type=Path, help="what `run --json FILE` wrote; - is stdin")
    outputs.arguments(sub, http=False)


def act(options: argparse.Namespace) -> int:
    """Make them; the exit code is the run's verdict."""
    problems = outputs.problems(options)
    if options.html is None and options.junit is None:
        problems.append("nothing to make: give --html FILE or --junit FILE")
    if problems:
        raise ConfigError(tuple(problems))
    report = _read(options.report)
    outputs.write(options, report)
    print(f"{options.report}: {report['verdict']}")
    return common.OK if report["verdict"] == "pass" else common.FAILED


def _read(path: Path) -> dict[str, Any]:
    """A report.

    Raises:
        ConfigError: there is none, or it is something else.
    """
    try:
        text = Path("/dev/stdin").read_text() if str(path) == "-" else path.read_text()
        found = json.loads(text)
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}; give what --json wrote",)) from error
    except ValueError as error:
        raise ConfigError((f"{path}: no JSON: {error}; give what --json wrote",)) from error
    if not isinstance(found, dict) or any(key not in found for key in _NEEDED):
        problem = f"{path}: no report of a run, {' or '.join(_NEEDED)} is missing"
        raise ConfigError((f"{problem}; give what --json wrote",))
    return found
