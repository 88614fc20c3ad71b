"""How an account's daily calls are spent; pure: the time comes in.

    share of the quota that is left   100 %        40 %         25 %    20 %    5 %     0
    polls, spread evenly                 ├── usual ──┼─ to 1/4 ───┤
    asking after a webhook               ├────────────────────────────────┤
    reading back a command               ├────────────────────────────────────────┤
    commands                             ├─────────────────────────────────────────────────┤

The vendor counts 10,000 calls a day and does not say when its day begins, so we count the last
24 hours at any moment: whatever its day is, we stay within it. Usual polling takes `POLL_SHARE`
of the quota; the rest is for what happens.

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b, "Request limit". The shares are ours.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
# The hour that runs, and 24 before it: between 24 and 25 hours are counted.
_HOURS: Final = 25
#: What usual polling takes of the quota.
POLL_SHARE: Final = 0.6
#: Below this share left, polling slows down, to `STRETCH_MAX` times the usual interval.
EASY_SHARE: Final = 0.4
STRETCH_MAX: Final = 4.0
# A count in a stored position; no quota that anybody configures is larger.
_COUNT_MAX: Final = 100_000_000


class Purpose(StrEnum):
    """What a call is for; each with the share of the quota that must be left for it."""

    POLL = "poll"
    HOOK = "hook"  #: a webhook came: what it says is asked
    READ_BACK = "read_back"  #: a command left: what became of it is asked
    COMMAND = "command"


FLOOR: Final = {
    Purpose.POLL: 0.25,
    Purpose.HOOK: 0.20,
    Purpose.READ_BACK: 0.05,
    Purpose.COMMAND: 0.0,
}


class Budget:
    """The calls of the last 24 hours, by hour."""

    def __init__(self, quota_per_day: int) -> None:
        self.quota = quota_per_day
        self._hours: dict[int, int] = {}

    def spend(self, now_ms: int) -> None:
        """A call leaves."""
        hour = now_ms // _HOUR_MS
        self._hours[hour] = self._hours.get(hour, 0) + 1
        if len(self._hours) > _HOURS:
            self._hours = {at: n for at, n in self._hours.items() if at > hour - _HOURS}

    def refund(self, now_ms: int) -> None:
        """A call did not leave after all."""
        hour = now_ms // _HOUR_MS
        self._hours[hour] = max(0, self._hours.get(hour, 0) - 1)

    def used(self, now_ms: int) -> int:
        """Calls in the last 24 hours, and the rest of the hour before them."""
        hour = now_ms // _HOUR_MS
        return sum(n for at, n in self._hours.items() if at > hour - _HOURS)

    def left(self, now_ms: int) -> int:
        """Calls that we may still make."""
        return max(0, self.quota - self.used(now_ms))

    def allows(self, purpose: Purpose, now_ms: int) -> bool:
        """Whether a call of this purpose may leave."""
        return self.left(now_ms) > FLOOR[purpose] * self.quota

    def stretch(self, now_ms: int) -> float:
        """How many times as long as usual polls are apart: 1 to `STRETCH_MAX`."""
        share, floor = self.left(now_ms) / self.quota, FLOOR[Purpose.POLL]
        eased = min(1.0, max(0.0, (EASY_SHARE - share) / (EASY_SHARE - floor)))
        return 1 + (STRETCH_MAX - 1) * eased

    def interval_ms(self, devices: int, now_ms: int, least_ms: int) -> int:
        """How far apart two polls of one device are, when `devices` share the account."""
        usual_ms = usual_interval_ms(self.quota, devices, least_ms)
        return round(usual_ms * self.stretch(now_ms))

    # --- over a restart ---

    def position(self, now_ms: int) -> tuple[str, int]:
        """(name, number) under which the running hour's count is stored."""
        hour = now_ms // _HOUR_MS
        return _name(hour), hour * _COUNT_MAX + min(self._hours.get(hour, 0), _COUNT_MAX - 1)

    def restore(self, stored: Callable[[str], int | None], now_ms: int) -> None:
        """Take in what an earlier life stored; hours that are over by a day are nothing."""
        newest = now_ms // _HOUR_MS
        for hour in range(newest - _HOURS + 1, newest + 1):
            found = stored(_name(hour))
            if found is not None and found // _COUNT_MAX == hour:
                self._hours[hour] = max(self._hours.get(hour, 0), found % _COUNT_MAX)


def usual_interval_ms(quota: int, devices: int, least_ms: int) -> int:
    """Day times devices through the share of polls: 720 s for 50 locks and 10,000 calls."""
    return max(least_ms, round(_DAY_MS * max(1, devices) / (POLL_SHARE * quota)))


def _name(hour: int) -> str:
    return f"switchbot/calls/{hour % _HOURS}"
