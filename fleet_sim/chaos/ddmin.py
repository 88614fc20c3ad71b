"""The smallest part of a list that still does what all of it does; pure.

Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(whole: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """A part that fails, and fails no more without any one of its members.

    Args:
        whole: what fails.
        fails: whether a part of it does, in the order of the whole.
    """
    parts, pieces = list(whole), 2
    while len(parts) > 1:
        size = -(-len(parts) // pieces)
        chunks = [parts[at : at + size] for at in range(0, len(parts), size)]
        rests = [
            [one for other in chunks if other is not chunk for one in other] for chunk in chunks
        ]
        # Of two halves, each is what the other leaves.
        candidates = [*chunks, *(rests if len(chunks) > 2 else ())]  # noqa: PLR2004 -- halves
        smaller = next((part for part in candidates if fails(part)), None)
        if smaller is None:
            if pieces >= len(parts):
                break
            pieces = min(2 * pieces, len(parts))
        else:
            pieces = 2 if any(smaller is chunk for chunk in chunks) else max(pieces - 1, 2)
            parts = smaller
    return parts
