"""The desk, in simulated time: refusals before anything leaves, one send, evidence, one outcome."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

import pytest

from devices.command import COMMANDS, Command, Result
from devices.errors import (
    RefusedError,
    RejectedError,
    StoreError,
    UnavailableError,
)
from devices.kinds import CLOSURE, KINDS, LOCK, Kind
from devices.reading import Provenance, Reading
from devices.twin import Twin
from fleet_sim.clock import SimClock, SimLoop
from gateway.commands import CommandDesk, Finished
from vendors import registry
from vendors.api import Delivery

EPOCH_MS: Final = 1_790_000_000_000
FRESH_MS: Final = 10_000
#: What the commands need that are not complete by their name.
MORE: Final[dict[str, dict[str, Any]]] = {
    "MoveToPosition": {"args": {"position_pct": 40}},
    "SetCredential": {"part": "credential.3", "args": {"pin": "271828"}},
    "ClearCredential": {"part": "credential.3"},
}
UNLOCKED: Final = {"lock_state": "Unlocked", "reachability": "Online"}


class Rig:
    """A desk whose device, adapter and disk are the test's."""

    def __init__(self, kind: Kind = LOCK, **desk: Any) -> None:
        self.clock = SimClock(EPOCH_MS, asyncio.get_running_loop())
        self.twins: dict[str, Twin] = {}
        self.known: dict[tuple[str, str], Result | str] = {}
        self.left_over: list[Command] = []
        self.happened: list[str] = []
        self.sent: list[str] = []
        self.refreshed = 0
        self.on_send: Callable[[Command], None] = lambda _: None
        self.on_refresh: Callable[[], None] = lambda: None
        self.disk_fails = False
        self.answers: list[tuple[Finished, str | None, bytes | None]] = []
        vendor = replace(
            registry.vendor("nuki"),
            kind=kind,
            commands=tuple(COMMANDS[kind.name]),
            delivery=desk.pop("delivery", Delivery.PUSH),
        )
        self.desk = CommandDesk(
            vendor=vendor,
            adapter=self,  # type: ignore[arg-type]
            twin=self.twins.get,
            store=self,  # type: ignore[arg-type]
            clock=self.clock,
            answer=lambda _, *answer: self.answers.append(answer),
            fresh=lambda at_ms: self.clock.now_ms() - at_ms <= FRESH_MS,
            **desk,
        )

    # The adapter

    async def send(self, command: Command) -> None:
        self.happened.append("send")
        self.sent.append(command.name)
        self.on_send(command)

    async def refresh(self, device: str) -> None:
        assert device in self.twins
        self.refreshed += 1
        self.on_refresh()

    # The disk

    async def begin(self, command: Command) -> Any:
        if self.disk_fails:
            raise StoreError("disk full")
        if (known := self.known.get((command.device, command.id))) is not None:
            return known
        self.known[command.device, command.id] = "running"
        await asyncio.sleep(0.01)
        self.happened.append("durable")
        return None

    async def finish(self, command: Command, result: Result) -> None:
        if self.disk_fails:
            raise StoreError("disk full")
        self.known[command.device, command.id] = result

    def unfinished(self) -> list[Command]:
        return self.left_over

    # The device and the caller

    def says(self, device: str = "d", **axes: Any) -> None:
        """A report of the device, committed."""
        kind = self.desk._desk._vendor.kind  # noqa: SLF001 -- the rig's own
        twin = self.twins.setdefault(device, Twin(device, kind))
        readings = [Reading(device, axis, value, Provenance.REPORT) for axis, value in axes.items()]
        changes = twin.fold(readings, self.clock.now_ms())
        self.desk.seen(device, changes, self.clock.now_ms())

    def ask(self, name: str, id_: str = "id", *, device: str = "d", **more: Any) -> None:
        outside = {key: more.pop(key) for key in ("expiry_s", "retained") if key in more}
        payload = json.dumps({"id": id_, "name": name, **more}).encode()
        self.desk.request(payload, device, "reply/here", b"c", **outside)

    async def outcome(self, number: int = 1) -> tuple[str, str | None]:
        while len(self.answers) < number:  # noqa: ASYNC110 -- simulated time: costs nothing
            await asyncio.sleep(0.01)
        finished = self.answers[number - 1][0]
        return finished.outcome, finished.reason


