"""The adapter at a cloud that answers as it is told, in simulated time."""

import asyncio
import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from devices.command import Command
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.reading import Reading
from devices.twin import Twin
from fleet_sim.clock import SimLoop
from vendors.api import Frame
from vendors.http import HttpReply, HttpRequest, request_of
from vendors.switchbot import VENDOR, codec
from vendors.switchbot.adapter import SwitchBotAdapter
from vendors.switchbot.settings import SwitchBotSettings
from vendors.wire.errors import NoReplyError, NotSentError

EPOCH_MS = 1_767_225_600_000
TOKEN, SECRET, KEY = "T0KEN", "5ECRET", "0123456789abcdefXYZ"
LOCK, KEYPAD = "E1A2B3C4D5E6", "F75A1C000001"
SETTINGS: dict[str, Any] = {
    "url": "https://cloud.test",
    "token": TOKEN,
    "secret": SECRET,
    "webhook_bind": "127.0.0.1:8420",
    "webhook_key": KEY,
    "code_slots": 2,
}


def reply(code: int, body: object) -> HttpReply:
    return HttpReply(200, json.dumps({"statusCode": code, "body": body}).encode())


class Web:
    """A network with one cloud on it."""

    def __init__(self, locks: Sequence[str] = (LOCK,), keypad: str = KEYPAD) -> None:
        self.locks = locks
        self.keypad = keypad
        self.asked: list[HttpRequest] = []
        self.at_s: list[float] = []
        self.urls: list[str] = []
        self.state = "locked"
        self.keys: list[dict[str, object]] = []
        #: What a path is answered instead, by its end.
        self.instead: dict[str, HttpReply | Exception] = {}
        self.handler: Callable[[HttpRequest], Coroutine[Any, Any, HttpReply]] | None = None

    async def http_send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        request = request_of(method, url, headers, body)
        self.asked.append(request)
        self.at_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.1)
        answer = next((a for end, a in self.instead.items() if request.path.endswith(end)), None)
        if isinstance(answer, Exception):
            raise answer
        return answer if answer is not None else self.answer(request)

    def answer(self, request: HttpRequest) -> HttpReply:
        steps = request.path.split("/")[2:]
        if steps[0] == "webhook":
            return self.webhook(steps[1], json.loads(request.body))
        if steps == ["devices"]:
            return reply(100, {"deviceList": self.listed(), "infraredRemoteList": []})
        if steps[2] == "commands":
            return reply(100, {"commandId": "CMD166355845195201"} if steps[1] == KEYPAD else {})
        words = {"lockState": self.state, "doorState": "closed", "calibrate": True}
        return reply(100, {"deviceId": steps[1], "deviceType": "Smart Lock Pro", **words})

    def webhook(self, action: str, asked: dict[str, Any]) -> HttpReply:
        if action == "deleteWebhook":
            self.urls.remove(asked["url"])
        elif action == "setupWebhook":
            if self.urls:
                return reply(190, {})
            self.urls = [asked["url"]]
        return reply(100, {"urls": self.urls})

    def listed(self) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = [
            {"deviceId": name, "deviceType": "Smart Lock Pro"} for name in self.locks
        ]
        if self.keypad:
            paired = {"lockDeviceId": self.locks[0], "keyList": self.keys}
            entries.append({"deviceId": self.keypad, "deviceType": "Keypad", **paired})
        return entries

    async def webhook_listen(self, bind: tuple[str, int], handler: Any) -> tuple[Any, Any]:
        self.handler = handler
        return bind, lambda: None


class Cell:
    """A `vendors.api.Port` in simulated time."""

    def __init__(self, web: Web, cursors: dict[str, int]) -> None:
        self.network: Any = web
        self.rng = Random(1)
        self.frames: list[Frame] = []
        self.links: list[tuple[bool, str]] = []
        self.twins: dict[str, Twin] = {}
        self.cursors = cursors

    def now_ms(self) -> int:
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1_000)

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        for frame in frames:
            self.frames.append(frame)
            if frame.cursor is not None:
                self.cursors[frame.cursor[0]] = frame.cursor[1]
            try:
                facts = codec.decode(frame)
            except DecodeError:
                continue
            for fact in facts:
                if isinstance(fact, Reading):
                    twin = self.twins.setdefault(fact.device, Twin(fact.device, VENDOR.kind))
                    twin.fold([fact], frame.received_at_ms)
        if committed is not None:
            committed()

    def cursor(self, name: str) -> int | None:
        return self.cursors.get(name)

    def link(self, *, up: bool, reason: str) -> None:
        self.links.append((up, reason))

    def twin(self, device: str) -> Twin | None:
        return self.twins.get(device)


