"""From a request on the bus to one device, and back with one outcome.

Doors are physical, so the desk would rather refuse than guess, and never repeats what opens:

    retained? ─► readable? ─► known id? ─► expired? ─► device, command, part, arguments?
      ─► slot free? ─► online? ─► fresh state? ─► caller's `expect` ─► already so? ─► blocked?
      ─► leaves once ─► seen done | seen failed | deadline: unknown

An id is made durable before anything else is decided about it. Whatever the process dies of, the
same id can therefore never leave twice: after a restart it is answered with `unknown`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import structlog

from devices.command import ALIASES, COMMANDS, Command, Outcome, Reason, Result
from devices.errors import StoreError
from devices.twin import Change, Twin
from gateway.command_run import Desk, Run
from gateway.request import Request, Unreadable, read
from vendors.api import Adapter, Vendor

log = structlog.get_logger("gateway.commands")

#: No caller may hold a device longer than this, whatever deadline it names.
DEADLINE_MAX_MS: Final = 600_000
#: Reasons of the outcome `unknown`; `devices.command.Reason` names those of the others.
RESTARTED: Final = "restarted"


class Clock(Protocol):
    """Unix ms; the loop's timers run at the same pace."""

    def now_ms(self) -> int:
        """Now, by the gateway's clock."""


class CommandStore(Protocol):
    """What of commands survives the process; an id counts per device."""

    async def begin(self, command: Command) -> Result | Literal["running"] | None:
        """Note durably that this command begins; None once that is on the disk.

        Returns what is known already if the device had a command of this id before: its result,
        or "running", or `another`; then nothing is written.

        Raises:
            StoreError: it could not be made durable, so it must not leave.
        """

    async def finish(self, command: Command, result: Result) -> None:
        """Note durably how a command that began has ended.

        Raises:
            StoreError: it could not be made durable; after a restart it counts as unfinished.
        """

    def unfinished(self) -> Sequence[Command]:
        """What began in an earlier life of this cell and has no result."""


class Finished(NamedTuple):
    """How a command ended, with what it was. `id` and `name` are empty if they were unreadable.

    `repeated`: the id was known already, and this is its first outcome said again.
    """

    id: str
    device: str
    name: str
    part: str
    outcome: Outcome
    reason: str | None
    finished_at_ms: int
    repeated: bool = False

    def body(self) -> dict[str, str | int | None]:
        """What the `result` topic and the response topic carry."""
        body: dict[str, str | int | None] = dict(zip(self._fields, self, strict=True))
        del body["repeated"]
        return body


#: (device, how it ended, response topic, correlation data); called from the cell's loop.
Answer = Callable[[str, Finished, str | None, bytes | None], None]


def another(command: Command, now_ms: int) -> Result:
    """The answer to an id that this device knows of another command: it must not seem to be it."""
    reason = f"{Reason.INVALID_ARGUMENT}: id: was given to another command already"
    return Result(command.id, Outcome.REJECTED, reason, now_ms)


