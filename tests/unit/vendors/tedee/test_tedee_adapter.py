"""The adapter at bridges: what it asks, how it proves itself, and what it makes of answers."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from devices.command import Command
from devices.errors import DecodeError, RefusedError, RejectedError, UnavailableError
from devices.reading import Reading
from fleet_sim.clock import SimLoop
from fleet_sim.conform.street import Street, perform
from fleet_sim.fleet import Population
from fleet_sim.wire import WireFleet, wall_ms
from vendors.api import Frame
from vendors.http import HttpReply, HttpRequest, request_of
from vendors.tedee import VENDOR, codec, simulator
from vendors.tedee.adapter import BLE_REFUSALS, REFUSALS, TedeeAdapter
from vendors.tedee.bridge import Bridge
from vendors.tedee.bridge_link import api_key
from vendors.tedee.settings import BridgeSettings, TedeeSettings
from vendors.wire.errors import NoReplyError, NotSentError

TOKEN = "BE9xnPnGfVUS"
EPOCH_MS = 1_767_225_600_000
LOCK: dict[str, Any] = {
    "id": 10,
    "isConnected": 1,
    "state": 6,
    "jammed": 0,
    "doorState": 3,
    "batteryLevel": 90,
    "isCharging": 0,
}


# --- a bridge that answers as it is told -------------------------------------------------------


class Web:
    """A network with one bridge on it, which answers what the test wants."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.at_s: list[float] = []
        self.answers: dict[tuple[str, str], list[HttpReply | Exception]] = {}
        self.locks: object = [LOCK]
        self.handler: Callable[[HttpRequest], Coroutine[Any, Any, HttpReply]] | None = None
        self.taken = False
        #: Until it is set, nobody gets an answer.
        self.slow: asyncio.Event | None = None

    async def http_send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        request = request_of(method, url, headers, body)
        self.asked.append(request)
        self.at_s.append(asyncio.get_running_loop().time())
        if self.slow is not None:
            await self.slow.wait()
        planned = self.answers.get((method, request.path.removeprefix("/v1.0")), [])
        answer = planned.pop(0) if len(planned) > 1 else planned[0] if planned else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        if request.path == "/v1.0/lock":
            return HttpReply(200, json.dumps(self.locks).encode())
        return HttpReply(204)

    async def webhook_listen(self, bind: tuple[str, int], handler: Any) -> tuple[Any, Any]:
        if self.taken:
            self.taken = False
            raise OSError("the port is taken")
        self.handler = handler
        return (bind[0], bind[1] or 49_152), lambda: None


class Cell:
    """A `vendors.api.Port` in simulated time."""

    #: How far somebody has set its clock.
    set_ms = 0

    def __init__(self, web: Web) -> None:
        self.network: Any = web
        self.rng = Random(1)
        self.frames: list[Frame] = []
        self.links: list[tuple[bool, str]] = []

    def now_ms(self) -> int:
        return EPOCH_MS + self.set_ms + round(asyncio.get_running_loop().time() * 1_000)

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        self.frames += frames
        if committed is not None:
            committed()

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        if (up, reason) != (self.links or [None])[-1]:
            self.links.append((up, reason))

    def twin(self, device: str) -> None:
        del device


class Rig:
    """An adapter, its cell, and the network."""

    def __init__(self, web: Web, **settings: Any) -> None:
        self.web = web
        self.cell = Cell(web)
        bridge = {"url": "http://bridge.test", "token": TOKEN, **settings.pop("bridge", {})}
        wanted = {"bridges": [bridge], **settings}
        self.adapter = TedeeAdapter(TedeeSettings.model_validate(wanted), self.cell)

    async def send(self, name: str = "LockDoor", device: str = "10", ms: int = 10_000) -> None:
        await self.adapter.send(Command("c", device, name, self.cell.now_ms() + ms))

    def asked(self, method: str) -> list[HttpRequest]:
        return [each for each in self.web.asked if each.method == method]