def in_simulated_time(what: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(what())


def test_it_is_on_the_disk_before_it_leaves() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(lock_state="Locked", reachability="Online")

        rig.ask("unlock")
        await asyncio.sleep(1)
        rig.says(lock_state="Unlocked")

        assert await rig.outcome() == ("succeeded", None)
        assert rig.happened == ["durable", "send"]
        assert rig.answers[0][1:] == ("reply/here", b"c")

    in_simulated_time(story)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, table in COMMANDS.items() for name in table if kind != "panel"],
)
@pytest.mark.parametrize("delivery", list(Delivery))
def test_into_silence_nothing_is_said_twice_but_what_shuts(
    kind: str, name: str, delivery: Delivery
) -> None:
    async def story() -> None:
        rig = Rig(KINDS[kind], delivery=delivery)
        spec = COMMANDS[kind][name]
        going = {"main_state": "Moving", "position_pct": 70}
        rig.on_refresh = lambda: rig.says(**going) if kind == "closure" else None
        moving = {"position": "PartiallyOpened", "reachability": "Online", **going}
        rig.says(**(moving if kind == "closure" else {"reachability": "Online"}))

        rig.ask(name, **MORE.get(name, {}))

        assert await rig.outcome() == ("unknown", "deadline")
        assert len(rig.sent) == (2 if spec.repeatable else 1)
        opens = name in {"MoveToFullyOpen", "UnlockDoor", "Unlatch", "LockAndGo", "Stop"}
        assert not (opens and spec.repeatable)

    in_simulated_time(story)


@pytest.mark.parametrize(("arrived", "outcome"), [(42, "succeeded"), (55, "unknown")])
def test_a_position_is_reached_when_it_is_near_and_the_closure_rests(
    arrived: int, outcome: str
) -> None:
    async def story() -> None:
        rig = Rig(KINDS["closure"])
        rig.says(position_pct=0, main_state="Stopped", reachability="Online")
        rig.ask("move", args={"position_pct": 40})
        await asyncio.sleep(1)
        rig.says(position_pct=20, main_state="Moving")
        await asyncio.sleep(5)
        assert rig.answers == []
        rig.says(position_pct=arrived, main_state="Stopped")

        assert (await rig.outcome())[0] == outcome

    in_simulated_time(story)


@pytest.mark.parametrize("pin", ["77", 271828, None])
def test_a_pin_that_cannot_be_is_refused_and_never_repeated_to_anybody(pin: Any) -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        rig.ask("set-pin", part="credential.1", args={} if pin is None else {"pin": pin})

        outcome, reason = await rig.outcome()

        assert outcome == "rejected"
        assert reason is not None
        assert reason.startswith("invalid_argument: args")
        assert "77" not in reason
        assert "271828" not in reason
        assert rig.sent == []

    in_simulated_time(story)


def test_a_slot_that_is_in_use_is_not_overwritten() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**{**UNLOCKED, "credential.1.status": "OccupiedDisabled"})
        rig.ask("set-pin", part="credential.1", args={"pin": "271828"})

        assert await rig.outcome() == ("rejected", "occupied")
        assert rig.sent == []

    in_simulated_time(story)


def test_a_disk_that_is_full_lets_nothing_leave_and_the_id_may_be_tried_again() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        rig.disk_fails = True
        rig.ask("unlatch")
        assert await rig.outcome() == ("rejected", "unavailable")
        assert rig.sent == []

        rig.disk_fails = False
        rig.ask("unlatch")
        await asyncio.sleep(0.05)
        rig.says(lock_state="Unlatched")

        assert await rig.outcome(2) == ("succeeded", None)
        assert rig.sent == ["Unlatch"]

    in_simulated_time(story)


def test_who_asks_again_while_it_runs_is_answered_with_it() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        rig.ask("unlatch")
        await asyncio.sleep(0.5)
        rig.ask("unlatch")
        await asyncio.sleep(0.5)
        rig.says(lock_state="Unlatched")

        assert await rig.outcome(2) == ("succeeded", None)
        assert [answer[0].repeated for answer in rig.answers] == [False, True]
        assert rig.sent == ["Unlatch"]

    in_simulated_time(story)


def test_an_id_that_was_another_commands_does_not_seem_to_be_this_one() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        rig.ask("unlatch")
        await asyncio.sleep(0.5)

        rig.ask("lock")

        outcome, reason = await rig.outcome()
        assert (outcome, str(reason).split(": ")[:2]) == ("rejected", ["invalid_argument", "id"])
        rig.says(lock_state="Unlatched")
        assert await rig.outcome(2) == ("succeeded", None)
        assert rig.sent == ["Unlatch"]

    in_simulated_time(story)


