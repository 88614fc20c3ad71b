"""Recordings of real devices, replayed through the codecs, if there is a folder of them.

`DOORFLEET_RECORDINGS=<folder>` holds `<vendor>/<case>.jsonl`. A line is one message: `transport`,
`direction`, `topic` or `path`, `retained`, and `payload` (text or JSON) or `payload_hex`.
What a device sent must become readings, unknowns with their reason, or nothing if the tables
below say why. What a host sent is given to a simulated device, which must bear it.
"""

import json
import os
import re
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from devices.errors import DecodeError
from devices.reading import Reading
from vendors import registry
from vendors.api import Decode, Fact, Frame
from vendors.sim import Addresses, FleetSpec, Publish, SimDevice

FOLDER: Final = os.environ.get("DOORFLEET_RECORDINGS", "")
VENDORS: Final = ("nuki", "ratgdo", "uhppote")
FILES: Final = sorted(path for name in VENDORS for path in Path(FOLDER or "-").glob(f"{name}/*"))
NOW_MS: Final = 1_767_225_600_000

#: Boards of this recording have another topic prefix than the default one.
SETTINGS: Final = {("ratgdo", "connect_discovery_fw251"): {"prefix": "twocarside"}}
#: What is no message of a transport that we speak, by vendor and transport.
NOT_OUR_TRANSPORT: Final = {
    ("ratgdo", "serial-log"): "a board's debug output",
    ("nuki", "http"): "the Bridge, an other product",
    ("uhppote", "decoded"): "text of a program that had read the packets",
}
#: MQTT topics that tell nothing of a state.
SILENT_TOPICS: Final = {
    r"homeassistant/.*/config": "discovery: names and topics, no state",
    r".*/command/.*": "what others ask for is no state",
}
#: Replies that tell nothing of a state, by function code: settings, cards, counts, acceptances.
SILENT_FUNCTIONS: Final = {
    0x30: "set-time",
    0x40: "open-door: accepted, not done",
    0x50: "put-card",
    0x52: "delete-card",
    0x54: "delete-cards",
    0x58: "card count",
    0x5A: "card",
    0x5C: "card by index",
    0x84: "set anti-passback",
    0x86: "anti-passback",
    0x88: "set time profile",
    0x8A: "clear time profiles",
    0x8C: "set passcodes",
    0x8E: "record special events",
    0x90: "set listener",
    0x92: "listener",
    0x94: "controller's address and version",
    0x98: "time profile",
    0xA0: "set pc control",
    0xA2: "set interlock",
    0xA4: "activate keypads",
    0xA6: "clear task list",
    0xA8: "add task",
    0xAA: "set first card",
    0xAC: "refresh task list",
    0xB0: "a record, which speaks only when the adapter asked for it as one of the ring",
    0xB2: "set event index",
    0xB4: "event index",
    0xC8: "restore defaults",
}
#: Lines that are wrong on purpose: their note says so, and the codec must say so too.
REFUSED: Final = re.compile(r"malformed|wrong|invalid")


def line_id(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def device_of(vendor: str) -> SimDevice:
    module = import_module(registry.vendor(vendor).simulator)
    return module.fleet(FleetSpec(1, vendor, NOW_MS, {}), lambda _: Random(1))[0]


def decoder_of(vendor: str, case: str) -> Decode:
    found = registry.vendor(vendor)
    module = import_module(found.simulator)
    at = Addresses("mqtt://broker.example", "192.0.2.1:60000")
    settings = module.gateway_settings(FleetSpec(1, vendor, NOW_MS, {}), at)
    return found.decoder(
        found.settings.model_validate(dict(settings) | SETTINGS.get((vendor, case), {}))
    )


def payload_of(line: dict[str, Any]) -> bytes:
    if "payload_hex" in line:
        return bytes.fromhex(line["payload_hex"])
    said = line["payload"]
    return said.encode() if isinstance(said, str) else json.dumps(said).encode()


def frames_of(line: dict[str, Any]) -> list[Frame]:
    """A recorded message as the adapter hands it over; a ring record also as one just read."""
    payload, retained = payload_of(line), bool(line.get("retained"))
    if line["transport"] == "mqtt":
        return [Frame(line["topic"], payload, NOW_MS, retained)]
    if "payload_hex" in line:
        source = f"udp/{int.from_bytes(payload[4:8], 'little')}"
        what = ["", "/live", "/buffered"] if payload[1] == 0xB0 else [""]
        return [Frame(source + each, payload, NOW_MS) for each in what]
    return [Frame(f"{line['transport']}/{line.get('path', '')}", payload, NOW_MS)]


def why_silent(vendor: str, line: dict[str, Any], frame: Frame) -> str | None:
    """Why nothing follows from a line; None if something must."""
    transport = line["transport"]
    if transport == "udp" and "payload_hex" not in line:
        transport = "decoded"
    if (vendor, transport) in NOT_OUR_TRANSPORT:
        return NOT_OUR_TRANSPORT[vendor, transport]
    if transport == "mqtt":
        found = (why for topic, why in SILENT_TOPICS.items() if re.fullmatch(topic, frame.source))
        return next(found, None)
    if frame.source.count("/") == 1:
        return SILENT_FUNCTIONS.get(frame.payload[1])
    return "a record that is none" if frame.payload[12] in {0, 0xFF} else None


def told(decode: Decode, frame: Frame) -> list[Fact] | DecodeError:
    try:
        return list(decode(frame))
    except DecodeError as error:
        return error


@pytest.mark.skipif(not FOLDER, reason="DOORFLEET_RECORDINGS names no folder of recordings")
def test_there_are_recordings_of_each_vendor() -> None:
    assert {path.parent.name for path in FILES} == set(VENDORS)


@pytest.mark.skipif(not FOLDER, reason="DOORFLEET_RECORDINGS names no folder of recordings")
@pytest.mark.parametrize("path", FILES, ids=line_id)
def test_what_devices_said_is_read_or_known_to_say_nothing(path: Path) -> None:
    vendor = path.parent.name
    decode = decoder_of(vendor, path.stem)
    lines = [json.loads(line) for line in path.read_text().splitlines()]

    assert lines
    for number, line in enumerate(lines, 1):
        if line["direction"] != "device->host":
            continue
        for frame in frames_of(line):
            where = f"{path.name}:{number} {frame.source} {line.get('note', '')}"
            facts = told(decode, frame)
            if isinstance(facts, DecodeError):
                assert REFUSED.search(line.get("note", "")), f"{where}: {facts}"
            elif not facts:
                assert why_silent(vendor, line, frame), f"{where}: nothing, and no table says why"
            for fact in facts if isinstance(facts, list) else ():
                if isinstance(fact, Reading):
                    assert fact.value is not None or fact.reason, f"{where}: {fact}"


@pytest.mark.skipif(not FOLDER, reason="DOORFLEET_RECORDINGS names no folder of recordings")
@pytest.mark.parametrize("path", FILES, ids=line_id)
def test_what_hosts_asked_is_borne_by_a_simulated_device(path: Path) -> None:
    device = device_of(path.parent.name)
    device.connected(NOW_MS)
    lines = [json.loads(line) for line in path.read_text().splitlines()]

    for line in lines:
        if line["direction"] != "host->device" or line["transport"] not in {"mqtt", "udp"}:
            continue
        payload = payload_of(line)
        if device.serial is None:
            asked: Publish | bytes = Publish(line["topic"], payload)
        else:
            serial = device.serial.to_bytes(4, "little")
            asked = payload[:4] + serial + payload[8:]
        effects = device.receive(asked, NOW_MS + 60_000)
        assert len(effects.messages) <= 10
