"""What a fault is: a small value with settings, and the hooks by which whoever runs it fails.

                ┌ refuse, call ─── a hub's answers, webhooks (fleet_sim.hub)
 Fault ─ hooks ─┼ strike, ends ─── a device's link           (fleet_sim.unit, fleet_sim.struck)
                └ none ─────────── what is no link at all: the broker, a cell, its host
                                   (whoever runs them looks at the kind: fleet_sim.ground)

A fault does harm all the time, or with `probability`: then it comes and goes, and stays as it is
for `stability_ms` at least, as loose contacts and full queues do. What strikes a link is asked so
for each message (`Spell`), all else as a whole, once a second at most (`spells`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, NamedTuple, get_type_hints

from vendors.http import HttpReply, HttpRequest
from vendors.sim import Chance, Message, Publish, Webhook

#: What a link carries: what a device sends, and what its hub answers.
Carried = Message | HttpReply
#: What arrives of one message, as (delay_ms, message): none is a loss, two are a duplicate. Of
#: the answer to an HTTP request only the first counts.
Arrivals = Sequence[tuple[int, Carried]]
#: What a device hears: a topic, or a datagram.
Heard = Publish | bytes

_UNIT: Final = "unit"
_ABOUT: Final = "about"
_LEAST: Final = "least"
_TIMES: Final = "times"
# What is no link begins and ends no faster than this.
_STEP_S: Final = 1.0
#: The times in which a fleet runs.
TIMES: Final = ("virtual", "real")


class Setting(NamedTuple):
    """One thing that a fault can be told.

    `unit`: ms, share, bytes, ...; empty for a number without one, or a word. `least`: the lowest
    that it may be; None if it must be above 0, or is no number. `times`: in which it can be told.
    """

    type: type
    default: Any
    unit: str
    about: str
    least: float | None
    times: Sequence[str]


def setting(
    default: Any,  # noqa: ANN401 -- int, float, bool or str
    unit: str,
    about: str,
    *,
    least: float | None = None,
    times: Sequence[str] = TIMES,
) -> Any:  # noqa: ANN401 -- as `dataclasses.field`
    """A field of a fault, with its unit and one line for people."""
    return field(
        default=default, metadata={_UNIT: unit, _ABOUT: about, _LEAST: least, _TIMES: times}
    )


class Certificate(StrEnum):
    """What a TLS server shows; `foreign` is of the right authority, and of another's name."""

    OWN = "own"
    UNTRUSTED = "untrusted"
    FOREIGN = "foreign"


