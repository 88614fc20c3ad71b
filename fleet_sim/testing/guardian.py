"""Ends what tests started if the tests themselves are killed: by a time limit, by want of memory.

A child that reads a pipe from us. When we are gone the pipe ends, and so does what was entrusted.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final

_END_S: Final = 10.0
_CODE: Final = """\
import os, sys
alive = set()
for line in sys.stdin.buffer:
    (alive.add if line[:1] == b"+" else alive.discard)(int(line[1:]))
for pid in alive:
    try:
        os.killpg(pid, 9)
    except ProcessLookupError:
        pass
"""


class Guardian:
    """One for all tests of a process; started when the first child is entrusted to it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int) -> None:
        """Entrust it a child that leads a process group of its own."""
        if self._child is None:
            self._child = subprocess.Popen(  # noqa: S603 -- our own words
                [sys.executable, "-I", "-S", "-c", _CODE],
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us
            )
        self._say(f"+{pid}\n")

    def release(self, pid: int) -> None:
        """This one has ended; what is left of its group is ended now."""
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        self._say(f"-{pid}\n")

    def _say(self, line: str) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # somebody ended it; then nobody guards
            self._child.stdin.write(line.encode())
            self._child.stdin.flush()

    def close(self) -> None:
        """Dismiss it."""
        if self._child is not None:
            child, self._child = self._child, None
            child.communicate(timeout=_END_S)
