"""Which broker a test gets, and the image that is made where containers are."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import ConfigError
from fleet_sim.stage import unused_port
from fleet_sim.testing import brokers, docker_broker
from fleet_sim.testing.guardian import Guardian


@pytest.mark.parametrize("choice", [*brokers.WAYS, "mqtt://127.0.0.1:1884", "mqtt://[::1]"])
def test_a_choice_is_a_word_or_a_url(choice: str) -> None:
    assert brokers.checked(choice, "here") == choice


@pytest.mark.parametrize(
    "choice",
    [
        *("mosquito", "http://127.0.0.1", "mqtt://", ""),
        *("mqtt://localhost:99999", "mqtt://h:x", "mqtt://[::1"),
    ],
)
def test_another_choice_is_refused_with_those_that_there_are(choice: str) -> None:
    with pytest.raises(ConfigError, match=r"here: .*; write embedded, mosquitto, docker, or a URL"):
        brokers.checked(choice, "here")


def test_a_url_without_a_port_means_mqtts_own() -> None:
    found = brokers.given("mqtt://localhost")

    assert (found.host, found.port, found.ours) == ("localhost", 1883, False)


async def test_the_embedded_one_listens_at_a_port_of_its_own(tmp_path: Path) -> None:
    async with (
        brokers.opened("embedded", tmp_path, Guardian()) as one,
        brokers.opened("embedded", tmp_path, Guardian()) as other,
    ):
        assert one.port != other.port
        with socket.create_connection((one.host, one.port), 5):
            pass


async def test_one_that_runs_already_is_taken_as_it_is(tmp_path: Path) -> None:
    async with brokers.opened("mqtt://127.0.0.1:4711", tmp_path, Guardian()) as found:
        assert found.url == "mqtt://127.0.0.1:4711"


def test_tests_take_turns_on_a_broker_that_others_know_too() -> None:
    url = f"mqtt://127.0.0.1:{unused_port()}"
    first = brokers.turn(url)
    with pytest.raises(ConfigError, match=r"other tests have been on it for 0\.05 s"):
        brokers.turn(url, 0.05)
    timer = threading.Timer(0.1, first.close)
    timer.start()

    second = brokers.turn(url, 10)

    timer.join()
    second.close()
    brokers.lock_file(url).unlink()


@pytest.mark.parametrize("url", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:{port}"])
async def test_without_an_engine_the_reason_is_told(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", url.format(port=unused_port()))

    with pytest.raises(docker_broker.NoEngineError, match=r"no container engine answers at"):
        async with brokers.opened("docker", tmp_path, Guardian()):
            pass


@pytest.mark.mosquitto
def test_the_image_holds_all_that_its_broker_needs(
    need: Callable[[str], str], tmp_path: Path
) -> None:
    """Its own loader, told to look nowhere else, starts the broker of the image."""
    need("mosquitto")
    if sys.platform != "linux":
        pytest.skip("a container's root is Linux's")
    folder = docker_broker.recipe(tmp_path)
    root = folder / "rootfs"
    (loader,) = root.glob("lib*/ld-*.so*")
    libraries = ":".join({str(path.parent) for path in root.rglob("*.so*")})
    program = root / "usr/sbin/mosquitto"

    done = subprocess.run(
        [loader, "--inhibit-cache", "--library-path", libraries, "--list", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    outside = [
        line
        for line in done.stdout.splitlines()
        if "=>" in line and f"=> {tmp_path}" not in line and str(loader) not in line
    ]
    assert outside == []
    assert "listener 1883 0.0.0.0" in (root / "etc/mosquitto.conf").read_text()
    assert "COPY rootfs/ /" in (folder / "Dockerfile").read_text()
