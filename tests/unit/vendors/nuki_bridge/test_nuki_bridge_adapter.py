"""The adapter at a bridge that says what a test wants, in simulated time."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from devices.command import Command
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.reading import Reading
from devices.twin import Twin
from fleet_sim.clock import SimLoop
from vendors.api import Frame
from vendors.http import HttpReply, HttpRequest, request_of
from vendors.nuki.bridge import VENDOR, adapter, auth, codec
from vendors.wire.errors import NoReplyError, NotSentError

EPOCH_MS: Final = 1_767_225_600_000
TOKEN: Final = "s3cret-token"
LOCK: Final = "3A000001"
HERE: Final = "http://127.0.0.1:8765/nuki_bridge/doorfleet/"
STAMPS: Final = [f"2026-01-01T00:00:0{second}Z" for second in range(10)]
NAMES: Final = {
    1: "locked",
    2: "unlocking",
    3: "unlocked",
    4: "locking",
    5: "unlatched",
    7: "unlatching",
}


def state(number: int) -> dict[str, Any]:
    return {"mode": 2, "state": number, "stateName": NAMES[number], "batteryCritical": False}


class World:
    """A `Port`, its network, and the bridge at the other end of it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.rng = Random(1)
        self.network = self
        self.frames: list[Frame] = []
        self.links: list[tuple[bool, str]] = []
        self.twins: dict[str, Twin] = {}
        self.asked: list[HttpRequest] = []
        self.at_once = self.most_at_once = 0
        self.callbacks: list[str] = []
        self.memory: dict[str, Any] | None = {**state(1), "timestamp": STAMPS[0]}
        self.lock = state(1)
        #: Path to what is said instead of the usual, as long as it lasts.
        self.instead: dict[str, list[HttpReply | Exception]] = {}
        self.handler: Any = None

    # --- Port ---

    def now_ms(self) -> int:
        return EPOCH_MS + round(self.loop.time() * 1000)

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        for frame in frames:
            self.frames.append(frame)
            with contextlib.suppress(DecodeError):
                for fact in codec.decode(frame):
                    assert isinstance(fact, Reading)
                    twin = self.twins.setdefault(fact.device, Twin(fact.device, VENDOR.kind))
                    twin.fold([fact], frame.received_at_ms)
        if committed is not None:
            committed()

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        self.links.append((up, reason))

    def twin(self, device: str) -> Twin | None:
        return self.twins.get(device)

    # --- network ---

    async def http_send(
        self, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> HttpReply:
        request = request_of(method, url, headers, body)
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.1)
            instead = self.instead.get(request.path)
            if instead:
                said = instead.pop(0) if len(instead) > 1 else instead[0]
                if isinstance(said, Exception):
                    raise said
                await asyncio.sleep(said.delay_ms / 1000)
                return said
            return HttpReply(200, json.dumps(self._answer(request)).encode())
        finally:
            self.at_once -= 1

    async def webhook_listen(self, bind: tuple[str, int], handler: Any) -> Any:
        self.handler = handler
        return bind, lambda: None

    def _answer(self, request: HttpRequest) -> object:
        match request.path:
            case "/list":
                last = {} if self.memory is None else {"lastKnownState": self.memory}
                return [{"deviceType": 4, "nukiId": int(LOCK, 16), "name": "Front", **last}]
            case "/lockState":
                return {**self.lock, "success": True}
            case "/callback/list":
                return {"callbacks": [{"id": n, "url": u} for n, u in enumerate(self.callbacks)]}
            case "/callback/add":
                self.callbacks.append(str(request.argument("url")))
            case "/callback/remove":
                del self.callbacks[int(str(request.argument("id")))]
        return {"success": True}

    # --- what a test asks for ---

    def paths(self, *wanted: str) -> list[str]:
        return [each.path for each in self.asked if each.path in wanted]

    def value(self, axis: str = "lock_state") -> object:
        known = self.twins[LOCK].axes[axis]
        return (known.value, known.provenance.value)

    async def post(self, number: int, path: str | None = None) -> HttpReply:
        body = json.dumps({"deviceType": 4, "nukiId": int(LOCK, 16), **state(number)}).encode()
        url = self.callbacks[-1] if path is None else f"http://127.0.0.1:8765{path}"
        reply = await self.handler(request_of("POST", url, body=body))
        assert isinstance(reply, HttpReply)
        return reply

    def command(self, name: str = "UnlockDoor", ms: int = 20_000, device: str = LOCK) -> Command:
        return Command("id-1", device, name, self.now_ms() + ms)


