"""How thoroughly the planted defects are looked at."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-shrink", action="store_true", help="be content that each planted defect is caught"
    )


@pytest.fixture
def shrinks(request: pytest.FixtureRequest) -> bool:
    """Whether each counter-example is made as small as it can be, and tried again."""
    return not request.config.getoption("--no-shrink")
