"""What a simulated server remembers, in the words of a client's schema; pure.

Source: zwave-js-server 3.10.2 `state.ts`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from vendors.zwave_js.memory import (
    ALIVE,
    BATTERY,
    CLASS_NAMES,
    DOOR_LOCK,
    NOTIFICATION,
    USER_CODE,
    Memory,
)

HOME_ID: Final = 0x7E57_0001
_VERSIONS: Final = {DOOR_LOCK: 4, USER_CODE: 1, NOTIFICATION: 8, BATTERY: 1}
_CLOCK: Final = {"lastSeen": "2026-01-01T00:00:00.000Z"}
#: Device classes list command classes below it, and none from here on.
_BARE_CLASS_FROM: Final = 36


def state(locks: Iterable[Memory], schema: int) -> Mapping[str, Any]:
    """The answer to `start_listening`."""
    return {
        "driver": {
            "logConfig": {"enabled": False, "level": "info", "logToFile": False},
            "statisticsEnabled": False,
            "ready": True,
            "allNodesReady": True,
            "configVersion": "15.29.0",
        },
        "controller": _controller(),
        "nodes": [_dump_controller(schema), *(dump(lock, schema) for lock in locks)],
    }


def _controller() -> Mapping[str, Any]:
    return {
        "type": 1,
        "homeId": HOME_ID,
        "ownNodeId": 1,
        "isUsingHomeIdFromOtherNetwork": False,
        "isSISPresent": True,
        "wasRealPrimary": True,
        "manufacturerId": 0xFFFF,
        "productType": 0xFFFF,
        "productId": 0xFFFE,
        "supportedFunctionTypes": [2, 5, 19, 20, 21, 32, 65],
        "sucNodeId": 1,
        "supportsTimers": False,
        "statistics": dict.fromkeys(
            (
                "messagesTX",
                "messagesRX",
                "messagesDroppedRX",
                "NAK",
                "CAN",
                "timeoutACK",
                "timeoutResponse",
                "timeoutCallback",
                "messagesDroppedTX",
            ),
            0,
        ),
        "inclusionState": 0,
        "sdkVersion": "7.17.99",
        "firmwareVersion": "1.0",
        "isPrimary": True,
        "isSUC": True,
        "nodeType": 0,
        "status": 0,
        "isRebuildingRoutes": False,
        "supportsLongRange": False,
    }


def _base(number: int, status: int, classes: list[Any], kind: Mapping[str, Any]) -> dict[str, Any]:
    """What every node's state has, at schema 35 and above."""
    return {
        "nodeId": number,
        "index": 0,
        "status": status,
        "ready": True,
        "isListening": number == 1,
        "isRouting": True,
        "isSecure": number != 1,
        "manufacturerId": 0x7E57,
        "productId": 1,
        "productType": 1,
        "firmwareVersion": "1.0",
        "interviewAttempts": 1,
        "endpoints": [
            {"nodeId": number, "index": 0, "deviceClass": kind, "commandClasses": classes}
        ],
        "isFrequentListening": False if number == 1 else "1000ms",
        "maxDataRate": 100_000,
        "supportedDataRates": [40_000, 9_600, 100_000],
        "protocolVersion": 3,
        "supportsBeaming": True,
        "supportsSecurity": False,
        "nodeType": int(number != 1),
        "deviceClass": kind,
        "interviewStage": "Complete",
        "statistics": {
            "commandsTX": 0,
            "commandsRX": 0,
            "commandsDroppedRX": 0,
            "commandsDroppedTX": 0,
            "timeoutResponse": 0,
        },
        "highestSecurityClass": 2,
        "isControllerNode": number == 1,
        "keepAwake": False,
        "protocol": 0,
        "canSleep": False,
        **_CLOCK,
    }


def _kind(
    schema: int, basic: tuple[int, str], generic: tuple[int, str], specific: tuple[int, str]
) -> Mapping[str, Any]:
    """A device class."""
    parts = {"basic": basic, "generic": generic, "specific": specific}
    shown: dict[str, Any] = {
        name: {"key": key, "label": label} for name, (key, label) in parts.items()
    }
    if schema < _BARE_CLASS_FROM:
        shown |= {"mandatorySupportedCCs": [], "mandatoryControlledCCs": []}
    return shown


