"""Live traffic of a real broker, recorded by the real program; and a rhythm found again."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import aiomqtt
import pytest

from fleet_sim import replay, scenario
from fleet_sim.cli import main
from fleet_sim.clock import SimLoop
from fleet_sim.quiet import quiet_log
from fleet_sim.recording import capture, lines
from fleet_sim.recording.deeds import deeds, sightings
from fleet_sim.recording.rhythm import derive
from fleet_sim.recording.rhythm import scenario as files_of
from fleet_sim.recording.scrub import Scrubber
from fleet_sim.recording.usual import per_day
from fleet_sim.stage import StageError
from fleet_sim.virtual import VirtualRun
from vendors.wire.mqtt import MqttSettings

PROGRAM: Final = Path(sys.executable).with_name("doorfleet-sim")
KEY: Final = b"a key that tests may know"


class Recorder:
    """`doorfleet-sim record` on a file, from the moment that it says so."""

    def __init__(self, out: Path, process: asyncio.subprocess.Process) -> None:
        self.out = out
        self.process = process

    async def end(self, number: int = signal.SIGINT) -> tuple[int, dict[str, Any]]:
        """Send the signal; the exit code, and its report."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> tuple[int, dict[str, Any]]:
        """Wait for its end."""
        async with asyncio.timeout(30):
            said, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, json.loads(said) if said else {}

    def records(self) -> list[dict[str, Any]]:
        """All whole lines."""
        return list(lines.stream(self.out)) if self.out.exists() else []


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`await recorder(url, "--vendor", "nuki")` records, and does not outlive the test."""
    made: list[Recorder] = []

    async def start(url: str, *arguments: str) -> Recorder:
        out = tmp_path / f"out-{len(made)}.jsonl"
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "record", "--broker", url, *arguments, out, "--json", "-",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        made.append(Recorder(out, process))
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b"Ctrl-C ends it" not in (said := await process.stderr.readline()):
                assert said, "it ended before it recorded"
        return made[-1]

    yield start
    for each in made:
        if each.process.returncode is None:
            each.process.kill()
            await each.process.communicate()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_was_kept_and_what_comes_is_recorded_without_names(
    broker_url: str, person: Any, recorder: Any, eventually: Any, version: str
) -> None:
    async with person(broker_url) as speaker:
        await speaker.publish("nuki/398172F4/name", "Oma Erna", qos=1, retain=True)
        await speaker.publish("elsewhere/x", "1", qos=1, retain=True)
        recording = await recorder(broker_url, "--vendor", "nuki", "--mqtt", version)
        await eventually(lambda: len(recording.records()) == 1, within_s=10)
        await speaker.publish("nuki/398172F4/state", "3", qos=2, retain=True)
        await speaker.publish("nuki/398172F4/lockAction", "1", qos=0)
        await speaker.publish("nuki/398172F4/strange", b"\xff\xfe\x01", qos=1)
        await eventually(lambda: len(recording.records()) == 4, within_s=10)
        code, report = await recording.end()

    kept, state, action, strange = recording.records()
    device = kept["topic"].split("/")[1]
    text = recording.out.read_text()
    assert (code, report["frames"], report["stored"], report["ended"]) == (0, 4, 1, "told to stop")
    assert "398172F4" not in text
    assert "Erna" not in text
    assert device != "398172F4"
    assert {each["topic"].split("/")[1] for each in recording.records()} == {device}
    assert (kept["stored"], kept["retained"], kept["began_at_ms"] > 0) == (True, True, True)
    live = (state["payload"], state["qos"], state["retained"], state["direction"])
    assert live == ("3", 1, True if version == "5" else None, "device->host")
    assert (action["direction"], action["payload"]) == ("host->device", "1")
    assert len(bytes.fromhex(strange["payload_hex"])) == 3


async def test_a_recorder_that_is_killed_leaves_all_lines_but_the_last(
    embedded: Any, person: Any, recorder: Any, eventually: Any
) -> None:
    broker_url = f"mqtt://127.0.0.1:{embedded.port}"
    recording = await recorder(broker_url, "--topic", "t/#")
    async with person(broker_url) as speaker:
        for number in range(200):
            await speaker.publish("t/x", str(number), qos=1)
        await eventually(lambda: len(recording.records()) >= 200, within_s=10)
        code, _ = await recording.end(signal.SIGKILL)

    with recording.out.open("ab") as file:
        file.write(b'{"at_ms":7,"topic":"t')  # as if in the middle of a line
    found = lines.read(recording.out)
    assert code == -signal.SIGKILL
    assert [each.payload for each in found.frames] == [str(n).encode() for n in range(200)]
    assert list(found.skipped) == [
        "the last line is cut off: the recorder was ended while it wrote"
    ]


@pytest.mark.parametrize(
    ("bounds", "least", "said"),
    [
        ({"count": 3}, 3, "3 frames, as wished"),
        ({"bytes_max": 1024}, 5, "the file has reached 1024 bytes"),
        ({"for_s": 0.5}, 0, "0.5 s, as wished"),
    ],
)
async def test_it_ends_when_it_is_enough(
    embedded: Any, person: Any, tmp_path: Path, bounds: Any, least: int, said: str
) -> None:
    url = f"mqtt://127.0.0.1:{embedded.port}"
    wish = capture.Wish(MqttSettings(url=url), ("t/#",), **bounds)
    tape = capture.Tape(tmp_path / "out.jsonl", Scrubber(KEY), wish)
    up = asyncio.Event()
    recording = asyncio.create_task(capture.record(wish, tape, asyncio.Event(), lambda _: up.set()))
    async with person(url) as speaker:
        await up.wait()
        for number in range(50):
            await speaker.publish("t/x", str(number), qos=1)
        figures = await recording

    size = (tmp_path / "out.jsonl").stat().st_size
    assert (figures.ended, figures.bytes) == (said, size)
    assert len(list(lines.stream(tmp_path / "out.jsonl"))) == figures.frames
    assert least <= figures.frames <= bounds.get("count", 50)
    assert size <= bounds.get("bytes_max", size)


async def test_a_lost_link_is_made_again_and_the_gap_is_in_the_recording(
    tmp_path: Path, person: Any, eventually: Any, embedded: Any
) -> None:
    url, out = f"mqtt://127.0.0.1:{embedded.port}", tmp_path / "out.jsonl"
    enough = asyncio.Event()
    wish = capture.Wish(MqttSettings(url=url), ("t/#",))
    tape = capture.Tape(tmp_path / "out.jsonl", Scrubber(KEY), wish)
    recording = asyncio.create_task(capture.record(wish, tape, enough, lambda _: None))

    async def said(payload: str) -> bool:
        async with person(url) as speaker:
            await speaker.publish("t/x", payload, qos=1)
        return out.exists() and any(each.get("payload") == payload for each in lines.stream(out))

    await eventually(lambda: recording.done() or said("1"), within_s=10)
    await embedded.stop()
    await eventually(lambda: tape.figures.links_lost == 1, within_s=10)
    await embedded.start()
    await eventually(lambda: said("2"), within_s=20)
    enough.set()
    figures = await recording

    logs = [each for each in lines.stream(tmp_path / "out.jsonl") if each["transport"] == "log"]
    assert (figures.links_lost, len(logs)) == (1, 1)
    assert "is missing" in logs[0]["payload"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--northbound", "--no-scrub", "please"), 2, "write --no-scrub with-names"),
        ((), 2, "give --northbound, --vendor or --topic"),
        (("--vendor", "tedee"), 2, "record what the gateway says of it with --northbound"),
        (("--vendor", "nuky"), 2, "did you mean 'nuki'?"),
        (("--topic", "a/#/b"), 2, "as the last level"),
        (("--northbound", "--broker", "127.0.0.1"), 2, "write mqtt://host:port"),
        (("--northbound", "--for", "soon"), 2, "write it like 90s"),
        (("--northbound", "--ca-file", "x.pem"), 2, "need TLS"),
        (("--from", "none.jsonl"), 2, "No such file"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_remedy(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str, capsys: Any
) -> None:
    try:
        found = main(["record", *arguments, str(tmp_path / "out.jsonl")])
    except SystemExit as error:  # argparse's way
        found = int(error.code or 0)

    assert (found, said in (err := capsys.readouterr().err)) == (code, True), err


def test_what_cannot_be_read_or_written_is_told_with_all_other_mistakes(
    tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.jsonl"
    out.mkdir()

    code = main(["record", "--from", str(tmp_path), str(out), "--force", "--count", "0"])

    said = capsys.readouterr().err
    assert code == 2
    assert f"--from {tmp_path}: Is a directory" in said
    assert f"OUT {out}: Is a directory" in said
    assert "--count 0" in said


@pytest.mark.parametrize("old", [None, "mine"])
def test_what_fails_before_the_first_frame_leaves_the_file_as_it_was(
    tmp_path: Path, free_port: int, capsys: Any, old: str | None
) -> None:
    out = tmp_path / "out.jsonl"
    if old is not None:
        out.write_text(old)
    record = ["record", str(out), *(["--force"] if old else [])]

    nobody = main([*record, "--northbound", "--broker", f"mqtt://127.0.0.1:{free_port}"])
    none = main([*record, "--from", str(tmp_path / "none.jsonl")])
    zone = main([*record, "--northbound", "--timezone", "Atlantis/Capital"])

    assert (nobody, none, zone) == (3, 2, 2), capsys.readouterr().err
    assert (out.read_text() if out.exists() else None) == old


async def test_a_recording_in_which_nothing_was_said_is_there_and_empty(
    embedded: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    url = f"mqtt://127.0.0.1:{embedded.port}"
    wish = capture.Wish(MqttSettings(url=url), ("t/#",), for_s=0.2)

    figures = await capture.record(
        wish, capture.Tape(out, None, wish), asyncio.Event(), lambda _: None
    )

    assert (figures.frames, out.read_bytes()) == (0, b"")


@pytest.mark.parametrize("bounds", [{"for_s": 0.3}, {}])
async def test_it_ends_although_frames_keep_coming(
    embedded: Any, person: Any, tmp_path: Path, bounds: Any
) -> None:
    url = f"mqtt://127.0.0.1:{embedded.port}"
    wish = capture.Wish(MqttSettings(url=url), ("t/#",), **bounds)
    tape = capture.Tape(tmp_path / "out.jsonl", None, wish)
    up, enough = asyncio.Event(), asyncio.Event()
    recording = asyncio.create_task(capture.record(wish, tape, enough, lambda _: up.set()))
    async with person(url) as speaker:
        await up.wait()
        until_s = asyncio.get_running_loop().time() + 5
        while not recording.done() and asyncio.get_running_loop().time() < until_s:
            await speaker.publish("t/x", "1", qos=0)
            await asyncio.sleep(0)
            if not bounds and tape.figures.frames > 20:
                enough.set()
        ended = recording.done()
        enough.set()
        figures = await recording

    assert ended, figures.frames
    assert figures.ended == ("0.3 s, as wished" if bounds else "told to stop")


async def test_a_password_is_read_as_the_gateway_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def nobody(*_: Any, **more: Any) -> Any:
        given.update(more)
        raise aiomqtt.MqttError("nobody")

    monkeypatch.setattr(aiomqtt, "Client", nobody)
    secret = tmp_path / "password"
    secret.write_text(" two words \n")
    at = MqttSettings(url="mqtt://127.0.0.1", username="erna", password_file=secret)
    wish = capture.Wish(at, ("t/#",))
    tape = capture.Tape(tmp_path / "out.jsonl", None, wish)

    with pytest.raises(StageError, match="nobody"):
        await capture.record(wish, tape, asyncio.Event(), lambda _: None)

    assert given["password"] == " two words "


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--broker", "mqtts://127.0.0.1", "--ca-file", "FILE"), "no PEM certificate in it"),
        (("--broker", "mqtts://127.0.0.1", "--ca-file", "none.pem"), "ca_file none.pem: No such"),
        (("--username", "x", "--password-file", "none"), "password_file none: No such"),
        (("--username", "x", "--password-file", "FILE"), "utf-8"),
    ],
)
def test_a_file_of_the_identity_that_is_none_is_named(
    tmp_path: Path, capsys: Any, more: tuple[str, ...], said: str
) -> None:
    (tmp_path / "file").write_bytes(b"\xff\xfe")
    given = [str(tmp_path / "file") if each == "FILE" else each for each in more]

    code = main(["record", "--northbound", *given, str(tmp_path / "out.jsonl")])

    assert (code, said in (err := capsys.readouterr().err)) == (2, True), err


def test_no_broker_is_told_and_a_file_that_is_there_is_kept(
    tmp_path: Path, free_port: int, capsys: Any
) -> None:
    out = tmp_path / "out.jsonl"
    nobody = main(["record", "--northbound", "--broker", f"mqtt://127.0.0.1:{free_port}", str(out)])
    said = capsys.readouterr().err
    out.write_text("mine")
    there = main(["record", "--northbound", str(out)])

    assert (nobody, "is a broker running there" in said) == (3, True), said
    assert (there, "--force" in capsys.readouterr().err, out.read_text()) == (2, True, "mine")


def test_a_recording_of_somebody_else_is_scrubbed_and_made_a_scenario(
    tmp_path: Path, capsys: Any
) -> None:
    source, out, day = tmp_path / "theirs.jsonl", tmp_path / "out.jsonl", tmp_path / "day.yaml"
    frames = [
        {"at_ms": n * 600_000, "direction": "device->host", "transport": "mqtt", "retained": False,
         "topic": "nuki/398172F4/state", "payload": str(1 + 2 * (n % 2)), "note": "of Erna"}
        for n in range(20)
    ]  # fmt: skip
    source.write_text("".join(json.dumps(each) + "\n" for each in frames))

    code = main(["record", "--from", str(source), str(out), "--scenario", str(day), "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    checked = main(["check", str(day)])

    assert (code, report["frames"], checked) == (0, 20, 0)
    assert report["scenario"]["vendors"]["nuki"]["deeds"] == 19
    assert "Erna" not in out.read_text()
    assert "398172F4" not in out.read_text()
    assert scenario.load(day).fleet["nuki"] == 1


def week(path: Path) -> None:
    """A recording of a lock over more than a week, so that its rhythm is a CSV's."""
    frames = [
        {"at_ms": n * 1_800_000, "transport": "mqtt", "topic": "nuki/398172F4/state",
         "payload": str(1 + 2 * (n % 2))}
        for n in range(400)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(each) + "\n" for each in frames))