class Rig:
    """An adapter, its cell, and the network."""

    def __init__(self, web: Web, cursors: dict[str, int], **settings: Any) -> None:
        self.web = web
        self.cell = Cell(web, cursors)
        self.settings = SwitchBotSettings.model_validate(SETTINGS | settings)
        self.adapter = SwitchBotAdapter(self.settings, self.cell)

    async def send(
        self, name: str = "LockDoor", device: str = LOCK, ms: int = 10_000, **more: Any
    ) -> None:
        until_ms = self.cell.now_ms() + ms
        await self.adapter.send(Command("c", device, name, until_ms, **more))

    async def hook(self, key: str = KEY, method: str = "POST", **context: Any) -> int:
        context = {"deviceMac": LOCK, "deviceType": "WoLockPro", **context}
        context.setdefault("timeOfSample", self.cell.now_ms())
        body = json.dumps({"eventType": "changeReport", "context": context}).encode()
        assert self.web.handler is not None
        return (await self.web.handler(HttpRequest(method, f"/{key}", body=body))).status

    def asked(self, end: str) -> list[HttpRequest]:
        return [each for each in self.web.asked if each.path.endswith(end)]

    def sources(self) -> list[str]:
        return [frame.source for frame in self.cell.frames if "budget" not in frame.source]

    def value(self, axis: str = "lock_state") -> object:
        known = self.cell.twins[LOCK].axes[axis]
        return known.value if known.value is not None else known.reason


def run(
    play: Callable[[Rig], Coroutine[Any, Any, None]],
    web: Web | None = None,
    cursors: dict[str, int] | None = None,
    **settings: Any,
) -> Rig:
    """Play with a running adapter."""

    async def main() -> Rig:
        rig = Rig(web or Web(), {} if cursors is None else cursors, **settings)
        running = asyncio.create_task(rig.adapter.run())
        await asyncio.sleep(3)
        await play(rig)
        running.cancel()
        await asyncio.wait([running])
        return rig

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main())


async def nothing(rig: Rig) -> None:
    del rig


# --- asking -----------------------------------------------------------------------------------


def test_every_request_is_signed_anew() -> None:
    rig = run(nothing)

    nonces = set()
    for request in rig.web.asked:
        headers = request.headers
        said = f"{TOKEN}{headers['t']}{headers['nonce']}".encode()
        sign = b64encode(hmac.digest(SECRET.encode(), said, "sha256")).decode()
        assert (headers["authorization"], headers["sign"]) == (TOKEN, sign)
        nonces.add(headers["nonce"])
    assert len(nonces) == len(rig.web.asked) > 3


def test_a_days_calls_are_spread_over_locks_and_day() -> None:
    async def two_hours(rig: Rig) -> None:
        await asyncio.sleep(7_200)

    names = tuple(f"E1A2B3C4{number:04X}" for number in range(50))
    rig = run(two_hours, Web(names, keypad=""))

    polls = [
        (at_s, request.path)
        for at_s, request in zip(rig.web.at_s, rig.web.asked, strict=True)
        if request.path.endswith("/status") and at_s > 60
    ]
    per_ten_minutes = [sum(start <= at < start + 600 for at, _ in polls) for start in (1000, 3000)]
    assert all(30 <= count <= 55 for count in per_ten_minutes)
    assert len({path for _, path in polls}) == 50
    gaps_s = [later - at for (at, _), (later, _) in pairwise(polls)]
    assert max(gaps_s) < 120
    assert len(rig.web.asked) * 12 < 10_000 * 0.7


def test_only_the_locks_of_the_settings_are_asked() -> None:
    rig = run(nothing, Web((LOCK, "OTHER1")), devices=["OTHER1"])

    assert {request.path for request in rig.asked("/status")} == {"/v1.1/devices/OTHER1/status"}


