"""The folder of what must survive: there, writable, and one gateway's alone."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from devices.errors import ConfigError

_LOCK: Final = "gateway.lock"


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[int]:
    """Hold the folder; gives the descriptor of the lock, which a forked process must close.

    The kernel lets go of it when the holder dies, of whatever.

    Raises:
        ConfigError: the folder cannot be made or written, or another gateway runs on it.
    """
    path = folder / _LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        problem = f"state_dir: {error.filename or folder}: {error.strerror}"
        remedy = "choose a folder that this user may write"
        raise ConfigError((f"{problem}; {remedy}",)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            who = f"process {owner}" if owner else "another gateway"
            raise ConfigError(
                (f"state_dir: {folder} is in use by {who}; stop it, or choose another folder",)
            ) from None
        with contextlib.suppress(OSError):  # a full disk may not keep us from starting
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield lock
    finally:
        os.close(lock)