def run(
    play: Callable[[Rig], Coroutine[Any, Any, None]], web: Web | None = None, **more: Any
) -> Rig:
    """Play with a running adapter, in simulated time."""

    async def main() -> Rig:
        rig = Rig(web or Web(), **more)
        running = asyncio.create_task(rig.adapter.run())
        await asyncio.sleep(3)
        await play(rig)
        running.cancel()
        await asyncio.wait([running])
        return rig

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main())


async def nothing(_: Rig) -> None:
    """Only start and end."""


# --- how it proves itself ------------------------------------------------------------------------


def test_the_published_token_is_what_we_make_of_it() -> None:
    published = "e59d9763edc6e59f2faccf9a769e5cf170d68439c3fd67afae5e3e72d0463a711691058833000"

    assert api_key(TOKEN, 1_691_058_833_000) == published


def test_each_request_has_a_token_of_its_own_even_within_a_millisecond() -> None:
    async def three_at_once(rig: Rig) -> None:
        await asyncio.gather(rig.send(), rig.send("UnlockDoor"), rig.adapter.refresh("10"))

    rig = run(three_at_once)

    tokens = [each.headers["api_token"] for each in rig.web.asked]
    assert len(set(tokens)) == len(tokens) > 3
    for token in tokens:
        assert token[:64] == sha256(f"{TOKEN}{token[64:]}".encode()).hexdigest()
        assert 0 <= int(token[64:]) - EPOCH_MS < 60_000


def test_a_plain_token_is_sent_as_it_is() -> None:
    rig = run(nothing, bridge={"auth": "plain"})

    assert {each.headers["api_token"] for each in rig.web.asked} == {TOKEN}


def test_a_token_file_is_read_anew_for_every_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")

    async def changed(rig: Rig) -> None:
        file.write_text("second")
        await rig.adapter.refresh("10")
        file.unlink()
        with pytest.raises(RefusedError, match="unavailable"):
            await rig.send()

    rig = run(changed, bridge={"token": None, "token_file": file, "auth": "plain"})

    assert [each.headers["api_token"] for each in rig.web.asked] == ["first", "second"]


def test_a_token_file_that_is_not_there_or_empty_is_told_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" \n")

    rig = run(nothing, bridge={"token": None, "token_file": file})

    assert rig.web.asked == []
    assert rig.cell.links == [(False, f"no token in {file}: ValueError")]


def test_no_secret_is_in_what_the_settings_show_of_themselves() -> None:
    settings = BridgeSettings(url="http://192.0.2.1", token=TOKEN)

    assert TOKEN not in repr(settings)
    assert TOKEN not in settings.model_dump_json()


# --- asking --------------------------------------------------------------------------------------


def test_no_more_than_one_request_leaves_in_a_second() -> None:
    async def hurry(rig: Rig) -> None:
        await asyncio.gather(*(rig.send() for _ in range(4)), rig.adapter.refresh("10"))
        await asyncio.sleep(30)

    rig = run(hurry)

    gaps = [after - before for before, after in pairwise(rig.web.at_s)]
    assert min(gaps) > 0.999


def test_one_question_is_about_all_locks_and_one_that_is_broken_costs_itself_only() -> None:
    web = Web()
    web.locks = [LOCK, {**LOCK, "id": 11, "state": "?"}, {"id": "x"}, None, {**LOCK, "id": 12}]

    rig = run(nothing, web)

    sources = {frame.source for frame in rig.cell.frames}
    assert sources == {"http/10/lock", "http/11/lock", "http/12/lock", "http/locks"}
    good = [frame for frame in rig.cell.frames if frame.source in ("http/10/lock", "http/12/lock")]
    assert all(codec.decode(frame) for frame in good)


def test_an_answer_is_as_old_as_its_question() -> None:
    rig = run(nothing)

    assert rig.cell.frames[0].received_at_ms == EPOCH_MS + round(rig.web.at_s[0] * 1_000)


