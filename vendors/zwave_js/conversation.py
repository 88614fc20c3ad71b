"""A conversation with zwave-js-server: the schema agreed upon, questions and their answers.

    server: version ─► initialize ─► start_listening ─► the whole state ─► events
                           ▲ the newest schema that both of us know

Source: zwave-js-server 3.10.2 `server.ts`, `error.ts`, `common.ts`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from devices.command import Reason
from devices.errors import RejectedError, UnavailableError
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.zwave_js.names import VENDOR

#: Schemas whose messages we read: notifications name their node from 21 on.
SCHEMA_MIN: Final = 21
SCHEMA_MAX: Final = 50
#: `set_value` says so of a value that was taken. Source: zwave-js `SetValueStatus`.
_TAKEN: Final = frozenset({1, 254, 255})
_STATUS: Final[Mapping[int, str]] = {
    0: Reason.UNSUPPORTED,
    2: "vendor:fail",
    3: "vendor:endpoint_not_found",
    4: "vendor:not_implemented",
    5: "vendor:invalid_value",
}
#: Errors of the radio: it left, and what became of it nobody knows. Source: `ZWaveErrorCodes`,
#: 200 to 299 are the controller's.
_RADIO: Final = range(200, 300)


class FailedError(Exception):
    """The server's no: `code` as it wrote it, `zwave` the driver's own number."""

    def __init__(self, code: str, zwave: int | None) -> None:
        super().__init__(f"{code} {zwave}" if zwave is not None else code)
        self.code = code
        self.zwave = zwave


def agreed(version: Mapping[str, Any]) -> int | str:
    """The schema to speak; a text if there is none, which says why."""
    low, high = version.get("minSchemaVersion"), version.get("maxSchemaVersion")
    if not isinstance(low, int) or not isinstance(high, int):
        return "schema: the server names none"
    if low > SCHEMA_MAX or high < SCHEMA_MIN:
        return f"schema: the server speaks {low} to {high}, we {SCHEMA_MIN} to {SCHEMA_MAX}"
    return min(high, SCHEMA_MAX)


def taken(result: Mapping[str, Any]) -> None:
    """Nothing, if `set_value` was taken; `Working` and unsupervised success are no effect.

    Raises:
        RejectedError: it was not.
        UnavailableError: the server said something else.
    """
    if "success" in result:  # before schema 29
        if not result["success"]:
            raise RejectedError(VENDOR, "vendor:fail")
        return
    found = result.get("result")
    status = found.get("status") if isinstance(found, dict) else None
    if status in _TAKEN:
        return
    if isinstance(status, int) and status in _STATUS:
        raise RejectedError(VENDOR, _STATUS[status])
    raise UnavailableError(VENDOR, "an answer without a status")


def refusal(failed: FailedError) -> RejectedError | UnavailableError:
    """What a server's no means for a command."""
    if failed.code == "zwave_error" and failed.zwave in _RADIO:
        return UnavailableError(VENDOR, f"the radio failed: ZW{failed.zwave:04d}")
    if failed.code in {"zwave_error", "unknown_error"}:
        number = f"zw{failed.zwave:04d}" if failed.zwave is not None else failed.code
        return RejectedError(VENDOR, f"vendor:{number}")
    return RejectedError(VENDOR, f"vendor:{failed.code[:40]}")


class Questions:
    """What was asked and not answered yet, by message id."""

    def __init__(self, send: Callable[[str], Awaitable[bool]]) -> None:
        self._send = send
        self._number = 0
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}

    async def ask(
        self, command: str, timeout_ms: int, *, message_id: str = "", **fields: object
    ) -> Mapping[str, Any]:
        """Ask once; the `result` of the answer.

        Raises:
            NotSentError: there is no link.
            NoReplyError: no answer in time, or the link was lost.
            FailedError: the server said no.
        """
        self._number += 1
        name = message_id or f"doorfleet-{self._number}"
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[name] = answer
        try:
            body = {"messageId": name, "command": command, **fields}
            if not await self._send(orjson.dumps(body).decode()):
                raise NotSentError("no link to the server")
            async with asyncio.timeout(max(0, timeout_ms) / 1000):
                message = await answer
        except TimeoutError:
            raise NoReplyError("no answer in time") from None
        finally:
            self._waiting.pop(name, None)
        if message.get("success") is not True:
            number = message.get("zwaveErrorCode")
            code = str(message.get("errorCode", "unknown_error"))
            raise FailedError(code, number if isinstance(number, int) else None)
        result = message.get("result")
        return result if isinstance(result, dict) else {}

    def answered(self, message: Mapping[str, Any]) -> None:
        """An answer; one that nobody waits for any more is of no interest."""
        name = message.get("messageId")
        waiting = self._waiting.get(name) if isinstance(name, str) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def lost(self) -> None:
        """The link is gone: nobody will answer."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(NoReplyError("the link was lost"))
