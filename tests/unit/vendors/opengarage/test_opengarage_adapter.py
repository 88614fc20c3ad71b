"""The adapter at a server on loopback, at a broker, and in simulated time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, Final

import pytest
import structlog
from aiohttp import web

from devices.closure import MainState, Position, TargetPosition
from devices.command import COMMANDS, Command
from devices.errors import RefusedError, RejectedError, UnavailableError
from devices.kinds import CLOSURE
from devices.reading import Provenance, Reading, Value
from devices.twin import Twin
from fleet_sim.clock import SimLoop
from fleet_sim.conform.laws import Bench
from fleet_sim.conform.street import Street
from vendors.api import Frame
from vendors.opengarage import VENDOR, adapter, simulator
from vendors.opengarage.guard import MOVES

KEY: Final = "s e&cret=?"
OPEN, CLOSE = "MoveToFullyOpen", "MoveToFullyClosed"


def document(door: int = 0, *, secv: int = 0, dist: int = 200, mac: str = "AA:BB:CC:DD:EE:FF"):
    return b'{"dist":%d,"secv":%d,"door":%d,"fwv":124,"name":"a"b","mac":"%s"}' % (
        dist,
        secv,
        door,
        mac.encode(),
    )


class Cell:
    """A `vendors.api.Port` that knows what it is told to know, and the time by a real clock."""

    network: Any = None

    def __init__(self) -> None:
        self.rng = Random(1)
        self.frames: list[Frame] = []
        self.links: list[tuple[bool, str]] = []
        self.twins: dict[str, Twin] = {}

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        self.frames += frames
        if committed is not None:
            committed()

    def cursor(self, name: str) -> int | None:
        del name

    def link(self, *, up: bool, reason: str) -> None:
        self.links.append((up, reason))

    def twin(self, device: str) -> Twin | None:
        return self.twins.get(device)

    def knows(self, position: Position | None, **more: Value) -> None:
        """What the twin of `left` says from now on."""
        twin = self.twins.setdefault("left", Twin("left", CLOSURE))
        axes = {"position": position, **more}
        twin.fold([Reading("left", a, v, Provenance.POLL) for a, v in axes.items()], self.now_ms())

    def command(self, name: str, timeout_ms: int = 5_000, device: str = "left") -> Command:
        return Command("id", device, name, self.now_ms() + timeout_ms)


class Rig:
    """An opener's server that answers as told, and the adapter that asks it."""

    def __init__(self) -> None:
        self.cell = Cell()
        self.adapter: adapter.HttpOpeners
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.state: tuple[int, bytes] = (200, document())
        self.answer: tuple[int, bytes] = (200, b'{"result":1,"item":""}')
        self.gate = asyncio.Event()
        self.gate.set()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        await self.gate.wait()
        status, body = self.state if request.path == "/jc" else self.answer
        return web.Response(status=status, body=body, headers={"Connection": "close"})

    def pressed(self) -> list[dict[str, str]]:
        return [query for path, query in self.asked if path == "/cc"]


_OF_AN_OPENER: Final = frozenset({"key", "key_file", "closing_takes_s"})


