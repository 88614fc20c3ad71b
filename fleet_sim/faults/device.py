"""What fails inside a device, whoever made it."""

from collections.abc import Mapping
from typing import Final

from fleet_sim.faults.kind import Kind

KINDS: Final[Mapping[str, Kind]] = {}