def test_what_an_earlier_life_left_open_is_unknown_and_does_not_leave_again() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        rig.left_over = [Command("old", "d", "Unlatch", EPOCH_MS)]

        await rig.desk.recover()

        assert await rig.outcome() == ("unknown", "restarted")
        rig.ask("unlatch", "old")
        assert await rig.outcome(2) == ("unknown", "restarted")
        assert rig.sent == []

    in_simulated_time(story)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"deadline_ms": EPOCH_MS}, "expired"),
        ({"expiry_s": 0}, "expired"),
        ({"retained": True}, "retained"),
        ({"device": "stranger"}, "unknown_device"),
        ({"name": "Fly"}, "unsupported"),
        ({"expect": {"lock_state": "Locked"}}, "precondition"),
        ({"expect": {"door_state": "DoorOpen"}}, "unknown_state"),
    ],
)
def test_rejected_before_it_leaves(more: dict[str, Any], reason: str) -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)

        rig.ask(**{"name": "unlatch", **more})

        assert await rig.outcome() == ("rejected", reason)
        assert rig.sent == []

    in_simulated_time(story)


def test_old_state_is_asked_for_and_without_an_answer_nothing_leaves() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        await asyncio.sleep(60)

        rig.ask("unlatch", "one", expect={"lock_state": "Unlocked"})
        assert await rig.outcome() == ("rejected", "stale_state")
        assert (rig.refreshed, rig.sent) == (1, [])

        rig.on_refresh = lambda: rig.says(**UNLOCKED)
        rig.ask("unlatch", "two", expect={"lock_state": "Unlocked"})
        await asyncio.sleep(1)
        rig.says(lock_state="Unlatched")
        assert await rig.outcome(2) == ("succeeded", None)

    in_simulated_time(story)


def test_what_expires_while_the_state_is_asked_for_does_not_leave() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        await asyncio.sleep(60)
        loop = asyncio.get_running_loop()
        rig.on_refresh = lambda: loop.call_later(1.5, lambda: rig.says(**UNLOCKED)) and None

        rig.ask("unlatch", expect={"lock_state": "Unlocked"}, expiry_s=1)

        assert (await rig.outcome())[0] == "rejected"
        assert rig.sent == []

    in_simulated_time(story)


def test_what_is_so_already_succeeds_without_a_word() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)

        rig.ask("unlock")

        assert await rig.outcome() == ("succeeded", None)
        assert rig.sent == []

    in_simulated_time(story)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RefusedError("busy"), ("rejected", "busy")),
        (RejectedError("nuki", "not_authorized"), ("rejected", "not_authorized")),
        (UnavailableError("nuki", "no PUBACK"), ("unknown", "deadline")),
        (ZeroDivisionError("a vendor's bug"), ("unknown", "unavailable")),
    ],
)
def test_what_the_adapter_makes_of_the_send(error: Exception, outcome: tuple[str, str]) -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)

        def fail(_: Command) -> None:
            raise error

        rig.on_send = fail
        rig.ask("unlatch")

        assert await rig.outcome() == outcome
        assert rig.sent == ["Unlatch"]

    in_simulated_time(story)


def test_silence_of_the_broker_is_not_silence_of_the_door() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)

        def fail(_: Command) -> None:
            raise UnavailableError("nuki", "no PUBACK")

        rig.on_send = fail
        rig.ask("unlatch")
        await asyncio.sleep(1)
        rig.says(lock_state="Unlatched")

        assert await rig.outcome() == ("succeeded", None)

    in_simulated_time(story)


def test_a_fault_that_stood_before_fails_nothing_and_a_new_one_does() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED, fault="LockJammed")
        rig.ask("unlatch")
        await asyncio.sleep(1)
        rig.says(fault="LockJammed")
        await asyncio.sleep(1)
        assert rig.answers == []

        rig.says(fault="None")
        rig.says(fault="LockJammed")

        assert await rig.outcome() == ("failed", "jammed")

    in_simulated_time(story)


