"""SwitchBot's cloud dialect: JSON replies of its OpenAPI v1.1, and the webhooks of its locks.

Shape: a reply is `{"statusCode": 100, "body": {...}, "message": "success"}`, errors included,
mostly with HTTP 200. A webhook is `{"eventType": "changeReport", "context": {...}}`.

| source of the frame     | what it holds                                                         |
|-------------------------|-----------------------------------------------------------------------|
| `http/<lock>/status`    | the reply to the status question                                      |
| `http/<lock>/early`     | the same, `locked` seconds after a reported unlocking: not of the bolt |
| `http/<lock>/doubt`     | the same, and no locking was reported since: contradictory            |
| `http/<lock>/keys/<n>`  | its keypad's entry of the device list, without secrets; n slots       |
| `http/<lock>/silent`    | nothing: the cloud could not be reached for a while                   |
| `http/<lock>/unseen`    | a word: why the cloud tells us nothing                                |
| `hook/<lock>/lock`      | a webhook whose lock state is believed, see `trust`                   |
| `hook/<lock>/door`      | a webhook whose lock state is a hint only                             |
| `hook/<lock>/key`       | a webhook of its keypad                                               |

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b; the words' sources are in `words`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from devices.errors import DecodeError
from devices.health import Reachability
from devices.lock import CredentialStatus, DataOperation, Fault, LockState
from devices.reading import Happening, Provenance, Reading, Value
from vendors.api import Fact, Frame
from vendors.switchbot.words import (
    STEPPED,
    VENDOR,
    Row,
    battery,
    door_row,
    is_id,
    lock_rows,
    meaning,
    object_of,
    state_rows,
    text_of,
    why,
)

#: statusCode of a reply. Source: README, "Errors"; switchbot-api takes 161 and 171 for the same.
OK: Final = 100
OFFLINE: Final = frozenset({161, 171})

#: Names of locks in device lists. Source: README, "Get device list"; switchbot-api commands.
LOCK_TYPES: Final = frozenset(
    {
        "Smart Lock",
        "Smart Lock Pro",
        "Smart Lock Pro Wifi",
        "Smart Lock Ultra",
        "Smart Lock Lite",
        "Lock Lite",
        "Smart Lock Vision",
        "Smart Lock Vision Pro",
        "Lock Vision",
        "Lock Vision Pro",
    }
)
KEYPAD_TYPES: Final = frozenset({"Keypad", "Keypad Touch", "Keypad Vision", "Keypad Vision Pro"})

_SOURCE: Final = re.compile(r"(http|hook)/([0-9A-Za-z-]{1,40})/([a-z]{1,8})(?:/([0-9]{1,2}))?")
_SOURCE_CHARS_MAX: Final = 64
# The longest status is below 1 KiB; a device list of a thousand devices is not.
_BYTES_MAX: Final = 65_536
_LIST_BYTES_MAX: Final = 4 * 1024 * 1024
# Beyond this a number is no time of this century, and of no use to anybody.
_TIME_MAX_MS: Final = 4_102_444_800_000

#: What is kept of a passcode's entry.
_SHOWN: Final = ("id", "name", "type", "status")
_KEY_STATUS: Final[Mapping[str, CredentialStatus]] = {
    "normal": CredentialStatus.OCCUPIED_ENABLED,
    "expired": CredentialStatus.OCCUPIED_DISABLED,
}
#: The README writes `deleteKey ` with a space at its end.
_KEY_EVENTS: Final[Mapping[str, DataOperation]] = {
    "createKey": DataOperation.ADD,
    "deleteKey": DataOperation.CLEAR,
}


class Hook(NamedTuple):
    """What a webhook says, before anybody believes it; `sample_ms` None: no time, or nonsense."""

    device: str
    device_type: str
    event: str
    lock_state: object
    door_state: object
    battery: object
    sample_ms: int | None
    command_id: str
    result: str


class Listed(NamedTuple):
    """A lock of the device list, and the entry of the keypad that is paired with it."""

    device: str
    device_type: str
    keypad: str
    keys: bytes


def key_name(slot: int) -> str:
    """The name under which we keep the passcode of a slot; a keypad allows each name once."""
    return f"doorfleet {slot}"


def command_key(command_id: str) -> str:
    """`CMD166...02` of a reply and `CMD-166...-02` of a webhook are the same command."""
    return command_id.replace("-", "")


def decode(frame: Frame) -> Sequence[Fact]:
    """Read one frame; a source that we do not model yields nothing.

    Raises:
        DecodeError: what neither the cloud nor we can have said there.
    """
    source, payload = frame.source, frame.payload
    if source == "hook":
        hook_of(payload)  # kept for its error only
        return ()
    found = _SOURCE.fullmatch(source) if len(source) <= _SOURCE_CHARS_MAX else None
    if found is None:
        return ()
    channel, device, what, slots = found.groups()
    if channel == "hook":
        return _hooked(device, what, payload)
    return [
        Reading(device, axis, value, Provenance.POLL, None, reason)
        for axis, value, reason in _answered(device, what, payload, int(slots or 0))
    ]


def _answered(device: str, what: str, payload: bytes, slots: int) -> Iterator[Row]:
    match what:
        case "status" | "early" | "doubt":
            yield from _status(device, payload, what)
        case "keys":
            yield from _keys(payload, slots)
        case "silent":
            if payload:
                raise DecodeError(VENDOR, "silent: somebody said something")
            yield "reachability", Reachability.OFFLINE, None
        case "unseen":
            if not re.fullmatch(rb"[a-z_]{1,24}", payload):
                raise DecodeError(VENDOR, "unseen: no word")
            yield "reachability", None, payload.decode()


# --- replies ----------------------------------------------------------------------------------


def reply_of(payload: bytes, bytes_max: int = _BYTES_MAX) -> tuple[int, Any]:
    """(statusCode, body) of a reply.

    Raises:
        DecodeError: it is none.
    """
    document = object_of("reply", payload, bytes_max)
    code = document.get("statusCode")
    if type(code) is not int:
        raise DecodeError(VENDOR, "reply: no statusCode")
    return code, document.get("body")


def state_word(payload: bytes) -> tuple[bool, str | None]:
    """Whether a reply tells of a lock at all, and the canonical lock state if it is known.

    Raises:
        DecodeError: it is no reply.
    """
    code, body = reply_of(payload)
    if code != OK or not isinstance(body, dict):
        return False, None
    return True, meaning(body.get("lockState"))


def listed(payload: bytes) -> Mapping[str, Listed]:
    """The locks of a device list, by id; entries that are none are passed over.

    Raises:
        DecodeError: it is no device list.
    """
    known = [entry for entry in _entries(payload) if is_id(entry.get("deviceId"))]
    keypads = {
        entry["lockDeviceId"]: entry
        for entry in known
        if text_of(entry.get("deviceType")) in KEYPAD_TYPES and is_id(entry.get("lockDeviceId"))
    }
    found = {}
    for entry in known:
        if text_of(entry.get("deviceType")) not in LOCK_TYPES:
            continue
        device = entry["deviceId"]
        keypad = keypads.get(device)
        found[device] = Listed(
            device,
            entry["deviceType"],
            "" if keypad is None else keypad["deviceId"],
            b"" if keypad is None else _without_secrets(keypad),
        )
    return found


def missing(payload: bytes, among: Iterable[str]) -> list[str]:
    """Who of these is not in a device list any more, under whatever type.

    Nobody, if an entry has no id: such a list does not say who is gone.

    Raises:
        DecodeError: it is no device list.
    """
    there = [entry.get("deviceId") for entry in _entries(payload)]
    if not all(isinstance(each, str) for each in there):
        return []
    return [device for device in among if device not in there]


def _entries(payload: bytes) -> list[dict[str, Any]]:
    code, body = reply_of(payload, _LIST_BYTES_MAX)
    entries = body.get("deviceList") if code == OK and isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise DecodeError(VENDOR, f"devices: no list (statusCode {str(code)[:9]})")
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def key_ids(payload: bytes) -> Mapping[str, str]:
    """Names and ids of the passcodes of a keypad's entry; an id is a number or a text."""
    document = object_of("keys", payload, _BYTES_MAX)
    keys = document.get("keyList")
    return {
        key["name"]: str(key["id"])
        for key in (keys if isinstance(keys, list) else ())
        if isinstance(key, dict)
        and isinstance(key.get("name"), str)
        and (type(key.get("id")) is int or isinstance(key.get("id"), str))
    }