def test_a_lock_that_is_no_longer_listed_is_out_of_reach_and_gets_no_commands() -> None:
    async def removed(rig: Rig) -> None:
        rig.web.locks = []
        await rig.adapter.refresh("10")
        with pytest.raises(RefusedError, match="unavailable"):
            await rig.send()

    rig = run(removed)

    (fact,) = codec.decode(rig.cell.frames[-1])
    assert isinstance(fact, Reading)
    assert (fact.device, fact.axis, fact.value) == ("10", "reachability", "Offline")
    assert rig.asked("POST") == []


def test_a_clock_that_is_set_back_is_believed_in_the_very_next_token() -> None:
    async def set_and_set_back(rig: Rig) -> None:
        for set_ms in (0, 3_600_000, 0):
            rig.cell.set_ms = set_ms
            await rig.adapter.refresh("10")

    rig = run(set_and_set_back)

    times = [int(str(each.headers["api_token"])[64:]) - EPOCH_MS for each in rig.asked("GET")[-3:]]
    assert [round(at_ms / 3_600_000) for at_ms in times] == [0, 1, 0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HttpReply(500), "the bridge answered 500"),
        (HttpReply(401), "the bridge refuses the token (401)"),
        (
            HttpReply(401, b"", (("Date", "Wed, 31 Dec 2025 23:58:30 GMT"),)),
            "the bridge refuses the token (401); its clock is -9",
        ),
        (HttpReply(401, b"", (("Date", "soon"),)), "the bridge refuses the token (401)"),
        (HttpReply(200, b"{}"), "the answer is no list of locks"),
        (NotSentError("nobody listens"), "nobody listens"),
        (NoReplyError("silence"), "silence"),
    ],
)
def test_a_bridge_of_no_use_is_told_with_the_reason(answer: Any, said: str) -> None:
    web = Web()
    web.answers["GET", "/lock"] = [answer]

    rig = run(nothing, web)

    assert [up for up, _ in rig.cell.links] == [False]
    assert rig.cell.links[0][1].startswith(said)


def test_after_three_silent_questions_its_locks_are_out_of_reach_and_after_one_answer_not() -> None:
    async def falls_silent(rig: Rig) -> None:
        rig.web.answers["GET", "/lock"] = [NoReplyError("silence")]
        rig.cell.frames.clear()
        await asyncio.sleep(9)
        assert rig.cell.frames == []
        await asyncio.sleep(10)
        assert {frame.source for frame in rig.cell.frames} == {"http/10/silent"}
        rig.web.answers.clear()
        await asyncio.sleep(20)

    rig = run(falls_silent)

    assert rig.cell.frames[-1].source == "http/10/lock"
    assert [up for up, _ in rig.cell.links] == [True, False, True]


