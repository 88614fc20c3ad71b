"""A run on a Ray cluster of two nodes on this machine, one of which is killed in the middle.

    python tests/cluster/two_nodes.py FOLDER

FOLDER is for what it writes. It prints JSON: {"code", "wall_s", "said": lines on stderr, "report"}.
The nodes are on two addresses of the loopback range, so this is for Linux.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from ray.cluster_utils import Cluster

SIM: Final = (sys.executable, "-c", "import sys; from fleet_sim.cli import main; sys.exit(main())")
SCENARIO: Final = """\
description: A part of a town.
hours: 0.1
arrive_s: 300
fleet: {ratgdo: 10000, nuki: 10000}
"""
HEAD: Final = "127.0.0.2"
OTHER: Final = "127.0.0.3"
#: What the run says once a minute of it is over. Connecting is most of the work, and goes on.
UNDER_WAY: Final = re.compile(r"[1-5]:\d\d min of 6:00 min")
#: A node that is dead is noticed within a second or two, and not within fifteen.
_IMPATIENT: Final = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


def main(folder: Path) -> dict[str, Any]:
    """Start the nodes, run, kill, and see what comes of it."""
    (folder / "town.yaml").write_text(SCENARIO)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "node_ip_address": HEAD,
            "include_dashboard": False,
            "_system_config": _IMPATIENT,
        },
    )
    try:
        other = cluster.add_node(num_cpus=1, node_ip_address=OTHER)
        began_s = time.perf_counter()
        where = ("--on", "ray", "--address", cluster.address)
        files = ("--json", "report.json", "--journal", "town.jsonl")
        with subprocess.Popen(
            [*SIM, "run", "town.yaml", *where, *files],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stderr is not None
            said = []
            for line in run.stderr:
                said.append(line)
                if UNDER_WAY.match(line):
                    break
            cluster.remove_node(other, allow_graceful=False)  # kills its processes, by their pids
            said += run.stderr
        wall_s = round(time.perf_counter() - began_s, 1)
    finally:
        cluster.shutdown()
    report = folder / "report.json"
    return {
        "code": run.returncode,
        "wall_s": wall_s,
        "said": said,
        "report": json.loads(report.read_text()) if report.exists() else None,
    }


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
