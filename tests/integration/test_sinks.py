"""Two sinks with a cursor each: a dead one delays nobody, and one that comes back gets it all."""

import asyncio
import contextlib

import aiomqtt
import orjson

DEVICE = "398172F4"
QUICK = {"backoff_base_ms": 50, "backoff_max_ms": 100}
LIMITS = {"rate_per_s": 10_000, "burst": 10_000}


def mqtt(url, name="mqtt", **more):
    return {"kind": "mqtt", "url": url, "name": name, **QUICK, **more}


def jsonl(path, name="jsonl", **more):
    return {"kind": "jsonl", "path": str(path), "name": name, **more}


def lines(path):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return []


def sequences(events):
    return [int(event["sequence"]) for event in events]


async def say(url, count, start=0):
    host, port = url.removeprefix("mqtt://").split(":")
    async with aiomqtt.Client(host, int(port), max_inflight_messages=200) as lock:
        for number in range(start, start + count):
            await lock.publish(f"nuki/{DEVICE}/state", [b"1", b"3"][number % 2], qos=1)


async def test_a_dead_sink_delays_nobody_and_gets_it_all_when_it_is_back(
    life, embedded, tmp_path, free_port, person, eventually, mosquitto
):
    url = f"mqtt://127.0.0.1:{embedded.port}"
    path = tmp_path / "events.jsonl"
    dead = mqtt(f"mqtt://127.0.0.1:{free_port}", "far")
    running = life(url, [mqtt(url), dead, jsonl(path)], limits=LIMITS)
    await eventually(lambda: running.state.get("vendor_up"))
    await say(url, 10_000)

    await eventually(lambda: len(lines(path)) == 10_000, 40)
    await eventually(
        lambda: running.state["lag_rows"] == {"mqtt": 0, "far": 10_000, "jsonl": 0}, 20
    )
    assert sequences(lines(path)) == list(range(1, 10_001))
    assert "sink far" in running.state["reason"]
    assert "sink mqtt" not in running.state["reason"]

    text = (
        f"listener {free_port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
        "max_inflight_messages 0\nmax_queued_messages 0\n"
    )
    await asyncio.to_thread(mosquitto, text)
    await eventually(lambda: running.state["lag_rows"]["far"] == 0, 40)
    await eventually(lambda: running.state["outbox_rows"] == 0, 10)
    assert running.up


async def test_cursors_survive_a_restart(life, embedded, tmp_path, free_port, eventually):
    url = f"mqtt://127.0.0.1:{embedded.port}"
    path = tmp_path / "events.jsonl"
    bus = [mqtt(f"mqtt://127.0.0.1:{free_port}", "far"), jsonl(path)]
    first = life(url, bus, limits=LIMITS)
    await eventually(lambda: first.state.get("vendor_up"))
    await say(url, 50)
    await eventually(lambda: len(lines(path)) == 50, 10)
    await first.end()

    second = life(url, bus, limits=LIMITS)
    await eventually(lambda: second.state.get("vendor_up"))
    await say(url, 10, start=50)
    await eventually(lambda: len(lines(path)) >= 60, 10)

    assert sequences(lines(path)) == list(range(1, 61)), "none twice after an orderly stop"
    assert second.state["lag_rows"]["far"] == 60


async def test_a_line_torn_by_a_crash_is_taken_away_and_written_again(
    life, embedded, tmp_path, eventually
):
    url = f"mqtt://127.0.0.1:{embedded.port}"
    path = tmp_path / "events.jsonl"
    first = life(url, [jsonl(path, fsync=True)], limits=LIMITS)
    await eventually(lambda: first.up)
    await say(url, 20)
    await eventually(lambda: len(lines(path)) == 20)
    await first.end()
    with path.open("ab") as torn:
        torn.write(path.read_bytes()[:137])

    second = life(url, [jsonl(path, fsync=True)], limits=LIMITS)
    await eventually(lambda: second.up)
    await say(url, 5)
    await eventually(lambda: path.read_bytes().count(b"\n") == 25)

    assert sequences(lines(path)) == list(range(1, 26))


async def test_a_file_that_cannot_be_written_is_said_waited_for_and_loses_nothing(
    life, embedded, tmp_path, eventually
):
    url = f"mqtt://127.0.0.1:{embedded.port}"
    in_the_way = tmp_path / "folder"
    in_the_way.write_text("a file where a folder should be")
    path, good = in_the_way / "events.jsonl", tmp_path / "good.jsonl"
    running = life(url, [jsonl(path, "bad"), jsonl(good, "good")], limits=LIMITS)
    await eventually(lambda: running.state.get("vendor_up"))
    await say(url, 30)
    await eventually(lambda: len(lines(good)) == 30)
    await eventually(lambda: "sink bad" in running.state["reason"])
    assert str(path) in running.state["reason"]

    in_the_way.unlink()
    await eventually(lambda: len(lines(path)) == 30, 10)

    assert lines(path) == lines(good)
    await eventually(lambda: running.up)


async def test_a_file_is_renamed_at_its_size_and_no_event_is_lost(
    life, embedded, tmp_path, eventually
):
    url = f"mqtt://127.0.0.1:{embedded.port}"
    path = tmp_path / "events.jsonl"
    running = life(url, [jsonl(path, rotate_bytes=100_000)], limits=LIMITS)
    await eventually(lambda: running.up)
    await say(url, 200)
    await eventually(lambda: running.state["lag_rows"] == {"jsonl": 0} and lines(path), 10)
    older = tmp_path / "events.jsonl.1"
    await eventually(lambda: sequences(lines(older) + lines(path))[-1:] == [200], 10)

    came = sequences(lines(older) + lines(path))
    assert came == list(range(came[0], 201))
    assert older.stat().st_size >= 100_000


async def test_a_link_cut_again_and_again_sends_the_same_ids_again(
    life, broker_url, person, eventually
):
    running = life(broker_url, [mqtt(broker_url, inflight_max=32)], limits=LIMITS)
    await eventually(lambda: running.up)
    total = 2_000
    by_id = {}
    order = []

    async def read(client):
        async for message in client.messages:
            event = orjson.loads(message.payload)
            if event["id"] not in by_id:
                order.append(int(event["sequence"]))
            assert by_id.setdefault(event["id"], message.payload) == message.payload
            if len(by_id) == total:
                return

    async with person(broker_url) as client:
        await client.subscribe("doorfleet/v1/home/nuki/+/event/#", qos=1)
        reading = asyncio.create_task(read(client))
        saying = asyncio.create_task(say(broker_url, total))
        for _ in range(5):
            await asyncio.sleep(0.1)
            connection = running.cell._mqtt[0]._session._connection  # noqa: SLF001 -- the cable
            if connection is not None and connection.attached:
                connection._transport.abort()  # noqa: SLF001
        await saying
        await asyncio.wait_for(reading, 40)

    assert order == list(range(1, total + 1))
    assert len(by_id) == total