def test_a_body_that_is_no_list_becomes_a_dead_letter() -> None:
    web = Web()
    web.answers["GET", "/lock"] = [HttpReply(200, b"<html>")]

    rig = run(nothing, web)

    assert rig.cell.frames[0].payload == b"<html>"
    with pytest.raises(DecodeError, match="no list"):
        codec.decode(rig.cell.frames[0])


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "query"),
    [
        ("LockDoor", "/v1.0/lock/10/lock", ()),
        ("UnlockDoor", "/v1.0/lock/10/unlock", (("mode", "3"),)),
        ("Unlatch", "/v1.0/lock/10/pull", ()),
    ],
)
def test_a_command_is_one_request_with_its_length(name: str, path: str, query: Any) -> None:
    rig = run(lambda rig: rig.send(name))

    (request,) = rig.asked("POST")
    assert (request.path, request.query, request.body) == (path, query, b"")
    assert request.headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        *((HttpReply(status), RejectedError, reason) for status, reason in REFUSALS.items()),
        *(
            (HttpReply(406, json.dumps({"error-code": code}).encode()), RejectedError, reason)
            for code, reason in BLE_REFUSALS.items()
        ),
        (HttpReply(418), RejectedError, "vendor:418"),
        (HttpReply(302), RejectedError, "vendor:302"),
        # Locks were seen to move after these, so they are no refusals.
        (HttpReply(406, b'{"error-code":2}'), UnavailableError, "error 2"),
        (HttpReply(406, b'{"error-code":77}'), UnavailableError, "error 77"),
        (HttpReply(406, b'{"error-code":true}'), UnavailableError, "error None"),
        (HttpReply(406, b"[]"), UnavailableError, "error None"),
        (HttpReply(406, b"\xff"), UnavailableError, "error None"),
        (HttpReply(500), UnavailableError, "500"),
        (HttpReply(503), UnavailableError, "503"),
        (NoReplyError("the connection was cut"), UnavailableError, "cut"),
        (NotSentError("nobody listens"), RefusedError, "unavailable"),
    ],
)
def test_what_is_answered_is_a_refusal_or_it_is_not_known(
    answer: Any, error: type[Exception], reason: str
) -> None:
    async def send(rig: Rig) -> None:
        rig.web.answers["POST", "/lock/10/unlock"] = [answer]
        with pytest.raises(error, match=reason):
            await rig.send("UnlockDoor")

    rig = run(send)

    assert len(rig.asked("POST")) == 1


def test_what_cannot_be_done_is_refused_before_it_leaves() -> None:
    async def send(rig: Rig) -> None:
        for name, device, ms, reason in (
            ("LockAndGo", "10", 10_000, "unsupported"),
            ("LockDoor", "99", 10_000, "unavailable"),
            ("LockDoor", "../bridge", 10_000, "unavailable"),
            ("LockDoor", "10", 0, "expired"),
        ):
            with pytest.raises(RefusedError, match=reason):
                await rig.send(name, device, ms)

    assert run(send).asked("POST") == []


def test_after_a_command_the_bridge_is_asked_more_often_for_a_while() -> None:
    async def send(rig: Rig) -> None:
        await rig.send()
        rig.web.at_s.clear()
        await asyncio.sleep(60)

    at_s = run(send).web.at_s

    gaps = [round(after - before) for before, after in pairwise(at_s)]
    assert gaps[:5] == [2] * 5
    assert gaps[-5:] == [5] * 5


# --- being told ----------------------------------------------------------------------------------

HOOK = {"host": "192.0.2.2", "port": 8931}
URL = "http://192.0.2.2:8931/tedee/1"


def bridge_of(here: Street) -> Bridge:
    bridge = here.devices[0].hub
    assert isinstance(bridge, Bridge)
    return bridge


def street(play: Callable[[Street], Coroutine[Any, Any, None]], **options: object) -> Street:
    """A simulated bridge with the adapter at it."""
    module = SimpleNamespace(
        HABITS=simulator.HABITS,
        FAULTS=simulator.FAULTS,
        fleet=lambda spec, rng_for: simulator.fleet(replace(spec, options=options), rng_for),
        gateway_settings=lambda spec, at: simulator.gateway_settings(
            replace(spec, options=options), at
        ),
    )
    return perform(VENDOR, module, play, count=2, seed=7)


@pytest.mark.parametrize("method", ["POST", "GET", "GET+NO_PARAMS"])
@pytest.mark.parametrize("auth", ["encrypted", "plain"])
def test_what_a_bridge_tells_arrives_in_every_form(method: str, auth: str) -> None:
    async def turn(here: Street) -> None:
        here.frames.clear()
        here.act(here.devices[0], "half_turn")
        await asyncio.sleep(0.1)

    here = street(turn, webhook_method=method, auth=auth)

    form = {"POST": "post", "GET": "query", "GET+NO_PARAMS": "path"}[method]
    assert [frame.source for frame in here.frames] == [f"webhook/{form}"]
    assert here.twins[here.devices[0].name].axes["lock_state"].value == "NotFullyLocked"