@asynccontextmanager
async def rig(**settings: object) -> AsyncIterator[Rig]:
    it = Rig()
    runner = web.ServerRunner(web.Server(it.serve, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    opener = {
        "name": "left",
        "mac": "AA:BB:CC:DD:EE:FF",
        "url": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "key": KEY,
        "closing_takes_s": 0,
    } | {name: settings.pop(name) for name in list(settings) if name in _OF_AN_OPENER}
    cell = {"poll_ms": 200, "timeout_ms": 300, **settings}
    found = VENDOR.settings.model_validate({"openers": [opener], **cell})
    it.adapter = adapter.HttpOpeners(found, it.cell)
    running = asyncio.create_task(it.adapter.run())
    try:
        yield it
    finally:
        it.gate.set()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await runner.cleanup()


# --- asking -----------------------------------------------------------------------------------


async def test_it_is_asked_without_a_key_and_its_answer_is_as_old_as_the_question(
    eventually,
) -> None:
    async with rig(closing_takes_s=30) as it:
        it.gate.clear()
        await eventually(lambda: it.asked)
        before_ms = it.cell.now_ms()
        it.gate.set()
        await eventually(lambda: it.cell.frames)

    frame = it.cell.frames[0]
    assert it.asked[0] == ("/jc", {})
    assert frame.source == "http/left/jc/unsure"
    assert frame.received_at_ms <= before_ms
    assert (True, "") in it.cell.links


async def test_nobody_knows_where_a_door_was_while_we_were_away(eventually) -> None:
    async with rig(closing_takes_s=30) as it:
        it.cell.knows(Position.FULLY_CLOSED)
        await eventually(lambda: it.cell.frames)
        with pytest.raises(RefusedError, match="unknown_state"):
            await it.adapter.send(it.cell.command(OPEN))

    assert it.cell.frames[0].source == "http/left/jc/unsure"
    assert it.pressed() == []


@pytest.mark.parametrize("state", [(500, b""), (404, document(1)), (302, b"")])
async def test_three_answers_that_are_none_and_it_is_silent(eventually, state) -> None:
    async with rig() as it:
        it.state = state
        await eventually(lambda: it.cell.frames)
        it.state = (200, document(1))
        await eventually(lambda: it.cell.frames[-1].source == "http/left/jc", within_s=10)

    assert it.cell.frames[0].source == "http/left/silent"
    assert it.cell.links[0][0] is False
    assert it.cell.links[-1] == (True, "")
    assert str(state[0]) in it.cell.links[0][1]


async def test_what_is_no_state_goes_to_the_codec_as_it_came(eventually) -> None:
    async with rig() as it:
        it.state = (200, b'{"result":32,"item":""}')
        await eventually(lambda: it.cell.frames)

    assert it.cell.frames[0].payload == b'{"result":32,"item":""}'


# --- pressing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "move"), MOVES.items())
async def test_a_command_is_one_call_with_the_key(name, move) -> None:
    async with rig() as it:
        it.cell.knows(Position.FULLY_OPENED if name == CLOSE else Position.FULLY_CLOSED)
        await it.adapter.send(it.cell.command(name))

    assert it.pressed() == [{"dkey": KEY, move.word: "1"}]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b'{"result":2,"item":""}'), "not_authorized"),
        ((200, b'{"result":48}'), "vendor:48"),
        ((200, b'{"result":0}'), "vendor:0"),
        ((404, b""), "vendor:http_404"),
        ((301, b""), "vendor:http_301"),
    ],
)
async def test_a_refusal_is_told_with_its_reason_and_frees_the_door(answer, reason) -> None:
    async with rig() as it:
        it.cell.knows(Position.FULLY_CLOSED)
        it.answer = answer
        for _ in range(2):
            with pytest.raises(RejectedError) as rejected:
                await it.adapter.send(it.cell.command(OPEN))
            assert rejected.value.detail == reason


@pytest.mark.parametrize(
    "answer", [(500, b""), (200, b""), (200, b"[]"), (200, b'{"result":true}'), (200, b"<html>")]
)
async def test_an_answer_that_cannot_be_understood_may_have_been_a_press(answer) -> None:
    async with rig() as it:
        it.cell.knows(Position.FULLY_CLOSED)
        it.answer = answer
        with pytest.raises(UnavailableError):
            await it.adapter.send(it.cell.command(OPEN))
        with pytest.raises(RefusedError, match="busy"):
            await it.adapter.send(it.cell.command(OPEN))

    assert len(it.pressed()) == 1


async def test_silence_is_no_refusal_and_nothing_is_sent_again(eventually) -> None:
    async with rig() as it:
        await eventually(lambda: it.cell.frames)
        it.cell.knows(Position.FULLY_CLOSED)
        it.gate.clear()

        async def press() -> None:
            while True:  # a question of ours may be under way, and then nothing leaves
                with contextlib.suppress(RefusedError):
                    await it.adapter.send(it.cell.command(OPEN))

        with pytest.raises(UnavailableError):
            await press()

    assert len(it.pressed()) == 1


async def test_an_opener_that_is_not_there_was_not_pressed() -> None:
    found = VENDOR.settings.model_validate(
        {"openers": [{"name": "left", "url": "http://127.0.0.1:1", "key": KEY}]}
    )
    cell = Cell()
    cell.knows(Position.FULLY_CLOSED)
    openers = adapter.HttpOpeners(found, cell)
    running = asyncio.create_task(openers.run())

    for _ in range(2):  # not `busy` the second time
        with pytest.raises(RefusedError, match="unavailable"):
            await openers.send(cell.command(OPEN))
    await openers.refresh("left")
    await openers.refresh("nobody")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("known", "name", "said"),
    [
        ({"position": None}, OPEN, "unknown_state"),
        ({"position": Position.PARTIALLY_OPENED}, OPEN, "unknown_state"),
        ({"position": Position.PARTIALLY_OPENED}, CLOSE, "unknown_state"),
        ({"position": Position.FULLY_OPENED}, "Stop", "unsupported"),
    ],
)
async def test_what_could_go_the_wrong_way_is_not_pressed(known, name, said) -> None:
    async with rig() as it:
        it.cell.knows(**known)
        with pytest.raises(RefusedError, match=said):
            await it.adapter.send(it.cell.command(name))

    assert it.pressed() == []


