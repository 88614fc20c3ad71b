"""`doorfleet-gateway dead-letters`: what could not be read is kept, shown, tried again, dropped."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from fleet_sim.broker.tcp import TcpBroker

Eventually = Callable[..., Awaitable[None]]
TOPIC: Final = "nuki/39000001/state"
UNREADABLE: Final = b"1,2"


@pytest.fixture
async def letters(
    gateway: Any, settings: Any, embedded: TcpBroker, person: Any, eventually: Eventually
) -> tuple[Any, Callable[..., Awaitable[tuple[int, str, str]]]]:
    """A gateway with three dead letters in cell nuki and one in ratgdo, and its command."""
    url = f"mqtt://127.0.0.1:{embedded.port}"
    running = await gateway(settings(url)).start()
    await eventually(lambda: running.cell("nuki").get("state") == "up", within_s=10)
    await eventually(lambda: running.cell("ratgdo").get("state") == "up", within_s=10)
    async with person(url) as client:
        for payload in (UNREADABLE, b"a,b,c,d,e", b"\xff\xfe"):
            await client.publish(TOPIC, payload, qos=1)
        await client.publish("home/garage/left/status/door", b"\x00\x01", qos=1)

    async def dead_letters(*arguments: str) -> tuple[int, str, str]:
        done: tuple[int, str, str] = await running.run(
            "dead-letters", *arguments, "--config", str(running.file)
        )
        return done

    async def all_kept() -> bool:
        return len((await dead_letters("list"))[1].splitlines()) == 4

    await eventually(all_kept, within_s=20)
    return running, dead_letters


async def count(dead_letters: Any, cell: str = "nuki") -> int:
    code, out, _ = await dead_letters("list", "--cell", cell)
    assert code == 0
    return len(out.splitlines())


async def test_list_names_them_show_shows_them_and_both_speak_json(letters: Any) -> None:
    _, dead_letters = letters

    code, listed, _ = await dead_letters("list")
    assert code == 0
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["ratgdo", "1"],
        ["nuki", "1"],
        ["nuki", "2"],
        ["nuki", "3"],
    ]
    assert f"{TOPIC}  3 B  state: not a number" in listed

    code, shown, _ = await dead_letters("show", "1", "--cell", "nuki")
    assert (code, shown.splitlines()[-1].strip()) == (0, repr(UNREADABLE))

    _, out, _ = await dead_letters("list", "--cell", "nuki", "--json")
    bodies = [json.loads(line) for line in out.splitlines()]
    assert bytes.fromhex(bodies[0]["payload"]) == UNREADABLE
    assert {each["source"] for each in bodies} == {TOPIC}


async def test_what_is_dropped_is_gone_and_nothing_else(
    letters: Any, eventually: Eventually
) -> None:
    _, dead_letters = letters

    code, out, _ = await dead_letters("drop", "2", "--cell", "nuki")
    assert (code, out.split()[0]) == (0, "1")

    async def two_left() -> bool:
        return await count(dead_letters) == 2

    await eventually(two_left, within_s=15)
    code, _, err = await dead_letters("show", "2", "--cell", "nuki")
    assert (code, err) == (2, "no dead letter 2 in nuki\n")
    assert await count(dead_letters, "ratgdo") == 1


async def test_what_is_replayed_goes_the_whole_way_again(
    letters: Any, eventually: Eventually
) -> None:
    running, dead_letters = letters

    code, _, _ = await dead_letters("replay", "--all", "--cell", "nuki")
    assert code == 0

    # It is as unreadable as it was, so it is a dead letter again, under a new number.
    await eventually(lambda: running.cell("nuki")["dead_letters"] == 6, within_s=15)
    _, out, _ = await dead_letters("list", "--cell", "nuki", "--json")
    numbers = [json.loads(line)["id"] for line in out.splitlines()]
    assert len(numbers) == 3
    assert min(numbers) > 3


async def test_an_order_waits_for_a_gateway_that_does_not_run(
    letters: Any, eventually: Eventually
) -> None:
    running, dead_letters = letters
    await running.stop()

    code, out, _ = await dead_letters("drop", "--all", "--cell", "nuki")
    assert code == 0
    assert "when it starts" in out
    assert await count(dead_letters) == 3

    await running.start()

    async def none_left() -> bool:
        return await count(dead_letters) == 0

    await eventually(none_left, within_s=15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--cell", "nukki"), "no cell 'nukki'; there are ratgdo, nuki"),
        (("show", "1"), "which cell? give --cell, one of ratgdo, nuki"),
        (("drop", "--cell", "nuki"), "drop what? give ids, or --all"),
        (("replay", "99", "--cell", "nuki"), "no dead letter 99 in nuki"),
    ],
)
async def test_a_wrong_order_is_refused_with_what_to_say_instead(
    arguments: tuple[str, ...], said: str, gateway: Any, settings: Any, free_port: int
) -> None:
    running = await gateway(settings(f"mqtt://127.0.0.1:{free_port}")).start()

    code, out, err = await running.run("dead-letters", *arguments, "--config", str(running.file))

    assert (code, out, err) == (2, "", f"{said}\n")


async def test_a_cell_that_never_ran_here_has_no_letters_and_says_so(
    gateway: Any, settings: Any, cli: Any
) -> None:
    file = str(gateway(settings("mqtt://127.0.0.1:1")).file)

    assert await cli("dead-letters", "list", "--config", file) == (0, "", "")
    code, _, err = await cli("dead-letters", "list", "--cell", "nuki", "--config", file)
    assert code == 2
    assert "no such store; has this cell ever run here?" in err