def _without_secrets(keypad: Mapping[str, Any]) -> bytes:
    """A keypad's passcodes are in the list, encrypted with the account's secret: not for us."""
    keys = keypad.get("keyList")
    bare = [
        {name: value for name in _SHOWN if isinstance(value := key.get(name), str | int)}
        for key in (keys if isinstance(keys, list) else ())
        if isinstance(key, dict)
    ]
    return orjson.dumps(
        {
            "deviceId": keypad["deviceId"],
            "lockDeviceId": keypad["lockDeviceId"],
            "keyList": bare if isinstance(keys, list) else None,
        }
    )


def _status(device: str, payload: bytes, what: str) -> Iterator[Row]:
    code, body = reply_of(payload)
    if code in OFFLINE:
        yield "reachability", Reachability.OFFLINE, None
        return
    if code != OK:
        yield "reachability", None, f"vendor:{str(code)[:9]}"
        return
    if not isinstance(body, dict):
        raise DecodeError(VENDOR, "status: no body")
    if body.get("deviceId", device) != device:
        raise DecodeError(VENDOR, "status: of another device")
    yield "reachability", Reachability.ONLINE, None
    if body.get("calibrate") is False:
        yield from state_rows(None, None, Fault.NOT_CALIBRATED, "uncalibrated")
    elif what == "doubt":
        yield from state_rows(None, None, None, "contradictory")
    elif what == "status":
        yield from lock_rows(body.get("lockState"))
    yield door_row(body.get("doorState"))
    yield from battery(body.get("deviceType"), body.get("battery"))


