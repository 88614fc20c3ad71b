"""Work in a child of this process: what it says, what it returns, and how it can end."""

import os
from typing import Any

import pytest

from fleet_sim.cluster.apart import Says, apart


def test_what_it_returns_and_that_it_was_elsewhere() -> None:
    found: tuple[int, str] = apart(lambda _: (os.getpid(), "done"), lambda _: None)

    assert found[0] != os.getpid()
    assert found[1] == "done"


def test_each_word_is_heard_in_order_and_answered() -> None:
    heard: list[Any] = []

    def work(say: Says) -> list[Any]:
        return [say(number) for number in range(3)]

    def hear(word: int) -> int:
        heard.append(word)
        return word * 2

    assert apart(work, hear) == [0, 2, 4]
    assert heard == [0, 1, 2]


def test_what_it_raises_is_raised_here(capfd: pytest.CaptureFixture[str]) -> None:
    def work(_: Says) -> None:
        raise KeyError("nobody")

    with pytest.raises(KeyError, match="nobody"):
        apart(work, lambda _: None)

    assert "Traceback" in capfd.readouterr().err  # where it was raised is told there


def test_that_it_died_is_told() -> None:
    with pytest.raises(ChildProcessError, match="ended with 9"):
        apart(lambda _: os._exit(9), lambda _: None)


def test_no_child_is_left_behind() -> None:
    pid: int = apart(lambda _: os.getpid(), lambda _: None)

    with pytest.raises(ProcessLookupError):  # not even one that nobody has waited for
        os.kill(pid, 0)
