"""Three models of lock as the converters describe them, and what the bridge announces of them.

Source: zigbee-herdsman-converters 26.112.0 `devices/{yale,datek}.js`, held against it by
`tests/interop/zigbee_herdsman_converters`; `bridge/devices` and the discovery message:
Koenkk/zigbee2mqtt 6835cbf `lib/extension/{bridge,homeassistant}.ts`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vendors.sim import Publish

_STATE, _SET, _GET = 1, 2, 4
_BATTERY: Final = {
    "type": "numeric",
    "name": "battery",
    "property": "battery",
    "access": _STATE | _GET,
    "unit": "%",
    "value_min": 0,
    "value_max": 100,
}
_LOCK: Final = {
    "type": "lock",
    "features": [
        {
            "type": "binary",
            "name": "state",
            "property": "state",
            "access": _STATE | _SET | _GET,
            "value_on": "LOCK",
            "value_off": "UNLOCK",
        },
        {
            "type": "enum",
            "name": "lock_state",
            "property": "lock_state",
            "access": _STATE,
            "values": ["not_fully_locked", "locked", "unlocked"],
        },
    ],
}
_PIN: Final = {
    "type": "composite",
    "name": "pin_code",
    "property": "pin_code",
    "access": _STATE | _SET | _GET,
    "features": [
        {"type": "numeric", "name": "user", "property": "user", "access": _SET},
        {"type": "enum", "name": "user_type", "property": "user_type", "access": _SET},
        {"type": "binary", "name": "user_enabled", "property": "user_enabled", "access": _SET},
        {"type": "numeric", "name": "pin_code", "property": "pin_code", "access": _SET},
    ],
}


def _enum(name: str, *values: str, access: int = _STATE) -> Mapping[str, Any]:
    return {
        "type": "enum",
        "name": name,
        "property": name,
        "access": access,
        "values": list(values),
    }


_ACTION: Final = _enum("action", "unknown", "lock", "unlock", "auto_lock", "manual_unlock")
_BY: Final = _enum("action_source_name", "keypad", "rfid", "manual", "rf")
_USER: Final = {"type": "numeric", "name": "action_user", "property": "action_user", "access": 1}
_VOLUME: Final = _enum("sound_volume", "silent_mode", "low_volume", "high_volume", access=7)
_LOW: Final = {
    "type": "binary",
    "name": "battery_low",
    "property": "battery_low",
    "access": _STATE,
    "value_on": True,
    "value_off": False,
}


@dataclass(frozen=True, slots=True)
class Model:
    """One model: what it exposes, and how it differs.

    `alarms`: it tells by alarms, action and state in one message, in its own spelling.
    """

    model: str
    vendor: str
    about: str
    zigbee_model: str
    exposes: tuple[Mapping[str, Any], ...]
    pin_slots: int = 0
    door: bool = False
    alarms: bool = False


ASSURE: Final = Model(
    "YRD226/246 TSDB",
    "Yale",
    "Assure lock",
    "YRD226/246 TSDB",
    (_LOCK, _BATTERY, _PIN, _BY, _USER, _VOLUME, _LOW, _ACTION),
    pin_slots=250,
)
ID_LOCK: Final = Model(
    "0402946",
    "Datek",
    "Zigbee module for ID lock",
    "ID Lock 202",
    (
        _LOCK,
        _BATTERY,
        _PIN,
        _enum("door_state", "open", "closed", "error_jammed", "error_forced_open"),
        _BY,
        _USER,
        _VOLUME,
        _ACTION,
    ),
    pin_slots=109,
    door=True,
)
C4: Final = Model(
    "ZYA-C4-MOD-S",
    "Yale",
    "Control4 module for Yale KeyFree/Keyless/Doorman/Assure/nexTouch locks",
    "",
    (_LOCK, _ACTION, _BATTERY, _LOW),
    alarms=True,
)
MODELS: Final[Mapping[str, Model]] = {"assure": ASSURE, "id_lock": ID_LOCK, "c4": C4}


def listed(ieee: str, name: str, model: Model) -> Mapping[str, Any]:
    """A lock's entry in `bridge/devices`."""
    return {
        "ieee_address": ieee,
        "type": "EndDevice",
        "network_address": int(ieee[-4:], 16),
        "supported": True,
        "friendly_name": name,
        "disabled": False,
        "definition": {
            "source": "native",
            "model": model.model,
            "vendor": model.vendor,
            "description": model.about,
            "exposes": list(model.exposes),
            "supports_ota": False,
            "options": [],
        },
        "power_source": "Battery",
        "model_id": model.zigbee_model,
        "interview_completed": True,
        "interviewing": False,
        "interview_state": "SUCCESSFUL",
        "manufacturer": model.vendor,
        "endpoints": {"1": {"bindings": [], "configured_reportings": [], "clusters": {}}},
    }


#: What is in a real network besides: none of it is a lock.
OTHERS: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "ieee_address": "0x00124b0000000001",
        "type": "Coordinator",
        "network_address": 0,
        "supported": True,
        "friendly_name": "Coordinator",
        "disabled": False,
        "interview_state": "SUCCESSFUL",
        "endpoints": {},
    },
    {
        "ieee_address": "0x0017880100000001",
        "type": "Router",
        "network_address": 7,
        "supported": True,
        "friendly_name": "hall/lamp",
        "disabled": False,
        "definition": {
            "source": "native",
            "model": "9290012573A",
            "vendor": "Philips",
            "description": "Hue white",
            "exposes": [
                {
                    "type": "light",
                    "features": [{"type": "binary", "name": "state", "property": "state"}],
                }
            ],
            "supports_ota": True,
            "options": [],
        },
        "power_source": "Mains (single phase)",
        "interview_state": "SUCCESSFUL",
        "endpoints": {},
    },
)


def discovery(base: str, ieee: str, name: str, model: Model, *, availability: bool) -> Publish:
    """The lock's discovery message: its words are those of the exposed `state`."""
    topics = [f"{base}/bridge/state", *([f"{base}/{name}/availability"] if availability else [])]
    slug = name.replace(" ", "_").lower()
    payload: dict[str, Any] = {
        "availability": [
            {"topic": topic, "value_template": "{{ value_json.state }}"} for topic in topics
        ],
        "command_topic": f"{base}/{name}/set",
        "default_entity_id": f"lock.{slug}",
        "device": {
            "identifiers": [f"zigbee2mqtt_{ieee}"],
            "manufacturer": model.vendor,
            "model": model.about,
            "model_id": model.model,
            "name": name,
            "via_device": "zigbee2mqtt_bridge_0x00124b0000000001",
        },
        "name": None,
        "object_id": slug,
        "origin": {"name": "Zigbee2MQTT", "sw": "2.12.1", "url": "https://www.zigbee2mqtt.io"},
        "state_locked": "LOCK",
        "state_topic": f"{base}/{name}",
        "state_unlocked": "UNLOCK",
        "unique_id": f"{ieee}_lock_{base}",
        "value_template": '{{ value_json["state"] }}',
    }
    if availability:
        payload["availability_mode"] = "all"
    return Publish(
        f"homeassistant/lock/{ieee}/lock/config",
        json.dumps(payload, separators=(",", ":")).encode(),
        qos=1,
        retain=True,
    )
