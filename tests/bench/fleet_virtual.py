"""Fleets in simulated time: a day of a thousand, an hour of a city, ten minutes of a million.

`measure()` gives seconds, CPU seconds and peak memory of each, as a user's command line has them.
Run as a program it prints that as one JSON object.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from processes import family

WORKERS: Final = 2
#: Name to the words of `doorfleet-sim run`.
RUNS: Final = {
    "quiet_day": ["quiet_day"],
    "city_hour": ["city_hour"],
    "million": ["million", "--no-gateway"],
}
#: The targets: seconds, and MB in all; 0 is no limit.
LIMITS: Final = {"quiet_day": (20, 0), "city_hour": (90, 1_500), "million": (120, 2_000)}
_PATIENCE_S: Final = 1_800
# Whoever is looked at stands still meanwhile.
_LOOK_S: Final = 1.0
_RAM_DISK: Final = Path("/dev/shm")


def memory_kb(pid: int) -> tuple[int, int]:
    """Resident, and the part of it that is its own: what is shared is divided among the sharers."""
    found = {"Rss": 0, "Pss": 0}
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    for line in lines:
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(rest.split()[0])
    return found["Rss"], found["Pss"]


def one(words: list[str], folder: Path, workers: int = WORKERS) -> dict[str, Any]:
    """One run: what it took and what it said."""
    report = folder / "report.json"
    sim = Path(sys.executable).parent / "doorfleet-sim"
    command = [str(sim), "run", *words, "--workers", str(workers), "--no-ui", "--json", str(report)]
    disk_before = shutil.disk_usage(_RAM_DISK).used if _RAM_DISK.is_dir() else 0
    peak_rss = peak_pss = peak_disk = 0
    began, cpu_before = time.perf_counter(), os.times()
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    while process.poll() is None and time.perf_counter() - began < _PATIENCE_S:
        sizes = [memory_kb(pid) for pid in family(process.pid)]
        peak_rss = max(peak_rss, sum(rss for rss, _ in sizes))
        peak_pss = max(peak_pss, sum(pss for _, pss in sizes))
        if _RAM_DISK.is_dir():
            peak_disk = max(peak_disk, shutil.disk_usage(_RAM_DISK).used - disk_before)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)  # its end is seen at once, or half a look would be added to it
    if process.poll() is None:
        process.terminate()
    code = process.wait(timeout=30)
    seconds, cpu = time.perf_counter() - began, os.times()
    if code or not report.exists():
        return {"failed": code, "said": (folder / "stderr").read_text()[-2_000:]}
    said = json.loads(report.read_text())
    return {
        "seconds": round(seconds, 1),
        "cpu_s": round(
            cpu.children_user
            + cpu.children_system
            - cpu_before.children_user
            - cpu_before.children_system,
            1,
        ),
        "peak_rss_mb": peak_rss // 1024,
        "peak_own_mb": peak_pss // 1024,
        "peak_ram_disk_mb": peak_disk // 2**20,
        "devices": sum(vendor["devices"] for vendor in said["vendors"].values()),
        "simulated_s": said["simulated_s"],
        "events": sum(vendor["events"] for vendor in said["vendors"].values()),
        "journal": said["journal"],
        "verdict": said["verdict"],
        "workers": workers,
    }


def measure(only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every run, or only these, each beside its limits."""
    found: dict[str, Any] = {}
    for name, words in RUNS.items():
        if only and name not in only:
            continue
        with TemporaryDirectory() as folder:
            took = one(words, Path(folder))
        if "failed" not in took:
            seconds, memory_mb = LIMITS[name]
            took |= {"seconds_max": seconds, "memory_mb_max": memory_mb or None}
        found[name] = took
    return found


if __name__ == "__main__":
    print(json.dumps(measure(tuple(sys.argv[1:])), indent=2))