def test_a_scenario_is_reported_under_the_names_that_it_has(tmp_path: Path, capsys: Any) -> None:
    week(tmp_path / "theirs.jsonl")
    record = ["record", "--from", str(tmp_path / "theirs.jsonl"), str(tmp_path / "out.jsonl")]

    code = main([*record, "--scenario", str(tmp_path / "day.yml"), "--json", "-"])
    report = json.loads(capsys.readouterr().out)

    made = {path.name for path in tmp_path.glob("day*")}
    assert (code, made) == (0, {"day.yml", "day.nuki.csv"})
    assert set(report["scenario"]["files"]) == made
    assert scenario.load(tmp_path / "day.yml").fleet["nuki"] == 1


def test_a_csv_that_is_there_is_kept_unless_it_is_forced(tmp_path: Path, capsys: Any) -> None:
    week(tmp_path / "theirs.jsonl")
    csv = tmp_path / "day.nuki.csv"
    csv.write_text("mine")
    record = ["record", "--from", str(tmp_path / "theirs.jsonl"), str(tmp_path / "out.jsonl")]
    record += ["--scenario", str(tmp_path / "day.yaml")]

    refused = main(record)
    said, kept = capsys.readouterr().err, csv.read_text()
    forced = main([*record, "--force"])

    assert (refused, f"{csv}: it is there already" in said, kept) == (2, True, "mine"), said
    assert (forced, csv.read_text() != "mine") == (0, True)


