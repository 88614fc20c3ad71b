"""The time that nobody sets: for durations, whatever is done to the wall clock meanwhile."""

import asyncio


def loop_ms() -> int:
    """Whole milliseconds of the running loop's clock; only differences mean anything."""
    return int(asyncio.get_running_loop().time() * 1000)