async def test_nobody_and_nothing_in_time_is_refused() -> None:
    async with rig() as it:
        for command, said in (
            (it.cell.command(OPEN, device="nobody"), "unknown_device"),
            (it.cell.command(OPEN), "unknown_device"),
        ):
            with pytest.raises(RefusedError, match=said):
                await it.adapter.send(command)
        it.cell.knows(Position.FULLY_CLOSED)
        with pytest.raises(RefusedError, match="expired"):
            await it.adapter.send(it.cell.command(OPEN, timeout_ms=-1))

    assert it.pressed() == []


@pytest.mark.parametrize(
    ("main_state", "target", "name", "said"),
    [
        (MainState.MOVING, TargetPosition.MOVE_TO_FULLY_OPEN, OPEN, None),
        (MainState.MOVING, TargetPosition.MOVE_TO_FULLY_OPEN, CLOSE, "precondition"),
        (MainState.MOVING, TargetPosition.MOVE_TO_FULLY_CLOSED, OPEN, "precondition"),
        (MainState.STOPPED, TargetPosition.NONE, OPEN, "unknown_state"),
    ],
)
async def test_with_security_plus_1_a_moving_door_is_left_alone(
    eventually, main_state, target, name, said
) -> None:
    async with rig() as it:
        it.state = (200, document(4, secv=1))
        await eventually(lambda: it.cell.frames)
        it.cell.knows(Position.PARTIALLY_OPENED, main_state=main_state, target_position=target)
        with pytest.raises(RefusedError, match=said) if said else contextlib.nullcontext():
            await it.adapter.send(it.cell.command(name))

    assert it.pressed() == []


async def test_with_security_plus_2_each_direction_has_its_word(eventually) -> None:
    async with rig() as it:
        it.state = (200, document(4, secv=2))
        await eventually(lambda: it.cell.frames)
        it.cell.knows(Position.PARTIALLY_OPENED)
        await it.adapter.send(it.cell.command(CLOSE))
        await it.adapter.send(it.cell.command(CLOSE))

    assert [*map(set, it.pressed())] == [{"dkey", "close"}] * 2


# --- the key ----------------------------------------------------------------------------------


async def test_without_a_key_it_is_watched_and_not_commanded(tmp_path) -> None:
    file = tmp_path / "key"
    for key in ({"key": None}, {"key": None, "key_file": str(file)}):
        async with rig(**key) as it:
            it.cell.knows(Position.FULLY_CLOSED)
            said = "unavailable" if "key_file" in key else "not_authorized"
            with pytest.raises(RefusedError, match=said):
                await it.adapter.send(it.cell.command(OPEN))
            if "key_file" in key:
                file.write_text(f"{KEY}\n")
                await it.adapter.send(it.cell.command(OPEN))
                assert it.pressed() == [{"dkey": KEY, "open": "1"}]


async def test_the_key_is_in_no_reason_no_log_and_no_frame(eventually) -> None:
    told: list[object] = []
    with structlog.testing.capture_logs() as logs:
        async with rig() as it:
            await eventually(lambda: it.cell.frames)
            it.cell.knows(Position.FULLY_CLOSED)
            for answer in ((200, b'{"result":2}'), (302, b""), (500, b"")):
                it.answer = answer
                with pytest.raises((RejectedError, UnavailableError)) as failed:
                    await it.adapter.send(it.cell.command(OPEN))
                told += [failed.value, failed.value.__cause__, failed.value.__context__]
            told += [it.adapter, it.cell.frames, it.cell.links, logs]

    assert len(it.pressed()) == 3
    shown = "".join(f"{each!r}{each}" for each in told)
    assert KEY not in shown
    assert "cret" not in shown


# --- in simulated time ------------------------------------------------------------------------


