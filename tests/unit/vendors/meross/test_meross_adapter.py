"""The adapter at a real broker and on a fake LAN: who is believed, and when a door is pressed."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from random import Random
from types import SimpleNamespace
from typing import Any, Final

import pytest

from devices.errors import ConfigError, RefusedError, RejectedError, UnavailableError
from devices.kinds import CLOSURE
from devices.reading import NO_SENSOR, Provenance, Reading
from devices.twin import Twin
from fleet_sim.clock import SimLoop
from vendors.api import Frame
from vendors.http import HttpReply
from vendors.meross import VENDOR, codec, envelope
from vendors.meross.settings import MerossSettings
from vendors.wire.errors import NotSentError

UUID: Final = "18000000000000000000000000000001"
KEY: Final = "a key"
TOPIC: Final = f"/appliance/{UUID}/subscribe"
PUSHED: Final = f"/appliance/{UUID}/publish"
ANSWERS: Final = "/app/0-doorfleet/subscribe"
#: Nobody is asked while a test lasts, except for the first time.
SETTINGS: Final[dict[str, Any]] = {"account_key": KEY, "reply_timeout_ms": 400}
LISTED: Final = {**SETTINGS, "devices": [{"uuid": UUID}]}
SHUT: Final = ("FullyClosed", "Stopped", None)
OPEN: Final = ("NotFullyClosed", None, NO_SENSOR)
UNKNOWN: Final = (None, None, "no_report")


def door(cell: Any, state: tuple[Any, Any, Any] = SHUT, ago_ms: int = 600_000) -> None:
    """The door as committed, since that long ago."""
    position, main_state, reason = state
    twin = cell.twins.setdefault(UUID, Twin(UUID, CLOSURE))
    twin.fold(
        [
            Reading(UUID, "position", position, Provenance.REPORT, None, reason),
            Reading(UUID, "main_state", main_state, Provenance.REPORT, None, reason),
        ],
        cell.now_ms() - ago_ms,
    )


def said(
    asked: dict[str, Any],
    payload: dict[str, Any],
    method: str | None = None,
    *,
    key: str = KEY,
    uuid: str = UUID,
    message_id: str | None = None,
) -> bytes:
    """An answer to what was asked."""
    return envelope.write(
        message_id=message_id or asked["header"]["messageId"],
        namespace=asked["header"]["namespace"],
        method=method or asked["header"]["method"] + "ACK",
        origin=f"/appliance/{uuid}/publish",
        key=key,
        now_ms=1_767_225_600_000,
        payload=payload,
    )


def state(open_: int, **more: int) -> dict[str, Any]:
    return {"state": {"channel": 0, "open": open_, "lmTime": 0, **more}}


def pushed(open_: int, message_id: str, key: str = KEY) -> bytes:
    asked = {"header": {"namespace": codec.STATE}}
    return said(asked, {"state": [state(open_)["state"]]}, "PUSH", message_id=message_id, key=key)


async def asked_for(it: Any, eventually: Any, method: str) -> dict[str, Any]:
    """The first question of this method."""

    def found() -> list[dict[str, Any]]:
        questions = [json.loads(payload) for _, payload, _, _ in it.heard]
        return [each for each in questions if each["header"]["method"] == method]

    await eventually(found)
    return found()[0]


async def press(it: Any, eventually: Any, answer: Callable[[dict[str, Any]], bytes]) -> None:
    """Open, and answer as a unit would."""

    async def respond() -> None:
        question = await asked_for(it, eventually, "SET")
        await it.board.publish(question["header"]["from"], answer(question), qos=1)

    await asyncio.gather(it.adapter.send(it.cell.command(UUID, "MoveToFullyOpen")), respond())


async def test_a_press_is_one_signed_message_and_never_retained(rig, eventually) -> None:
    async with rig(VENDOR, LISTED, TOPIC) as it:
        door(it.cell)
        await press(it, eventually, lambda asked: said(asked, state(0, execute=1)))
        presses = [each for each in it.heard if b'"SET"' in each[1]]

    ((topic, payload, qos, retained),) = presses
    whole = envelope.read(payload)
    assert (topic, qos, retained) == (TOPIC, 1, False)
    assert envelope.genuine(whole, KEY)
    assert whole.payload == {"state": {"channel": 0, "open": 1, "uuid": UUID}}


async def test_an_acknowledgement_is_no_evidence(rig, eventually) -> None:
    decode = VENDOR.decoder(VENDOR.settings(url="mqtt://h", account_key=KEY))
    async with rig(VENDOR, LISTED, TOPIC) as it:
        door(it.cell)
        await press(it, eventually, lambda asked: said(asked, state(1, execute=1)))
        frames = [each for each in it.cell.frames if b"SETACK" in each.payload]

    assert [list(decode(frame)) for frame in frames] == [[]]


@pytest.mark.parametrize(
    ("payload", "method", "key", "detail"),
    [
        (state(0, execute=0), "SETACK", KEY, "vendor:not_executed"),
        ({"state": [state(0, execute=0)["state"]]}, "SETACK", KEY, "vendor:not_executed"),
        ({"error": {"code": 5001}}, "ERROR", "its own key", "not_authorized"),
        ({"error": {"code": 5000}}, "ERROR", KEY, "vendor:5000"),
        ({"error": "?"}, "ERROR", KEY, "vendor:None"),
    ],
)
async def test_a_no_is_told_with_its_reason(rig, eventually, payload, method, key, detail) -> None:
    async with rig(VENDOR, LISTED, TOPIC) as it:
        door(it.cell)
        with pytest.raises(RejectedError) as rejected:
            await press(it, eventually, lambda asked: said(asked, payload, method, key=key))

    assert rejected.value.detail == detail


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "another"},
        {"uuid": "18000000000000000000000000000002"},
        {"message_id": "0" * 32},
        {"method": "PUSH"},
    ],
)
async def test_an_answer_to_something_else_is_none(rig, eventually, wrong) -> None:
    async with rig(VENDOR, LISTED, TOPIC) as it:
        door(it.cell)
        with pytest.raises(UnavailableError, match="no answer"):
            await press(it, eventually, lambda asked: said(asked, state(0, execute=1), **wrong))


async def test_what_was_not_asked_for_and_what_was_said_before_tell_nothing(
    rig, eventually
) -> None:
    decode = VENDOR.decoder(VENDOR.settings(url="mqtt://h", account_key=KEY))
    unasked = said({"header": {"namespace": codec.STATE}}, state(0), "GETACK", message_id="9" * 32)
    async with rig(VENDOR, SETTINGS, TOPIC) as it:
        for topic, payload in (
            (PUSHED, pushed(0, "1" * 32)),
            (PUSHED, pushed(1, "2" * 32)),
            (PUSHED, pushed(0, "1" * 32)),
            (ANSWERS, unasked),
            (PUSHED, pushed(1, "3" * 32)),
        ):
            await it.board.publish(topic, payload, qos=1)
        await eventually(lambda: len(it.cell.frames) == 5)

    told = [[fact.value for fact in decode(frame)][:1] for frame in it.cell.frames]
    assert told == [["FullyClosed"], ["NotFullyClosed"], [], [], ["NotFullyClosed"]]


async def test_an_answer_that_a_push_overtook_tells_nothing(rig, eventually) -> None:
    decode = VENDOR.decoder(VENDOR.settings(url="mqtt://h", account_key=KEY))
    async with rig(VENDOR, LISTED, TOPIC) as it:
        question = await asked_for(it, eventually, "GET")
        await it.board.publish(PUSHED, pushed(1, "1" * 32), qos=1)
        await it.board.publish(ANSWERS, said(question, state(0)), qos=1)
        await eventually(lambda: len(it.cell.frames) == 2)

    assert [fact.value for fact in decode(it.cell.frames[0])][:1] == ["NotFullyClosed"]
    assert list(decode(it.cell.frames[1])) == []


async def test_a_unit_that_nobody_listed_is_asked_once_it_was_heard(rig, eventually) -> None:
    async with rig(VENDOR, SETTINGS, TOPIC) as it:
        await it.board.publish(PUSHED, pushed(0, "1" * 32, key="another"), qos=1)
        await it.board.publish(PUSHED, pushed(0, "2" * 32), qos=1)
        question = await asked_for(it, eventually, "GET")

    assert question["header"]["namespace"] == codec.ALL


@pytest.mark.parametrize(
    ("name", "before", "ago_ms", "reason"),
    [
        ("MoveToFullyOpen", OPEN, 600_000, "unknown_state"),
        ("MoveToFullyOpen", UNKNOWN, 600_000, "unknown_state"),
        ("MoveToFullyClosed", SHUT, 600_000, "unknown_state"),
        ("MoveToFullyClosed", UNKNOWN, 600_000, "unknown_state"),
        ("MoveToFullyClosed", OPEN, 31_000, "busy"),
        ("Stop", SHUT, 600_000, "unsupported"),
    ],
)
async def test_a_door_that_could_go_the_other_way_is_not_pressed(
    rig, eventually, name, before, ago_ms, reason
) -> None:
    async with rig(VENDOR, LISTED, f"/appliance/{UUID}/+") as it:
        door(it.cell, before, ago_ms)
        with pytest.raises(RefusedError, match=reason):
            await it.adapter.send(it.cell.command(UUID, name))
        await it.board.publish(PUSHED, b"fence", qos=1)
        await eventually(lambda: (PUSHED, b"fence") in [each[:2] for each in it.heard])

    assert not any(b'"SET"' in payload for _, payload, _, _ in it.heard)


async def test_what_is_too_late_or_of_nobody_is_not_sent(rig) -> None:
    async with rig(VENDOR, LISTED, TOPIC) as it:
        with pytest.raises(RefusedError, match="unknown_device"):
            await it.adapter.send(it.cell.command(UUID, "MoveToFullyOpen"))
        door(it.cell)
        with pytest.raises(RefusedError, match="expired"):
            await it.adapter.send(it.cell.command(UUID, "MoveToFullyOpen", timeout_ms=-1))
        with pytest.raises(RefusedError, match="unknown_device"):
            await it.adapter.send(it.cell.command("nobody-1", "MoveToFullyOpen"))


async def test_a_press_that_may_have_left_keeps_the_door_from_being_pressed_again(rig) -> None:
    async with rig(VENDOR, LISTED, TOPIC) as it:
        door(it.cell)
        with pytest.raises(UnavailableError):
            await it.adapter.send(it.cell.command(UUID, "MoveToFullyOpen"))
        with pytest.raises(RefusedError, match="busy"):
            await it.adapter.send(it.cell.command(UUID, "MoveToFullyOpen"))


async def test_a_door_that_arrived_shut_since_then_may_be_opened(rig, eventually) -> None:
    async with rig(VENDOR, LISTED, TOPIC) as it:
        door(it.cell, OPEN)
        with pytest.raises(UnavailableError):
            await it.adapter.send(it.cell.command(UUID, "MoveToFullyClosed"))
        door(it.cell, SHUT, ago_ms=-1)
        it.heard.clear()
        await press(it, eventually, lambda asked: said(asked, state(0, execute=1)))


async def test_a_refused_press_was_none(rig, eventually) -> None:
    async with rig(VENDOR, LISTED, TOPIC) as it:
        door(it.cell)
        with pytest.raises(RejectedError):
            await press(it, eventually, lambda asked: said(asked, state(0, execute=0)))
        it.heard.clear()
        await press(it, eventually, lambda asked: said(asked, state(0, execute=1)))


async def test_presses_are_limited_by_what_the_brokers_owner_bears(rig, eventually) -> None:
    # 60 an hour, of which polling takes 24: 18 questions are left.
    few = {**LISTED, "messages_per_hour": 60, "poll_interval_s": 360}
    async with rig(VENDOR, few, TOPIC) as it:
        for _ in range(18):
            door(it.cell)
            it.heard.clear()
            with pytest.raises(RejectedError):
                await press(it, eventually, lambda asked: said(asked, state(0, execute=0)))
        with pytest.raises(RefusedError, match="rate_limited"):
            await it.adapter.send(it.cell.command(UUID, "MoveToFullyOpen"))


# --- the LAN, in simulated time ---------------------------------------------------------------


class Lan:
    """A `Port` whose network is one unit."""

    def __init__(self, answer: Callable[[dict[str, Any]], bytes | None], **settings: Any) -> None:
        self.rng = Random(1)
        self.network = SimpleNamespace(http_send=self._send)
        self.frames: list[Frame] = []
        self.links: list[bool] = []
        self.twins: dict[str, Twin] = {}
        self.asked: list[dict[str, Any]] = []
        self.answer = answer
        device = {"uuid": UUID, "url": "http://192.0.2.21"}
        told = {"account_key": KEY, "poll_interval_s": 10, "devices": [device], **settings}
        self.adapter: Any = VENDOR.connect(MerossSettings.model_validate(told), self)
        self.decode = VENDOR.decoder(MerossSettings.model_validate(told))

    async def _send(self, method: str, url: str, headers: Any, body: bytes) -> HttpReply:
        assert (method, url, len(headers)) == ("POST", "http://192.0.2.21/config", 1)
        question = json.loads(body)
        self.asked.append(question)
        answer = self.answer(question)
        if answer is None:
            raise NotSentError("nobody listens there")
        return HttpReply(200, answer)

    def now_ms(self) -> int:
        return 1_767_225_600_000 + round(asyncio.get_running_loop().time() * 1_000)

    def offer(self, frames: Any, committed: Any) -> None:
        assert committed is None
        self.frames += frames

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        del reason
        if self.links[-1:] != [up]:
            self.links.append(up)

    def twin(self, device: str) -> Twin | None:
        return self.twins.get(device)

    def play(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            running = asyncio.ensure_future(self.adapter.run())
            await story()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        with asyncio.Runner(loop_factory=SimLoop) as runner:
            runner.run(main())


def test_a_unit_on_the_lan_is_asked_for_its_doors() -> None:
    lan = Lan(lambda asked: said(asked, state(0)))

    lan.play(lambda: asyncio.sleep(35))

    assert [each["header"]["namespace"] for each in lan.asked] == [codec.STATE] * 4
    assert lan.links == [True]
    assert {frame.source for frame in lan.frames} == {f"http/{UUID}/config"}
    assert [fact.value for fact in lan.decode(lan.frames[0])] == [
        "FullyClosed",
        "Stopped",
        "Online",
    ]


def test_two_questions_without_an_answer_are_told_once() -> None:
    lan = Lan(lambda _: None)

    lan.play(lambda: asyncio.sleep(120))

    assert [frame.source for frame in lan.frames] == [f"meross/{UUID}/silent"]
    assert lan.links == [False]
    (fact,) = lan.decode(lan.frames[0])
    assert (fact.device, fact.axis, fact.value) == (UUID, "reachability", "Offline")


def test_half_an_answer_is_kept_and_counts_as_none() -> None:
    lan = Lan(lambda asked: said(asked, state(0))[:-40])

    lan.play(lambda: asyncio.sleep(30))

    assert lan.links == [False]
    assert [frame.source for frame in lan.frames].count(f"http/{UUID}/config") >= 2


def test_an_answer_with_another_sign_counts_as_none() -> None:
    lan = Lan(lambda asked: said(asked, state(0), key="another"))

    lan.play(lambda: asyncio.sleep(30))

    assert lan.links == [False]


def test_an_answer_that_leaves_a_door_out_makes_us_ask_for_everything() -> None:
    def answer(asked: dict[str, Any]) -> bytes:
        if asked["header"]["namespace"] == codec.STATE:
            return said(asked, {"state": {"channel": 1, "open": 0}})
        doors = [{"channel": channel, "open": 0} for channel in (1, 2)]
        return said(asked, {"all": {"digest": {"garageDoor": doors}}})

    device = {"uuid": UUID, "doors": [1, 2], "url": "http://192.0.2.21"}
    lan = Lan(answer, devices=[device])

    lan.play(lambda: asyncio.sleep(25))

    assert [each["header"]["namespace"] for each in lan.asked] == [
        codec.STATE,
        codec.ALL,
        codec.ALL,
        codec.ALL,
    ]


def test_a_press_on_the_lan_leaves_once_whatever_becomes_of_it() -> None:
    lan = Lan(lambda asked: said(asked, state(0)))

    async def story() -> None:
        await asyncio.sleep(5)
        door(lan)
        lan.answer = lambda asked: said(asked, state(0), message_id="0" * 32)
        with pytest.raises(UnavailableError):
            await lan.adapter.send(
                SimpleNamespace(
                    device=UUID, name="MoveToFullyOpen", deadline_ms=lan.now_ms() + 9_000
                )
            )

    lan.play(story)

    assert [each["header"]["method"] for each in lan.asked].count("SET") == 1


def test_a_look_is_not_repeated_within_a_second() -> None:
    lan = Lan(lambda asked: said(asked, state(0)))

    async def story() -> None:
        await asyncio.sleep(5)
        for _ in range(3):
            await lan.adapter.refresh(UUID)
        await lan.adapter.refresh("nobody")

    lan.play(story)

    assert len(lan.asked) == 2


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "needs url"),
        ({"devices": [{"uuid": UUID}]}, "needs url"),
        (
            {"url": "mqtt://h", "devices": [{"uuid": UUID, "url": "http://h"}]},
            "exclude each other",
        ),
        ({"url": "mqtt://h", "account_key": "k", "account_key_file": "/k"}, "exclude each other"),
        ({"url": "mqtt://h", "devices": [{"uuid": UUID}, {"uuid": UUID}]}, "one uuid"),
        ({"url": "mqtt://h", "poll_interval_s": 10}, "leaves nothing"),
        ({"url": "mqtt://h", "devices": [{"uuid": "a-b"}]}, "uuid"),
        ({"url": "mqtt://h", "devices": [{"uuid": UUID, "doors": [0, 1]}]}, "doors"),
        ({"url": "mqtt://h", "devices": [{"uuid": UUID, "doors": [1, 1]}]}, "doors"),
        ({"devices": [{"uuid": UUID, "url": "https://h"}]}, "http://host"),
        ({"devices": [{"uuid": UUID, "url": "http://h", "encrypted": True}]}, "needs mac"),
    ],
)
def test_settings_that_contradict_each_other_are_named(settings, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        MerossSettings.model_validate(settings)


def test_a_key_may_be_in_a_file(tmp_path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    settings = MerossSettings.model_validate(
        {"url": "mqtt://h", "account_key_file": tmp_path / "key"}
    )

    decode = VENDOR.decoder(settings)

    assert len(decode(Frame(PUSHED, pushed(0, "1" * 32), 0))) == 3


def test_a_key_that_cannot_be_read_is_the_operators_move(tmp_path) -> None:
    settings = MerossSettings.model_validate(
        {"url": "mqtt://h", "account_key_file": tmp_path / "none"}
    )

    with pytest.raises(ConfigError, match="account_key_file"):
        VENDOR.decoder(settings)


def test_no_key_is_shown() -> None:
    settings = MerossSettings.model_validate({"url": "mqtt://h", "account_key": KEY})

    assert KEY not in repr(settings)
    assert KEY not in str(settings)
