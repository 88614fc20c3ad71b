"""Each kind of the family wire: what an outsider sees while it lasts, and that it heals.

In simulated time the same boards and people live twice, once with the fault; a frame that comes
otherwise is the fault's doing. On sockets see `test_wire_sockets.py`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pytest

from fleet_sim.faults import FAULTS, mqtt, wire
from fleet_sim.faults.kind import Strikes

#: What was seen while it lasted, and what would have been without it.
Frames = Sequence[Any]

BEGINS_S: Final = 120.0
ENDS_S: Final = 240.0
#: A ratgdo board's keepalive; who is silent for half as long again is given up.
GIVEN_UP_S: Final = 22.5
#: No board says more in its usual words.
WORD_BYTES: Final = 20


class Case(NamedTuple):
    """`same_after`: whether people do the same things afterwards as without it."""

    seen: Callable[[Frames, Frames], bool]
    settings: Mapping[str, Any] = {}
    same_after: bool = True


def words(frames: Frames) -> list[tuple[str, bytes]]:
    return [(frame.topic, frame.payload) for frame in frames]


def news(frames: Frames) -> Frames:
    """What devices say of themselves: neither wills nor births."""
    return [frame for frame in frames if not frame.topic.endswith("/availability")]


def of_devices(frames: Frames) -> Mapping[str, Frames]:
    found: dict[str, list[Any]] = defaultdict(list)
    for frame in news(frames):
        found[frame.device].append(frame)
    return found


def wills(frames: Frames) -> list[float]:
    return [frame.at_s for frame in frames if frame.payload == b"offline"]


def births(frames: Frames) -> list[float]:
    return [frame.at_s for frame in frames if frame.payload == b"online"]


def delays(frames: Frames, without: Frames) -> list[float]:
    """How late each frame is, if each device's come in their order; what is under way is left."""
    found = []
    usual = of_devices(without)
    for device, some in of_devices(frames).items():
        assert words(some) == words(usual[device][: len(some)])
        found += [late.at_s - early.at_s for late, early in zip(some, usual[device], strict=False)]
    return found


def none_of_it(frames: Frames, without: Frames) -> bool:
    return not frames and len(without) > 20


def late_by(least_s: float, most_s: float) -> Callable[[Frames, Frames], bool]:
    def seen(frames: Frames, without: Frames) -> bool:
        late = delays(frames, without)
        return len(late) > 20 and least_s - 0.002 <= min(late) and max(late) <= most_s + 0.002

    return seen


def late_by_chance(frames: Frames, without: Frames) -> bool:
    late = {round(each, 3) for each in delays(frames, without)}
    return late_by(0, 3)(frames, without) and len(late) > 20 and max(late) > 1


def some_of_it(frames: Frames, without: Frames) -> bool:
    left = words(without)
    for word in words(frames):
        left.remove(word)
    return 0.2 < len(left) / len(without) < 0.6


def in_another_order(frames: Frames, without: Frames) -> bool:
    usual = of_devices(without)
    moved = [
        words(some)
        for device, some in of_devices(frames).items()
        if words(some) != words(usual[device][: len(some)])
    ]
    return bool(moved) and some_are_there(frames, without)


def some_are_there(frames: Frames, without: Frames) -> bool:
    """All but those that are under way when it ends."""
    left = words(without)
    for word in words(frames):
        left.remove(word)
    return len(left) <= 3


def twice(frames: Frames, without: Frames) -> bool:
    return words(frames) == [word for word in words(without) for _ in range(2)]


def unreadable(frames: Frames) -> int:
    return sum(not frame.payload.isascii() for frame in frames)


def garbage_before_each(frames: Frames, without: Frames) -> bool:
    pairs = list(zip(frames[::2], frames[1::2], strict=True))
    return words([good for _, good in pairs]) == words(without) and all(
        bad.topic == good.topic and len(bad.payload) > 64 for bad, good in pairs
    )


def flipped(frames: Frames, without: Frames) -> bool:
    torn = [frame for frame in frames if not frame.payload.isascii()]
    same = [(frame.topic, len(frame.payload)) for frame in frames]
    return (
        0.2 < len(torn) / len(frames) < 0.6
        and not unreadable(without)
        and same == [(frame.topic, len(frame.payload)) for frame in without]
    )


