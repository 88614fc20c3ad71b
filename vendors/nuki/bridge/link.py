"""One bridge: asked one thing at a time, about all locks often and about each lock rarely.

    /list       what the bridge last heard, with when: cheap, and of any age
    /lockState  wakes the lock: at the start, before and after commands, when in doubt, and
                every half hour because neither bridge nor lock notices everything
    callback    a lock has come to rest

Old news must not undo what is known: an entry of `/list` is offered only if the bridge heard of
the lock anew and nothing fresher came since the question before. If it disagrees with what is
known all the same, the lock itself is asked.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from devices.command import Reason
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.lock import LockState, Motion
from devices.reading import Reading, Value
from vendors.api import Fact, Frame, Port
from vendors.http import HttpReply, Pairs
from vendors.nuki.bridge import auth, codec
from vendors.nuki.bridge.callbacks import Callbacks
from vendors.nuki.bridge.client import (
    BAD,
    BUSY,
    FAULT,
    GONE,
    NOT_FOUND,
    OK,
    UNAUTHORIZED,
    BridgeClient,
    BusyError,
)
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.polling import Poller

#: A bridge that did not answer so many questions is gone, and its locks with it.
SILENT_AFTER: Final = 3
#: A lock is not woken more often than this, whoever wants to know.
WAKE_GAP_MS: Final = 2_000
# Locks take up to 4 s to act, and a bridge some seconds to begin.
_FOLLOW_MS: Final = 6_000
_FOLLOW_MAX_MS: Final = 30_000
_AGAIN_MS: Final = 20_000
# `success: false` is asked again first. Source: developer.nuki.io 13423.
_MISSED_AGAIN_MS: Final = 5_000
_OFFLINE_AGAIN_MS: Final = 120_000
# A callback that says otherwise than the lock itself did just now may have been under way longer.
_DOUBT_MS: Final = 10_000
#: Where the bolt is no longer once it is seen to move so.
_LEAVES: Final[Mapping[Value, frozenset[LockState]]] = {
    Motion.LOCKING: frozenset({LockState.UNLOCKED, LockState.UNLATCHED}),
    Motion.UNLOCKING: frozenset({LockState.LOCKED}),
    Motion.UNLATCHING: frozenset({LockState.LOCKED}),
}
_REFUSALS: Final[Mapping[int, str]] = {
    UNAUTHORIZED: Reason.NOT_AUTHORIZED,
    NOT_FOUND: Reason.UNKNOWN_DEVICE,
    GONE: Reason.OFFLINE,
    BUSY: Reason.BUSY,
}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often what is asked; `wait`: commands are answered when they are done."""

    poll_ms: int
    check_ms: int
    wait: bool


@dataclass(slots=True)
class KnownLock:
    """One lock of the bridge. Times are Unix ms, our clock, but `stamp_ms` is the bridge's."""

    device: str
    address: Pairs
    poller: Poller = field(repr=False)
    listed: bool = True
    #: When it was last read, and when it last told something by itself.
    read_ms: int = 0
    told_ms: int = 0
    told_count: int = 0
    #: Nothing that was asked for later than this was heard of it.
    fresh_ms: int = 0
    #: When the bridge last heard of it, as we were last told; None before the first list.
    stamp_ms: int | None = None
    #: Another such moment, of which it is not clear whether it was before `fresh_ms`.
    doubted_ms: int | None = None
    stateless: bool = False
    missed: bool = False
    offline: bool = False
    resting: bool = False
    acting: bool = False
    following: asyncio.Task[None] | None = field(default=None, repr=False)
    again: asyncio.TimerHandle | None = field(default=None, repr=False)