class CommandDesk:
    """Takes requests for one vendor's devices; every request gets one answer."""

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        *,
        vendor: Vendor,
        adapter: Adapter,
        twin: Callable[[str], Twin | None],
        store: CommandStore,
        clock: Clock,
        answer: Answer,
        fresh: Callable[[int], bool],
        commands_max: int = 256,
    ) -> None:
        self._kind = vendor.kind.name
        self._store = store
        self._clock = clock
        self._answer = answer
        self._commands_max = commands_max
        self._desk = Desk(vendor, adapter, twin, clock.now_ms, fresh)
        self._runs: dict[tuple[str, str], Run] = {}  # by (device, id)
        self._tasks: set[asyncio.Task[None]] = set()

    async def recover(self) -> None:
        """Answer what an earlier life left open: it may have happened, and is never sent again."""
        for command in self._store.unfinished():
            result = Result(command.id, Outcome.UNKNOWN, RESTARTED, self._clock.now_ms())
            await self._remember(command, result)
            self._say(command, result, None, None)

    def request(  # noqa: PLR0913 -- the fields of one message
        self,
        payload: bytes,
        device: str,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        *,
        retained: bool = False,
        expiry_s: int | None = None,
    ) -> None:
        """Take one message of a device's command topic; returns at once.

        `expiry_s` is what is left of the message's expiry interval: it must leave us within it.
        """
        now_ms = self._clock.now_ms()
        try:
            command = self._command(read(payload), device, now_ms)
            refusal = None
        except Unreadable as problem:
            command = Command("", device, "", now_ms)
            refusal = f"{Reason.INVALID_ARGUMENT}: {problem}"
        if retained:
            refusal = Reason.RETAINED
        elif refusal is None:
            if (running := self._runs.get((device, command.id))) is not None:
                if (running.command.name, running.command.part) == (command.name, command.part):
                    running.repeats.append((response_topic, correlation))
                else:
                    result = another(command, now_ms)
                    self._say(command, result, response_topic, correlation, repeated=True)
                return
            # Neither is remembered, so the caller may try again with the same id.
            if self._desk.closing:
                refusal = Reason.UNAVAILABLE
            elif len(self._runs) >= self._commands_max:
                refusal = Reason.BUSY
        if refusal is not None:
            result = Result(command.id, Outcome.REJECTED, refusal, now_ms)
            self._say(command, result, response_topic, correlation)
            return
        leave_by_ms = command.deadline_ms
        if expiry_s is not None:
            leave_by_ms = min(leave_by_ms, now_ms + expiry_s * 1000)
        run = Run(command, leave_by_ms)
        run.repeats.append((response_topic, correlation))
        self._runs[device, command.id] = run
        task = asyncio.get_running_loop().create_task(self._carry(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def seen(self, device: str, changes: Sequence[Change], received_at_ms: int) -> None:
        """What a frame, now committed, changed about a device: evidence for what is awaited."""
        if not self._runs:
            return
        for run in self._runs.values():
            if run.command.device == device:
                run.saw(changes, received_at_ms)

    async def close(self) -> None:
        """End every run now: what has left is unknown, what has not is refused."""
        self._desk.closing = True
        for run in self._runs.values():
            run.stirred.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _command(self, asked: Request, device: str, now_ms: int) -> Command:
        name = ALIASES[self._kind].get(asked.name, asked.name)
        spec = COMMANDS[self._kind].get(name)
        deadline_ms = asked.deadline_ms
        if deadline_ms is None:
            # Of an unknown name, long enough to be told that it is unknown, and not late.
            deadline_ms = now_ms + (spec.timeout_ms if spec is not None else DEADLINE_MAX_MS)
        return Command(
            asked.id,
            device,
            name,
            min(deadline_ms, now_ms + DEADLINE_MAX_MS),
            asked.part,
            asked.args,
            asked.expect,
        )

    async def _carry(self, run: Run) -> None:
        """From a readable request to its answers, whatever happens on the way."""
        command, repeated = run.command, False
        try:
            known = await self._store.begin(command)
        except StoreError:
            # Nothing left us, and nothing was remembered: the same id may be tried again.
            known = Result(command.id, Outcome.REJECTED, Reason.UNAVAILABLE, self._clock.now_ms())
        else:
            repeated = known is not None
        if known is None:
            outcome, reason = await self._desk.conclude(run)
            known = Result(command.id, outcome, reason, self._clock.now_ms())
            await self._remember(command, known)
        elif known == "running":  # begun in an earlier life, and not answered yet
            known = Result(command.id, Outcome.UNKNOWN, RESTARTED, self._clock.now_ms())
        del self._runs[command.device, command.id]
        for response_topic, correlation in run.repeats:
            self._say(command, known, response_topic, correlation, repeated=repeated)
            repeated = True

    async def _remember(self, command: Command, result: Result) -> None:
        try:
            await self._store.finish(command, result)
        except StoreError as failure:
            log.warning("command.not_remembered", device=command.device, error=str(failure))

    def _say(
        self,
        command: Command,
        result: Result,
        response_topic: str | None,
        correlation: bytes | None,
        *,
        repeated: bool = False,
    ) -> None:
        finished = Finished(
            command.id,
            command.device,
            command.name,
            command.part,
            result.outcome,
            result.reason,
            result.finished_at_ms,
            repeated,
        )
        self._answer(command.device, finished, response_topic, correlation)