def test_without_quota_nothing_leaves_and_the_caller_is_told() -> None:
    async def play(rig: Rig) -> None:
        rig.adapter.cloud.budget.quota = 100
        for _ in range(100):
            rig.adapter.cloud.budget.spend(rig.cell.now_ms())
        before = len(rig.web.asked)
        with pytest.raises(RefusedError, match="rate_limited"):
            await rig.send()
        await rig.adapter.refresh(LOCK)
        await asyncio.sleep(600)
        assert len(rig.web.asked) == before

    rig = run(play)

    up, reason = rig.cell.links[-1]
    assert not up
    assert "no quota left" in reason
    assert "100 calls" in reason


def test_while_there_is_quota_for_webhooks_only_the_cell_is_not_well() -> None:
    async def play(rig: Rig) -> None:
        rig.adapter.cloud.budget.quota = 1_000
        for _ in range(780):
            rig.adapter.cloud.budget.spend(rig.cell.now_ms())
        rig.web.state = "unlocked"
        before = len(rig.asked("/status"))
        await rig.hook(lockState="UNLOCKED")
        await asyncio.sleep(60)
        assert len(rig.asked("/status")) == before + 1

    rig = run(play)

    assert rig.value() == "Unlocked"
    assert not rig.cell.links[-1][0]


def test_the_count_of_calls_survives_a_restart() -> None:
    async def play(rig: Rig) -> None:
        await asyncio.sleep(600)

    async def again(rig: Rig) -> None:
        used.append(rig.adapter.cloud.budget.used(rig.cell.now_ms()))

    cursors: dict[str, int] = {}
    used: list[int] = []
    before = run(play, cursors=cursors)
    after = run(again, cursors=cursors)

    assert len(before.web.asked) > 30
    assert used[0] - len(after.web.asked) == pytest.approx(len(before.web.asked), abs=3)


@pytest.mark.parametrize(
    ("status", "body", "word", "reason"),
    [
        (429, b'{"message":"Too many requests"}', "rate_limited", "429"),
        (429, b"Too Many Requests", "rate_limited", "429"),
        (401, b'{"message":"Unauthorized"}', "not_authorized", "401"),
        (403, b"", "not_authorized", "403"),
    ],
)
def test_a_refusal_of_the_account_is_not_answered_with_more_questions(
    status: int, body: bytes, word: str, reason: str
) -> None:
    async def play(rig: Rig) -> None:
        rig.web.instead = {"": HttpReply(status, body)}
        await asyncio.sleep(900)
        before = len(rig.web.asked)
        with pytest.raises(RejectedError, match=word):
            await rig.send("UnlockDoor")
        assert len(rig.web.asked) == before + 1
        rig.web.instead = {}
        await asyncio.sleep(600)

    rig = run(play)

    assert len([at_s for at_s in rig.web.at_s if 3 < at_s < 900]) < 15
    assert any(not up and reason in why for up, why in rig.cell.links)
    assert [s for s in rig.sources() if s.endswith("unseen")] == [f"http/{LOCK}/unseen"]
    assert rig.cell.links[-1][0]
    assert rig.value("reachability") == "Online"


@pytest.mark.parametrize("failure", [NotSentError("nobody listens"), NoReplyError("cut")])
def test_a_cloud_that_is_away_is_told_once_and_so_is_its_return(failure: Exception) -> None:
    async def play(rig: Rig) -> None:
        rig.web.instead = {"": failure}
        await asyncio.sleep(600)
        assert rig.value("reachability") == "Offline"
        assert not rig.cell.links[-1][0]
        rig.web.instead = {}
        await asyncio.sleep(120)

    rig = run(play)

    assert rig.sources().count(f"http/{LOCK}/silent") == 1
    assert rig.value("reachability") == "Online"
    assert rig.cell.links[-1][0]


def test_a_reply_that_is_garbage_becomes_a_dead_letter_and_tells_nothing() -> None:
    async def play(rig: Rig) -> None:
        rig.web.instead = {"/status": HttpReply(200, b"<html>")}
        await asyncio.sleep(60)

    rig = run(play)

    assert [f.payload for f in rig.cell.frames if f.source.endswith("/status")][-1] == b"<html>"
    assert rig.value() == "Locked"


