"""One command between its durable beginning and its outcome: checks, the one send, evidence."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from devices.command import COMMANDS, NEAR_PCT, Command, CommandSpec, Outcome, Reason
from devices.errors import FleetError, RefusedError, RejectedError
from devices.health import Reachability
from devices.reading import FRESH, NO_SENSOR, Value
from devices.twin import Change, Known, Twin
from gateway.request import argument_problem, axis_of, part_problem
from vendors.api import Adapter, Delivery, Vendor

log = structlog.get_logger("gateway.commands")

#: How long a device may take to tell its state before a command that needs it is refused.
REFRESH_WAIT_MS: Final = 2_000
#: How often a device is asked while its effect is awaited. One that reports by itself is not:
#: a ratgdo board that is asked reports everything as unknown first.
ASK_AGAIN_MS: Final[Mapping[Delivery, int | None]] = {
    Delivery.POLL: 500,
    Delivery.PUSH_AND_POLL: 500,
    Delivery.PUSH: None,
}
#: Commands that do not wait for another one on the same device: a moving door must stop.
PREEMPTING: Final = frozenset({"Stop"})
#: Reasons of the outcome `unknown`; `devices.command.Reason` names those of the others.
DEADLINE: Final = "deadline"
STOPPED: Final = "stopped"

# A repeated state is no change and stirs nobody, so the twin is looked at this often.
_LOOK_AGAIN_MS: Final = 250

Responder = tuple[str | None, bytes | None]
Verdict = tuple[Outcome, str | None]


class _EndError(Exception):
    """Ends a run from wherever it stands."""

    def __init__(self, outcome: Outcome, reason: str | None = None) -> None:
        super().__init__(outcome, reason)
        self.verdict: Verdict = (outcome, reason)


def _rejected(reason: str) -> _EndError:
    return _EndError(Outcome.REJECTED, reason)


class Run:
    """One command on its way, its evidence, and everybody who waits for the outcome.

    `leave_by_ms`: when it may no longer be sent. `repeats`: whom to answer, the first asker first.
    """

    def __init__(self, command: Command, leave_by_ms: int) -> None:
        self.command = command
        self.leave_by_ms = leave_by_ms
        self.repeats: list[Responder] = []
        self.stirred = asyncio.Event()
        self.spec: CommandSpec | None = None
        self.sent_at_ms: int | None = None
        self.proven: set[str] = set()
        self.failure: str | None = None
        self.superseded = False

    def axis(self, name: str) -> str:
        """The device's axis that a name of the command's table stands for."""
        return f"{self.command.part}.{name}" if self.command.part else name

    def saw(self, changes: Iterable[Change], received_at_ms: int) -> None:
        """Weigh what changed; only what was received after the command left is evidence."""
        self.stirred.set()
        if self.spec is None or self.sent_at_ms is None or received_at_ms <= self.sent_at_ms:
            return
        for change in changes:
            if change.known.provenance not in FRESH:
                continue
            for name, reasons in self.spec.failed.items():
                if change.axis == self.axis(name):
                    self.failure = reasons.get(str(change.known.value), self.failure)
            for name in self.wanted:
                if change.axis == self.axis(name) and self.proves(name, change.known):
                    self.proven.add(name)

    @property
    def wanted(self) -> Sequence[str]:
        """What must be seen, each by a name of the command's table."""
        return () if self.spec is None else (*self.spec.done, *self.spec.target)

    def wants(self, name: str, value: Value) -> bool:
        """Whether this value of it is what the command is for."""
        assert self.spec is not None
        if (argument := self.spec.target.get(name)) is None:
            return value in self.spec.done[name]
        aim = self.command.args[argument]
        return (
            isinstance(value, int | float)
            and isinstance(aim, int | float)
            and abs(value - aim) <= NEAR_PCT
        )

    def proves(self, name: str, known: Known) -> bool:
        """Whether this value of it is what the command is for, and seen late enough."""
        assert self.spec is not None
        assert self.sent_at_ms is not None
        lasts_ms = self.spec.lasting.get(str(known.value), 0)
        return self.wants(name, known.value) and known.received_at_ms - self.sent_at_ms >= lasts_ms

    def look(self, twin: Twin | None) -> None:
        """Weigh the present state too: a repeat proves as much as a change, but fails nothing.

        A fault that stood before may stand a moment longer, so only a change to it counts.
        """
        if self.spec is None or self.sent_at_ms is None or twin is None:
            return
        for name in self.wanted:
            known = twin.axes.get(self.axis(name))
            if (
                known is not None
                and known.received_at_ms > self.sent_at_ms
                and known.provenance in FRESH
                and self.proves(name, known)
            ):
                self.proven.add(name)


