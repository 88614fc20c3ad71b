"""The parts of `fleet.py`, each told in figures: what, measured, target, whether it is met."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import fleet_exact
import fleet_ray
import fleet_virtual
import fleet_wire

#: A fleet for CI: a minute in all.
_SMALL: Final = """\
hours: 1
fleet: {ratgdo: 50, nuki: 50, uhppote: 5}
"""
_SMALL_S: Final = 30


def virtual(*, quick: bool) -> dict[str, Any]:
    """Simulated time: seconds and memory of each run."""
    if quick:
        with TemporaryDirectory(prefix="doorfleet-bench-") as name:
            scenario = Path(name) / "small.yaml"
            scenario.write_text(_SMALL)
            took = fleet_virtual.one([str(scenario)], Path(name), 1)
        took |= {"seconds_max": _SMALL_S, "memory_mb_max": None}
        runs = {"small": took}
    else:
        runs = fleet_virtual.measure()
    figures = [figure for name, took in runs.items() for figure in _virtual_figures(name, took)]
    return {"figures": figures, "runs": runs}


def _virtual_figures(name: str, took: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "failed" in took:
        return [{"what": name, "measured": took["said"][-80:], "target": "runs", "met": False}]
    found = [
        {
            "what": f"{name}: {took['devices']:,} devices, {took['simulated_s'] / 3600:g} h",
            "measured": took["seconds"],
            "unit": f"s ({took['cpu_s']} s CPU)",
            "target": f"<= {took['seconds_max']} s",
            "met": took["seconds"] <= took["seconds_max"] and took["verdict"] == "pass",
        }
    ]
    if took["memory_mb_max"]:
        in_all = took["peak_own_mb"] + took["peak_ram_disk_mb"]
        found.append(
            {
                "what": f"{name}: memory",
                "measured": in_all,
                "unit": "MB",
                "target": f"<= {took['memory_mb_max']} MB",
                "met": in_all <= took["memory_mb_max"],
            }
        )
    return found


PARTS: Final[Mapping[str, tuple[str, Callable[..., dict[str, Any]]]]] = {
    "wire": ("real sockets, against Mosquitto", fleet_wire.measure),
    "virtual": ("simulated time", virtual),
    "exact": ("the same seed, again", fleet_exact.measure),
    "ray": ("a cluster of two nodes, one of which is killed", fleet_ray.measure),
}


def main(name: str, pace: str, result: str) -> None:
    """Measure one part, and write what was found."""
    _, measure = PARTS[name]
    Path(result).write_text(json.dumps(measure(quick=pace == "quick")))


if __name__ == "__main__":
    main(*sys.argv[1:])
