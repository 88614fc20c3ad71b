"""The processes around a run: found, started, watched and ended."""

import sys
from pathlib import Path

import pytest

from fleet_sim import stage


def test_a_missing_mosquitto_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(stage.StageError, match="apt install mosquitto"):
        stage.mosquitto_program(str(tmp_path))


async def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(stage.StageError, match="the thing could not be started"):
        await stage.Process.start("the thing", "/no/such/program")


async def test_a_line_is_waited_for_and_the_last_ones_are_kept() -> None:
    process = await stage.Process.start(
        "it", sys.executable, "-c", "print('port 17'); print('broken pump'); raise SystemExit(4)"
    )

    found = await process.line(r"port (\d+)")
    assert found is not None
    assert found[1] == "17"
    assert await process.line("never said", within_s=10) is None
    assert "status 4" in str(process.failure())
    assert "broken pump" in str(process.failure())
    await process.stop()


async def test_a_line_without_an_end_does_not_stop_the_child() -> None:
    talkative = "print('x' * 1_000_000); print('and on')"
    process = await stage.Process.start("it", sys.executable, "-c", talkative)

    assert await process.line("and on", within_s=10) is not None
    await process.stop()


async def test_a_process_that_will_not_listen_is_ended_all_the_same() -> None:
    deaf = "import signal, time; signal.signal(15, 1); print('up', flush=True); time.sleep(60)"
    process = await stage.Process.start("it", sys.executable, "-c", deaf, patience_s=0.2)
    assert await process.line("up") is not None

    await process.stop()

    assert process.ended


@pytest.mark.parametrize(
    "choice",
    [
        *("mosquito", "http://127.0.0.1", "mqtt://"),
        *("mqtt://localhost:99999", "mqtt://h:x", "mqtt://[::1"),
    ],
)
async def test_a_broker_that_is_no_address_is_refused(choice: str, tmp_path: Path) -> None:
    with pytest.raises(stage.StageError, match="embedded, mosquitto, or a URL"):
        async with stage.broker(choice, tmp_path):
            pass


async def test_a_gateway_that_refuses_its_configuration_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(stage.StageError, match="cells"):
        async with stage.gateway("site: demo\n", tmp_path):
            pass