class BridgeLink:
    """See the module. `secret` gives the token; `base_url` where we listen, if we do.

    `changed` is called when the bridge comes or goes; `up` and `reason` then say which.
    """

    def __init__(  # noqa: PLR0913 -- by name where it matters
        self,
        url: str,
        secret: Callable[[], str],
        how: auth.Auth,
        rhythm: Rhythm,
        port: Port,
        *,
        callback_name: str,
        base_url: Callable[[], str | None],
        changed: Callable[[], None],
    ) -> None:
        self.url = url
        self.up = False
        self.reason = "not asked yet"
        self.listed = False
        self.locks: dict[str, KnownLock] = {}
        self._client = BridgeClient(url, secret, how, port, wait=rhythm.wait)
        self.host = self._client.host
        self.callbacks = Callbacks(url, self._client, callback_name, base_url)
        self._rhythm = rhythm
        self._port = port
        self._changed = changed
        self._lists = Poller(
            port, self._ask_list, interval_ms=lambda: rhythm.poll_ms, told=self._told
        )
        self._failures = 0
        self._listed_ms = 0
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                await self._lists.run()
        finally:
            self._group = None
            for lock in self.locks.values():
                if lock.again is not None:
                    lock.again.cancel()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()

    # --- all locks: what the bridge last heard ------------------------------------------------

    async def _ask_list(self, asked_ms: int) -> Mapping[str, Sequence[Frame]]:
        await self.callbacks.see_to(asked_ms)
        reply = await self._client.read("/list")
        if reply.status != OK:
            raise NoReplyError(f"status {reply.status}")
        try:
            entries = codec.entries(reply.body)
        except DecodeError:
            return {"": [Frame(f"{codec.NOBODY}/list", reply.body, asked_ms)]}
        before_ms, self._listed_ms, self.listed = self._listed_ms, asked_ms, True
        frames: dict[str, Sequence[Frame]] = {}
        for entry in entries:
            if (frame := self._weigh(entry, before_ms, asked_ms)) is not None:
                frames[entry.device] = [frame]
        for lock in self.locks.values():
            if lock.listed and not any(entry.device == lock.device for entry in entries):
                lock.listed = False  # no longer paired
                frames[lock.device] = [_silent(lock.device, asked_ms)]
        return frames

    def _weigh(self, entry: codec.Entry, before_ms: int, asked_ms: int) -> Frame | None:
        """The entry, if it is news; asks the lock itself if it is doubtful.

        `before_ms` is when the list before was asked for.
        """
        lock = self.locks.get(entry.device)
        frame = Frame(f"http/{entry.device}/list", entry.body, asked_ms)
        if lock is None:
            lock = self._meet(entry)
            lock.stateless = entry.stamp_ms is None
            if self._port.twin(entry.device) is None:
                lock.stamp_ms = entry.stamp_ms
                return frame
            lock.doubted_ms = entry.stamp_ms  # what is remembered may be newer
            return None
        if not lock.listed or (entry.stamp_ms is None) > lock.stateless:
            lock.listed = True  # paired again, or forgotten by the bridge
            lock.poller.soon()
        lock.stateless = entry.stamp_ms is None
        if lock.stateless or entry.stamp_ms == lock.stamp_ms:
            return None
        if lock.fresh_ms < before_ms:
            lock.stamp_ms = entry.stamp_ms
            if lock.offline or self._disagrees(frame):
                lock.poller.soon()  # its callback was lost: CACHED is not enough to act upon
            return frame
        if entry.stamp_ms == lock.doubted_ms or not self._disagrees(frame):
            lock.stamp_ms = entry.stamp_ms
        else:
            lock.doubted_ms = entry.stamp_ms
            lock.poller.soon()
        return None

    def _disagrees(self, frame: Frame) -> bool:
        """Whether it says something of the bolt or the door that is not what is known."""
        twin = self._port.twin(frame.source.split("/")[1])
        axes = twin.axes if twin is not None else {}
        return any(
            isinstance(fact, Reading)
            and fact.axis in ("lock_state", "door_state", "fault")
            and ((known := axes.get(fact.axis)) is None or known.value != fact.value)
            for fact in _facts(frame)
        )

    def _turns_back(self, device: str, facts: Sequence[Fact]) -> bool:
        """Whether the bolt rests where it was seen to leave from."""
        twin = self._port.twin(device)
        motion = twin.axes.get("motion") if twin is not None else None
        left = _LEAVES.get(motion.value) if motion is not None else None
        return left is not None and any(
            isinstance(fact, Reading) and fact.axis == "lock_state" and fact.value in left
            for fact in facts
        )

    def _meet(self, entry: codec.Entry) -> KnownLock:
        """A lock that was not known: it is asked itself, now and from time to time."""
        address = (("nukiId", str(entry.nuki_id)), ("deviceType", str(entry.type)))
        lock = KnownLock(
            entry.device,
            address,
            Poller(
                self._port,
                lambda asked_ms: self._ask_lock(lock, asked_ms),
                interval_ms=self._check_ms,
                told=lambda reason: self._was_read(lock, reason),
            ),
        )
        self.locks[entry.device] = lock
        if self._group is not None:
            self._group.create_task(lock.poller.run())
        return lock

    def _told(self, reason: str | None) -> None:
        """A list was answered, or not."""
        if reason is None:
            silent = self._failures >= SILENT_AFTER
            self._failures = 0
            if silent:  # what it and its locks did meanwhile nobody knows
                self.register_soon()
                for lock in self.locks.values():
                    lock.poller.soon()
            self._is(up=True, reason="")
            return
        if reason == str(BusyError("busy")):
            return  # it answers, just not us
        self._failures += 1
        if self._failures == SILENT_AFTER:
            now_ms = self._port.now_ms()
            frames = [_silent(device, now_ms) for device in self.locks]
            if frames:
                self._port.offer(frames, None)
        if self._failures >= SILENT_AFTER or not self.listed:
            self._is(up=False, reason=reason)

    def _is(self, *, up: bool, reason: str) -> None:
        if (self.up, self.reason) != (up, reason):
            self.up, self.reason = up, reason
            self._changed()

    # --- one lock, itself ---------------------------------------------------------------------

    async def refresh(self, device: str) -> None:
        """Ask the lock, if nothing is known of the last two seconds."""
        lock = self.locks[device]
        now_ms = self._port.now_ms()
        if now_ms - max(lock.read_ms, lock.told_ms) < WAKE_GAP_MS:
            return
        with contextlib.suppress(NotSentError, NoReplyError):
            await lock.poller.once()

    async def _ask_lock(self, lock: KnownLock, asked_ms: int) -> Mapping[str, Sequence[Frame]]:
        if not lock.listed:
            return {}
        lock.read_ms = asked_ms
        told = lock.told_count
        reply = await self._client.read("/lockState", lock.address)
        frame = Frame(f"http/{lock.device}/state", reply.body, asked_ms)
        if reply.status != OK:  # 404 and 410: the bridge has lost it
            frame = _silent(lock.device, asked_ms)
        facts = _facts(frame)
        tells = _tells(facts, "lock_state")
        if lock.told_count != told:  # it told something meanwhile, most likely something newer
            if tells and self._disagrees(frame):
                lock.poller.soon()
            return {}
        if tells:
            lock.fresh_ms = max(lock.fresh_ms, asked_ms)
            lock.resting = _rests(facts)
        missed = bool(facts) and not tells
        if missed and reply.status == OK and not lock.missed:
            lock.missed = True
            raise NoReplyError("the lock did not answer its bridge")  # once is no proof
        lock.missed = lock.offline = missed
        return {lock.device: [frame]}

    def _was_read(self, lock: KnownLock, reason: str | None) -> None:
        """Ask again before the usual time what was not answered, or is away."""
        if lock.again is not None:
            lock.again.cancel()
            lock.again = None
        if not lock.listed or (reason is None and not lock.offline):
            return
        wait_ms = _OFFLINE_AGAIN_MS
        if reason is not None:
            wait_ms = _MISSED_AGAIN_MS if lock.missed else _AGAIN_MS
        wait_s = self._port.rng.uniform(0.9, 1.0) * wait_ms / 1000
        lock.again = asyncio.get_running_loop().call_later(wait_s, lock.poller.soon)

    def _check_ms(self) -> int:
        """How long until a lock is asked anyway; not all locks at the same moment."""
        return round(self._rhythm.check_ms * self._port.rng.uniform(0.9, 1.0))

    # --- being told ---------------------------------------------------------------------------

    def heard(self, body: bytes) -> Sequence[Frame]:
        """What the bridge posted; no frame if it is about no lock."""
        now_ms = self._port.now_ms()
        try:
            device = codec.callback_device(body)
        except DecodeError:
            return [Frame(f"{codec.NOBODY}/callback", body, now_ms)]
        frame = Frame(f"http/{device}/callback", body, now_ms)
        try:
            facts = codec.decode(frame)
        except DecodeError:
            return [frame]
        lock = self.locks.get(device)
        if lock is None:
            self._lists.soon()
        elif facts:
            against = self._disagrees(frame) if lock.resting else self._turns_back(device, facts)
            if now_ms - lock.read_ms < _DOUBT_MS and against:
                lock.poller.soon()
            lock.told_ms = lock.fresh_ms = now_ms
            lock.told_count += 1
            lock.resting = _rests(facts)
            lock.missed = lock.offline = False
        return [frame] if facts else ()

    def register_soon(self) -> None:
        """See to our callback with the next list, and ask for that now."""
        self.callbacks.forget()
        self._lists.soon()

    # --- commands -----------------------------------------------------------------------------

    async def act(self, device: str, action: int, deadline_ms: int) -> None:
        """Send one action, once; see `NukiBridgeAdapter.send`."""
        lock = self.locks[device]
        if lock.acting:
            raise RefusedError(Reason.BUSY)
        within_ms = deadline_ms - self._port.now_ms()
        if within_ms <= 0:
            raise RefusedError(Reason.EXPIRED)
        now_or_done = (("action", str(action)), ("noWait", "0" if self._rhythm.wait else "1"))
        lock.acting = True
        try:
            reply = await self._client.change(
                "/lockAction", (*lock.address, *now_or_done), within_ms
            )
        except NotSentError as error:
            raise RefusedError(Reason.UNAVAILABLE) from error
        except NoReplyError as error:
            self._follow(lock)
            raise UnavailableError(codec.VENDOR, str(error)) from error
        finally:
            lock.acting = False
        self._answered(lock, reply)
        self._follow(lock)

    def _answered(self, lock: KnownLock, reply: HttpReply) -> None:
        """Read what the bridge makes of an action; raises unless it is a yes."""
        if (reason := _REFUSALS.get(reply.status)) is not None:
            raise RejectedError(codec.VENDOR, reason)
        if BAD <= reply.status < FAULT:
            raise RejectedError(codec.VENDOR, f"vendor:{reply.status}")
        said_no = False
        if reply.status == OK:
            with contextlib.suppress(DecodeError):
                if codec.succeeded(reply.body):
                    return
                said_no = True
        if said_no and not self._rhythm.wait:
            raise RejectedError(codec.VENDOR, Reason.OFFLINE)
        # What was waited for may have failed after the motor began; what broke may have, too.
        self._follow(lock)
        raise UnavailableError(codec.VENDOR, f"status {reply.status}, no success")

    def _follow(self, lock: KnownLock) -> None:
        """Look at the lock until it rests: callbacks may be lost, and rest may be short."""
        if self._group is None:
            return
        if lock.following is not None:
            lock.following.cancel()
        lock.following = self._group.create_task(self._until_rest(lock))

    async def _until_rest(self, lock: KnownLock) -> None:
        began_ms = self._port.now_ms()
        lock.resting = False
        while (gone_ms := self._port.now_ms() - began_ms) < _FOLLOW_MAX_MS:
            await asyncio.sleep(WAKE_GAP_MS / 1000)
            if lock.told_ms > began_ms or (lock.resting and gone_ms >= _FOLLOW_MS):
                return
            await self.refresh(lock.device)


def _silent(device: str, now_ms: int) -> Frame:
    return Frame(f"http/{device}/silent", b"", now_ms)


def _facts(frame: Frame) -> Sequence[Fact]:
    try:
        return codec.decode(frame)
    except DecodeError:
        return ()


def _tells(facts: Sequence[Fact], axis: str) -> bool:
    return any(isinstance(fact, Reading) and fact.axis == axis for fact in facts)


def _rests(facts: Sequence[Fact]) -> bool:
    return any(
        isinstance(fact, Reading) and fact.axis == "motion" and fact.value == Motion.IDLE
        for fact in facts
    )