def test_a_lost_webhook_costs_freshness_and_never_truth() -> None:
    async def turn(here: Street) -> None:
        device = here.devices[0]
        here.act(device, "fault:webhook_lost")
        here.act(device, "half_turn")
        await asyncio.sleep(6)
        assert here.twins[device.name].axes["lock_state"].value == "NotFullyLocked"

    here = street(turn)

    assert {frame.source.partition("/")[0] for frame in here.frames} == {"http"}


def test_it_is_on_the_list_once_and_leaves_it_when_it_stops() -> None:
    listed: list[Sequence[str]] = []

    async def look(here: Street) -> None:
        listed.append([each.url for each in bridge_of(here).callbacks.values()])

    here = street(look)

    assert [len(each) for each in listed] == [1]
    assert bridge_of(here).callbacks == {}


def test_a_bridge_that_forgot_us_is_told_again_and_what_others_want_is_left_alone() -> None:
    other = "http://192.0.2.77/homeassistant"
    seen: list[list[str]] = []

    async def forget(here: Street) -> None:
        bridge = bridge_of(here)
        (ours,) = bridge.callbacks.values()
        bridge.callbacks.clear()
        stale = ours.url.replace("://127.0.0.1:", "://127.0.0.1:1")
        for number, url in enumerate((other, stale, ours.url), 50):
            bridge.callbacks[number] = ours._replace(url=url, headers=())
        await asyncio.sleep(70)
        seen.append(sorted(each.url for each in bridge.callbacks.values()))
        seen.append(sorted({ours.url, other}))
        assert ours in bridge.callbacks.values()

    here = street(forget)

    assert seen[0] == seen[1]
    assert [each.url for each in bridge_of(here).callbacks.values()] == [other]


def test_each_bridge_is_asked_about_its_own_locks_and_tells_of_them() -> None:
    async def both(here: Street) -> None:
        first, second = here.devices
        assert first.hub is not second.hub
        here.act(first, "fault:bridge_down")
        here.frames.clear()
        here.act(second, "half_turn")
        await asyncio.sleep(0.1)
        assert [frame.source for frame in here.frames] == ["webhook/post"]
        await here.adapter.send(Command("c", second.name, "LockDoor", here.now_ms() + 9_000))
        await asyncio.sleep(5)
        assert here.twins[second.name].axes["lock_state"].value == "Locked"
        await asyncio.sleep(30)
        assert here.twins[first.name].axes["reachability"].value == "Offline"
        assert here.twins[second.name].axes["reachability"].value == "Online"
        assert here.link_told[0]

    street(both, locks_per_bridge=1)


def test_a_bridge_whose_storage_is_busy_is_asked_again() -> None:
    async def busy(here: Street) -> None:
        bridge, device = bridge_of(here), here.devices[0]
        here.act(device, "fault:storage_busy")
        bridge.callbacks.clear()
        await asyncio.sleep(90)
        assert bridge.callbacks == {}
        here.act(device, "heal:storage_busy")
        await asyncio.sleep(10)
        assert len(bridge.callbacks) == 1

    street(busy)


def hooked(body: bytes = b"", **more: Any) -> Callable[[Rig], Coroutine[Any, Any, None]]:
    """One call of our webhook, and its status kept on the rig."""

    async def call(rig: Rig) -> None:
        rig.cell.frames.clear()
        handler = rig.web.handler
        assert handler is not None
        registered = [json.loads(each.body) for each in rig.asked("POST")]
        good = dict(registered[0]["headers"][0]) if registered else {}
        headers = {name.lower(): value for name, value in more.get("headers", good).items()}
        path = more.get("path", "/tedee/1")
        method = more.get("method", "POST")
        answer = await handler(HttpRequest(method, path, more.get("query", ()), headers, body))
        rig.web.asked.append(HttpRequest("STATUS", str(answer.status)))

    return call


