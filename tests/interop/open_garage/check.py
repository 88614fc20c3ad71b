"""open-garage, which Home Assistant uses, at simulated openers: none, Security+ 2.0 and 1.0."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from kit import kit
from opengarage import OpenGarage
from opengarage.errors import UnsupportedFeatureError

SEEN, HEARD, OLD = kit.about["devices"]
OPENERS: dict[str, dict[str, Any]] = {
    opener["name"]: opener for opener in kit.about["settings"]["openers"]
}
#: The opener's words for what is true of the door, by position and target.
WORDS = {
    ("FullyClosed", "None"): "closed",
    ("FullyOpened", "None"): "open",
    ("PartiallyOpened", "None"): "stopped",
    ("PartiallyOpened", "MoveToFullyClosed"): "closing",
    ("PartiallyOpened", "MoveToFullyOpen"): "opening",
}


@contextlib.asynccontextmanager
async def client(device: str, key: str | None = None) -> Any:
    """A client of this opener."""
    opener = OPENERS[device]
    made = OpenGarage(opener["url"], key or opener["key"], timeout=5)
    try:
        yield made
    finally:
        await made.close_connection()


def word(device: str) -> str:
    """What an opener that hears its motor must say now."""
    truth = kit.truth(device)
    return WORDS[truth["position"], truth["target_position"]]


async def until(holds: Callable[[Any], bool], device: str, within_s: float) -> Any:
    """The first state of the opener for which it holds."""
    async with client(device) as made:
        for _ in range(int(within_s * 4)):
            state = await made.get_state()
            if holds(state):
                return state
            await asyncio.sleep(0.25)
    raise AssertionError(f"not within {within_s} s; at last {state.door_state}")


async def what_it_says() -> None:
    """Reading only."""
    with kit.check("an opener that has just been switched on does not know its door"):
        async with client(SEEN) as made:
            assert (await made.get_state()).door_state in {"unknown", "closed", "open"}
        await until(lambda state: state.door_state != "unknown", SEEN, 8)

    with kit.check("without Security+ it knows open and closed, and can do nothing but press"):
        async with client(SEEN) as made:
            state = await made.get_state()
            assert state.door_state in {"closed", "open"}, state.door_state
            assert (state.secv, state.has_swrx) == (0, False), (state.secv, state.has_swrx)
            has = await made.get_capabilities()
            assert not has["light_control"]
            assert not has["lock_control"]
            assert not has["obstruction"]
            raw = await made.update_state()
            assert {"dist", "vehicle", "rcnt", "fwv", "name", "mac", "cid", "rssi"} <= raw.keys()
            assert raw["mac"] == OPENERS[SEEN]["mac"]
            with contextlib.suppress(UnsupportedFeatureError):
                await made.toggle_light()
                raise AssertionError("it toggled a lamp that it cannot see")

    with kit.check("with Security+ 2.0 it says what is true of door, lamp, lock-out and eye"):
        await until(lambda state: state.door_state != "unknown", HEARD, 8)
        async with client(HEARD) as made:
            state, truth = await made.get_state(), kit.truth(HEARD)
            assert state.door_state == word(HEARD)
            assert state.light_on == (truth["light"] == "On")
            assert state.lock_engaged == (truth["remote_lockout"] == "Locked")
            assert state.obstruction == (truth["obstruction"] == "BlockedBySensor")
            has = await made.get_capabilities()
            assert has["openings_counter"]
            assert not has["pemu"]

    with kit.check("with Security+ 1.0 it has a panel emulator and no count of openings"):
        async with client(OLD) as made:
            has = await made.get_capabilities()
            assert has["pemu"]
            assert not has["openings_counter"]


async def what_it_does() -> None:
    """Commands that move nothing but the lamp, and the alarm before the door moves."""
    loop = asyncio.get_running_loop()

    with kit.check("the lamp and the lock-out are toggled, and set without a toggle too many"):
        async with client(HEARD) as made:
            before = (await made.get_state()).light_on
            assert await made.toggle_light() == 1
            assert kit.truth(HEARD)["light"] == ("Off" if before else "On")
            assert await made.set_light(not before) is None
            assert await made.set_lock(True) == 1
            assert kit.truth(HEARD)["remote_lockout"] == "Locked"
            assert await made.set_lock(False) == 1

    with kit.check("a wrong key is result 2, and nothing moves"):
        before = word(HEARD)
        async with client(HEARD, "wrong") as made:
            assert await made.push_open_button() == 2
            assert await made.push_button() == 2
        assert word(HEARD) == before

    with kit.check("a command is accepted at once, and the door moves after the alarm"):
        opens = word(HEARD) == "closed"
        async with client(HEARD) as made:
            pushed_s = loop.time()
            push = made.push_open_button if opens else made.push_close_button
            assert await push() == 1
            assert loop.time() - pushed_s < 1
        moving = "opening" if opens else "closing"
        await until(lambda state: state.door_state == moving, HEARD, 12)
        assert 5 < loop.time() - pushed_s < 9, loop.time() - pushed_s

    with kit.check("it arrives, and says so"):
        end = "open" if opens else "closed"
        await until(lambda state: state.door_state == end, HEARD, 25)
        assert word(HEARD) == end


async def what_it_ignores() -> None:
    """What is accepted without a consequence, or with one that nobody asked for."""
    loop = asyncio.get_running_loop()

    with kit.check("what makes no sense is accepted all the same, and dropped"):
        async with client(SEEN) as made:
            state = (await made.get_state()).door_state
            push = made.push_open_button if state == "open" else made.push_close_button
            assert await push() == 1
            await asyncio.sleep(7)
            assert (await made.get_state()).door_state == state

    with kit.check("a press of the relay makes it deaf for a second"):
        async with client(SEEN) as made:
            assert await made.push_button() == 1
            slowest_s = 0.0
            for _ in range(40):
                asked_s = loop.time()
                await made.get_state()
                slowest_s = max(slowest_s, loop.time() - asked_s)
                if slowest_s > 0.5:
                    break
                await asyncio.sleep(0.2)
            assert 0.5 < slowest_s < 1.5, slowest_s

    with kit.check("a name with quotes breaks the document for this client"):
        kit.act(HEARD, "fault:strange_name")
        async with client(HEARD) as made:
            assert (await made.update_state())["_error"] == "invalid_json"
        kit.act(HEARD, "heal:strange_name")

    with kit.check("after a restart the door is unknown until the sensor was read"):
        async with client(SEEN) as made:
            assert await made.reboot() == 1
        await until(lambda state: state.door_state == "unknown", SEEN, 4)
        await until(lambda state: state.door_state in {"open", "closed"}, SEEN, 8)


async def main() -> None:
    """Everything, in one loop."""
    await what_it_says()
    await what_it_does()
    await what_it_ignores()


asyncio.run(main())