def test_names_stay_only_where_the_word_is_said(tmp_path: Path, capsys: Any) -> None:
    source, out = tmp_path / "theirs.jsonl", tmp_path / "out.jsonl"
    source.write_text(
        '{"at_ms":0,"transport":"mqtt","topic":"nuki/398172F4/state","payload":"1"}\n'
    )

    code = main(["record", "--from", str(source), str(out), "--no-scrub", "with-names"])

    assert (code, "398172F4" in out.read_text()) == (0, True)
    assert "show it to nobody" in capsys.readouterr().err


async def test_a_recording_of_the_bus_is_played_to_those_who_listen(
    broker_url: str, person: Any, tmp_path: Path
) -> None:
    path = tmp_path / "bus.jsonl"
    topic = "doorfleet/v1/home/nuki/a/event/lock.changed"
    frames = [
        {"at_ms": at_ms, "transport": "mqtt", "topic": topic, "qos": 1, "payload": {"n": at_ms}}
        for at_ms in (0, 60_000, 60_050)
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in frames))

    async with person(broker_url) as listener:
        await listener.subscribe("doorfleet/#", qos=1)
        how = replay.Options(speed=2, max_gap_s=0.2, loop=2)
        report = await replay.play(path, broker_url, how)
        heard = [json.loads((await anext(listener.messages)).payload)["n"] for _ in range(6)]

    assert heard == [0, 60_000, 60_050] * 2
    assert (report["sent"], report["refused"], report["events"]) == ({"mqtt": 6}, {}, 0)
    assert 0.24 <= report["seconds"] < 10


