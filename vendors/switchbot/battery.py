"""What a SwitchBot lock says of its battery; pure.

Source: README of the API, status of Lock: the first generation knows four steps.
"""

from typing import Final

_CRITICAL_PCT, _WARNING_PCT = 10, 20
#: Below this percentage a lock of steps shows that one; above all of them 100.
_STEPS: Final = ((10, 10), (20, 20), (60, 60))


def shown(percent: int, *, stepped: bool) -> int:
    """The percentage that the status has."""
    if not stepped:
        return percent
    return next((step for below, step in _STEPS if percent < below), 100)


def level(percent: int) -> str:
    """What a consumer must come to see."""
    if percent < _CRITICAL_PCT:
        return "Critical"
    return "Warning" if percent < _WARNING_PCT else "OK"