def places(here: Street) -> list[tuple[float, Value]]:
    """Each new position that the frames told, and when (s)."""
    decode = VENDOR.decoder(here.settings)
    found: list[tuple[float, Value]] = []
    for frame in here.frames:
        for fact in decode(frame):
            if isinstance(fact, Reading) and fact.axis == "position":
                at_s = (frame.received_at_ms - here.frames[0].received_at_ms) / 1_000
                if not found or found[-1][1] != fact.value:
                    found.append((at_s, fact.value))
    return found


def opened(here: Street) -> simulator.Opener:
    opener: Any = here.devices[0]
    return opener


async def until_held(here: Street, name: str) -> None:
    """Wait until the twin shows that the command is done."""
    for _ in range(200):
        if here.holds(opened(here), name):
            return
        await asyncio.sleep(0.5)
    raise AssertionError(name)


async def shut(here: Street) -> None:
    """Wait until the door is shut, and known to be."""
    for _ in range(60):
        if here.holds(opened(here), CLOSE):
            return
        if opened(here).board.door.word(here.now_ms()) in {"open", "stopped"}:
            here.act(opened(here), "wall_button")
        await asyncio.sleep(5)
    raise AssertionError(opened(here).board.status)


def test_a_door_is_shut_half_a_minute_after_its_sensor_lost_sight_of_it() -> None:
    async def play(here: Street) -> None:
        await shut(here)
        for _ in range(2):
            here.act(opened(here), "wall_button")
            await asyncio.sleep(60)

    found = places(Bench("opengarage").street(play, count=1))[-3:]

    assert [value for _, value in found] == ["FullyOpened", "PartiallyOpened", "FullyClosed"]
    assert 30 <= found[2][0] - found[1][0] <= 31


def test_a_press_that_may_be_under_way_is_not_followed_by_another() -> None:
    sent: list[bool] = []

    async def play(here: Street) -> None:
        await shut(here)
        here.act(opened(here), "fault:deaf")
        for _ in range(12):
            sent.append(await here.send(opened(here), OPEN))
            await asyncio.sleep(5)

    Bench("opengarage").street(play, count=1)

    assert [number for number, left in enumerate(sent) if left] == [0, 9]  # 44.5 s


def test_a_door_that_arrived_may_be_pressed_again() -> None:
    sent: list[bool] = []

    async def play(here: Street) -> None:
        await shut(here)
        sent.append(await here.send(opened(here), OPEN))
        await until_held(here, OPEN)
        sent.append(await here.send(opened(here), CLOSE))

    Bench("opengarage").street(play, count=1)

    assert sent == [True, True]


def test_main_state_is_unknown_for_want_of_a_sensor_and_commands_are_for_such() -> None:
    async def play(here: Street) -> None:
        await asyncio.sleep(10)

    here = Bench("opengarage").street(play, count=1)

    known = here.twins[opened(here).name].axes["main_state"]
    assert (known.value, known.reason) == (None, "no_sensor")
    for name in VENDOR.commands:
        assert COMMANDS["closure"][name].sensed == ("main_state",)


# --- over MQTT --------------------------------------------------------------------------------

OVER_MQTT: Final = {"broker": {}, "openers": [{"name": "left", "topic": "My Garage"}]}


@asynccontextmanager
async def at_broker(eventually: Any) -> AsyncIterator[tuple[Cell, adapter.MqttOpeners, Any, list]]:
    import aiomqtt  # noqa: PLC0415 -- here only

    from fleet_sim.broker.tcp import TcpBroker  # noqa: PLC0415

    async with TcpBroker() as broker:
        settings = VENDOR.settings.model_validate(
            OVER_MQTT | {"broker": {"url": f"mqtt://127.0.0.1:{broker.port}"}}
        )
        cell = Cell()
        openers = adapter.MqttOpeners(settings, cell)
        heard: list[tuple[str, bytes, int, bool]] = []
        async with aiomqtt.Client("127.0.0.1", broker.port) as board:
            await board.subscribe("My Garage/IN/#", qos=1)

            async def hear() -> None:
                async for message in board.messages:
                    heard.append(  # noqa: PERF401 -- as they come
                        (message.topic.value, message.payload, message.qos, message.retain)
                    )

            tasks = [asyncio.create_task(openers.run()), asyncio.create_task(hear())]
            await eventually(lambda: cell.links and cell.links[-1][0])
            try:
                yield cell, openers, board, heard
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("name", "move"), MOVES.items())
async def test_over_mqtt_a_command_is_one_word_and_never_retained(eventually, name, move) -> None:
    async with at_broker(eventually) as (cell, openers, _, heard):
        cell.knows(Position.FULLY_OPENED if name == CLOSE else Position.FULLY_CLOSED)
        await openers.send(cell.command(name))
        with pytest.raises(RefusedError, match="busy"):
            await openers.send(cell.command(name))
        with pytest.raises(RefusedError, match="unknown_device"):
            await openers.send(cell.command(name, device="nobody"))
        await openers.refresh("left")
        await eventually(lambda: heard)

    assert heard == [("My Garage/IN/STATE", move.word.encode(), 1, False)]


