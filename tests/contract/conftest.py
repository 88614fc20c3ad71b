"""A test that takes `vendor` is one test for each vendor of the registry."""

import pytest

from vendors import registry


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every vendor, ours and third parties'."""
    if "vendor" in metafunc.fixturenames:
        metafunc.parametrize("vendor", registry.names())