def hooking() -> Web:
    web = Web()
    web.answers["GET", "/callback"] = [HttpReply(200, b"[]")]
    web.answers["POST", "/callback"] = [HttpReply(200, b'{"id": 4}')]
    return web


STATUS = {"deviceType": 2, "deviceId": 10, "state": 2, "jammed": 0, "doorState": 3}


def status_webhook(stamp: str = "2026-01-01T00:00:10.000Z", **changes: Any) -> bytes:
    data = {**STATUS, **changes}
    return json.dumps({"event": "lock-status-changed", "timestamp": stamp, "data": data}).encode()


def test_it_registers_with_a_proof_that_holds_no_token() -> None:
    rig = run(nothing, hooking(), webhook=HOOK)

    (request,) = rig.asked("POST")
    body = json.loads(request.body)
    assert (body["url"], body["method"]) == (URL, "POST")
    assert request.headers["content-length"] == str(len(request.body))
    assert TOKEN not in request.body.decode()
    assert [(each.method, each.path) for each in rig.asked("DELETE")] == [
        ("DELETE", "/v1.0/callback/4")
    ]


def test_a_list_of_callbacks_that_is_odd_is_borne_and_the_stale_one_goes_first() -> None:
    web = hooking()
    odd = [None, {"id": "x"}, {"id": 5, "url": "http://[bad"}, {"id": 6, "url": 7}]
    stale = {"id": 7, "url": URL.replace("8931", "1")}
    listed = HttpReply(200, json.dumps([*odd, stale]).encode())
    web.answers["GET", "/callback"] = [HttpReply(500), HttpReply(200, b"{}"), listed]
    web.answers["DELETE", "/callback/7"] = [HttpReply(409), HttpReply(204)]

    async def a_while(rig: Rig) -> None:
        await asyncio.sleep(25)
        assert [each.path for each in rig.asked("DELETE")] == ["/v1.0/callback/7"] * 2
        assert len(rig.asked("POST")) == 1

    run(a_while, web, webhook=HOOK)


def test_without_a_token_nobody_can_prove_anything(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)

    async def gone(rig: Rig) -> None:
        file.unlink()
        await hooked(status_webhook())(rig)

    bridge = {"token": None, "token_file": file}
    rig = run(gone, hooking(), webhook=HOOK, bridge=bridge)

    assert [each.path for each in rig.asked("STATUS")] == ["401"]


def test_bridges_are_given_the_url_that_the_operator_says() -> None:
    webhook = {"host": "0.0.0.0", "url": "http://gateway.test:80", "method": "GET"}

    rig = run(nothing, hooking(), webhook=webhook)

    body = json.loads(rig.asked("POST")[0].body)
    assert (body["url"], body["method"]) == ("http://gateway.test:80/tedee/1", "GET")


def test_a_port_that_is_taken_is_tried_again_and_asking_goes_on() -> None:
    web = hooking()
    web.taken = True

    async def later(rig: Rig) -> None:
        assert rig.web.handler is None
        assert rig.cell.frames
        await asyncio.sleep(10)

    assert run(later, web, webhook=HOOK).web.handler is not None


def test_a_webhook_with_the_proof_is_taken() -> None:
    rig = run(hooked(status_webhook()), hooking(), webhook=HOOK)

    assert [each.path for each in rig.asked("STATUS")] == ["204"]
    assert rig.cell.frames[0].source == "webhook/post"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"headers": {}}, "401"),
        ({"headers": {"Authorization": "Bearer x"}}, "401"),
        ({"headers": {"Authorization": f"Bearer {TOKEN}"}}, "401"),
        ({"headers": {"Authorization": "é"}}, "401"),
        ({"path": "/tedee/2"}, "404"),
        ({"path": "/tedee/0"}, "404"),
        ({"path": "/tedee"}, "404"),
        ({"path": "/"}, "404"),
    ],
)
def test_a_call_that_proves_nothing_is_refused(more: Any, status: str) -> None:
    rig = run(hooked(status_webhook(), **more), hooking(), webhook=HOOK)

    assert [each.path for each in rig.asked("STATUS")] == [status]
    assert not any(frame.source.startswith("webhook") for frame in rig.cell.frames)


