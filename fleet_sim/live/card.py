"""Where a run that may be broken is found: a file of its own that only its user can read.

It says the server's URL, and the token for whoever comes from beyond this machine.
"""

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from devices.errors import ConfigError

_OURS_ALONE: Final = 0o700
_SUFFIX: Final = ".run.json"


@dataclass(frozen=True, slots=True)
class Card:
    """One run. `what` is what it runs, for people."""

    url: str
    token: str
    pid: int
    what: str

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return False  # another user's, who was given the number since
        return True


def folder() -> Path:
    """Where the cards of this user are; it is made if need be.

    Raises:
        ConfigError: somebody else has it, or could write there.
    """
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(given).is_absolute() and Path(given).is_dir():
        path = Path(given) / "doorfleet"
    else:
        path = Path(tempfile.gettempdir()) / f"doorfleet-{os.geteuid()}"
    try:
        path.mkdir(mode=_OURS_ALONE, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}; set XDG_RUNTIME_DIR to a folder",)) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError((f"{path}: not a folder of yours alone; remove it, or chmod 700",))
    return path


@contextmanager
def laid_out(card: Card) -> Iterator[Path]:
    """The card lies there meanwhile.

    Raises:
        ConfigError: it cannot be put there.
    """
    path = folder() / f"{card.pid}{_SUFFIX}"
    with suppress(FileNotFoundError):
        path.unlink()  # of a process that had this number before
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}; set XDG_RUNTIME_DIR to a folder",)) from None
    with os.fdopen(made, "w", encoding="utf-8") as file:
        json.dump(asdict(card), file)
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def cards() -> list[Card]:
    """Those of the runs that are there, by process; what others left behind is removed.

    Raises:
        ConfigError: see `folder`.
    """
    found = []
    for path in sorted(folder().glob(f"*{_SUFFIX}")):
        try:
            card = Card(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # it is being written, or gone
        if card.alive:
            found.append(card)
        else:
            with suppress(FileNotFoundError):
                path.unlink()
    return found