async def test_datagrams_and_posts_are_played_where_somebody_listens(
    broker_url: str, tmp_path: Path
) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    class Listener(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 -- asyncio's
            got.put_nowait(data)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"200 OK" if b"POST /hook " in head else b"404 Not Found"
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(Listener, local_addr=("127.0.0.1", 0))
    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    ports = udp.get_extra_info("sockname")[1], web.sockets[0].getsockname()[1]
    path = tmp_path / "mixed.jsonl"
    frames = [
        {"at_ms": 0, "transport": "udp", "payload_hex": "1720"},
        {"at_ms": 1, "transport": "http", "method": "POST", "path": "/hook", "payload": "{}"},
        {"at_ms": 2, "transport": "http", "method": "POST", "path": "/else", "payload": "{}"},
        {"at_ms": 3, "transport": "http", "status": 200, "payload": "{}"},
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in frames))
    how = replay.Options(None, udp=f"127.0.0.1:{ports[0]}", http=f"http://127.0.0.1:{ports[1]}")

    report = await replay.play(path, broker_url, how)

    assert await got.get() == b"\x17\x20"
    assert report["sent"] == {"http": 2, "udp": 1}
    assert report["refused"] == {"http: status 404": 1}
    assert report["skipped"] == {"http: an answer, which nobody here asked for": 1}
    udp.close()
    web.close()


