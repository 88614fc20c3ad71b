"""When Python may look for garbage: not among a whole fleet, while its time is measured.

A search through everything takes 90 ms for some hundred devices, in which nobody's latency is true,
and as it comes a fifth of a simulated run's time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# The youngest objects are looked through when there are so many of them; as it comes, 700.
_YOUNG: Final = 50_000


@contextmanager
def frozen() -> Iterator[None]:
    """Never look among what is there already."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Nor often among what is new: for a run that waits for nobody."""
    before = gc.get_threshold()
    with frozen():
        gc.set_threshold(_YOUNG, *before[1:])
        try:
            yield
        finally:
            gc.set_threshold(*before)