def _dump_controller(schema: int) -> Mapping[str, Any]:
    kind = _kind(schema, (2, "Static Controller"), (1, "Remote Controller"), (0, "Unused"))
    return {**_base(1, ALIVE, [], kind), "values": []}


def dump(lock: Memory, schema: int) -> Mapping[str, Any]:
    """A lock as the server remembers it."""
    specific = (3, "Secure Keypad Door Lock")
    kind = _kind(schema, (4, "Routing End Node"), (64, "Entry Control"), specific)
    classes = [
        {"id": cc, "name": CLASS_NAMES[cc], "version": version, "isSecure": True}
        for cc, version in _VERSIONS.items()
    ]
    return {
        **_base(lock.number, lock.status, classes, kind),
        "firmwareVersion": lock.firmware,
        "values": list(_values(lock)),
    }


def _values(lock: Memory) -> Iterator[Mapping[str, Any]]:
    for (cc, name, more), value in lock.values.items():
        shown: dict[str, Any] = {
            "endpoint": 0,
            "commandClass": cc,
            "commandClassName": CLASS_NAMES[cc],
            "property": name,
        }
        shown |= {} if more is None else {"propertyKey": more}
        shown["propertyName"] = name
        shown |= {} if more is None else {"propertyKeyName": str(more)}
        shown |= {"ccVersion": _VERSIONS[cc], "metadata": _metadata(cc, name, more)}
        shown |= {} if value is None else {"value": value}
        yield shown


_WORDS: Final[Mapping[str, str]] = {
    "22": "Window/door is open",
    "23": "Window/door is closed",
}
#: Of each value: type, label, what can be set, and what else the driver says of it.
_METADATA: Final[Mapping[str, tuple[str, str, bool, Mapping[str, Any]]]] = {
    "targetMode": ("number", "Target lock mode", True, {"min": 0, "max": 255}),
    "currentMode": ("number", "Current lock mode", False, {"min": 0, "max": 255}),
    "operationType": ("number", "Lock operation type", True, {"states": {"1": "Constant"}}),
    "doorStatus": ("any", "Current status of the door", False, {}),
    "latchStatus": ("any", "Current status of the latch", False, {}),
    "boltStatus": ("any", "Current status of the bolt", False, {}),
    "insideHandlesCanOpenDoor": (
        "any",
        "Which inside handles can open the door (actual status)",
        False,
        {},
    ),
    "outsideHandlesCanOpenDoor": (
        "any",
        "Which outside handles can open the door (actual status)",
        False,
        {},
    ),
    "duration": ("duration", "Remaining duration until target lock mode", False, {}),
    "userIdStatus": (
        "number",
        "User ID status ({})",
        True,
        {"states": {"0": "Available", "1": "Enabled", "2": "Disabled"}},
    ),
    "userCode": ("string", "User Code ({})", True, {"minLength": 4, "maxLength": 10}),
    "Lock state": ("number", "Lock state", False, {"states": {"0": "idle", "11": "Lock jammed"}}),
    "Door state": ("number", "Door state", False, {"states": _WORDS}),
    "Door state (simple)": ("number", "Door state (simple)", False, {"states": _WORDS}),
    "Opening state": ("number", "Opening state", False, {"states": {"0": "Closed", "1": "Open"}}),
    "level": ("number", "Battery level", False, {"min": 0, "max": 100, "unit": "%"}),
    "isLow": ("boolean", "Low battery level", False, {}),
}


def _metadata(cc: int, name: str, more: object) -> Mapping[str, Any]:
    what = str(more) if cc == NOTIFICATION else name
    kind, label, writeable, else_ = _METADATA[what]
    return {
        "type": kind,
        "readable": True,
        "writeable": writeable,
        "label": label.format(more),
        **({"ccSpecific": {"notificationType": 6}} if cc == NOTIFICATION else {}),
        **else_,
        "stateful": True,
        "secret": name == "userCode",
    }