Play = Callable[[World, adapter.NukiBridgeAdapter], Coroutine[Any, Any, None]]


def settings(**more: Any) -> adapter.NukiBridgeSettings:
    bridge = {"url": "http://bridge.test:8080", "token": TOKEN, **more.pop("bridge", {})}
    return adapter.NukiBridgeSettings.model_validate(
        {"bridges": [bridge], "listen": "127.0.0.1:8765", **more}
    )


def play(what: Play, before: Callable[[World], None] = lambda _: None, **more: Any) -> World:
    """Run an adapter for as long as the play takes; it begins after the first answers."""

    async def main() -> World:
        here = World()
        before(here)
        it = adapter.connect(settings(**more), here)
        running = asyncio.get_running_loop().create_task(it.run())
        await asyncio.sleep(5)
        await what(here, it)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return here

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main())


async def nothing(here: World, it: adapter.NukiBridgeAdapter) -> None:
    del here, it


# --- asking -----------------------------------------------------------------------------------


def test_at_the_start_it_registers_lists_and_asks_each_lock_once() -> None:
    here = play(nothing)

    assert [each.path for each in here.asked] == [
        "/callback/list", "/callback/add", "/list", "/lockState",
    ]  # fmt: skip
    assert here.value() == ("Locked", "poll")
    assert here.links == [(True, "")]


@pytest.mark.parametrize("how", ["hashed", "encrypted"])
def test_each_request_has_a_proof_of_its_own_and_never_the_token(how: str) -> None:
    def busy(here: World) -> None:
        here.instead["/list"] = [HttpReply(503)]

    here = play(nothing, busy, bridge={"auth": how})

    proofs = [tuple(sorted(each.query)) for each in here.asked if each.path == "/list"]
    assert len(proofs) == 3
    assert len(set(proofs)) == 3
    assert TOKEN not in str([each.query for each in here.asked])


def test_one_request_at_a_time() -> None:
    async def everybody(here: World, it: adapter.NukiBridgeAdapter) -> None:
        await asyncio.gather(
            it.refresh(LOCK), it.send(here.command()), asyncio.sleep(30), return_exceptions=True
        )

    here = play(everybody)

    assert here.most_at_once == 1
    assert len(here.asked) > 8


