"""A piece of work in a child of this process: all that it used is given back when it ends.

A gateway with some thousand devices leaves a million objects that know each other. To look through
them for garbage takes a seventh of the time in which they were of use; to end the process, none.

    parent ── fork ──► child: work(word, ask)
       ▲ ◄─ word ────────┤ ◄─ answer ─┐
       └── result ◄──────┘   ask ─────┘ parent
"""

import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any, Final, NoReturn, Protocol, TypeVar

T = TypeVar("T")

_ORPHANED: Final = 70


class Says(Protocol):
    """What the child has to tell its parent; returns what the parent's `heard` returned."""

    def __call__(self, word: Any, /) -> Any:  # noqa: ANN401 -- whatever can be pickled
        """One word."""


def apart(work: Callable[[Says], T], heard: Callable[[Any], Any]) -> T:
    """Do this in a child; what it returned, or what it raised.

    The caller's other threads do not exist in the child: `work` uses nothing of theirs.

    Args:
        work: is given what says a word to the parent.
        heard: called here with each word; what it returns is the answer.

    Raises:
        ChildProcessError: the child died.
    """
    ours, theirs = Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        ours.close()
        _be_the_child(work, theirs)
    theirs.close()
    with ours:
        try:
            while True:
                kind, word = ours.recv()
                if kind == "word":
                    ours.send(heard(word))
                else:
                    break
        except (EOFError, OSError):
            kind, word = "died", None
    _, status = os.waitpid(pid, 0)
    if kind == "result":
        result: T = word
        return result
    if kind == "raised":
        raise word
    raise ChildProcessError(f"a child ended with {os.waitstatus_to_exitcode(status)}")


def _be_the_child(work: Callable[[Says], Any], parent: Connection) -> NoReturn:
    def say(word: Any) -> Any:  # noqa: ANN401 -- see Says
        try:
            parent.send(("word", word))
            return parent.recv()
        except (EOFError, OSError):
            os._exit(_ORPHANED)  # nobody is left to work for

    try:
        outcome = ("result", work(say))
    except BaseException as error:  # noqa: BLE001 -- whatever it is, it is told, and told there
        traceback.print_exc()
        outcome = ("raised", error)
    try:
        parent.send(outcome)
    finally:
        sys.stderr.flush()
        os._exit(0)
