"""The gateway's MQTT session against a real Mosquitto with the configuration that we ship.

The CA is made here, for this run. Boards and people are played by Mosquitto's own clients, so
that what the broker lets through is not judged by the session alone.
"""

import asyncio
import contextlib
import getpass
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import pytest

from vendors.wire.mqtt import (
    Link,
    MqttSettings,
    PubAckReasonCode,
    PublishPacket,
    QoS,
    Session,
    TopicFilter,
)

DEPLOY: Final = Path(__file__).parents[2] / "config" / "deploy"
BOARDS: Final = {"door-1": "one", "398172F4": "two"}
NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CA_EXTENSIONS: Final = "keyUsage=critical,keyCertSign,cRLSign"
LEAF_EXTENSIONS: Final = """\
basicConstraints=CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName=DNS:localhost,IP:127.0.0.1
"""

pytestmark = pytest.mark.mosquitto
Eventually = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of our own, in a folder of its own."""

    openssl: str
    folder: Path

    def __call__(self, *arguments: str) -> None:
        subprocess.run([self.openssl, *arguments], cwd=self.folder, check=True, capture_output=True)

    def found(self) -> "Authority":
        subject = ("-subj", "/CN=doorfleet test CA", "-days", "2", "-addext", CA_EXTENSIONS)
        self("req", "-x509", *NEW_KEY, *subject, "-keyout", "ca.key", "-out", "ca.pem")
        (self.folder / "leaf.ext").write_text(LEAF_EXTENSIONS)
        return self

    def issue(self, name: str) -> None:
        """`<name>.pem` and `<name>.key`, with the name as the common name."""
        wish, files = f"{name}.csr", ("-keyout", f"{name}.key", "-out", f"{name}.csr")
        self("req", "-new", *NEW_KEY, "-subj", f"/CN={name}", *files)
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        self("x509", "-req", "-in", wish, *signer, "-extfile", "leaf.ext", "-out", f"{name}.pem")


@dataclass(frozen=True, slots=True)
class Site:
    """A broker as deployed, and who may come to it."""

    tls_port: int
    boards_port: int
    folder: Path
    log: Path
    need: Callable[[str], str]

    def settings(self, identity: str | None, *, authority: Path | None = None) -> MqttSettings:
        holder = authority or self.folder
        return MqttSettings(
            url=f"mqtts://127.0.0.1:{self.tls_port}",
            ca_file=self.folder / "ca.pem",
            cert_file=holder / f"{identity}.pem" if identity else None,
            key_file=holder / f"{identity}.key" if identity else None,
            backoff_base_ms=50,
            backoff_max_ms=100,
        )

    def board_says(self, board: str, topic: str, payload: str) -> None:
        login = ("-u", board, "-P", BOARDS[board], "-i", board)
        self._publish("-p", str(self.boards_port), *login, "-t", topic, "-m", payload)

    def identity_says(self, identity: str, topic: str, payload: str) -> None:
        tls = ("--cafile", "ca.pem", "--cert", f"{identity}.pem", "--key", f"{identity}.key")
        self._publish("-p", str(self.tls_port), *tls, "-t", topic, "-m", payload)

    def _publish(self, *arguments: str) -> None:
        subprocess.run(
            [self.need("mosquitto_pub"), "-h", "127.0.0.1", "-q", "1", *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=10,
        )


@pytest.fixture(scope="module")
def site(
    mosquitto: Callable[[str], object],
    need: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    """The shipped configuration: only folders, ports and the account differ."""
    need("mosquitto")
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(need("openssl"), folder).found()
    for name in ("broker", "ratgdo", "nuki", "operator", "listener"):
        authority.issue(name)
    for name in ("acl", "acl-boards"):
        (folder / name).write_text((DEPLOY / name).read_text())
    for number, (board, password) in enumerate(BOARDS.items()):
        new = () if number else ("-c",)
        subprocess.run(
            [need("mosquitto_passwd"), "-b", *new, "boards.passwd", board, password],
            cwd=folder,
            check=True,
        )
    text = (DEPLOY / "mosquitto.conf").read_text()
    for shipped, here in {
        "/etc/mosquitto/doorfleet": str(folder),
        "/var/lib/mosquitto/": f"{folder}/",
        "listener 8883": "listener {port} 127.0.0.1",
        "listener 1883 127.0.0.1": "listener {other_port} 127.0.0.1",
        "user mosquitto": f"user {getpass.getuser()}",
    }.items():
        assert shipped in text
        text = text.replace(shipped, here)
    broker = mosquitto(text)
    return Site(broker.port, broker.other_port, folder, broker.log, need)


@dataclass(slots=True)
class Ear:
    """What a session was told."""

    links: list[Link] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def on_publish(self, packets: list[PublishPacket], _generation: int) -> None:
        self.heard += [(packet.topic, bytes(packet.payload or b"")) for packet in packets]


@asynccontextmanager
async def connected(
    settings: MqttSettings, name: str, *filters: str
) -> AsyncIterator[tuple[Session, Ear]]:
    ear = Ear()
    session = Session(
        settings,
        client_id=f"test-{name}",
        rng=Random(1),
        subscriptions=[TopicFilter(each, max_qos=QoS.AT_MOST_ONCE) for each in filters],
        on_publish=ear.on_publish,
        on_link=ear.links.append,
        clean_start=True,
    )
    running = asyncio.create_task(session.run())
    try:
        yield session, ear
    finally:
        await session.close()
        await running


async def test_a_cell_with_its_certificate_connects_and_hears_its_own_boards(
    site: Site, eventually: Eventually
) -> None:
    mine = "home/garage/+/status/#"

    async with connected(site.settings("ratgdo"), "ratgdo", mine, "nuki/#") as (session, ear):
        await eventually(lambda: session.up)
        await asyncio.to_thread(site.board_says, "398172F4", "nuki/398172F4/state", "1")
        await asyncio.to_thread(site.board_says, "door-1", "home/garage/door-1/status/door", "open")
        await eventually(lambda: ear.heard)

    # The lock spoke first; had it been let through, it would have been heard first.
    assert ear.heard == [("home/garage/door-1/status/door", b"open")]


async def test_a_cell_may_not_speak_for_another_one(site: Site, eventually: Eventually) -> None:
    codes: dict[str, PubAckReasonCode | None] = {}
    topics = (
        "doorfleet/v1/home/ratgdo/door-1/state",
        "doorfleet/v1/home/gateway/ratgdo/health",
        "home/garage/door-1/command/door",
        "doorfleet/v1/home/nuki/398172F4/state",
        "doorfleet/v1/home/gateway/nuki/health",
        "nuki/398172F4/lockAction",
        "home/garage/door-1/status/door",
    )

    async with connected(site.settings("ratgdo"), "ratgdo") as (session, _):
        await eventually(lambda: session.up)
        for topic in topics:
            session.publish(
                topic, b"x", qos=1, done=lambda code, topic=topic: codes.update({topic: code})
            )
        await eventually(lambda: len(codes) == len(topics))

    refused = [topic for topic in topics if codes[topic] is PubAckReasonCode.NOT_AUTHORIZED]
    assert refused == list(topics[3:])


async def test_a_board_speaks_for_itself_only_and_never_hears_the_bus(
    site: Site, eventually: Eventually
) -> None:
    async with connected(site.settings("ratgdo"), "ratgdo", "home/garage/+/status/#") as (
        session,
        ear,
    ):
        await eventually(lambda: session.up)
        await asyncio.to_thread(
            site.board_says, "398172F4", "home/garage/door-1/status/door", "closed"
        )
        await asyncio.to_thread(
            site.board_says, "door-1", "home/garage/door-1/status/door", "opening"
        )
        await eventually(lambda: ear.heard)

    assert ear.heard == [("home/garage/door-1/status/door", b"opening")]


async def test_who_only_listens_cannot_move_a_door_and_who_may_is_answered_alone(
    site: Site, eventually: Eventually
) -> None:
    commands, replies = "doorfleet/v1/+/ratgdo/+/command", "doorfleet/reply/#"
    door = "doorfleet/v1/home/ratgdo/door-1/command"

    async with (
        connected(site.settings("ratgdo"), "ratgdo", commands) as (cell, heard_by_cell),
        connected(site.settings("listener"), "listener", replies, "doorfleet/v1/#") as (
            listener,
            heard_by_listener,
        ),
        connected(site.settings("operator"), "operator", replies) as (
            operator,
            heard_by_operator,
        ),
    ):
        await eventually(lambda: cell.up and listener.up and operator.up)
        await asyncio.to_thread(site.identity_says, "listener", door, "no")
        await asyncio.to_thread(site.identity_says, "operator", door, "yes")
        await eventually(lambda: heard_by_cell.heard)
        cell.publish("doorfleet/reply/operator/1", b"done", qos=1)
        cell.publish("doorfleet/v1/home/ratgdo/door-1/result", b"done", qos=1)
        await eventually(lambda: heard_by_operator.heard and len(heard_by_listener.heard) == 2)

    assert heard_by_cell.heard == [(door, b"yes")]
    assert heard_by_operator.heard == [("doorfleet/reply/operator/1", b"done")]
    assert heard_by_listener.heard == [
        (door, b"yes"),
        ("doorfleet/v1/home/ratgdo/door-1/result", b"done"),
    ]


async def test_a_client_without_a_certificate_is_refused(
    site: Site, eventually: Eventually
) -> None:
    async with connected(site.settings(None), "nobody") as (session, ear):
        await eventually(lambda: ear.links)

        assert not session.up

    assert not any(link.up for link in ear.links)
    with pytest.raises(subprocess.CalledProcessError):
        site._publish("-p", str(site.tls_port), "--cafile", "ca.pem", "-t", "x", "-m", "x")  # noqa: SLF001


async def test_a_certificate_of_another_authority_is_refused(
    site: Site, tmp_path: Path, eventually: Eventually
) -> None:
    Authority(site.need("openssl"), tmp_path).found().issue("ratgdo")

    async with connected(site.settings("ratgdo", authority=tmp_path), "forged") as (_, ear):
        await eventually(lambda: ear.links)

    assert not any(link.up for link in ear.links)


async def test_a_broker_of_another_authority_is_not_believed(
    site: Site, tmp_path: Path, eventually: Eventually
) -> None:
    Authority(site.need("openssl"), tmp_path).found()
    settings = site.settings("ratgdo").model_copy(update={"ca_file": tmp_path / "ca.pem"})

    async with connected(settings, "deceived") as (_, ear):
        await eventually(lambda: ear.links)

    assert not any(link.up for link in ear.links)


@contextlib.asynccontextmanager
async def shipped_gateway(
    site: Site, folder: Path, notices: socket.socket
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway as its own process with the configuration that we ship."""
    text = (DEPLOY / "gateway.yaml").read_text()
    for shipped, here in {
        "/run/credentials/doorfleet-gateway.service/tls_": f"{site.folder}/",
        "/var/lib/doorfleet": f"{folder}/state",
        "localhost:8883": f"127.0.0.1:{site.tls_port}",
    }.items():
        assert shipped in text
        text = text.replace(shipped, here)
    config = folder / "gateway.yaml"
    await asyncio.to_thread(config.write_text, text)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("doorfleet-gateway"),
        "run",
        config,
        env={**os.environ, "NOTIFY_SOCKET": notices.getsockname()},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


