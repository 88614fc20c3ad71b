"""Passcodes of a keypad: accepted at once, carried out within a minute, told by a webhook.

Slot `n` of ours is the passcode of the name `doorfleet <n>`, which a keypad allows once. What is
in a slot is read from the device list, never concluded from a webhook or an acceptance.

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b, "Keypad" (list, commands, webhook).
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

from vendors.switchbot import codec
from vendors.switchbot.codec import Hook

PIN_DIGITS: Final = range(6, 13)
#: The keypad has a minute; then its answer is `timeout`.
VERDICT_MS: Final = 60_000
#: When the list is read after a command, whoever still waits: its webhook may be lost.
READ_BACK_MS: Final = (8_000, 16_000, 32_000, 66_000)
#: When it is read after a webhook of a keypad.
HOOKED_MS: Final = 300
_SEEN_MAX: Final = 512


class Results:
    """What became of passcode commands, by command, and which webhooks of them were seen."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._seen: dict[tuple[str, str, str], None] = {}

    def heard(self, hook: Hook) -> bool:
        """Take in a keypad's webhook; False if it was taken in before."""
        key = (hook.device, hook.event, hook.command_id or str(hook.sample_ms))
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        waiting = self._waiting.get(codec.command_key(hook.command_id))
        if waiting is not None and not waiting.done():
            waiting.set_result(hook.result)
        return True

    @contextlib.contextmanager
    def expected(self, body: Any) -> Iterator[asyncio.Future[str]]:  # noqa: ANN401 -- of a reply
        """The result that will be told of the command that this reply accepted."""
        command_id = body.get("commandId") if isinstance(body, dict) else None
        result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        key = codec.command_key(command_id) if isinstance(command_id, str) else ""
        if key:
            self._waiting[key] = result
        try:
            yield result
        finally:
            self._waiting.pop(key, None)


async def verdict(result: asyncio.Future[str], within_ms: int) -> str | None:
    """The webhook's word; None if none came in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0, within_ms) / 1000):
            return await result
    return None
