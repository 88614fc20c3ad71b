"""Who listens on a TCP port of this machine, as far as we may know: for a good error message."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
# Columns of /proc/net/tcp, see proc_pid_net(5).
_LOCAL, _STATE, _INODE = 1, 3, 9


def port_owner(port: int, proc: Path = _PROC) -> str | None:
    """Such as "mosquitto, pid 812"; nothing where the system has no /proc or will not say.

    A process of another user shows its sockets to root alone, so we then know nothing.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc)}
    for pid in sorted(int(path.name) for path in proc.glob("[0-9]*")) if sockets else ():
        process = proc / str(pid)
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look into
            if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()}, pid {pid}"
    return None


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                columns = line.split()
                address, _, hex_port = columns[_LOCAL].rpartition(":")
                if address and int(hex_port, 16) == port and columns[_STATE] == _LISTEN:
                    yield columns[_INODE]
