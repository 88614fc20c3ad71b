"""How large a fleet, how fast, how exact: every figure with its target, in one run.

    python tests/bench/fleet.py [--quick] [--only wire,virtual,exact,ray]

Each part (`fleet_parts.py`) runs in a process of its own, so that none pays for another's memory.
Writes `.bench/fleet.json` and prints a table; exit code 1 if a figure misses its target. `--quick`
is for CI: small fleets, a minute in all, softer targets.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fleet_parts import PARTS

PROGRAM: Final = Path(__file__).with_name("fleet_parts.py")
#: A cluster takes longer to start than CI has time.
SLOW: Final = ("ray",)


def part(name: str, out: Path, *, quick: bool) -> dict[str, Any]:
    """One part in a process of its own; what it found, or why it could not."""
    result = out.with_name(f"fleet-{name}.part")
    result.unlink(missing_ok=True)
    began_s = time.perf_counter()
    child = subprocess.run(
        [sys.executable, str(PROGRAM), name, "quick" if quick else "whole", str(result)],
        check=False,
    )
    took_s = round(time.perf_counter() - began_s, 1)
    if child.returncode or not result.exists():
        return {"failed": f"exit code {child.returncode}", "took_s": took_s}
    found: dict[str, Any] = json.loads(result.read_text())
    result.unlink()
    return {**found, "took_s": took_s}


def rows(report: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    """The table: part, what, measured, target, whether it is met."""
    found: list[Sequence[str]] = []
    for name in PARTS:
        if (one := report["parts"].get(name)) is None:
            continue
        if "figures" not in one:
            why = "failed" if "failed" in one else "skipped"
            found.append((name, str(one[why]), why, "", "NO" if why == "failed" else "-"))
            continue
        for figure in one["figures"]:
            shown = figure["measured"]
            text = f"{shown:,}" if isinstance(shown, int | float) else str(shown)
            unit = f" {figure['unit']}" if figure.get("unit") else ""
            met = "yes" if figure["met"] else "NO"
            found.append((name, figure["what"], text + unit, figure["target"], met))
    return found


def beside(report: Mapping[str, Any]) -> Sequence[str]:
    """What a peer did in the same run, in a line."""
    locust = report["parts"].get("wire", {}).get("locust", {})
    if "skipped" in locust:
        return [f"Locust: not measured: {locust['skipped']}"]
    if not locust:
        return []
    return [
        "Locust {version} in the same run, of {users:,} users: {connected:,} connected,"
        " {connects_per_s:,} connects/s, {kb:.1f} kB each, {messages_per_s:,} messages/s,"
        " {our_cores} cores".format(kb=locust["bytes_per_device"] / 1000, **locust)
    ]


def table(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need."""
    head = ("part", "what", "measured", "target", "met")
    widths = [max(len(row[at]) for row in [head, *lines]) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *lines]
    )


def main() -> int:
    """Measure; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description="measure fleets; writes .bench/fleet.json")
    parser.add_argument(
        "--quick", action="store_true", help="small fleets, for CI: a minute in all"
    )
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path(".bench/fleet.json"))
    options = parser.parse_args()
    chosen = [name for name in PARTS if not (options.quick and name in SLOW)]
    if options.only:
        chosen = options.only.split(",")
    if strange := [name for name in chosen if name not in PARTS]:
        parser.error(f"--only {', '.join(strange)}: is none of {', '.join(PARTS)}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "python": platform.python_version(),
        "quick": options.quick,
        "parts": {},
    }
    for name in chosen:
        print(f"{name}: {PARTS[name][0]}", file=sys.stderr, flush=True)
        report["parts"][name] = part(name, options.out, quick=options.quick)
        options.out.write_text(json.dumps(report, indent=2) + "\n")
    lines = rows(report)
    print(table(lines))
    for line in beside(report):
        print(line)
    print(f"written to {options.out}")
    return 1 if any(row[-1] == "NO" for row in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