def test_stop_goes_before_what_moves_and_everything_else_waits_its_turn() -> None:
    async def story() -> None:
        rig = Rig(CLOSURE)
        still = {"main_state": "Stopped", "position": "FullyClosed", "reachability": "Online"}
        rig.says(**still)
        rig.ask("open", "open")
        await asyncio.sleep(1)
        rig.says(main_state="Moving", position="PartiallyOpened")

        rig.ask("close", "close")
        assert await rig.outcome() == ("rejected", "busy")
        rig.ask("stop", "stop")
        await asyncio.sleep(1)
        rig.says(main_state="Stopped")

        await rig.outcome(3)
        ended = {answer[0].id: answer[0][4:6] for answer in rig.answers}
        assert ended["open"] == ("failed", "superseded")
        assert ended["stop"] == ("succeeded", None)
        assert rig.sent == ["MoveToFullyOpen", "Stop"]

    in_simulated_time(story)


def test_there_is_an_end_to_how_many_run_and_how_long() -> None:
    async def story() -> None:
        rig = Rig(commands_max=1)
        rig.says(**UNLOCKED)
        rig.says("e", **UNLOCKED)
        began_ms = rig.clock.now_ms()

        rig.ask("unlatch", "one", deadline_ms=EPOCH_MS * 2)
        rig.ask("unlatch", "two", device="e")

        assert await rig.outcome() == ("rejected", "busy")
        assert await rig.outcome(2) == ("unknown", "deadline")
        assert rig.clock.now_ms() - began_ms < 601_000

    in_simulated_time(story)


def test_closing_ends_every_run_at_once() -> None:
    async def story() -> None:
        rig = Rig()
        rig.says(**UNLOCKED)
        rig.ask("unlatch", "left")
        await asyncio.sleep(0.5)

        await rig.desk.close()
        rig.ask("unlatch", "late")

        assert await rig.outcome() == ("unknown", "stopped")
        assert await rig.outcome(2) == ("rejected", "unavailable")

    in_simulated_time(story)


def test_the_beginning_of_an_opening_proves_it_only_when_it_lasts() -> None:
    async def story() -> None:
        rig = Rig(CLOSURE, delivery=Delivery.PUSH_AND_POLL)
        rig.says(position="FullyClosed", main_state="Stopped", reachability="Online")
        rig.on_refresh = lambda: rig.says(position="NotFullyClosed")

        rig.ask("open")
        await asyncio.sleep(31)
        early = list(rig.answers)
        outcome = await rig.outcome()

        assert early == []
        assert outcome == ("succeeded", None)

    in_simulated_time(story)


def test_a_door_that_came_back_was_not_opened() -> None:
    async def story() -> None:
        rig = Rig(CLOSURE, delivery=Delivery.PUSH)
        rig.says(position="FullyClosed", main_state="Stopped", reachability="Online")

        rig.ask("open")
        await asyncio.sleep(1)
        rig.says(position="NotFullyClosed")
        await asyncio.sleep(20)
        rig.says(position="FullyClosed")

        assert await rig.outcome() == ("unknown", "deadline")

    in_simulated_time(story)


@pytest.mark.parametrize(
    ("reason", "more", "outcome"),
    [
        ("no_sensor", {}, ("succeeded", None)),
        ("boot", {}, ("rejected", "unknown_state")),
        ("no_sensor", {"expect": {"main_state": "Stopped"}}, ("rejected", "unknown_state")),
    ],
)
def test_an_axis_that_a_device_has_no_sensor_for_is_left_to_its_adapter(
    reason: str, more: dict[str, Any], outcome: tuple[str, str | None]
) -> None:
    async def story() -> None:
        rig = Rig(CLOSURE)
        rig.says(position="FullyOpened", reachability="Online")
        blind = Reading("d", "main_state", None, Provenance.REPORT, None, reason)
        rig.twins["d"].fold([blind], rig.clock.now_ms())

        rig.ask("close", **more)
        await asyncio.sleep(1)
        rig.says(position="FullyClosed")

        assert await rig.outcome() == outcome

    in_simulated_time(story)


def test_a_position_that_nobody_can_tell_is_never_left_to_an_adapter() -> None:
    async def story() -> None:
        rig = Rig(CLOSURE)
        rig.says(main_state="Stopped", reachability="Online")
        blind = Reading("d", "position", None, Provenance.REPORT, None, "no_sensor")
        rig.twins["d"].fold([blind], rig.clock.now_ms())

        rig.ask("close")

        assert await rig.outcome() == ("rejected", "unknown_state")
        assert rig.sent == []

    in_simulated_time(story)
