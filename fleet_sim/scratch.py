"""Where a run in simulated time keeps what is gone with it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

# Memory, where there is such a folder: a simulated disk needs no patience.
_RAM: Final = Path("/dev/shm")  # noqa: S108 -- a folder in it has a name of its own


def scratch() -> TemporaryDirectory[str]:
    """A folder that is gone with the run; in memory, where that can be."""
    return TemporaryDirectory(prefix="doorfleet-", dir=_RAM if _RAM.is_dir() else None)