class Desk:
    """What all runs of a cell share."""

    def __init__(
        self,
        vendor: Vendor,
        adapter: Adapter,
        twin: Callable[[str], Twin | None],
        now_ms: Callable[[], int],
        fresh: Callable[[int], bool],
    ) -> None:
        self.closing = False
        self._vendor = vendor
        self._adapter = adapter
        self._twin = twin
        self._now_ms = now_ms
        self._still_so = fresh
        self._slots: dict[tuple[str, str], Run] = {}  # by (device, part)

    async def conclude(self, run: Run) -> Verdict:
        """Carry a command to its outcome. Never raises: whoever asks is owed an answer."""
        slot = (run.command.device, run.command.part)
        other = self._slots.get(slot)
        try:
            twin, run.spec = self._found(run)
            if other is not None and not _may_preempt(run, other):
                raise _rejected(Reason.BUSY)  # noqa: TRY301 -- how every check ends a run
            if other is None:
                self._slots[slot] = run
            if _value(twin, "reachability") == Reachability.OFFLINE:
                raise _rejected(Reason.OFFLINE)  # noqa: TRY301 -- likewise
            await self._permit(run, run.spec)
            await self._perform(run, run.spec, other)
        except _EndError as end:
            return end.verdict
        except Exception:  # a vendor's bug is that vendor's
            log.exception("command.adapter_broke", device=run.command.device)
            if run.sent_at_ms is None:
                return Outcome.REJECTED, Reason.UNAVAILABLE
        finally:
            if self._slots.get(slot) is run:
                del self._slots[slot]
        return Outcome.UNKNOWN, Reason.UNAVAILABLE

    # --- before it leaves ---------------------------------------------------------------------

    def _found(self, run: Run) -> tuple[Twin, CommandSpec]:
        """The device and the table's row, if the command makes sense for them at all."""
        command, kind = run.command, self._vendor.kind
        if self._now_ms() >= run.leave_by_ms:
            raise _rejected(Reason.EXPIRED)
        if (twin := self._twin(command.device)) is None:
            raise _rejected(Reason.UNKNOWN_DEVICE)
        spec = COMMANDS[kind.name].get(command.name)
        if spec is None or command.name not in self._vendor.commands:
            raise _rejected(Reason.UNSUPPORTED)
        problem = part_problem(kind, spec, command.part) or argument_problem(spec, command.args)
        for name in command.expect:
            if axis_of(kind, command.part, name) is None:
                problem = problem or f"expect.{name[:60]}: no such axis"
        if problem is not None:
            raise _rejected(f"{Reason.INVALID_ARGUMENT}: {problem}")
        return twin, spec

    async def _permit(self, run: Run, spec: CommandSpec) -> None:
        """Check the device's present state; ask for it first if what we know is old."""
        command = run.command
        expect = {
            axis_of(self._vendor.kind, command.part, name) or name: value
            for name, value in command.expect.items()
        }
        sensed = {run.axis(name) for name in spec.sensed}
        needed = [*(run.axis(name) for name in spec.known), *sensed, *expect]
        known = await self._freshly(run, needed)
        for axis in needed:
            at = known.get(axis)
            if at is not None and at.reason == NO_SENSOR and axis in sensed - expect.keys():
                continue
            if at is not None and at.value is None:
                raise _rejected(Reason.UNKNOWN_STATE)
            if at is None or not self._fresh(at):
                raise _rejected(Reason.STALE_STATE if at is not None else Reason.UNKNOWN_STATE)
        if any(known[axis].value != value for axis, value in expect.items()):
            raise _rejected(Reason.PRECONDITION)
        there = [(known.get(run.axis(name)), values) for name, values in spec.already.items()]
        if there and all(at and self._fresh(at) and at.value in values for at, values in there):
            raise _EndError(Outcome.SUCCEEDED)
        for name, reasons in spec.blocked.items():
            # However old: what was blocked when last seen is not tried blindly.
            at = known.get(run.axis(name))
            if at is not None and (reason := reasons.get(str(at.value))) is not None:
                raise _rejected(reason)

    async def _freshly(self, run: Run, needed: Sequence[str]) -> Mapping[str, Known]:
        """The device's axes, refreshed if one that is needed is old and the device can be asked."""
        until_ms = min(self._now_ms() + REFRESH_WAIT_MS, run.leave_by_ms)
        asking: asyncio.Future[None] | None = None
        try:
            while True:
                run.stirred.clear()
                twin = self._twin(run.command.device)
                known = twin.axes if twin is not None else {}
                stale = any(
                    (at := known.get(axis)) is None or not self._fresh(at) for axis in needed
                )
                if not stale or self._now_ms() >= until_ms or self.closing:
                    return known
                if asking is None:
                    asking = asyncio.ensure_future(self._ask(run.command.device))
                await _stirred(run, until_ms - self._now_ms())
        finally:
            await _cancelled(asking)

    def _fresh(self, known: Known) -> bool:
        return known.provenance in FRESH and self._still_so(known.received_at_ms)

    async def _ask(self, device: str) -> None:
        """Ask for the device's state; that it cannot be asked shows in its silence."""
        with contextlib.suppress(FleetError):
            await self._adapter.refresh(device)

    # --- it leaves, and then ------------------------------------------------------------------

    async def _perform(self, run: Run, spec: CommandSpec, other: Run | None) -> None:
        """Send once and wait for what the device is then seen to do; always raises `_EndError`."""
        command = run.command
        now_ms = self._now_ms()
        if self.closing:
            raise _rejected(Reason.UNAVAILABLE)
        if run.superseded:
            raise _rejected(Reason.SUPERSEDED)
        if now_ms >= run.leave_by_ms:
            raise _rejected(Reason.EXPIRED)
        run.sent_at_ms = now_ms
        every_ms = ASK_AGAIN_MS[self._vendor.delivery]
        ask_at_ms = None if every_ms is None else now_ms + every_ms
        # What may be repeated is repeated once, after half of its time went by in silence.
        again_at_ms = now_ms + (command.deadline_ms - now_ms) // 2 if spec.repeatable else None
        sending: asyncio.Future[None] | None = self._leave(run)
        asking: asyncio.Future[None] | None = None
        try:
            while True:
                run.stirred.clear()
                if sending is not None and sending.done():
                    _answered(sending)
                    sending = None
                    if other is not None:
                        other.superseded = True
                        other.stirred.set()
                        other = None
                run.look(self._twin(command.device))
                self._judge(run)
                now_ms = self._now_ms()
                due = sending is None and ask_at_ms is not None and now_ms >= ask_at_ms
                if due and (asking is None or asking.done()):
                    asking = asyncio.ensure_future(self._ask(command.device))
                    ask_at_ms = now_ms + (every_ms or 0)
                if sending is None and again_at_ms is not None and now_ms >= again_at_ms:
                    again_at_ms = None
                    sending = asyncio.ensure_future(self._leave_again(run))
                await _stirred(run, command.deadline_ms - now_ms)
        finally:
            await _cancelled(sending)
            await _cancelled(asking)

    def _judge(self, run: Run) -> None:
        """End the run if the evidence, the hour or the house says so."""
        if run.failure is not None:
            raise _EndError(Outcome.FAILED, run.failure)
        if run.proven.issuperset(run.wanted):
            raise _EndError(Outcome.SUCCEEDED)
        if run.superseded:
            raise _EndError(Outcome.FAILED, Reason.SUPERSEDED)
        if self._now_ms() >= run.command.deadline_ms:
            raise _EndError(Outcome.UNKNOWN, DEADLINE)
        if self.closing:
            raise _EndError(Outcome.UNKNOWN, STOPPED)

    def _leave(self, run: Run) -> asyncio.Future[None]:
        sending = asyncio.ensure_future(self._adapter.send(run.command))
        sending.add_done_callback(lambda _: run.stirred.set())
        return sending

    async def _leave_again(self, run: Run) -> None:
        """The one repetition; a refusal now tells nothing about the first one."""
        with contextlib.suppress(FleetError):
            await self._adapter.send(run.command)


def _may_preempt(run: Run, other: Run) -> bool:
    return run.command.name in PREEMPTING and other.command.name not in PREEMPTING


def _value(twin: Twin, axis: str) -> object:
    known = twin.axes.get(axis)
    return None if known is None else known.value


def _answered(sending: asyncio.Future[None]) -> None:
    """Read what the adapter made of the send.

    A vendor's no is an outcome. Silence is none: it may have left, so its effect is awaited.
    """
    match sending.exception():
        case RefusedError() as refused:
            raise _rejected(refused.reason)
        case RejectedError() as rejected:
            raise _rejected(rejected.detail)
        case None | FleetError():
            return
        case broken:
            raise broken


async def _stirred(run: Run, within_ms: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0, min(within_ms, _LOOK_AGAIN_MS)) / 1000):
            await run.stirred.wait()


async def _cancelled(task: asyncio.Future[None] | None) -> None:
    """End a task that nobody waits for any more; what it says is of no interest."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