async def test_over_mqtt_a_word_beside_a_document_is_redundant(eventually) -> None:
    async with at_broker(eventually) as (cell, _, board, _):
        for topic, payload in (
            ("STATE", b"CLOSED"),
            ("JSON", document(1)),
            ("STATE", b"OPEN"),
            ("JSON", document(0)),
            ("STATE", b"CLOSED"),
            ("JSON", b"nonsense"),
            ("STATUS", b"offline"),
        ):
            await board.publish(f"My Garage/OUT/{topic}", payload, qos=1)
        await eventually(lambda: len(cell.frames) == 7)

    assert [frame.source.removeprefix("My Garage/OUT/") for frame in cell.frames] == [
        "STATE/redundant",
        "JSON",
        "STATE/redundant",
        "JSON/settling",
        "STATE/redundant",
        "JSON",
        "STATUS",
    ]


def over_mqtt(said: Sequence[tuple[float, str, bytes]], *, set_at: float = 1e9) -> list[str]:
    """What is added to the source of each (s, topic, payload); the wall clock is set back then."""
    settings = adapter.OpenGarageSettings.model_validate(
        OVER_MQTT | {"broker": {"url": "mqtt://127.0.0.1"}}
    )
    marks: list[str] = []

    async def listen() -> None:
        openers, now_s = adapter.MqttOpeners(settings, Cell()), asyncio.get_running_loop().time
        for at_s, topic, payload in said:
            await asyncio.sleep(at_s - now_s())
            wall_ms = round(now_s() * 1_000) - (at_s > set_at) * 3_600_000
            frame = Frame(f"My Garage/OUT/{topic}", payload, 1_800_000_000_000 + wall_ms)
            marked = openers._marked(frame).source  # noqa: SLF001 -- what the codec is to read
            marks.append(marked.removeprefix(frame.source))

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(listen())
    return marks


def test_over_mqtt_a_door_that_just_closed_is_not_shut_although_open_was_lost() -> None:
    shut, closed = ("JSON", document(0)), ("NOTIFY", b"My Garage just CLOSED!")
    said = [(at_s, *shut) for at_s in (1, 17, 33, 40)] + [(40, *closed)]

    marks = over_mqtt([*said, (56, *shut), (72, *shut)])

    assert marks == ["/unsure", "/unsure", "", "", "", "/settling", ""]


def test_a_door_that_is_shut_stays_shut_when_our_clock_is_set_back() -> None:
    said = [(at_s, "JSON", document(0)) for at_s in (1, 17, 33, 49, 65)]

    assert over_mqtt(said, set_at=40) == ["/unsure", "/unsure", "", "", ""]


def test_over_mqtt_a_shut_door_that_was_long_not_heard_of_is_not_believed_at_once() -> None:
    said = [(at_s, "JSON", document(0)) for at_s in (1, 17, 33, 3_600, 3_616, 3_632)]

    assert over_mqtt(said) == ["/unsure", "/unsure", "", "/unsure", "/unsure", ""]


def test_over_mqtt_the_words_are_read_when_no_document_comes() -> None:
    async def play(here: Street) -> None:
        opened(here).board.name = "long" * 25
        await asyncio.sleep(120)
        here.act(opened(here), "wall_button")
        await asyncio.sleep(60)

    bench = Bench("opengarage")
    real, options = bench.module, {"transport": "mqtt"}
    bench.module = SimpleNamespace(
        fleet=lambda spec, rng_for: real.fleet(replace(spec, options=options), rng_for),
        gateway_settings=lambda spec, at: real.gateway_settings(replace(spec, options=options), at),
    )
    here = bench.street(play, count=1)

    assert not any("JSON" in frame.source for frame in here.frames)
    assert [value for _, value in places(here)] == ["FullyClosed", "FullyOpened"]
    assert "main_state" not in here.twins[opened(here).name].axes
