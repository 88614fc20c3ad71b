"""A pause that somebody may end early."""

import asyncio


async def pause(wake: asyncio.Event, longest_ms: float) -> None:
    """Sleep until `wake` is set, so long at most; afterwards it is clear.

    A timer that sets the event costs a third of a timeout that ends in an exception, and whoever
    polls thousands of devices ends most pauses so.
    """
    timer = asyncio.get_running_loop().call_later(longest_ms / 1000, wake.set)
    try:
        await wake.wait()
    finally:
        timer.cancel()
    wake.clear()
