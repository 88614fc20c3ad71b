"""An experiment's JSON Schema, for editors: `make schemas` writes it."""

import sys
from collections.abc import Iterable
from pathlib import Path

from fleet_sim.chaos.experiment import Experiment
from fleet_sim.scenario_schema import bytes_of, schema
from vendors import registry


def text(vendors: Iterable[str] = registry.OURS) -> bytes:
    """The file's bytes.

    Args:
        vendors: who may be in one.
    """
    names = sorted(vendors)
    document = schema(names, Experiment)
    document["properties"]["blast_radius"]["propertyNames"] = {"enum": names}
    return bytes_of(document)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(text())
