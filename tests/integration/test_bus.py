"""From a lock's wire to the bus: on both brokers, read by a client that is none of our code."""

import asyncio
import json

import aiomqtt
import orjson
import pytest

from gateway.schemas import installed

DEVICE = "398172F4"
STATES = {b"1": "Locked", b"3": "Unlocked"}


def mqtt(url):
    return {"kind": "mqtt", "url": url, "backoff_base_ms": 50, "backoff_max_ms": 100}


async def collect(client, count, within_s=20.0):
    """The next so many messages."""
    came = []
    async with asyncio.timeout(within_s):
        async for message in client.messages:
            came.append(message)
            if len(came) == count:
                return came
    return came


async def test_every_change_is_a_valid_event_in_order_and_the_state_is_kept(
    life, broker_url, person, eventually
):
    running = life(broker_url, [mqtt(broker_url)], limits={"rate_per_s": 10_000, "burst": 10_000})
    await eventually(lambda: running.up)
    async with person(broker_url) as client:
        await client.subscribe("doorfleet/v1/home/nuki/+/event/#", qos=1)
        for number in range(400):
            await client.publish(f"nuki/{DEVICE}/state", [b"1", b"3"][number % 2], qos=1)
        messages = await collect(client, 400)

    events = [orjson.loads(message.payload) for message in messages]
    assert {message.properties.ContentType for message in messages} == {
        "application/cloudevents+json; charset=utf-8"
    }
    assert {str(message.topic) for message in messages} == {
        f"doorfleet/v1/home/nuki/{DEVICE}/event/lock.changed"
    }
    assert [installed().fault("lock.changed", event) for event in events] == [""] * 400
    assert [int(event["sequence"]) for event in events] == list(range(1, 401))
    assert len({event["id"] for event in events}) == 400
    told = [event["data"]["changes"]["lock_state"]["value"] for event in events]
    assert told == [["Locked", "Unlocked"][number % 2] for number in range(400)]

    async with person(broker_url) as late:
        await eventually(lambda: running.cell.snapshot()["lag_rows"] == {"mqtt": 0})
        await asyncio.sleep(0.5)  # a state is published once in 200 ms at the most
        await late.subscribe(f"doorfleet/v1/home/nuki/{DEVICE}/state", qos=1)
        (state,) = await collect(late, 1)
    assert state.retain
    body = json.loads(state.payload)
    assert body["sequence"] == 400
    assert body["axes"]["lock_state"]["value"] == "Unlocked"


async def test_health_is_retained_and_its_will_speaks_when_the_cell_cannot(
    life, broker_url, person, eventually
):
    running = life(broker_url, [mqtt(broker_url)])
    await eventually(lambda: running.up)
    async with person(broker_url) as client:
        await client.subscribe("doorfleet/v1/home/gateway/nuki/health", qos=1)
        (first,) = await collect(client, 1)
        assert json.loads(first.payload)["state"] in {"up", "degraded", "starting"}

        running.cell._mqtt[0]._session._connection._transport.abort()  # noqa: SLF001 -- the cable
        async with asyncio.timeout(10):
            async for message in client.messages:
                if json.loads(message.payload)["state"] == "down":
                    break

    await eventually(lambda: running.up)


HOSTILE = [b"\xff\xfe", b"x" * 100_000, b"[" * 50_000, b"NaN", b"-1", b"9" * 60, b"true", b"\x00"]


async def test_bad_frames_become_dead_letters_and_their_neighbours_do_not_notice(
    life, broker_url, person, eventually
):
    running = life(broker_url, [mqtt(broker_url)], limits={"rate_per_s": 1_000})
    await eventually(lambda: running.up)
    async with person(broker_url) as client:
        await client.subscribe("doorfleet/v1/home/nuki/+/event/#", qos=1)
        for number, payload in enumerate(HOSTILE):
            await client.publish(f"nuki/{DEVICE}/state", payload, qos=1)
            await client.publish("nuki/AAAAAAAA/state", [b"1", b"3"][number % 2], qos=1)
        await eventually(lambda: running.state["dead_letters"] >= len(HOSTILE) - 1)
        async with asyncio.timeout(20):
            events = []
            async for message in client.messages:
                event = orjson.loads(message.payload)
                events.append(event)
                good = [e for e in events if e["data"]["device"] == "AAAAAAAA"]
                if len(good) == len(HOSTILE):
                    break

    assert [int(event["sequence"]) for event in good] == list(range(1, len(HOSTILE) + 1))
    for event in events:
        if event["data"]["device"] == DEVICE:
            assert event["data"]["changes"]["lock_state"]["value"] is None
    letters = [letter for _, letter in running.cell._store.dead_letters()]  # noqa: SLF001
    assert b"\xff\xfe" in [letter.payload for letter in letters]


@pytest.mark.parametrize("flood", [3_000])
async def test_a_flood_through_a_small_window_arrives_whole(
    life, broker_url, person, eventually, flood
):
    small = {**mqtt(broker_url), "inflight_max": 8}
    running = life(broker_url, [small], limits={"rate_per_s": 10_000, "burst": 10_000})
    await eventually(lambda: running.up)
    host, port = broker_url.removeprefix("mqtt://").split(":")
    async with (
        person(broker_url) as client,
        aiomqtt.Client(host, int(port), max_inflight_messages=500) as lock,
    ):
        await client.subscribe("doorfleet/v1/home/nuki/+/event/#", qos=1)
        reader = asyncio.create_task(collect(client, flood, 40))
        for number in range(flood):
            device = f"{number % 7:08X}"
            await lock.publish(f"nuki/{device}/state", [b"1", b"3"][number // 7 % 2], qos=1)
        events = [orjson.loads(message.payload) for message in await reader]

    for device in (f"{n:08X}" for n in range(7)):
        mine = [int(e["sequence"]) for e in events if e["data"]["device"] == device]
        assert mine == list(range(1, len(mine) + 1))