class End(StrEnum):
    """How a link ends: closed without DISCONNECT, reset by RST, or dead while nobody is told."""

    CLOSED = "closed"
    RESET = "reset"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What fails while a fault lasts; this one does no harm.

    `probability` and `stability_ms` are looked after by `Spell`, not by the hooks.
    """

    probability: float = setting(1.0, "share", "of the time, or of the messages, in which it harms")
    stability_ms: int = setting(0, "ms", "it stays harmful or harmless for so long", least=0)

    @property
    def rate_factor(self) -> float:
        """How many times as often as usual people use the device."""
        return 1.0

    @property
    def babble_ms(self) -> float | None:
        """How often the device says its last words again; None: it does not."""
        return None

    @property
    def says_again(self) -> bool:
        """Whether devices repeat what they have told."""
        return self.rate_factor > 1 or self.babble_ms is not None

    @property
    def veils(self) -> bool:
        """Whether what it changes may rightly be read as unknown."""
        return False

    @property
    def deaf(self) -> bool:
        """Whether nothing that is sent to the device gets in."""
        return False

    @property
    def reconnect(self) -> bool:
        """Whether the link is cut at the end, so that the device must connect anew."""
        return False

    @property
    def cut_every_ms(self) -> int:
        """How often the link is cut; 0 for never."""
        return 0

    @property
    def back_ms(self) -> int | None:
        """In how long it comes back at the end, if it is not there at all meanwhile."""
        return None

    @property
    def late_ms(self) -> int:
        """How late the latest of what it delays can come: a run waits so long for it."""
        return 0

    # --- a link -------------------------------------------------------------------------------

    @property
    def ends(self) -> End | None:
        """How the link that is there ends when it begins."""
        return None

    @property
    def apart_ms(self) -> int | None:
        """In how long links are made again at its end, if none can be made meanwhile."""
        return None

    @property
    def reset_every_ms(self) -> int:
        """How often the link is reset, on average; 0 for never."""
        return 0

    @property
    def usurped_every_ms(self) -> int:
        """How often somebody else connects with its client id; 0 for never."""
        return 0

    def lag_ms(self, rng: Chance) -> int:
        """How late what is said in one breath is, together."""
        del rng
        return 0

    @property
    def in_order(self) -> bool:
        """Whether what it delays keeps its place."""
        return True

    @property
    def tears(self) -> bool:
        """Whether a packet that it swallows breaks off in the middle, and the link with it."""
        return False

    @property
    def bytes_per_s(self) -> float:
        """How much the link carries; 0 for all that there is."""
        return 0.0

    @property
    def backlog_bytes(self) -> int:
        """How much may wait for such a link; the rest is lost."""
        return 0

    @property
    def in_pieces(self) -> bool:
        """Whether a message leaves a few bytes at a time, and not whole at its end."""
        return False

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """What arrives of a message that the device sends, or of an answer of its hub."""
        del rng
        return ((0, message),)

    def listen(self, message: Heard, rng: Chance) -> Sequence[tuple[int, Heard]]:
        """What arrives at the device of a message from the host; `deaf` has been asked before."""
        del rng
        return ((0, message),)

    # --- a hub --------------------------------------------------------------------------------

    @property
    def certificate(self) -> Certificate:
        """What a TLS server shows."""
        return Certificate.OWN

    def refuse(self, request: HttpRequest, rng: Chance) -> HttpReply | None:
        """What a server answers instead of doing what it is asked; None: it does it."""
        del request, rng
        return None

    def call(self, webhook: Webhook, rng: Chance) -> Sequence[tuple[int, Webhook]]:
        """The calls that a hub makes of a webhook, as (delay_ms, webhook), in any order."""
        del rng
        return ((0, webhook),)


class Spell:
    """Whether a fault that comes and goes harms at this moment; one for each whom it strikes."""

    __slots__ = ("_harms", "_until_ms")

    def __init__(self) -> None:
        self._harms = True
        self._until_ms = float("-inf")

    def harms(self, fault: Fault, rng: Chance, now_ms: float) -> bool:
        """Ask at each message, in order of time; draws chance only if the fault needs any."""
        if fault.probability >= 1:
            return True
        if now_ms >= self._until_ms:
            self._harms = rng.random() < fault.probability
            self._until_ms = now_ms + fault.stability_ms
        return self._harms


def spells(fault: Fault, seconds: float, rng: Chance) -> Sequence[tuple[float, float]]:
    """When in so many seconds it harms: (beginning, end) of each time, in seconds."""
    step_s = max(fault.stability_ms / 1000, _STEP_S)
    found: list[tuple[float, float]] = []
    for number in range(math.ceil(seconds / step_s)):
        if rng.random() < fault.probability:
            begins_s, ends_s = number * step_s, min((number + 1) * step_s, seconds)
            if found and found[-1][1] == begins_s:
                begins_s = found.pop()[0]
            found.append((begins_s, ends_s))
    return found


def settings_of(kind: type[Fault]) -> Mapping[str, Setting]:
    """What a fault can be told, by name; what it has of its own comes first."""
    types = get_type_hints(kind)
    shared = {each.name for each in fields(Fault)}
    found = {}
    for each in sorted(fields(kind), key=lambda one: one.name in shared):
        assert each.default is not MISSING
        about = each.metadata
        found[each.name] = Setting(
            types[each.name],
            each.default,
            about[_UNIT],
            about[_ABOUT],
            about[_LEAST],
            about[_TIMES],
        )
    return found


def made(kind: type[Fault], name: str, given: Mapping[str, Any]) -> Fault:
    """A fault of this kind with these settings.

    Raises:
        ValueError: it takes no such setting, or not this value; every mistake on a line.
    """
    takes = settings_of(kind)
    problems = []
    for each, value in given.items():
        if each not in takes:
            problems.append(f"{name} has no setting {each!r}; it takes {', '.join(takes)}")
        elif (wanted := _wanted(takes[each], value)) is not None:
            problems.append(f"setting {each} is {value!r}; write {wanted}")
    if problems:
        raise ValueError("\n".join(problems))
    return kind(**{each: _of(takes[each].type, value) for each, value in given.items()})


def _of(kind: type, value: Any) -> Any:  # noqa: ANN401 -- as YAML has it
    return float(value) if kind is float else value


def _wanted(takes: Setting, value: Any) -> str | None:  # noqa: ANN401 -- as YAML has it
    """What would be right, if this is not."""
    if takes.type in (str, bool):
        right = isinstance(value, takes.type)
        return None if right else ("true or false" if takes.type is bool else "text")
    number = "a whole number" if takes.type is int else "a number"
    allowed = int if takes.type is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        return f"{number} {_bounds(takes)}"
    if takes.unit == "share":
        return None if 0 < value <= 1 else "a share above 0, up to 1"
    low = value <= 0 if takes.least is None else value < takes.least
    return f"{number} {_bounds(takes)}" if low else None


def _bounds(takes: Setting) -> str:
    return "above 0" if takes.least is None else f"of {takes.least:g} or more"