def test_a_lock_that_leaves_the_list_is_not_seen_any_more() -> None:
    async def play(rig: Rig) -> None:
        rig.web.locks = ("OTHER1",)
        await asyncio.sleep(30)

    rig = run(play, list_ms=10_000)

    assert rig.value("reachability") == "not_listed"


# --- being told -------------------------------------------------------------------------------


def test_our_url_is_registered_and_ends_in_what_nobody_can_guess() -> None:
    rig = run(nothing)

    assert rig.web.urls == [f"http://127.0.0.1:8420/{KEY}"]


def test_another_consumers_webhook_is_left_alone_unless_we_are_told_otherwise() -> None:
    theirs, ours = "https://other.example/hook", f"https://ours.example/sb/{KEY}"

    polite, bold = Web(), Web()
    polite.urls = [theirs]
    bold.urls = [theirs]
    run(nothing, polite, webhook_url="https://ours.example/sb")
    run(nothing, bold, webhook_url="https://ours.example/sb", webhook_replace=True)

    assert polite.urls == [theirs]
    assert bold.urls == [ours]


def test_an_earlier_key_of_ours_is_replaced() -> None:
    web = Web()
    web.urls = ["https://ours.example/sb/anOldKeyOfOurs123"]

    run(nothing, web, webhook_url="https://ours.example/sb")

    assert web.urls == [f"https://ours.example/sb/{KEY}"]


def test_who_does_not_know_the_key_is_nobody() -> None:
    async def play(rig: Rig) -> None:
        said = {"lockState": "UNLOCKED"}
        statuses.append(await rig.hook(key="wrong", **said))
        statuses.append(await rig.hook(key="", **said))
        statuses.append(await rig.hook(method="GET", **said))
        statuses.append(await rig.hook(deviceMac="STRANGER", **said))
        assert rig.web.handler is not None
        garbage = HttpRequest("POST", f"/{KEY}", body=b"\xff")
        statuses.append((await rig.web.handler(garbage)).status)

    statuses: list[int] = []
    rig = run(play)

    assert statuses == [404, 404, 405, 200, 400]
    assert [source for source in rig.sources() if source.startswith("hook")] == ["hook"]
    assert rig.value() == "Locked"


def test_an_unlocking_is_told_at_once_and_asked_about() -> None:
    async def play(rig: Rig) -> None:
        rig.web.state = "unlocked"
        before = len(rig.asked("/status"))
        assert await rig.hook(lockState="UNLOCKED") == 200
        assert rig.value() == "Unlocked"
        await asyncio.sleep(1)
        assert len(rig.asked("/status")) == before + 1

    rig = run(play)

    assert f"hook/{LOCK}/lock" in rig.sources()


def test_a_locking_is_believed_of_the_status_only() -> None:
    async def play(rig: Rig) -> None:
        rig.web.state = "unlocked"
        await rig.hook(lockState="UNLOCKED")
        await asyncio.sleep(1)
        await rig.hook(lockState="LOCKED")
        await asyncio.sleep(2)
        assert rig.value() == "Unlocked"
        rig.web.state = "locked"
        await asyncio.sleep(4)
        assert rig.value() == "Locked"

    run(play)


def test_a_status_that_stays_locked_after_an_unlocking_is_a_contradiction() -> None:
    async def play(rig: Rig) -> None:
        await rig.hook(lockState="UNLOCKED")
        await asyncio.sleep(4)
        assert rig.value() == "Unlocked"
        await asyncio.sleep(6)
        assert rig.value() == "contradictory"
        await asyncio.sleep(60)
        assert rig.value() == "contradictory"
        rig.web.state = "unlocked"
        await asyncio.sleep(60)
        assert rig.value() == "Unlocked"
        rig.web.state = "locked"
        await asyncio.sleep(60)
        assert rig.value() == "Locked"

    run(play)


def test_an_answer_that_was_under_way_when_a_webhook_came_moves_nothing_back() -> None:
    async def play(rig: Rig) -> None:
        asking = asyncio.create_task(rig.adapter.refresh(LOCK))
        await asyncio.sleep(0.05)
        rig.web.state = "unlocked"
        await rig.hook(lockState="UNLOCKED")
        await asking
        assert rig.value() == "Unlocked"

    run(play)