def broken_off(frames: Frames, without: Frames) -> bool:
    """The end of a connection for each: a will, and no word that it had begun."""
    return len(wills(frames)) > 3 and not wills(without) and not unreadable(frames)


def no_faster_than(bytes_per_s: float) -> Callable[[Frames, Frames], bool]:
    def seen(frames: Frames, without: Frames) -> bool:
        late = delays(frames, without)
        for some in of_devices(frames).values():
            for one, next_ in pairwise(some):
                # What is said in one breath arrives at once, at its end.
                gap_s = next_.at_s - one.at_s
                least_s = (len(next_.topic) + len(next_.payload)) / bytes_per_s
                if 0.002 < gap_s < least_s - 0.002:
                    return False
        return min(late) > WORD_BYTES / bytes_per_s

    return seen


def again_and_again(least: int) -> Callable[[Frames, Frames], bool]:
    """Wills; of a birth a board thinks later, if it is there for so long."""

    def seen(frames: Frames, without: Frames) -> bool:
        return len(wills(frames)) >= least and not wills(without)

    return seen


def given_up(frames: Frames, without: Frames) -> bool:
    """Nothing but the wills, and these when the broker had waited long enough."""
    return (
        not news(frames)
        and not births(frames)
        and len(wills(frames)) == 3
        # Whoever had just spoken is waited for the longest.
        and all(abs(at_s - BEGINS_S - GIVEN_UP_S) < 0.01 for at_s in wills(frames))
        and len(without) > 20
    )


def gone_at_once(frames: Frames, without: Frames) -> bool:
    return words(frames) == words(frames[:3]) and wills(frames) == [BEGINS_S] * 3 and bool(without)


def many_more(frames: Frames, without: Frames) -> bool:
    return len(frames) > 5 * len(without)


CASES: Final[Mapping[str, Case]] = {
    "latency": Case(late_by(2, 2), {"latency_ms": 2_000}),
    "jitter": Case(late_by_chance, {"jitter_ms": 3_000}),
    "loss": Case(some_of_it, {"probability": 0.4}),
    "reorder": Case(in_another_order, {"probability": 0.5, "hold_ms": 9_000}),
    "duplicate": Case(twice),
    "truncate": Case(broken_off),
    "corrupt": Case(flipped, {"probability": 0.4}),
    "malformed": Case(garbage_before_each),
    "bandwidth": Case(no_faster_than(100), {"kbit_per_s": 0.8}),
    "slow_drip": Case(no_faster_than(50), {"bytes_per_s": 50}),
    "reset": Case(again_and_again(40), {"every_ms": 6_000}),
    "half_open": Case(given_up),
    "partition": Case(given_up),
    "silence": Case(none_of_it),
    "hang": Case(none_of_it),
    "flood": Case(many_more, same_after=False),
    "power_cut": Case(gone_at_once, same_after=False),
    # Of the family mqtt, those that befall a device's own link.
    "reconnect_storm": Case(again_and_again(300)),
    "will_storm": Case(gone_at_once),
    "duplicate_client_id": Case(again_and_again(150), {"every_ms": 2_000}),
}


def test_every_kind_that_befalls_a_link_has_a_case() -> None:
    links = {
        name
        for family in (wire, mqtt)
        for name, kind in family.KINDS.items()
        if kind.strikes is Strikes.LINK
    }

    assert links == set(CASES)
    assert all(FAULTS[name].times == ("virtual", "real") for name in links)


@pytest.mark.parametrize("kind", CASES)
def test_it_is_seen_while_it_lasts_and_it_heals(
    kind: str, live: Callable[..., Any], unhurt: Any, sins: Callable[[Any], Any]
) -> None:
    case = CASES[kind]

    life = live(kind, case.settings)

    assert case.seen(life.within(), unhurt.within())
    assert not case.seen(life.healed, unhurt.healed)
    if case.same_after:
        assert life.healed == unhurt.healed
    assert len(life.healed) > 20
    assert life.beside == unhurt.beside
    assert list(sins(life)) == []
    assert any(at_s > ENDS_S for at_s in life.events)
