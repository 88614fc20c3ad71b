"""Is a run repeated to the byte? By the program itself, in processes of their own.

    python tests/bench/fleet_exact.py [--quick]

The same seed three times under three hash seeds, and with four shards: one digest. And with one
device more: every line of every other device as it was.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

PROGRAM: Final = Path(sys.executable).with_name("doorfleet-sim")
HASH_SEEDS: Final = ("0", "1", "4242")
SHARDS: Final = 4
SCENARIO: Final = """\
hours: {hours}
fleet: {{ratgdo: {first}, nuki: {count}, uhppote: {count}, tedee: {count}}}
acts:
  - {{at: 2m, for: 2m, vendor: nuki, fault: reconnect_storm, share: 0.3}}
  - {{at: 4m, for: 2m, vendor: ratgdo, fault: duplicate, share: 0.5}}
"""


def run(scenario: Path, *more: str, hash_seed: str = "0") -> dict[str, Any]:
    """`doorfleet-sim run`; its report, and that of its journal's digest.

    Raises:
        RuntimeError: it could not run; with what it said.
    """
    done = subprocess.run(
        [str(PROGRAM), "run", str(scenario), "--seed", "7", "--no-ui", "--json", "-", *more],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-500:]}") from None
    return report


def lines(journal: Path, *, without: str = "") -> Sequence[bytes]:
    """A journal's lines, but for those of one device."""
    mark = f'"{without}"'.encode()
    return [line for line in journal.read_bytes().splitlines() if not without or mark not in line]


def measure(*, quick: bool = False) -> dict[str, Any]:
    """What `fleet.py` prints and writes."""
    hours, count = (0.15, 6) if quick else (1.0, 100)
    with TemporaryDirectory(prefix="doorfleet-exact-") as name:
        room = Path(name)
        scenario, larger = room / "exact.yaml", room / "larger.yaml"
        scenario.write_text(SCENARIO.format(hours=hours, first=count, count=count))
        larger.write_text(SCENARIO.format(hours=hours, first=count + 1, count=count))
        digests = {}
        for seed in HASH_SEEDS:
            said = run(scenario, "--journal", str(room / "whole.jsonl"), hash_seed=seed)
            digests[f"hash seed {seed}"] = said["journal"]["digest"]
        shards = run(scenario, "--workers", str(SHARDS), "--journal", str(room / "shards.jsonl"))
        digests[f"{SHARDS} shards"] = shards["journal"]["digest"]
        same_bytes = (room / "whole.jsonl").read_bytes() == (room / "shards.jsonl").read_bytes()
        run(larger, "--journal", str(room / "larger.jsonl"))
        before = lines(room / "whole.jsonl")
        after = set(lines(room / "larger.jsonl"))
        moved = sum(line not in after for line in before)
        return {
            "figures": [
                {
                    "what": f"digests of {len(HASH_SEEDS)} hash seeds and {SHARDS} shards",
                    "measured": len(set(digests.values())),
                    "target": "1",
                    "met": len(set(digests.values())) == 1 and same_bytes,
                },
                {
                    "what": "lines that one more device moved",
                    "measured": moved,
                    "target": "0",
                    "met": moved == 0 and len(after) > len(before),
                },
            ],
            "digests": digests,
            "lines": len(before),
            "lines_with_one_more": len(after),
        }


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=2))