# --- a rhythm, recorded and found again -------------------------------------------------------

#: Two peaks and a quiet night, as no flat rhythm has them.
HOURS: Final = (0, 0, 0, 0, 0, 1, 4, 9, 5, 2, 1, 1, 2, 2, 1, 2, 4, 8, 7, 3, 2, 1, 1, 0)
PACE: Final = 1.5
RATE_TOLERANCE: Final = 0.15
SHAPE_TOLERANCE: Final = 0.17


class Taped(VirtualRun):
    """A simulated run whose bus is recorded as a broker's would be."""

    tape: capture.Tape

    def _heard(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        super()._heard(topic, payload, qos, retain)
        self.tape.take(topic, payload, qos=qos, retained=retain, stored=False, at_ms=self.now_ms())


def recorded(wanted: scenario.Scenario, seed: int, folder: Path, out: Path) -> list[Any]:
    folder.mkdir()
    with quiet_log(), asyncio.Runner(loop_factory=SimLoop) as runner:

        async def live() -> None:
            one = Taped(wanted, seed, folder)
            wish = capture.Wish(MqttSettings(url="mqtt://127.0.0.1"), ())
            one.tape = capture.Tape(out, Scrubber(KEY), wish)
            await one.run(None)
            one.tape.close()

        runner.run(live())
    return list(sightings(lines.stream(out)))


def by_hour(seen: list[Any]) -> list[float]:
    counts = [0.0] * 24
    for each in deeds(seen):
        counts[int(each.at_ms % 86_400_000 // 3_600_000)] += 1
    return counts


def distance(one: list[float], other: list[float]) -> float:
    """What share of the deeds would have to be at another hour."""
    return sum(abs(a / sum(one) - b / sum(other)) for a, b in zip(one, other, strict=True)) / 2


def test_a_fleets_rhythm_is_recorded_and_the_scenario_made_of_it_has_it_again(
    tmp_path: Path,
) -> None:
    habits = {"rhythm": {"hours": HOURS}, "pace": PACE}
    fleet = [
        {"vendor": vendor, "count": count, "habits": habits}
        for vendor, count in (("nuki", 50), ("ratgdo", 10))
    ]
    wanted = scenario.Scenario.model_validate({"hours": 24, "fleet": fleet})

    seen = recorded(wanted, 1, tmp_path / "one", tmp_path / "one.jsonl")
    usual = per_day(["nuki", "ratgdo"])
    found = derive(seen, usual, UTC)
    assert found is not None
    for name, text in files_of(found, "again", "one.jsonl").items():
        (tmp_path / name).write_text(text)
    again = scenario.load(tmp_path / "again.yaml")
    second = recorded(again, 2, tmp_path / "two", tmp_path / "two.jsonl")

    assert dict(again.fleet) == {"nuki": 50, "ratgdo": 10}
    before, after = by_hour(seen), by_hour(second)
    assert abs(sum(after) / sum(before) - 1) < RATE_TOLERANCE
    assert distance(before, after) < SHAPE_TOLERANCE
    assert distance(before, [1.0] * 24) > 2 * SHAPE_TOLERANCE
    for vendor in usual:
        assert found.vendors[vendor].pace == pytest.approx(PACE, rel=0.35)
    text = (tmp_path / "one.jsonl").read_text()
    assert "nuki-0" not in text