def test_a_proven_call_that_nobody_can_read_becomes_a_dead_letter() -> None:
    rig = run(hooked(b"{"), hooking(), webhook=HOOK)

    assert [each.path for each in rig.asked("STATUS")] == ["204"]
    with pytest.raises(DecodeError):
        codec.decode(rig.cell.frames[0])


def dated(locks: object, seconds: int) -> HttpReply:
    """An answer about locks, of a bridge whose clock says so many seconds after midnight."""
    date = f"Thu, 01 Jan 2026 00:00:{seconds:02d} GMT"
    return HttpReply(200, json.dumps(locks).encode(), (("Date", date),))


def test_an_overtaken_webhook_is_not_believed_and_a_clock_that_was_set_is() -> None:
    taken: list[bool] = []

    async def several(rig: Rig) -> None:
        for second in (10, 12, 11, 12):
            await hooked(status_webhook(f"2026-01-01T00:00:{second}.000Z"))(rig)
            taken.append(bool(rig.cell.frames))
        await hooked(status_webhook("2025-12-31T23:50:00.000Z"))(rig)
        taken.append(bool(rig.cell.frames))

    rig = run(several, hooking(), webhook=HOOK)

    assert taken == [True, True, False, True, True]
    assert {each.path for each in rig.asked("STATUS")} == {"204"}


@pytest.mark.parametrize(
    ("stamp", "taken"),
    [
        ("00:00:05", True),
        ("00:00:30", False),
        ("00:01:01", False),  # older than a question that was answered since
        ("00:01:05", True),
        ("00:01:30", False),
    ],
)
def test_what_is_not_of_the_bridges_present_is_not_believed_and_the_bridge_is_asked(
    stamp: str, taken: bool
) -> None:
    web = hooking()
    # Its clock is a minute ahead of ours.
    late = HttpReply(200, json.dumps([LOCK]).encode(), (("Date", "Thu, 01 Jan 2026 00:01:03 GMT"),))
    web.answers["GET", "/lock"] = [late if stamp != "00:00:05" else dated([LOCK], 3)]

    async def one(rig: Rig) -> None:
        asked = len(rig.asked("GET"))
        await hooked(status_webhook(f"2026-01-01T{stamp}.000Z"))(rig)
        counts.append(bool(rig.cell.frames))
        await asyncio.sleep(1.1)
        counts.append(len(rig.asked("GET")) > asked)

    counts: list[bool] = []
    run(one, web, webhook=HOOK)

    assert counts[0] is taken
    assert taken or counts[1]


def test_a_bridge_whose_clock_was_set_back_is_heard_from_its_next_answer_on() -> None:
    """What it tells has times that its earlier answers and webhooks seem to have overtaken."""
    web, taken = hooking(), list[bool]()
    web.answers["GET", "/lock"] = [dated([LOCK], 3)]

    async def jumps(rig: Rig) -> None:
        await hooked(status_webhook("2026-01-01T00:00:05.000Z"))(rig)
        taken.append(bool(rig.cell.frames))
        back = (("Date", "Wed, 31 Dec 2025 23:59:40 GMT"),)
        rig.web.answers["GET", "/lock"] = [HttpReply(401, b"", back)]
        await asyncio.sleep(2)
        await rig.adapter.refresh("10")
        await hooked(status_webhook("2025-12-31T23:59:41.000Z"))(rig)
        taken.append(bool(rig.cell.frames))

    run(jumps, web, webhook=HOOK)

    assert taken == [True, True]


