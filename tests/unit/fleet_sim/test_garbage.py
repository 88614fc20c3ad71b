"""When Python may look for garbage."""

import gc

import pytest

from fleet_sim.garbage import frozen, seldom_collecting


def test_what_is_there_is_not_looked_at_until_the_block_ends() -> None:
    before = gc.get_freeze_count()
    with frozen():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_the_thresholds_are_put_back_however_it_ends(error: type[Exception] | None) -> None:
    before = gc.get_threshold()
    try:
        with seldom_collecting():
            assert gc.get_threshold()[0] > before[0]
            if error is not None:
                raise error
    except RuntimeError:
        pass
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
