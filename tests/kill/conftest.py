"""How much is tried: by default what CI has the time for."""

from collections.abc import Sequence
from typing import Final

import pytest

#: Option: what it stands for by itself, and what it means.
OPTIONS: Final = {
    "--kills": (160, "kill -9 so often, over all tests"),
    "--runs": (1_000, "runs on a simulated disk"),
    "--run-seed": (None, "only the run of this seed"),
}
# A kill takes a third of a second, and twice that on a machine with other worries.
_KILL_S: Final = 0.75
_SETTLE_S: Final = 150


def pytest_addoption(parser: pytest.Parser) -> None:
    """See `OPTIONS`; known only if this folder is named on the command line."""
    group = parser.getgroup("kill")
    for name, (default, meaning) in OPTIONS.items():
        group.addoption(name, type=int, default=default, metavar="N", help=f"{meaning} ({default})")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have the patience that so many kills need."""
    patience = pytest.mark.timeout(_option(config, "--kills") * _KILL_S + _SETTLE_S)
    for item in items:
        if item.path.stem == "test_kill_9":
            item.add_marker(patience, append=False)


def _option(config: pytest.Config, name: str) -> int:
    value: int = config.getoption(name, OPTIONS[name][0])
    return value


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often to kill, over all tests."""
    return _option(request.config, "--kills")


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Sequence[int]:
    """Which runs to make."""
    alone = request.config.getoption("--run-seed", None)
    return range(_option(request.config, "--runs")) if alone is None else [alone]
