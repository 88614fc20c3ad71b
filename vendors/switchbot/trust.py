"""What is believed of an unsigned webhook, and of a status that contradicts one; pure.

Nobody signs webhooks, they are lost (25-70 % of them), doubled, late, and some are not true:
a door's event carries a stale `LOCKED`, an `UNLOCKED` is followed 0.9 s later by a false
`LOCKED`. And some statuses stay `locked` after an unlocking. So:

- No webhook makes a lock Locked: it is asked, and the answer does.
- A webhook has one cause: if it moves the door's contact, its lock state is a copy of unknown age.
- What is no younger than what we know moves nothing.
- Whatever a webhook says, the lock is asked about it, quota permitting.
- A status `locked` after a reported unlocking is a contradiction, until something else than
  `locked` was seen, a locking was reported, or `doubt_ms` are over. For the first seconds it says
  nothing at all: the report of the locking may be on its way.

Source: SwitchBotAPI#299, #221; home-assistant/core#181113; hsakoh/switchbot-mqtt#90.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from devices.lock import LockState
from vendors.switchbot.codec import Hook
from vendors.switchbot.words import DOOR, meaning

# The vendor's clock may be ahead of ours; signatures hold both together.
_AHEAD_MS: Final = 10_000
# A webhook was seen 1.3 s after its sample (SwitchBotAPI#219); others may be slower.
_ON_ITS_WAY_MS: Final = 5_000


class Verdict(NamedTuple):
    """`frame`: `lock`, `door`, or None if nothing of it is believed; `ask` the lock about it."""

    frame: str | None
    ask: bool


IGNORE: Final = Verdict(None, ask=False)
HINT: Final = Verdict(None, ask=True)
BELIEVE_DOOR: Final = Verdict("door", ask=True)
BELIEVE: Final = Verdict("lock", ask=True)


@dataclass(slots=True)
class Witness:
    """What was said of one lock, by whom, and when (Unix ms).

    `age_max_ms`: how old a webhook's sample may be; `doubt_ms`: how long a contradiction lasts.
    """

    age_max_ms: int
    doubt_ms: int
    sample_ms: int = 0
    #: When the last question left that was answered.
    asked_ms: int = 0
    #: A reported unlocking that no status has confirmed; 0 if there is none.
    unlocked_ms: int = 0
    _last: Hook | None = None
    #: What the last status said.
    _status: str | None = None

    def heard(self, hook: Hook, now_ms: int, door_state: object) -> Verdict:
        """Weigh a webhook; `door_state` is the contact as we know it, None if we do not."""
        at_ms, last = hook.sample_ms, self._last
        self._last = hook
        if at_ms is None or not now_ms - self.age_max_ms <= at_ms <= now_ms + _AHEAD_MS:
            return HINT
        if hook == last:
            return IGNORE  # doubled
        door = DOOR.get(hook.door_state) if isinstance(hook.door_state, str) else None
        door_moved = door is not None and door_state is not None and door != door_state
        state = None if door_moved else meaning(hook.lock_state)
        if state == LockState.LOCKED and at_ms > self.unlocked_ms:
            self.unlocked_ms = 0  # even if a status overtook it
        if at_ms <= self.sample_ms:
            return HINT
        self.sample_ms = at_ms
        if at_ms <= self.asked_ms:
            if state and state != LockState.LOCKED and self._status == LockState.LOCKED:
                # A status that said `locked` overtook it: locked again since, or it never followed.
                self.unlocked_ms = min(at_ms, now_ms)
            return HINT
        if door_moved or hook.lock_state is None or state == LockState.LOCKED:
            return BELIEVE_DOOR
        if state:
            self.unlocked_ms = min(at_ms, now_ms)
        return BELIEVE

    def set_back(self, now_ms: int) -> None:
        """Our clock was set back to this: no question has left later."""
        self.asked_ms = min(self.asked_ms, now_ms)
        self.unlocked_ms = min(self.unlocked_ms, now_ms)

    def answered(self, asked_ms: int, state: str | None) -> str:
        """Weigh the answer to a question that left then; as what it is to be read, see `codec`."""
        if asked_ms <= self.unlocked_ms:
            return "status"  # older than the report; it will be dropped
        self.asked_ms = max(self.asked_ms, asked_ms)
        self._status = state
        if state is None:
            return "status"  # a word that nobody knows settles nothing
        if state == LockState.LOCKED and self.unlocked_ms:
            since_ms = asked_ms - self.unlocked_ms
            if since_ms < min(_ON_ITS_WAY_MS, self.doubt_ms):
                return "early"
            if since_ms < self.doubt_ms:
                return "doubt"
        self.unlocked_ms = 0
        return "status"
