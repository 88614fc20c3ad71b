"""What fails about the gateway's host: its cells, its disk, its clock, its bus."""

from collections.abc import Mapping
from typing import Final

from fleet_sim.faults.kind import Kind

KINDS: Final[Mapping[str, Kind]] = {}
