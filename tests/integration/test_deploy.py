"""What we ship for deployment is what its own tools accept."""

import configparser
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from gateway.config import MqttBus
from gateway.config_file import load
from vendors import registry
from vendors.wire.mqtt import MqttSettings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "config" / "deploy"
UNIT: Final = DEPLOY / "doorfleet-gateway.service"
# In tenths, as `systemd-analyze security --threshold` counts: 2.0 of 10.
EXPOSURE_MAX_TENTHS: Final = 20
# Source: Dockerfile reference, "Overview", the instructions that Docker 20.10 knows.
INSTRUCTIONS: Final = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The shipped unit with a program that exists on every machine."""
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert "/usr/bin/doorfleet-gateway" in text
    copy.write_text(text.replace("/usr/bin/doorfleet-gateway", "/bin/true"))
    return copy


def analyze(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_systemd_understands_every_line_of_the_unit(unit: Path, need: Callable[[str], str]) -> None:
    said = analyze(need("systemd-analyze"), "verify", str(unit))

    # An unknown directive is a line on stderr and a success: so silence is what counts.
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_check_of_the_unit_sees_a_misspelt_directive(
    unit: Path, need: Callable[[str], str]
) -> None:
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectCluck="))

    said = analyze(need("systemd-analyze"), "verify", str(unit))

    assert "ProtectCluck" in said.stderr


def test_the_service_is_hardly_exposed(unit: Path, need: Callable[[str], str]) -> None:
    threshold = f"--threshold={EXPOSURE_MAX_TENTHS}"

    said = analyze(
        need("systemd-analyze"), "security", "--offline=true", "--no-pager", threshold, str(unit)
    )

    assert said.returncode == 0, said.stdout[-400:]


def service_section() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return parser["Service"]


def test_the_shipped_configuration_is_good_and_fits_unit_and_broker() -> None:
    config, service = load(DEPLOY / "gateway.yaml"), service_section()
    broker = (DEPLOY / "mosquitto.conf").read_text()
    lent = service["LoadCredential"].split(":")[0]
    credentials = f"/run/credentials/{UNIT.name}/{lent}_"

    assert str(config.state_dir) == f"/var/lib/{service['StateDirectory']}"
    (bus,) = config.bus
    assert isinstance(bus, MqttBus)
    for cell in config.cells:
        links = [bus.of(cell.name)]
        if isinstance(cell.settings, MqttSettings):
            links.append(cell.settings)
        for link in links:
            assert f"\nlistener {link.port}\n" in broker
            assert str(link.ca_file) == f"{credentials}ca.pem"
            assert str(link.cert_file) == f"{credentials}{cell.name}.pem"
            assert str(link.key_file) == f"{credentials}{cell.name}.key"
            # What the broker lets wait for us is what we may leave unacknowledged.
            assert f"max_inflight_messages {link.receive_max}\n" in broker
            assert f"max_packet_size {link.packet_max_bytes}\n" in broker


@pytest.mark.parametrize(
    ("path", "vendors"),
    [
        ("deploy/gateway.yaml", {"nuki", "ratgdo", "uhppote"}),
        ("gateway.example.yaml", set(registry.OURS)),
    ],
)
def test_the_cells_that_stand_commented_out_are_good_as_they_stand(
    path: str, vendors: set[str], tmp_path: Path
) -> None:
    text = (ROOT / "config" / path).read_text()
    before, mark, block = text.partition("  # - vendor: ")
    block, gap, after = block.partition("\n\n")
    whole = tmp_path / "gateway.yaml"
    whole.write_text(
        before + re.sub(r"^  # ", "  ", mark + block, flags=re.MULTILINE) + gap + after
    )

    assert {cell.vendor for cell in load(whole).cells} == vendors


def test_the_unit_notifies_has_a_watchdog_and_stops_on_a_bad_configuration() -> None:
    service = service_section()

    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["RestartPreventExitStatus"] == "2"
    assert "PYTHONSAFEPATH=1" in service["Environment"]
    assert shlex.split(service["ExecStart"])[1:] == dockerfile_command()


def dockerfile() -> Iterator[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            instruction, _, arguments = line.partition(" ")
            yield instruction, arguments.strip()


def dockerfile_command() -> list[str]:
    (command,) = [arguments for instruction, arguments in dockerfile() if instruction == "CMD"]
    return re.findall(r'"([^"]*)"', command)


def test_the_dockerfile_is_one_and_builds_on_whatever_base_it_is_given() -> None:
    instructions = list(dockerfile())

    assert {instruction for instruction, _ in instructions} <= INSTRUCTIONS
    assert instructions[0][0] == "ARG"
    assert instructions[0][1].startswith("BASE_IMAGE=")
    bases = [
        arguments.split()[0] for instruction, arguments in instructions if instruction == "FROM"
    ]
    assert set(bases) == {"${BASE_IMAGE}"}


def test_the_dockerfile_copies_what_exists() -> None:
    sources = [
        source
        for instruction, arguments in dockerfile()
        if instruction == "COPY" and not arguments.startswith("--from=")
        for source in arguments.split()[:-1]
    ]

    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_container_is_not_root_cannot_be_shadowed_and_says_how_it_is() -> None:
    final = list(dockerfile())
    final = final[max(i for i, (instruction, _) in enumerate(final) if instruction == "FROM") :]
    said = dict(final)

    uid = said["USER"].partition(":")[0]
    assert int(uid) > 0
    assert "PYTHONSAFEPATH=1" in said["ENV"].split()
    assert 'CMD ["doorfleet-gateway", "status"]' in said["HEALTHCHECK"]


@pytest.mark.parametrize("vendor", sorted(registry.OURS))
def test_every_cell_has_its_identity_in_the_access_list(vendor: str) -> None:
    blocks = re.split(r"^user ", (DEPLOY / "acl").read_text(), flags=re.MULTILINE)[1:]
    lines = {block.split()[0]: block for block in blocks}

    assert f"topic write doorfleet/v1/+/{vendor}/+/state" in lines[vendor]
    assert f"topic read doorfleet/v1/+/{vendor}/+/command" in lines[vendor]
    others = set(registry.OURS) - {vendor}
    assert not [other for other in others if f"/{other}/" in lines[vendor]]


def test_nobody_may_retain_or_send_what_only_a_cell_says() -> None:
    blocks = re.split(r"^user ", (DEPLOY / "acl").read_text(), flags=re.MULTILINE)[1:]
    people = [block for block in blocks if block.split()[0] not in registry.OURS]

    written = re.findall(r"^topic (?:write|readwrite) (\S+)", "\n".join(people), re.MULTILINE)

    assert written == ["doorfleet/v1/+/+/+/command"]
