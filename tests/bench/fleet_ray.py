"""A Ray cluster of two nodes, 20,000 devices, one node killed in the middle.

    python tests/bench/fleet_ray.py

Needs the environment that `make cluster-test` makes.
"""

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = ROOT / ".cluster" / "venv" / "bin" / "python"
TWO_NODES: Final = ROOT / "tests" / "cluster" / "two_nodes.py"
_LIMIT_S: Final = 600


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Run it once; the same when it is `quick`."""
    del quick
    if not PYTHON.exists():
        return {"skipped": "Ray is not installed; `make cluster-test` installs it"}
    with TemporaryDirectory(prefix="doorfleet-") as folder:
        done = subprocess.run(
            [str(PYTHON), str(TWO_NODES), folder],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    if done.returncode != 0:
        return {"failed": f"the cluster failed: {done.stderr[-500:]}"}
    found = json.loads(done.stdout.splitlines()[-1])
    report = found["report"] or {"verdict": "none", "restarted": [], "vendors": {}}
    devices = sum(each["devices"] for each in report["vendors"].values())
    again = ", ".join(f"shard {each['shard']}: {each['why']}" for each in report["restarted"])
    what = f"Ray, two nodes, {devices:,} devices, one node killed"
    return {
        "figures": [
            {
                "what": f"{what}: verdict",
                "measured": report["verdict"],
                "unit": "",
                "target": "pass",
                "met": report["verdict"] == "pass",
            },
            {
                "what": f"{what}: begun again",
                "measured": again or "nothing",
                "unit": "",
                "target": "named",
                "met": bool(again),
            },
        ],
        "wall_s": found["wall_s"],
        "said": found["said"],
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
