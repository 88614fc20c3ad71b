"""One lock as the adapter watches it: when it is asked next, what for, and what is believed.

the day's plan ──► POLL ───────────────┐
webhook, the twin's past ─► HOOK ──────┼─► one question at a time ─► frame ─► Port.offer
command ─► READ_BACK, ever more rarely ┘
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from devices.errors import DecodeError
from vendors.api import Frame, Port
from vendors.switchbot import codec
from vendors.switchbot.budget import Purpose
from vendors.switchbot.cloud import Cloud
from vendors.switchbot.codec import Hook, Listed
from vendors.switchbot.settings import SwitchBotSettings
from vendors.switchbot.trust import Witness
from vendors.switchbot.words import meaning
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.polling import Poller

#: After a command that was accepted. Travel takes 1.2 to 4 s; the status may lag behind it.
READ_BACK_MS: Final = (1_500, 3_000, 5_000, 8_000, 13_000, 19_000)
#: After a webhook; the later ones only if the status does not say what the webhook said.
_HOOKED_MS: Final = 500
_STILL_OTHERWISE_MS: Final = (3_000, 15_000)
#: After a status that may only be ahead of its webhook, or behind the last one.
_EARLY_MS: Final = (2_000, 5_500)
# The desk asks twice a second while it waits; more often than this nothing new is learnt.
_ASK_GAP_MS: Final = 1_000
# What was seen within this is fresh enough for the desk (`fresh_ms` is 10 s).
_PLANNED_GAP_MS: Final = 4_000
# A question that failed is asked again after a quarter of the interval, or after this.
_RETRY_MAX_MS: Final = 60_000
# The parts of a plan are not to be in step with anything.
_JITTER: Final = 0.05


@dataclass(frozen=True, slots=True)
class Around:
    """What all locks of an account share.

    `told` is called with None after an answer, and with the failure otherwise; `interval_ms`
    says how far apart two polls of a lock are, as the budget stands.
    """

    settings: SwitchBotSettings
    port: Port
    cloud: Cloud
    told: Callable[[Exception | None], None]
    interval_ms: Callable[[], int]


class Watch:
    """One lock, by its entry of the device list."""

    def __init__(self, listed: Listed, around: Around) -> None:
        settings, port = around.settings, around.port
        self.listed = listed
        self.busy = False
        #: Nothing was heard of the cloud for a while, and that was said.
        self.silent = False
        self.witness = Witness(settings.hook_age_max_ms, settings.doubt_ms)
        self._port = port
        self._cloud = around.cloud
        self._told = around.told
        self._interval_ms = around.interval_ms
        #: When the last question left that was answered; 0: none was.
        self.seen_ms = 0
        self._poll_at_ms = port.now_ms()
        self._plan: list[tuple[int, Purpose]] = []
        self._purpose = Purpose.POLL
        self._left_ms = 0
        #: The question has left; before, its answer will be younger than any webhook.
        self._under_way = False
        #: What a webhook said, and what a command is for, until a status says so.
        self._hint = ""
        self._goal = ""
        self._poller = Poller(port, self._ask, interval_ms=around.interval_ms, told=lambda _: None)

    @property
    def device(self) -> str:
        """Its id."""
        return self.listed.device

    @property
    def due(self) -> tuple[int, Purpose]:
        """When it is to be asked next (Unix ms), and what for."""
        return min([*self._plan, (self._poll_at_ms, Purpose.POLL)])

    def begin(self, at_ms: int) -> None:
        """Be asked at this time for the first time."""
        self._poll_at_ms = at_ms

    def plan(self, waits_ms: Sequence[int], purpose: Purpose) -> None:
        """Be asked after each of these; what was planned for the same purpose is forgotten."""
        now_ms = self._port.now_ms()
        rest = [each for each in self._plan if each[1] is not purpose]
        self._plan = rest + [(now_ms + wait_ms, purpose) for wait_ms in waits_ms]

    def ordered(self, goal: str) -> None:
        """A command left: ask until the status says what it is for."""
        self._goal = goal
        self.plan(READ_BACK_MS, Purpose.READ_BACK)

    def set_back(self, now_ms: int) -> None:
        """Our clock was set back to this: what was to be is to be soon, and what was is over."""
        self.seen_ms, self._left_ms = min(self.seen_ms, now_ms), min(self._left_ms, now_ms)
        soon_ms = now_ms + self._spread_ms()
        self._poll_at_ms = min(self._poll_at_ms, soon_ms)
        self._plan = [(min(at_ms, soon_ms), purpose) for at_ms, purpose in self._plan]
        self.witness.set_back(now_ms)

    def skip(self) -> None:
        """What is due now is done, or is not to be."""
        now_ms = self._port.now_ms()
        self._plan = [each for each in self._plan if each[0] > now_ms]
        if self._poll_at_ms <= now_ms:
            self._poll_at_ms = now_ms + self._spread_ms()

    def retry(self) -> None:
        """It could not be asked: sooner than usual, and not at once."""
        wait_ms = min(_RETRY_MAX_MS, max(_ASK_GAP_MS, self._spread_ms() // 4))
        self._poll_at_ms = min(self._poll_at_ms, self._port.now_ms() + wait_ms)

    def place(self, phase: float) -> None:
        """Have its place in the common interval, 0 to 1 of it from now."""
        self._poll_at_ms = self._port.now_ms() + max(1, round(self._interval_ms() * phase))

    async def look(self, purpose: Purpose) -> None:
        """Ask now.

        Raises:
            NotSentError, NoReplyError: as the question met.
        """
        self._purpose = purpose
        await self._poller.once()

    @property
    def may_ask(self) -> bool:
        """Whether a question that nobody planned is worth its call."""
        now_ms = self._port.now_ms()
        planned = any(purpose is Purpose.READ_BACK for _, purpose in self._plan)
        gap_ms = _PLANNED_GAP_MS if planned else _ASK_GAP_MS
        return now_ms - self._left_ms >= gap_ms

    async def _ask(self, asked_ms: int) -> Mapping[str, Sequence[Frame]]:
        self._left_ms = asked_ms
        self._under_way = False
        device = self.device
        try:
            path = f"/devices/{device}/status"
            left_ms, reply = await self._cloud.get(path, self._purpose, self._leaves)
        except (NotSentError, NoReplyError) as failure:
            self._told(failure)
            raise
        self._told(None)
        what = "status"
        try:
            told, state = codec.state_word(reply)
        except DecodeError:
            told = False  # the frame becomes a dead letter
        if told:
            what = self.witness.answered(left_ms, state)
            if what == "early":
                self.plan(_EARLY_MS, Purpose.HOOK)
            if what == "status":
                self._settle(state)
        self.silent = False
        self.seen_ms = asked_ms
        # It was just asked, whatever for: the day's plan counts from now.
        self._poll_at_ms = asked_ms + self._spread_ms()
        return {device: [Frame(f"http/{device}/{what}", reply, left_ms)]}

    def _leaves(self) -> None:
        self._under_way = True

    def _settle(self, state: str | None) -> None:
        """What was planned to see this need not be asked any more."""
        if self._hint and state == self._hint:
            self._hint = ""
            self.plan((), Purpose.HOOK)
        if self._goal and state == self._goal:
            self._goal = ""
            self.plan((), Purpose.READ_BACK)

    def _spread_ms(self) -> int:
        return round(self._interval_ms() * (1 + self._port.rng.uniform(-_JITTER, _JITTER)))

    def hooked(self, hook: Hook, body: bytes) -> Sequence[Frame]:
        """What a webhook of this lock is worth; it is asked about it in any case but a repeat."""
        now_ms = self._port.now_ms()
        twin = self._port.twin(self.device)
        known = None if twin is None else twin.axes.get("door_state")
        frame, ask = self.witness.heard(hook, now_ms, None if known is None else known.value)
        if ask:
            self._hint = meaning(hook.lock_state) or ""
            later = [_HOOKED_MS + wait_ms for wait_ms in _STILL_OTHERWISE_MS if self._hint]
            self.plan((_HOOKED_MS, *later), Purpose.HOOK)
        if frame is None:
            return ()
        assert hook.sample_ms is not None, "what has no time is a hint"
        if self._under_way:
            self._poller.touched(self.device)
        # Like an answer, it claims no less age than it has.
        told_ms = min(hook.sample_ms, now_ms)
        return [Frame(f"hook/{self.device}/{frame}", body, told_ms)]
