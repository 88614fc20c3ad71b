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
VENDORS: Final = (
    "meross",
    "nuki",
    "nuki_bridge",
    "opengarage",
    "ratgdo",
    "shelly",
    "switchbot",
    "tedee",
    "uhppote",
    "zigbee2mqtt",
    "zwave_js",
)
FILES: Final = sorted(
    path for name in (*VENDORS, "zwave") for path in Path(FOLDER or "-").glob(f"{name}/*")
)
NOW_MS: Final = 1_767_225_600_000

#: Files of one folder that are another vendor's, by folder and the beginning of their names.
OTHERS: Final = {("nuki", "bridge_"): "nuki_bridge", ("zwave", ""): "zwave_js"}
#: Boards of these recordings have another topic prefix or MAC address than the simulated ones.
SETTINGS: Final = {
    # Their signs were scrubbed away or no longer hold, and their units are nobody's.
    **{
        ("meross", case): {"account_key": None, "devices": []}
        for case in (
            "envelope_samples_provisioning",
            "msg100_fw327_open_close",
            "msg100_fw421_reboot_during_poll",
            "msg200_dict_shape_edited",
            "msg200_fw428_query",
        )
    },
    ("ratgdo", "connect_discovery_fw251"): {"prefix": "twocarside"},
    **{
        ("opengarage", case): {"openers": [{"name": "opengarage-0001", "url": "http://192.0.2.1"}]}
        for case in ("jc_shape_fw124", "jc_minimal_consumer_fixture")
    },
    ("shelly", "switch_input_as_opener_mini1_gen4"): {"openers": {"garage": {}}},
}
#: What is no message of a transport that we speak, by vendor and transport.
NOT_OUR_TRANSPORT: Final = {
    ("ratgdo", "serial-log"): "a board's debug output",
    ("zigbee2mqtt", "log"): "a failure line, which the adapter reads and nobody keeps",
    ("uhppote", "decoded"): "text of a program that had read the packets",
}
#: MQTT topics that tell nothing of a state.
SILENT_TOPICS: Final = {
    r"homeassistant/.*/config": "discovery: names and topics, no state",
    r".*/command/.*": "what others ask for is no state",
    r"zigbee2mqtt/.+/action": "said in the lock's document too",
    r"[^/]+/rpc": "a Shelly's answer to somebody else",
    r"zwave/.+/98/0/boltStatus": "a bolt without a mode: the adapter puts the two together",
}
#: HTTP bodies that tell nothing of a state, by vendor and what stands in `<source> <body>`.
SILENT_BODIES: Final = {
    ("zwave_js", r"^(?!.*\"value\": )"): "a value that the server has and was never told",
    (
        "zwave_js",
        r'"property": "(targetMode|duration|latchStatus|operationType|autoRelockTime|twistAssist)"',
    ): "beside the mode, which alone says where the bolt is",
    (
        "zwave_js",
        r'"property": "(\w+HandlesCanOpenDoor\w*|lockTimeout\w*|holdAndReleaseTime|blockToBlock)"',
    ): "likewise",
    ("zwave_js", r'"property": "(boltStatus|doorStatus)"'): "believed beside a mode only",
    ("zwave_js", r'"property": "userCode"'): "a code, which is never read",
    ("zwave_js", r'"(Home Security|Power Management|System|Keypad state)"'): "not modelled",
    ("meross", r'"method": "SETACK"'): "taken; the state in it is the one before",
    ("meross", r'"method": "ERROR"'): "a refusal shows nothing of a door",
    ("meross", r'"type": "mss310"'): "a plug, which has no door",
    (
        "meross",
        r'"namespace": "Appliance\.(Config|Control|Digest)\.|Config"|System\.(?!All)',
    ): "about the unit and what else it does, and not about its doors",
    ("nuki_bridge", r"http/info .*bridgeType"): "about the bridge itself",
    ("nuki_bridge", r"http/answer .*success"): "accepted, not done",
    ("nuki_bridge", r"http/\w+/list .*\"deviceType\": 2\b"): "an Opener, which is no lock",
    ("shelly", r"ws/garage .*\"error\""): "refused: shows nothing of a door",
    ("opengarage", r"http/answer .*\"result\""): "accepted or refused, not done",
    ("switchbot", r"hook .*Garage Door Opener"): "no lock: the adapter knows it is none of ours",
    ("switchbot", r"hook/\w+/door .*\"LOCKED\""): "nobody's webhook makes a lock Locked",
    ("tedee", r"webhook/\w+ .*backend-connection-changed"): "the bridge and the vendor's cloud",
    ("tedee", r"webhook/\w+ .*device-settings-changed"): "says that something did, and not what",
    ("tedee", r"http/answer "): "the bridge itself, callbacks, acceptances and refusals",
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


def vendor_of(path: Path) -> str:
    """Whose recording it is."""
    folder = path.parent.name
    found = (
        name
        for (at, start), name in OTHERS.items()
        if (at, path.stem[: len(start)]) == (folder, start)
    )
    return next(found, folder)


def nuki_bridge_frames(line: dict[str, Any]) -> list[Frame]:
    """The entries of a list one by one; an answer of a lock does not say whose it is."""
    said = line["payload"]
    if isinstance(said, list):
        return [
            Frame(f"http/{each['nukiId']:08X}/list", json.dumps(each).encode(), NOW_MS)
            for each in said
        ]
    what = "state" if "state" in said else "info" if "bridgeType" in said else "answer"
    source = f"http/{what}" if what != "state" else "http/11E1A306/state"
    if "nukiId" in said:
        source = f"http/{said['nukiId']:08X}/callback"
    return [Frame(source, payload_of(line), NOW_MS)]


def opengarage_frames(line: dict[str, Any]) -> list[Frame]:
    """A state, or the answer to a command; the adapter knows which by what it asked."""
    what = "opengarage-0001/jc" if "mac" in line["payload"] else "answer"
    return [Frame(f"http/{what}", payload_of(line), NOW_MS)]


def tedee_frames(line: dict[str, Any]) -> list[Frame]:
    """A webhook in its form, or the lock objects of an answer one by one."""
    said, path = line["payload"], line.get("path", "")
    if line.get("method") == "POST":
        return [Frame("webhook/post", payload_of(line), NOW_MS)]
    if line.get("method") == "GET":
        _, is_query, query = path.partition("?")
        form, text = ("query", query) if is_query else ("path", path.partition("/events/")[2])
        return [Frame(f"webhook/{form}", text.encode(), NOW_MS)]
    found = said if isinstance(said, list) else [said]
    locks = [each for each in found if isinstance(each, dict) and "state" in each]
    return [
        Frame(f"http/{each['id']}/lock", json.dumps(each).encode(), NOW_MS) for each in locks
    ] or [Frame("http/answer", payload_of(line), NOW_MS)]


def shelly_frames(line: dict[str, Any]) -> list[Frame]:
    """The envelope of a reply around a result; a component's status as MQTT would have it."""
    said, path = line["payload"], line.get("path", "")
    if line["transport"] == "ws":
        return [Frame("ws/garage", payload_of(line), NOW_MS)]
    if path.startswith("/rpc/Cover.GetStatus"):
        return [Frame("garage/status/cover:0", payload_of(line), NOW_MS)]
    reply = {"id": 1, "src": "shelly2pmg3-aabbccddeeff", "dst": "doorfleet", "result": said}
    return [Frame("http/garage", json.dumps(reply).encode(), NOW_MS)]


def meross_frames(line: dict[str, Any]) -> list[Frame]:
    """An answer of the unit that it names; a client's own notes of one are an answer again."""
    said = line["payload"]
    if "snapshot" in line.get("note", "") and said["header"]["namespace"].endswith("System.All"):
        said = {**said, "payload": {"all": said["payload"]}}
    sender = said["header"].get("from", "/appliance/garage/publish")
    return [Frame(f"http/{sender.split('/')[2]}/config", json.dumps(said).encode(), NOW_MS)]


def switchbot_frames(line: dict[str, Any]) -> list[Frame]:
    """A status in its envelope; a webhook as far as the adapter would believe it at least."""
    said = line["payload"]
    if line.get("method") != "POST":
        device = said.get("deviceId", "E1A2B3C4D5E6")
        reply = {"statusCode": 100, "body": said, "message": "success"}
        return [Frame(f"http/{device}/status", json.dumps(reply).encode(), NOW_MS)]
    context = said["context"]
    source = "hook"
    if "eventName" in context:
        source = "hook/E1A2B3C4D5E6/key"
    elif "lockState" in context:
        what = "door" if context["lockState"] == "LOCKED" else "lock"
        source = f"hook/{context['deviceMac']}/{what}"
    return [Frame(source, payload_of(line), NOW_MS)]


def zigbee2mqtt_frames(line: dict[str, Any]) -> list[Frame]:
    """A lock's document under its address, all of it as news; other topics as they are."""
    topic = line["topic"]
    name = topic.removeprefix("zigbee2mqtt/")
    if "/" not in name:
        address = name if name.startswith("0x") else "0x000d6f0000000001"
        topic = f"lock/{address}/state?*=report"
    return [Frame(topic, payload_of(line), NOW_MS, bool(line.get("retained")))]


def zwave_js_frames(line: dict[str, Any]) -> list[Frame]:
    """A node, or one value of it, as part of what the server remembers."""
    said = line["payload"]
    node = said.get("node") or {"values": [said["value"]]}
    number = said.get("nodeId") or node["nodeId"]
    return [Frame(f"ws/{number}/node", json.dumps({"node": node}).encode(), NOW_MS)]


#: A recorded HTTP body as the adapter hands it over, by vendor.
HTTP_FRAMES: Final = {
    "meross": meross_frames,
    "nuki_bridge": nuki_bridge_frames,
    "opengarage": opengarage_frames,
    "switchbot": switchbot_frames,
    "tedee": tedee_frames,
    "shelly": shelly_frames,
    "zwave_js": zwave_js_frames,
}


def device_of(vendor: str) -> SimDevice:
    module = import_module(registry.vendor(vendor).simulator)
    return module.fleet(FleetSpec(1, vendor, NOW_MS, {}), lambda _: Random(1))[0]


def decoder_of(vendor: str, case: str) -> Decode:
    found = registry.vendor(vendor)
    module = import_module(found.simulator)
    hub = device_of(vendor).hub
    scheme = "https" if hub is not None and hub.tls else "http"
    hubs = {} if hub is None else {hub.name: f"{scheme}://192.0.2.1"}
    at = Addresses("mqtt://broker.example", "192.0.2.1:60000", hubs)
    settings = module.gateway_settings(FleetSpec(1, vendor, NOW_MS, {}), at)
    return found.decoder(
        found.settings.model_validate(dict(settings) | SETTINGS.get((vendor, case), {}))
    )


def payload_of(line: dict[str, Any]) -> bytes:
    if "payload_hex" in line:
        return bytes.fromhex(line["payload_hex"])
    said = line["payload"]
    return said.encode() if isinstance(said, str) else json.dumps(said).encode()


def frames_of(vendor: str, line: dict[str, Any]) -> list[Frame]:
    """A recorded message as the adapter hands it over; a ring record also as one just read."""
    if line["transport"] in {"http", "ws"} and vendor in HTTP_FRAMES:
        return HTTP_FRAMES[vendor](line)
    if line["transport"] == "mqtt" and vendor == "zigbee2mqtt":
        return zigbee2mqtt_frames(line)
    payload, retained = payload_of(line), bool(line.get("retained"))
    if line["transport"] == "mqtt":
        if "topic" not in line:
            return []  # a CONNECT
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
    if transport in {"http", "ws"}:
        said = f"{frame.source} {frame.payload.decode()}"
        bodies = (
            w for (v, what), w in SILENT_BODIES.items() if v == vendor and re.search(what, said)
        )
        return next(bodies, None)
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
    assert {vendor_of(path) for path in FILES} == set(VENDORS)


@pytest.mark.skipif(not FOLDER, reason="DOORFLEET_RECORDINGS names no folder of recordings")
@pytest.mark.parametrize("path", FILES, ids=line_id)
def test_what_devices_said_is_read_or_known_to_say_nothing(path: Path) -> None:
    vendor = vendor_of(path)
    decode = decoder_of(vendor, path.stem)
    lines = [json.loads(line) for line in path.read_text().splitlines()]

    assert lines
    for number, line in enumerate(lines, 1):
        if line["direction"] != "device->host":
            continue
        for frame in frames_of(vendor, line):
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
    device = device_of(vendor_of(path))
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