def _keys(payload: bytes, slots: int) -> Iterator[Row]:
    keys = object_of("keys", payload, _BYTES_MAX).get("keyList")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        for slot in range(1, slots + 1):
            yield f"credential.{slot}.status", None, "no_report"
        return
    for slot in range(1, slots + 1):
        axis = f"credential.{slot}.status"
        ours = [key.get("status") for key in keys if key.get("name") == key_name(slot)]
        if not ours:
            yield axis, CredentialStatus.AVAILABLE, None
        elif len(ours) > 1:
            yield axis, None, "contradictory"
        else:
            status = _KEY_STATUS.get(ours[0]) if isinstance(ours[0], str) else None
            yield axis, status, None if status is not None else why(ours[0])


# --- webhooks ---------------------------------------------------------------------------------


def hook_of(payload: bytes) -> Hook:
    """What a webhook says; whether it is so is another matter.

    Raises:
        DecodeError: it is no webhook of a device.
    """
    document = object_of("webhook", payload, _BYTES_MAX)
    context = document.get("context")
    if document.get("eventType") != "changeReport" or not isinstance(context, dict):
        raise DecodeError(VENDOR, "webhook: no change report")
    device = context.get("deviceMac")
    if not isinstance(device, str) or not is_id(device):
        raise DecodeError(VENDOR, "webhook: of no device")
    sample_ms = context.get("timeOfSample")
    return Hook(
        device,
        text_of(context.get("deviceType")),
        text_of(context.get("eventName")).strip(),
        context.get("lockState"),
        context.get("doorState"),
        context.get("battery"),
        sample_ms if type(sample_ms) is int and 0 < sample_ms < _TIME_MAX_MS else None,
        text_of(context.get("commandId")),
        text_of(context.get("result")),
    )


def _hooked(device: str, what: str, payload: bytes) -> Sequence[Fact]:
    if what == "key":
        return _key_event(device, hook_of(payload))
    if what not in ("lock", "door"):
        return ()
    hook = hook_of(payload)
    if hook.device != device:
        raise DecodeError(VENDOR, "webhook: of another device")
    rows: list[Row] = []
    # Whoever made the frame: no webhook makes a lock Locked.
    if what == "lock" and meaning(hook.lock_state) != LockState.LOCKED:
        rows += lock_rows(hook.lock_state)
    if hook.door_state is not None:  # most models leave it out
        rows.append(door_row(hook.door_state))
    if hook.device_type and hook.device_type not in STEPPED:
        # Steps or a percentage? Without a type nobody knows, and of the first generation both
        # were seen: what the status says of it holds.
        rows += battery(hook.device_type, hook.battery)
    return [
        Reading(device, axis, value, Provenance.REPORT, hook.sample_ms, reason)
        for axis, value, reason in rows
    ]


def _key_event(device: str, hook: Hook) -> Sequence[Happening]:
    operation = _KEY_EVENTS.get(hook.event)
    if operation is None or hook.result != "success":
        return ()
    data: dict[str, Value] = {"operation": operation}
    if hook.command_id:
        data["detail"] = hook.command_id[:64]
    return (Happening(device, "credential.changed", data, hook.sample_ms),)