async def test_the_gateway_as_shipped_carries_a_door_and_a_lock_to_the_bus(
    site: Site, tmp_path: Path, eventually: Eventually
) -> None:
    words: set[str] = set()

    def notified(word: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                words.update(notices.recv(4096).decode().split("\n"))
        return word in words

    def events(device: str) -> list[dict[str, object]]:
        return [json.loads(body) for topic, body in ear.heard if f"/{device}/event/" in topic]

    def up() -> bool:
        said = {topic: json.loads(body) for topic, body in ear.heard if topic.endswith("/health")}
        return [each.get("state") for each in said.values()] == ["up", "up"]

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.setblocking(False)
        async with connected(site.settings("listener"), "bus", "doorfleet/v1/#") as (session, ear):
            await eventually(lambda: session.up)
            async with shipped_gateway(site, tmp_path, notices) as process:
                await eventually(lambda: notified("READY=1"), 20)
                await eventually(up, 20)
                for board, topic, payload in (
                    ("door-1", "home/garage/door-1/status/availability", "online"),
                    ("door-1", "home/garage/door-1/status/door", "opening"),
                    ("398172F4", "nuki/398172F4/connected", "true"),
                    ("398172F4", "nuki/398172F4/state", "1"),
                ):
                    await asyncio.to_thread(site.board_says, board, topic, payload)
                await eventually(lambda: events("door-1") and events("398172F4"), 20)
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 15) == 0
            assert notified("STOPPING=1")

    assert {event["type"] for event in events("door-1")} == {"doorfleet.closure.changed.v1"}
    assert {event["type"] for event in events("398172F4")} == {"doorfleet.lock.changed.v1"}


def test_mosquitto_has_nothing_to_say_against_the_shipped_configuration(site: Site) -> None:
    complaints = [
        line
        for line in site.log.read_text().splitlines()
        if ": Warning:" in line and "run as root" not in line
    ]

    assert complaints == []
