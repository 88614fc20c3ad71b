"""Commands from a foreign MQTT client to a device and back, through a real gateway process.

The one rule above all others: what opens leaves once, whatever happens to it or to us.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleet_sim.fleet import Population
from fleet_sim.unit import Unit
from fleet_sim.wire import WireFleet

Eventually = Callable[..., Awaitable[None]]
ROOT: Final = "doorfleet/v1/home"
LOCK: Final = "39000001"
# A lock takes up to 4 s of its own time, and the machine may be slow.
ANSWER_S: Final = 15.0
# Frames with news when a lock connects: state, connected, door, battery critical, charging, charge.
TOLD: Final = 6


async def until(what: Callable[[], object], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not what():  # noqa: ASYNC110 -- of other processes there is no event to wait for
            await asyncio.sleep(0.01)


class Caller:
    """Somebody who sends commands; every result and event that is heard is kept in order."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.results: list[dict[str, Any]] = []
        self.replies: list[tuple[bytes | None, dict[str, Any]]] = []
        self.heard: list[dict[str, Any]] = []

    async def listen(self) -> None:
        async for message in self.client.messages:
            body = json.loads(message.payload)
            topic = str(message.topic)
            if topic.endswith("/result"):
                self.results.append(body)
            elif topic.startswith("people/"):
                correlation = getattr(message.properties, "CorrelationData", None)
                self.replies.append((correlation, body))
            self.heard.append(body)

    async def ask(
        self,
        device: str,
        command: str | bytes,
        id_: str = "id",
        *,
        reply: bool = False,
        **more: Any,
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if reply:
            properties.ResponseTopic = "people/me"
            properties.CorrelationData = b"number-1"
        retain = more.pop("retain", False)
        payload = command
        if isinstance(command, str):
            payload = json.dumps({"id": id_, "name": command, **more})
        await self.client.publish(
            f"{ROOT}/{device}/command", payload, qos=1, retain=retain, properties=properties
        )

    async def outcome(self, number: int = 1, within_s: float = ANSWER_S) -> tuple[str, str | None]:
        """Of the so-manieth result."""
        await until(lambda: len(self.results) >= number, within_s)
        result = self.results[number - 1]
        return result["outcome"], result["reason"]


@asynccontextmanager
async def calling(person: Any, url: str) -> AsyncIterator[Caller]:
    async with person(url) as client:
        caller = Caller(client)
        await client.subscribe(f"{ROOT}/+/+/result", qos=1)
        await client.subscribe(f"{ROOT}/+/+/event/#", qos=1)
        await client.subscribe("people/me", qos=1)
        listening = asyncio.create_task(caller.listen())
        try:
            yield caller
        finally:
            listening.cancel()


@asynccontextmanager
async def locks_at(url: str, count: int = 1) -> AsyncIterator[list[Unit]]:
    """Simulated locks on sockets whose people are all asleep."""
    host, port = url.removeprefix("mqtt://").split(":")
    nuki = Population("nuki", count, seed=3, epoch_ms=time.time_ns() // 1_000_000)
    fleet = WireFleet([nuki], seed=3, pace=1e-9, broker=(host, int(port)))
    await fleet.start()
    try:
        yield fleet.units
    finally:
        await fleet.stop()


def deafen(unit: Unit) -> list[Any]:
    """From now on it hears and does nothing; what it heard."""
    heard: list[Any] = []

    class Deaf(Unit):
        __slots__ = ()

        def received(self, message: Any) -> None:
            heard.append(message)

    unit.__class__ = Deaf
    return heard


def knows(running: Any, cell: str, devices: int) -> Callable[[], bool]:
    def known() -> bool:
        said = running.cell(cell)
        return bool(
            said.get("state") == "up" and said["devices"] >= devices and said["events"] >= devices
        )

    return known


@pytest.fixture
async def house(
    gateway: Any, settings: Any, broker_url: str, person: Any, eventually: Eventually
) -> AsyncIterator[tuple[Any, list[Unit], Caller]]:
    """A gateway that knows one lock freshly, that lock, and a caller."""
    running = await gateway(settings(broker_url)).start()
    await eventually(lambda: running.cell("nuki").get("state") == "up", within_s=10)
    async with locks_at(broker_url) as units, calling(person, broker_url) as caller:
        await eventually(knows(running, "nuki", 1), within_s=10)
        # The last thing that a lock tells of itself, which may have been before we listened.
        await until(lambda: running.cell("nuki")["events"] >= TOLD)
        yield running, units, caller


async def test_a_command_has_succeeded_when_the_lock_was_seen_to_do_it(house: Any) -> None:
    _, _, caller = house

    await caller.ask(f"nuki/{LOCK}", "unlatch", reply=True)

    assert await caller.outcome() == ("succeeded", None)
    await until(lambda: caller.replies)
    ((correlation, reply),) = caller.replies
    assert correlation == b"number-1"
    assert reply == caller.results[0]
    assert (reply["id"], reply["device"], reply["name"]) == ("id", LOCK, "Unlatch")
    before = caller.heard[: caller.heard.index(caller.results[0])]
    seen = [
        event["data"]["changes"]["lock_state"]["value"]
        for event in before
        if "lock_state" in event.get("data", {}).get("changes", {})
    ]
    assert seen[-1] == "Unlatched"


async def test_how_it_ended_is_an_event_as_well(house: Any) -> None:
    _, _, caller = house

    await caller.ask(f"nuki/{LOCK}", "unlatch")
    await caller.outcome()

    def finished() -> list[dict[str, Any]]:
        return [e["data"] for e in caller.heard if "command.finished" in e.get("type", "")]

    await until(finished)
    (data,) = finished()
    assert (data["command_id"], data["outcome"]) == ("id", "succeeded")


async def test_the_same_id_gets_the_first_outcome_and_moves_nothing(house: Any) -> None:
    _, (lock,), caller = house
    await caller.ask(f"nuki/{LOCK}", "unlatch")
    await caller.outcome()
    heard = deafen(lock)

    await caller.ask(f"nuki/{LOCK}", "unlatch")
    await caller.ask(f"nuki/{LOCK}", "unlatch", deadline_ms=1_000)  # not even its deadline counts

    await caller.ask(f"nuki/{LOCK}", "lock")  # but what it was does

    await caller.outcome(4)
    same = [result for result in caller.results if result["name"] == "Unlatch"]
    (other,) = [result for result in caller.results if result["name"] == "LockDoor"]
    assert same == [caller.results[0]] * 3
    assert other["outcome"] == "rejected"
    assert other["reason"] == "invalid_argument: id: was given to another command already"
    assert heard == []


#: What is asked, and how the reason begins.
REJECTED: Final = [
    ({"command": "unlatch", "deadline_ms": 1_000}, "expired"),
    ({"command": "MoveToFullyOpen"}, "unsupported"),
    ({"command": "unlatch", "expect": {"door_state": "DoorOpen"}}, "precondition"),
    ({"command": "unlatch", "expect": {"colour": "red"}}, "invalid_argument: expect.colour"),
    ({"command": "unlatch", "part": "door.1"}, "invalid_argument: part"),
    ({"command": "unlatch", "args": {"speed": 9}}, "invalid_argument: args.speed"),
    ({"command": "unlatch", "colour": "red"}, "invalid_argument: colour"),
    ({"command": b"\xff{"}, "invalid_argument: not JSON"),
    ({"command": b"[]"}, "invalid_argument: not a JSON object"),
    ({"command": b"{}"}, "invalid_argument: id"),
    ({"command": b"[" * 16_000}, "invalid_argument: not JSON"),
    ({"command": b" " * 17_000}, "invalid_argument: more than 16384 bytes"),
]


async def test_rejected_before_anything_leaves(house: Any) -> None:
    _, (lock,), caller = house
    heard = deafen(lock)
    expected = [("rejected", reason) for _, reason in REJECTED]

    for number, (request, _) in enumerate(REJECTED):
        await caller.ask(f"nuki/{LOCK}", id_=f"id-{number}", **request)
        await caller.outcome(number + 1)

    outcomes = [
        (result["outcome"], result["reason"][: len(reason)])
        for result, (_, reason) in zip(caller.results, expected, strict=True)
    ]
    assert outcomes == expected
    assert heard == []


async def test_a_device_that_was_never_heard_of_is_not_commanded(house: Any) -> None:
    _, _, caller = house

    await caller.ask("nuki/39000099", "lock")

    assert await caller.outcome() == ("rejected", "unknown_device")


async def test_a_second_command_finds_the_lock_busy(house: Any) -> None:
    _, (lock,), caller = house
    heard = deafen(lock)

    await caller.ask(f"nuki/{LOCK}", "unlatch", "one", deadline_ms=_in_ms(3_000))
    await caller.ask(f"nuki/{LOCK}", "lock", "two")

    assert await caller.outcome() == ("rejected", "busy")
    assert caller.results[0]["id"] == "two"
    assert await caller.outcome(2) == ("unknown", "deadline")
    assert [message.payload for message in heard] == [b"3"]


async def test_what_was_seen_not_to_happen_has_failed(house: Any) -> None:
    _, (lock,), caller = house
    heard = deafen(lock)

    await caller.ask(f"nuki/{LOCK}", "unlatch")
    await until(lambda: heard)
    for state in (b"7", b"254"):  # the motor runs, and is blocked
        await caller.client.publish(f"nuki/{LOCK}/state", state, qos=1)

    assert await caller.outcome() == ("failed", "jammed")


@pytest.mark.parametrize(
    ("command", "times"),
    [("unlatch", 1), ("lock-and-go", 1), ("lock", 2)],
)
async def test_silence_is_unknown_and_only_what_shuts_is_said_again(
    command: str, times: int, house: Any
) -> None:
    _, (lock,), caller = house
    heard = deafen(lock)
    if command == "lock":  # else it may be so already, and nothing would leave
        await caller.client.publish(f"nuki/{LOCK}/state", b"3", qos=1)
        await asyncio.sleep(0)

    await caller.ask(f"nuki/{LOCK}", command, deadline_ms=_in_ms(2_500))

    assert await caller.outcome() == ("unknown", "deadline")
    assert len(heard) == times


async def test_a_deaf_door_is_pressed_once(house: Any, person: Any, broker_url: str) -> None:
    running, _, caller = house
    pressed: list[bytes] = []
    async with person(broker_url) as board:
        await board.subscribe("home/garage/left/command/#")

        async def hear() -> None:
            async for message in board.messages:
                pressed.append(message.payload)  # noqa: PERF401 -- to be read while it grows

        hearing = asyncio.create_task(hear())
        await board.publish("home/garage/left/status/availability", b"online", qos=1)
        await board.publish("home/garage/left/status/door", b"closed", qos=1)
        await until(lambda: running.cell("ratgdo").get("events", 0) >= 2)

        await caller.ask("ratgdo/left", "open", deadline_ms=_in_ms(2_000))

        assert await caller.outcome() == ("unknown", "deadline")
        assert pressed == [b"open"]
        hearing.cancel()


async def test_a_retained_command_is_ignored_whenever_it_is_found(
    house: Any, eventually: Eventually
) -> None:
    running, (lock,), caller = house
    await running.stop()
    heard = deafen(lock)
    await caller.ask(f"nuki/{LOCK}", "unlatch", retain=True)

    await running.start()

    assert await caller.outcome() == ("rejected", "retained")
    assert heard == []
    await caller.client.publish(f"{ROOT}/nuki/{LOCK}/command", b"", qos=1, retain=True)


async def test_killed_in_the_middle_it_is_unknown_and_never_said_again(
    house: Any, eventually: Eventually
) -> None:
    running, (lock,), caller = house
    heard = deafen(lock)
    await caller.ask(f"nuki/{LOCK}", "unlatch", deadline_ms=_in_ms(60_000))
    await eventually(lambda: heard, within_s=10)
    killed = running.cell("nuki")["pid"]

    os.kill(killed, signal.SIGKILL)

    assert await caller.outcome() == ("unknown", "restarted")
    await eventually(lambda: running.cell("nuki").get("pid") not in {None, killed}, within_s=10)
    await eventually(lambda: running.cell("nuki").get("state") == "up", within_s=10)
    await caller.ask(f"nuki/{LOCK}", "unlatch")
    assert await caller.outcome(2) == ("unknown", "restarted")
    assert [message.payload for message in heard] == [b"3"]


async def test_the_gateway_is_stopped_in_the_middle_and_the_caller_is_told(
    house: Any, eventually: Eventually
) -> None:
    running, (lock,), caller = house
    heard = deafen(lock)
    await caller.ask(f"nuki/{LOCK}", "unlatch", deadline_ms=_in_ms(60_000))
    await eventually(lambda: heard, within_s=10)

    assert await running.stop() == 0

    assert await caller.outcome() == ("unknown", "stopped")
    assert len(heard) == 1


# --- for people -----------------------------------------------------------------------------------


async def test_send_ends_with_a_code_for_each_outcome(house: Any, cli: Any) -> None:
    running, (lock,), _ = house
    config = ("--config", str(running.file))

    # At rest so far: nothing that it did before could be taken for an answer.
    deafen(lock)
    code, out, _ = await cli("send", f"nuki/{LOCK}", "unlatch", *config, "--timeout", "1.5")
    assert (code, out) == (5, f"{LOCK} Unlatch: unknown (deadline)\n")

    lock.__class__ = Unit  # it hears again
    code, out, err = await cli("send", f"nuki/{LOCK}", "unlatch", *config)
    assert (code, out, err) == (0, f"{LOCK} Unlatch: succeeded\n", "")

    code, out, _ = await cli("send", f"nuki/{LOCK}", "open", *config, "--json")
    assert code == 3
    assert (json.loads(out)["outcome"], json.loads(out)["reason"]) == ("rejected", "unsupported")

    code, out, err = await cli("send", f"nuki-2/{LOCK}", "lock", *config)
    assert (code, out) == (1, "")
    assert "no gateway on this broker says that it runs a cell nuki-2 at site home" in err

    await running.stop()
    code, out, err = await cli("send", f"nuki/{LOCK}", "lock", *config)
    assert (code, out, err) == (
        1,
        "",
        "cell nuki of site home is stopped; nothing was sent\n",
    )


async def test_tail_shows_what_comes_and_only_what_was_asked_for(
    house: Any, broker_url: str, cli: Any
) -> None:
    running, _, caller = house
    tails = [
        asyncio.create_task(cli("tail", "nuki/*/lock.operation", "--count", "1", *more))
        for more in (
            ("--config", str(running.file)),
            ("--broker", broker_url, "--site", "home", "--json"),
        )
    ]
    for number in range(200):  # until both have subscribed
        await caller.client.publish(f"nuki/{LOCK}/lockActionEvent", f"1,0,{number},0,0", qos=1)
        done, _ = await asyncio.wait(tails, timeout=0.1)
        if len(done) == len(tails):
            break

    (code, line, err), (_, body, _) = [await tail for tail in tails]
    assert (code, err) == (0, "")
    assert f"nuki/{LOCK}  lock.operation  " in line
    assert "operation=Unlock" in line
    assert json.loads(body)["type"] == "doorfleet.lock.operation.v1"


@pytest.mark.parametrize("what", [("send", "nuki/39000001", "lock", "--site", "home"), ("tail",)])
async def test_without_a_broker_people_are_told_so(
    what: tuple[str, ...], cli: Any, free_port: int
) -> None:
    code, out, err = await cli(*what, "--broker", f"mqtt://127.0.0.1:{free_port}")

    assert (code, out) == (1, "")
    assert err.startswith("broker: ")
    assert "is it running" in err
    assert "Traceback" not in err


def _in_ms(ms: int) -> int:
    return time.time_ns() // 1_000_000 + ms