def test_a_webhook_from_before_a_question_left_moves_nothing_back() -> None:
    async def play(rig: Rig) -> None:
        await asyncio.sleep(20)
        await rig.adapter.refresh(LOCK)
        await asyncio.sleep(1.1)
        question = asyncio.create_task(rig.adapter.refresh(LOCK))  # waits for its turn, 0.9 s
        await asyncio.sleep(0.2)
        happened_ms = rig.cell.now_ms()
        rig.web.state = "locking"  # and begun to lock since: the answer knows both
        await question
        assert rig.cell.now_ms() > happened_ms + 500
        assert (rig.value(), rig.value("motion")) == ("moving", "Locking")
        assert rig.cell.frames[-1].received_at_ms > happened_ms + 500

        assert await rig.hook(lockState="UNLOCKED", timeOfSample=happened_ms) == 200
        assert (rig.value(), rig.value("motion")) == ("moving", "Locking")

    rig = run(play, rate_per_s=0.5)

    assert not any(source.startswith("hook") for source in rig.sources())


def test_an_answer_to_a_question_that_left_after_a_webhook_is_used() -> None:
    async def play(rig: Rig) -> None:
        await asyncio.sleep(20)
        await rig.adapter.refresh(LOCK)
        await asyncio.sleep(1.1)
        question = asyncio.create_task(rig.adapter.refresh(LOCK))  # waits for its turn, 0.9 s
        await asyncio.sleep(0.2)
        rig.web.state = "unlocked"
        before = len(rig.asked("/status"))
        await rig.hook(lockState="UNLOCKED")
        rig.web.state = "locking"
        await question
        assert len(rig.asked("/status")) == before + 1
        assert (rig.value(), rig.value("motion")) == ("moving", "Locking")

    run(play, rate_per_s=0.5)


def test_a_webhook_claims_no_less_age_than_it_has() -> None:
    async def play(rig: Rig) -> None:
        await asyncio.sleep(5)
        at_ms = rig.cell.now_ms() - 900
        await rig.hook(lockState="UNLOCKED", timeOfSample=at_ms)
        await rig.hook(lockState="JAMMED", timeOfSample=rig.cell.now_ms() + 5_000)
        told = [f.received_at_ms for f in rig.cell.frames if f.source.startswith("hook")]
        assert told == [at_ms, rig.cell.now_ms()]

    run(play, poll_min_ms=60_000)


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "word"), [("LockDoor", "lock"), ("UnlockDoor", "unlock")])
def test_a_command_leaves_once_and_is_read_back(name: str, word: str) -> None:
    async def play(rig: Rig) -> None:
        rig.web.state = "moving on"
        before = len(rig.asked("/status"))
        await rig.send(name)
        await asyncio.sleep(21)
        assert 6 <= len(rig.asked("/status")) - before <= 8

    rig = run(play, poll_min_ms=60_000)

    assert [json.loads(request.body) for request in rig.asked("/commands")] == [
        {"commandType": "command", "command": word, "parameter": "default"}
    ]


def test_reading_back_ends_when_the_status_says_what_was_asked_for() -> None:
    async def play(rig: Rig) -> None:
        before = len(rig.asked("/status"))
        await rig.send("UnlockDoor")
        await asyncio.sleep(2)
        rig.web.state = "unlocked"
        await asyncio.sleep(30)
        assert len(rig.asked("/status")) - before == 2

    run(play, poll_min_ms=60_000)


def test_the_desks_many_questions_cost_no_more_than_the_plan() -> None:
    async def play(rig: Rig) -> None:
        await rig.send("UnlockDoor")
        before = len(rig.asked("/status"))
        for _ in range(40):
            await asyncio.sleep(0.5)
            await rig.adapter.refresh(LOCK)
        assert len(rig.asked("/status")) - before <= 10

    run(play, poll_min_ms=60_000)


@pytest.mark.parametrize(
    ("code", "error", "reason"),
    [
        (151, RejectedError, "unsupported"),
        (152, RejectedError, "unknown_device"),
        (160, RejectedError, "unsupported"),
        (161, RejectedError, "offline"),
        (171, RejectedError, "offline"),
        (190, UnavailableError, "vendor:190"),
        (300, UnavailableError, "vendor:300"),
    ],
)
def test_a_no_is_an_outcome_and_a_riddle_is_none(
    code: int, error: type[Exception], reason: str
) -> None:
    async def play(rig: Rig) -> None:
        rig.web.instead = {"/commands": reply(code, {})}
        with pytest.raises(error, match=reason):
            await rig.send("UnlockDoor")

    rig = run(play)

    assert len(rig.asked("/commands")) == 1