def test_a_date_that_is_none_is_no_clock() -> None:
    web = hooking()
    for date in ("soon", "Thu, 99 Jan 2026 00:00:00 GMT", ""):
        headers = (("Date", date),)
        web.answers["GET", "/lock"] = [HttpReply(200, json.dumps([LOCK]).encode(), headers)]
        rig = run(hooked(status_webhook("2020-01-01T00:00:00.000Z")), web, webhook=HOOK)
        assert [frame.source for frame in rig.cell.frames] == ["webhook/post"]


def test_an_answer_that_was_under_way_when_the_lock_spoke_is_asked_anew() -> None:
    async def race(rig: Rig) -> None:
        await asyncio.sleep(1)
        rig.web.slow = asyncio.Event()
        asked = len(rig.web.asked)
        asking = asyncio.create_task(rig.adapter.refresh("10"))
        await asyncio.sleep(1.5)
        assert len(rig.web.asked) == asked + 1
        await hooked(status_webhook())(rig)
        rig.web.slow.set()
        await asking

    rig = run(race, hooking(), webhook=HOOK)

    webhook, answer = rig.cell.frames[:2]
    assert (webhook.source, answer.source) == ("webhook/post", "http/10/lock")
    assert answer.received_at_ms >= webhook.received_at_ms


# --- on sockets ----------------------------------------------------------------------------------


async def test_on_sockets_a_command_arrives_with_its_length_and_a_webhook_comes_back(
    eventually: Any, tmp_path: Path
) -> None:
    population = Population("tedee", 1, 7, wall_ms())
    fleet = WireFleet([population], seed=7, pace=1e-9, broker=("127.0.0.1", 1))
    at = await fleet.open_hubs(tmp_path)
    cell = Cell(Web())
    cell.network = None
    cell.now_ms = wall_ms  # type: ignore[method-assign]
    settings = VENDOR.settings.model_validate(population.gateway_settings(at))
    adapter = VENDOR.connect(settings, cell)
    running = asyncio.create_task(adapter.run())
    try:
        await fleet.start()
        bridge = population.devices[0].hub
        assert isinstance(bridge, Bridge)
        await eventually(lambda: bridge.callbacks and cell.links)
        command = Command("c", population.devices[0].name, "Unlatch", wall_ms() + 10_000)
        await adapter.send(command)
        await eventually(lambda: any(each.source == "webhook/post" for each in cell.frames))
    finally:
        running.cancel()
        await asyncio.wait([running])
        await fleet.stop()

    assert bridge.callbacks == {}


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"bridges": []},
        {"bridges": [{"url": "https://192.0.2.1", "token": "x"}]},
        {"bridges": [{"url": "http://192.0.2.1/v1.0", "token": "x"}]},
        {"bridges": [{"url": "http://u:p@192.0.2.1", "token": "x"}]},
        {"bridges": [{"url": "http://192.0.2.1:x", "token": "x"}]},
        {"bridges": [{"url": "192.0.2.1", "token": "x"}]},
        {"bridges": [{"url": "http://192.0.2.1"}]},
        {"bridges": [{"url": "http://192.0.2.1", "token": "x", "token_file": "/y"}]},
        {"webhook": {"host": "0.0.0.0"}},
        {"webhook": {"host": "192.0.2.2", "url": "https://gateway.example"}},
        {"poll_interval_s": 0.5},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    good = {"bridges": [{"url": "http://192.0.2.1", "token": "x"}]}

    with pytest.raises(ValidationError) as raised:
        TedeeSettings.model_validate({**good, **wrong})

    assert raised.value.errors()[0]["loc"][0] == next(iter(wrong))


def test_a_mistake_is_named_and_the_token_beside_it_is_not_shown(tmp_path: Path) -> None:
    both = {"url": "http://192.0.2.1", "token": TOKEN, "token_file": str(tmp_path)}

    with pytest.raises(ValidationError) as raised:
        TedeeSettings.model_validate({"bridges": [both]})

    assert TOKEN not in str(raised.value)
