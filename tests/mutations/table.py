"""Print what `test_mutations.py` found: each planted defect, and the oracle that saw it."""

import json
from pathlib import Path
from typing import Final

REPORTS: Final = Path(__file__).parents[2] / ".bench" / "mutations"

for path in sorted(REPORTS.glob("*.json")):
    found = json.loads(path.read_text(encoding="utf-8"))
    small = f"; {found['acts']} act(s), {found['devices']} device(s)" if "acts" in found else ""
    where = f"{found['experiment']}, seed {found['seed']}{small}"
    print(f"{found['defect']:<28} {found['oracle']:<10} {where}")