@pytest.mark.parametrize(
    "answer",
    [NoReplyError("cut"), HttpReply(502), HttpReply(200, b"<html>"), HttpReply(200, b"{}")],
    ids=str,
)
def test_what_may_have_left_is_unknown_and_never_sent_again(answer: Any) -> None:
    async def play(rig: Rig) -> None:
        rig.web.instead = {"/commands": answer}
        with pytest.raises(UnavailableError):
            await rig.send("UnlockDoor")
        await asyncio.sleep(60)

    rig = run(play)

    assert len(rig.asked("/commands")) == 1


def test_what_cannot_be_done_is_refused_before_it_leaves() -> None:
    async def play(rig: Rig) -> None:
        for name, device, ms, reason in (
            ("Unlatch", LOCK, 9_000, "unsupported"),
            ("LockDoor", "STRANGER", 9_000, "unknown_device"),
            ("LockDoor", LOCK, 0, "expired"),
        ):
            with pytest.raises(RefusedError, match=reason):
                await rig.send(name, device, ms)
        rig.web.instead = {"/commands": NotSentError("nobody listens")}
        with pytest.raises(RefusedError, match="unavailable"):
            await rig.send()

    run(play)


# --- passcodes --------------------------------------------------------------------------------


def pin(rig: Rig, slot: str = "credential.1", digits: str = "271828") -> Coroutine[Any, Any, None]:
    return rig.send("SetCredential", ms=70_000, part=slot, args={"pin": digits})


def test_a_passcode_is_set_when_the_list_shows_it() -> None:
    async def play(rig: Rig) -> None:
        sending = asyncio.create_task(pin(rig))
        await asyncio.sleep(5)
        assert rig.value("credential.1.status") == "Available"
        rig.web.keys = [{"id": 3, "name": "doorfleet 1", "status": "normal"}]
        said = {"eventName": "createKey", "commandId": "CMD-1663558451952-01"}
        await rig.hook(deviceMac=KEYPAD, result="success", **said)
        await rig.hook(deviceMac=KEYPAD, result="success", **said)
        await sending
        await asyncio.sleep(1)
        assert rig.value("credential.1.status") == "OccupiedEnabled"

    rig = run(play)

    (request,) = rig.asked(f"{KEYPAD}/commands")
    assert json.loads(request.body)["parameter"] == {
        "name": "doorfleet 1",
        "type": "permanent",
        "password": "271828",
    }
    assert rig.sources().count(f"hook/{LOCK}/key") == 1


def test_a_slot_that_was_filled_behind_our_back_is_occupied() -> None:
    async def play(rig: Rig) -> None:
        rig.web.keys = [{"id": 3, "name": "doorfleet 1", "status": "normal"}]
        with pytest.raises(RefusedError, match="occupied"):
            await pin(rig)

    assert run(play).asked("/commands") == []


@pytest.mark.parametrize("result", ["failed", "timeout"])
def test_a_keypads_no_is_the_commands_end(result: str) -> None:
    async def play(rig: Rig) -> None:
        sending = asyncio.create_task(pin(rig))
        await asyncio.sleep(2)
        said = {"eventName": "createKey", "commandId": "CMD-1663558451952-01"}
        await rig.hook(deviceMac=KEYPAD, result=result, **said)
        with pytest.raises(RejectedError, match=f"vendor:{result}"):
            await sending

    run(play)


def test_a_lost_result_costs_time_and_not_the_truth() -> None:
    async def play(rig: Rig) -> None:
        sending = asyncio.create_task(pin(rig))
        await asyncio.sleep(2)
        rig.web.keys = [{"id": 3, "name": "doorfleet 1", "status": "normal"}]
        await asyncio.sleep(7)
        assert rig.value("credential.1.status") == "OccupiedEnabled"
        sending.cancel()

    run(play)