def test_a_lock_is_not_woken_twice_in_two_seconds() -> None:
    async def impatient(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.asked.clear()
        for _ in range(40):
            await it.refresh(LOCK)
            await asyncio.sleep(0.1)

    assert len(play(impatient).paths("/lockState")) <= 3


def test_each_lock_is_asked_every_half_hour_because_nobody_notices_everything() -> None:
    async def turned_by_hand(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.lock = state(3)
        await asyncio.sleep(1_850)

    here = play(turned_by_hand)

    assert here.value() == ("Unlocked", "poll")
    assert len(here.paths("/lockState")) == 2


def test_without_a_listener_it_is_only_asked() -> None:
    here = play(nothing, listen=None)

    assert here.paths("/callback/list", "/callback/add") == []
    assert here.value() == ("Locked", "poll")


# --- what the bridge remembers ----------------------------------------------------------------


def test_what_the_bridge_remembers_is_cached_until_the_lock_answers() -> None:
    def asleep(here: World) -> None:
        here.instead["/lockState"] = [NoReplyError("late")]

    here = play(nothing, asleep)

    assert here.value() == ("Locked", "cached")


def test_an_old_memory_does_not_undo_what_the_lock_told() -> None:
    async def told(here: World, _: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(20)
        await here.post(3)
        await asyncio.sleep(300)

    here = play(told)

    assert here.value() == ("Unlocked", "report")
    assert [f.source for f in here.frames].count(f"http/{LOCK}/list") == 1


def test_an_old_memory_does_not_undo_what_is_known_from_before_a_restart() -> None:
    def known(here: World) -> None:
        here.twins[LOCK] = Twin(LOCK, VENDOR.kind)
        here.offer(
            [
                Frame(
                    f"http/{LOCK}/state",
                    json.dumps({**state(3), "success": True}).encode(),
                    EPOCH_MS,
                )
            ],
            None,
        )
        here.instead["/lockState"] = [HttpReply(200, b'{"success":false}')]

    async def a_while(_: World, __: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(10)

    here = play(a_while, known)

    assert here.value() == ("Unlocked", "poll")
    assert here.value("reachability") == ("Offline", "poll")


def test_news_without_a_callback_is_cached_first_and_then_asked_for() -> None:
    async def lost(here: World, _: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(40)
        here.asked.clear()
        here.frames.clear()
        here.lock = state(3)
        here.memory = {**state(3), "timestamp": STAMPS[5]}
        await asyncio.sleep(40)

    here = play(lost)

    assert [f.source for f in here.frames] == [f"http/{LOCK}/list", f"http/{LOCK}/state"]
    assert here.value() == ("Unlocked", "poll")
    assert len(here.paths("/lockState")) == 1


def test_a_memory_that_may_be_older_than_a_callback_is_only_a_reason_to_ask() -> None:
    async def doubtful(here: World, _: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(40)
        here.frames.clear()
        await here.post(3)
        here.lock = state(3)
        here.memory = {**state(1), "timestamp": STAMPS[5]}
        await asyncio.sleep(200)

    here = play(doubtful)

    assert [f.source.split("/")[2] for f in here.frames] == ["callback", "state"]
    assert here.value() == ("Unlocked", "poll")


@pytest.mark.parametrize(
    ("seen", "told", "asked"), [(2, 1, True), (7, 1, True), (4, 3, True), (4, 1, False)]
)
def test_a_callback_from_before_a_turn_that_was_seen_makes_us_ask(
    seen: int, told: int, asked: bool
) -> None:
    async def late(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.lock = state(seen)
        await it.refresh(LOCK)
        here.frames.clear()
        await here.post(told)
        await asyncio.sleep(3)

    here = play(late)

    expected = ["callback", "state"] if asked else ["callback"]
    assert [f.source.split("/")[2] for f in here.frames] == expected
    assert here.value()[0] == (None if asked else "Locked")  # type: ignore[index]


def test_a_bridge_that_forgot_a_lock_makes_us_ask_it_once() -> None:
    async def forgotten(here: World, _: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(40)
        here.asked.clear()
        here.memory = None
        await asyncio.sleep(200)

    here = play(forgotten)

    assert len(here.paths("/lockState")) == 1
    assert here.value() == ("Locked", "poll")


# --- callbacks --------------------------------------------------------------------------------


def test_old_addresses_of_ours_are_taken_back_and_others_left() -> None:
    def crowded(here: World) -> None:
        here.callbacks = [
            "http://192.0.2.7:8765/nuki_bridge/doorfleet/0123",
            "http://192.0.2.8/hass",
            "http://192.0.2.9:8765/nuki_bridge/attic/0123",
        ]

    here = play(nothing, crowded)

    assert here.callbacks[:2] == [
        "http://192.0.2.8/hass",
        "http://192.0.2.9:8765/nuki_bridge/attic/0123",
    ]
    assert here.callbacks[2].startswith(HERE)
    assert TOKEN not in here.callbacks[2]


def test_three_others_are_left_alone_and_it_is_said_once() -> None:
    def full(here: World) -> None:
        here.callbacks = [f"http://192.0.2.8/{number}" for number in range(3)]

    async def long(here: World, _: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(600)
        here.callbacks.pop()
        await asyncio.sleep(150)

    with capture_logs() as logs:
        here = play(long, full)

    assert [log["event"] for log in logs] == ["nuki_bridge.callbacks_full"]
    assert TOKEN not in str(logs)
    assert here.callbacks[:2] == ["http://192.0.2.8/0", "http://192.0.2.8/1"]
    assert here.callbacks[2].startswith(HERE)


def test_a_callback_is_answered_200_after_the_commit_and_404_at_any_other_address() -> None:
    async def posts(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.frames.clear()
        wrong = [
            await here.post(3, path)
            for path in ("/", "/nuki_bridge/doorfleet/", "/nuki_bridge/doorfleet/" + "0" * 32)
        ]
        assert [reply.status for reply in wrong] == [404, 404, 404]
        assert here.frames == []
        assert (await here.post(3)).status == 200

    here = play(posts)

    assert here.value() == ("Unlocked", "report")


def test_an_openers_callback_is_taken_and_means_nothing() -> None:
    async def rings(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.frames.clear()
        body = b'{"deviceType":2,"nukiId":7,"state":1,"stateName":"online"}'
        reply = await here.handler(request_of("POST", here.callbacks[-1], body=body))
        assert reply.status == 200

    assert play(rings).frames == []


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"state":1}', b'{"nukiId":1,"state":"x"}'])
def test_a_callback_that_cannot_be_read_becomes_a_dead_letter(body: bytes) -> None:
    async def posts(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.frames.clear()
        await here.handler(request_of("POST", here.callbacks[-1], body=body))

    (frame,) = play(posts).frames

    with pytest.raises(DecodeError):
        codec.decode(frame)


def test_a_callback_that_contradicts_the_lock_of_a_moment_ago_makes_us_ask_it() -> None:
    async def late(here: World, it: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(20)
        await it.refresh(LOCK)
        await here.post(3)  # from before, and late
        await asyncio.sleep(3)

    assert play(late).value() == ("Locked", "poll")


# --- silence ----------------------------------------------------------------------------------


def test_a_bridge_that_is_gone_is_told_with_its_locks_and_its_return_makes_us_ask() -> None:
    async def away(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.instead = {path: [NotSentError("refused")] for path in ("/list", "/lockState")}
        await asyncio.sleep(130)
        assert here.value("reachability") == ("Offline", "poll")
        assert here.links[-1] == (False, "bridge.test:8080: refused")
        here.instead = {}
        await asyncio.sleep(70)

    here = play(away)

    assert here.value("reachability") == ("Online", "poll")
    assert here.links[-1] == (True, "")


def test_a_refused_token_is_told_without_the_token() -> None:
    def refused(here: World) -> None:
        here.instead = {"/callback/list": [HttpReply(401)], "/list": [HttpReply(401)]}

    here = play(nothing, refused)

    assert here.links == [
        (False, "bridge.test:8080: the bridge refuses our token, or its clock and ours disagree")
    ]


def test_a_bridge_that_is_only_busy_is_not_gone() -> None:
    async def crowded(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.instead = {"/list": [HttpReply(503)]}
        await asyncio.sleep(300)

    here = play(crowded)

    assert here.links == [(True, "")]
    assert here.value("reachability") == ("Online", "poll")


def test_a_lock_that_is_no_longer_paired_is_offline_and_not_asked() -> None:
    async def unpaired(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.instead = {"/list": [HttpReply(200, b"[]")]}
        await asyncio.sleep(40)
        here.asked.clear()
        await asyncio.sleep(4_000)

    here = play(unpaired)

    assert here.value("reachability") == ("Offline", "poll")
    assert here.paths("/lockState") == []


@pytest.mark.parametrize(
    "said", [HttpReply(404), HttpReply(410), HttpReply(200, b'{"success":false}')]
)
def test_a_lock_that_does_not_answer_is_offline_and_asked_again_later(said: HttpReply) -> None:
    async def off(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.instead = {"/lockState": [said]}
        await it.refresh(LOCK)
        await asyncio.sleep(6)
        assert here.value("reachability") == ("Offline", "poll")
        here.instead = {}

    async def off_and_on(here: World, it: adapter.NukiBridgeAdapter) -> None:
        await asyncio.sleep(5)
        await off(here, it)
        await asyncio.sleep(1_850)

    assert play(off_and_on).value("reachability") == ("Online", "poll")


def test_a_lock_that_missed_one_question_is_asked_again_before_it_is_called_offline() -> None:
    async def glitch(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.frames.clear()
        here.instead = {"/lockState": [HttpReply(200, b'{"success":false}')]}
        await it.refresh(LOCK)
        here.instead = {}
        await asyncio.sleep(6)

    here = play(glitch)

    assert [frame.source for frame in here.frames] == [f"http/{LOCK}/state"]
    assert here.value("reachability") == ("Online", "poll")


def test_two_bridges_with_the_same_token_are_told_apart() -> None:
    class Two(World):
        async def http_send(self, method: str, url: str, *rest: Any) -> HttpReply:
            if "two.test" in url:
                raise NotSentError("off")
            return await super().http_send(method, url, *rest)

    it = adapter.NukiBridgeSettings.model_validate(
        {
            "bridges": [
                {"url": "http://one.test", "token": TOKEN},
                {"url": "http://two.test", "token": TOKEN},
            ],
            "listen": "127.0.0.1:8765",
        }
    )

    async def main() -> None:
        here = Two()
        running = asyncio.get_running_loop().create_task(adapter.connect(it, here).run())
        await asyncio.sleep(5)
        (ours,) = here.callbacks
        assert here.links[-1] == (True, "")
        assert (await here.post(3)).status == 200
        key = auth.callback_key(TOKEN, "doorfleet http://two.test")
        assert not ours.endswith(key)
        assert (await here.post(3, f"/nuki_bridge/doorfleet/{key}")).status == 200
        running.cancel()

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(main())


def test_a_list_that_cannot_be_read_is_a_dead_letter_and_nobody_is_offline() -> None:
    async def garbage(here: World, _: adapter.NukiBridgeAdapter) -> None:
        here.frames.clear()
        here.instead = {"/list": [HttpReply(200, b"<html>")]}
        await asyncio.sleep(40)

    here = play(garbage)

    assert here.value("reachability") == ("Online", "poll")
    assert {frame.source for frame in here.frames} == {"http/bridge/list"}


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "action"), adapter.ACTIONS.items())
def test_a_command_is_one_action_once_and_not_waited_for(name: str, action: int) -> None:
    async def act(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.asked.clear()
        await it.send(here.command(name))

    (asked,) = [each for each in play(act).asked if each.path == "/lockAction"]

    assert asked.argument("action") == str(action)
    assert asked.argument("nukiId") == str(int(LOCK, 16))
    assert asked.argument("deviceType") == "4"
    assert asked.argument("noWait") == "1"


@pytest.mark.parametrize(
    ("said", "raised", "text"),
    [
        (HttpReply(503), RejectedError, "busy"),
        (HttpReply(401), RejectedError, "not_authorized"),
        (HttpReply(404), RejectedError, "unknown_device"),
        (HttpReply(410), RejectedError, "offline"),
        (HttpReply(400), RejectedError, "vendor:400"),
        (HttpReply(200, b'{"success":false}'), RejectedError, "offline"),
        (HttpReply(200, b"{}"), UnavailableError, "no success"),
        (HttpReply(200, b""), UnavailableError, "no success"),
        (HttpReply(500), UnavailableError, "no success"),
        (NoReplyError("late"), UnavailableError, "late"),
        (NotSentError("refused"), RefusedError, "unavailable"),
    ],
    ids=str,
)
def test_whatever_comes_of_a_command_it_leaves_once(
    said: HttpReply | Exception, raised: type[Exception], text: str
) -> None:
    async def act(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.instead = {"/lockAction": [said]}
        with pytest.raises(raised, match=text):
            await it.send(here.command())
        await asyncio.sleep(60)

    assert play(act).paths("/lockAction") == ["/lockAction"]


def test_waited_for_a_failure_may_have_come_after_the_motor_began() -> None:
    async def act(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.instead = {"/lockAction": [HttpReply(200, b'{"success":false}', delay_ms=15_000)]}
        with pytest.raises(UnavailableError):
            await it.send(here.command())

    (asked,) = [e for e in play(act, wait_for_action=True).asked if e.path == "/lockAction"]

    assert asked.argument("noWait") == "0"


def test_what_nobody_can_do_is_refused_before_it_leaves() -> None:
    async def act(here: World, it: adapter.NukiBridgeAdapter) -> None:
        for command, reason in (
            (here.command("AccessDoor"), "unsupported"),
            (here.command(device="3A0000FF"), "unknown_device"),
            (here.command(ms=-1), "expired"),
        ):
            with pytest.raises(RefusedError, match=reason):
                await it.send(command)

    assert play(act).paths("/lockAction") == []


def test_before_the_first_list_no_command_leaves() -> None:
    async def act(here: World, it: adapter.NukiBridgeAdapter) -> None:
        with pytest.raises(RefusedError, match="unavailable"):
            await it.send(here.command())

    def silent(here: World) -> None:
        here.instead = {"/list": [NoReplyError("late")]}

    assert play(act, silent).paths("/lockAction") == []


def test_a_second_command_for_the_same_lock_is_busy() -> None:
    async def act(here: World, it: adapter.NukiBridgeAdapter) -> None:
        first = asyncio.ensure_future(it.send(here.command()))
        await asyncio.sleep(0)
        with pytest.raises(RefusedError, match="busy"):
            await it.send(here.command("LockDoor"))
        await first

    assert len(play(act).paths("/lockAction")) == 1


def test_after_a_command_the_lock_is_looked_at_until_it_rests_or_tells() -> None:
    async def quiet(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.asked.clear()
        here.lock = state(2)
        await it.send(here.command())
        await asyncio.sleep(9)
        here.lock = state(3)
        await asyncio.sleep(200)

    async def telling(here: World, it: adapter.NukiBridgeAdapter) -> None:
        here.asked.clear()
        await it.send(here.command())
        await asyncio.sleep(1)
        here.lock = state(3)
        await here.post(3)
        await asyncio.sleep(200)

    asked = play(quiet)
    assert asked.value() == ("Unlocked", "poll")
    assert 4 <= len(asked.paths("/lockState")) <= 7
    assert play(telling).paths("/lockState") == []


# --- settings and secrets ---------------------------------------------------------------------


def test_the_token_is_read_from_its_file_for_each_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")

    async def changed(here: World, it: adapter.NukiBridgeAdapter) -> None:
        file.write_text("another")
        await asyncio.sleep(3)
        here.asked.clear()
        await it.refresh(LOCK)
        file.unlink()
        await asyncio.sleep(130)

    given = {"token": None, "token_file": file, "auth": "plain"}
    here = play(changed, bridge=given)

    assert here.asked[0].argument("token") == "another"
    assert here.links[-1] == (False, "bridge.test:8080: token_file: FileNotFoundError")


def test_no_representation_holds_the_token() -> None:
    shown: list[str] = []

    async def show(here: World, it: adapter.NukiBridgeAdapter) -> None:
        shown.extend([repr(it), repr(it.links), repr(it.links[0].locks), repr(here.asked)])

    play(show, bridge={"auth": "plain"})

    assert TOKEN not in "".join([*shown, repr(settings()), str(settings().model_dump())])


@pytest.mark.parametrize(
    ("changes", "place", "text"),
    [
        ({"bridge": {"token_file": "t"}}, ("bridges", 0), "either token or token_file"),
        ({"bridge": {"token": None}}, ("bridges", 0), "either token or token_file"),
        ({"bridge": {"url": "https://bridge"}}, ("bridges", 0, "url"), "pattern"),
        ({"bridge": {"url": "http://bridge/x?token=1"}}, ("bridges", 0, "url"), "pattern"),
        ({"bridge": {"auth": "none"}}, ("bridges", 0, "auth"), "encrypted"),
        ({"bridges": []}, ("bridges",), "1 to 64"),
        ({"listen": "0.0.0.0:8765"}, (), "callback_url is needed"),
        ({"listen": ":8765"}, (), "callback_url is needed"),
        ({"listen": "[::]:8765"}, (), "callback_url is needed"),
        ({"listen": "8765"}, ("listen",), "pattern"),
        ({"callback_url": "https://here"}, ("callback_url",), "pattern"),
        ({"callback_name": "A/B"}, ("callback_name",), "pattern"),
        ({"poll_interval_s": 1}, ("poll_interval_s",), "greater than or equal to 2"),
        ({"check_interval_s": 59}, ("check_interval_s",), "greater than or equal to 60"),
        (
            {"bridges": [{"url": "http://a", "token": "1"}, {"url": "http://a", "token": "2"}]},
            ("bridges",),
            "the same url twice",
        ),
    ],
)
def test_a_wrong_setting_is_named(
    changes: dict[str, Any], place: tuple[object, ...], text: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(**changes)

    (error,) = raised.value.errors()
    assert error["loc"] == place
    assert text in error["msg"]