def test_a_slot_is_cleared_by_the_vendors_id_of_it() -> None:
    async def play(rig: Rig) -> None:
        rig.web.keys = [{"id": 3, "name": "doorfleet 1", "status": "normal"}]
        clearing = asyncio.create_task(rig.send("ClearCredential", part="credential.1"))
        await asyncio.sleep(1)
        rig.web.keys = []
        await clearing
        assert rig.value("credential.1.status") == "Available"
        await rig.send("ClearCredential", part="credential.1")

    rig = run(play)

    assert [json.loads(each.body)["parameter"] for each in rig.asked(f"{KEYPAD}/commands")] == [
        {"id": "3"}
    ]


@pytest.mark.parametrize(
    ("slot", "digits", "reason"),
    [
        ("credential.3", "271828", "invalid_argument"),
        ("", "271828", "invalid_argument"),
        ("credential.1", "27182", "invalid_argument"),
        ("credential.1", "2718281828459", "invalid_argument"),
        ("credential.1", "27182x", "invalid_argument"),
    ],
)
def test_a_passcode_that_cannot_be_is_refused_before_it_leaves(
    slot: str, digits: str, reason: str
) -> None:
    async def play(rig: Rig) -> None:
        with pytest.raises(RefusedError, match=reason):
            await pin(rig, slot, digits)

    assert run(play).asked("/commands") == []


def test_a_lock_without_a_keypad_keeps_no_passcodes() -> None:
    async def play(rig: Rig) -> None:
        with pytest.raises(RefusedError, match="unsupported"):
            await pin(rig)

    run(play, Web(keypad=""))


# --- secrets and settings ---------------------------------------------------------------------


def test_no_secret_gets_into_frames_reasons_or_reprs(tmp_path: Path) -> None:
    async def play(rig: Rig) -> None:
        rig.web.keys = [{"id": 1, "name": "x", "status": "normal", "password": "GEHEIM"}]
        sending = asyncio.create_task(pin(rig))
        await asyncio.sleep(9)
        sending.cancel()
        rig.web.instead = {"": HttpReply(401)}
        await asyncio.sleep(300)

    rig = run(play)

    said = repr(rig.settings) + repr(rig.cell.links) + repr(rig.cell.frames)
    said += "".join(f"{frame.source} {frame.payload!r}" for frame in rig.cell.frames)
    assert not [word for word in (TOKEN, SECRET, KEY, "271828", "GEHEIM") if word in said]


def test_secrets_are_read_from_their_files_for_every_request(tmp_path: Path) -> None:
    token, secret, key = (tmp_path / name for name in ("token", "secret", "key"))
    token.write_text(f"{TOKEN}\n")
    secret.write_text(f"{SECRET}\n")
    key.write_text(f"{KEY}\n")
    files: dict[str, Any] = {
        "token": None,
        "token_file": str(token),
        "secret": None,
        "secret_file": str(secret),
        "webhook_key": None,
        "webhook_key_file": str(key),
    }

    async def play(rig: Rig) -> None:
        token.write_text("NEWER")
        await rig.adapter.refresh(LOCK)
        secret.unlink()
        with pytest.raises(RefusedError, match="unavailable"):
            await rig.send()

    rig = run(play, **files)

    assert rig.web.urls == [f"http://127.0.0.1:8420/{KEY}"]
    assert rig.web.asked[0].headers["authorization"] == TOKEN
    assert rig.web.asked[-1].headers["authorization"] == "NEWER"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"token": None}, "token_file"),
        ({"token_file": "/x"}, "only one"),
        ({"secret": None}, "secret_file"),
        ({"webhook_key": None}, "webhook_key"),
        ({"webhook_bind": None}, "of no use"),
        ({"webhook_bind": "8420"}, "host:port"),
        ({"webhook_bind": "h:99999"}, "host:port"),
        ({"url": "http://cloud.test"}, "in the clear"),
        ({"url": "cloud.test"}, "https://host"),
        ({"quota_per_day": 10}, "100"),
    ],
    ids=str,
)
def test_a_mistake_in_the_settings_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SwitchBotSettings.model_validate(SETTINGS | change)


@pytest.mark.parametrize("key", ["short", "with/slash/and/more/of/it"])
def test_a_key_that_can_be_guessed_opens_no_listener(key: str) -> None:
    rig = run(nothing, webhook_key=key)

    assert rig.web.handler is None
    assert not rig.cell.links[-1][0]
    assert key not in rig.cell.links[-1][1]
