"""What a board says to Home Assistant when it connects: retained discovery messages.

Source: mqtt-ratgdo a8e213a, src/home_assistant.cpp; payloads of firmware 2.51 and 2.54 as
captured in ratgdo/mqtt-ratgdo#4 and #28 are in `samples/`.
"""

import json
from typing import Final

from vendors.sim import Publish

_PREFIX: Final = "homeassistant"
#: The firmware that a board runs unless it was given another.
FIRMWARE: Final = "2.58"


def announcements(base: str, name: str, mac: str, firmware: str = FIRMWARE) -> list[Publish]:
    """The four discovery messages of a board with a Security+ opener."""
    unique = f"{name}_{mac}"
    device = {
        "name": name,
        "identifiers": unique,
        "manufacturer": "Paul Wieland",
        "model": "ratgdo",
        "sw_version": firmware,
        "configuration_url": "http://192.0.2.7/",
    }
    entities = {
        "cover": {
            "name": "Door",
            "unique_id": unique,
            "device_class": "garage",
            "command_topic": "~/command/door",
            "payload_open": "open",
            "payload_close": "close",
            "payload_stop": "stop",
            "state_topic": "~/status/door",
        },
        "light": {
            "name": "Light",
            "unique_id": f"{unique}_light",
            "command_topic": "~/command/light",
            "payload_on": "on",
            "payload_off": "off",
            "state_topic": "~/status/light",
        },
        "lock": {
            "name": "Lock",
            "unique_id": f"{unique}_lock",
            "command_topic": "~/command/lock",
            "payload_lock": "lock",
            "payload_unlock": "unlock",
            "state_topic": "~/status/lock",
            "state_locked": "locked",
            "state_unlocked": "unlocked",
        },
        # The firmware calls the photo eye a motion sensor.
        "binary_sensor": {
            "name": "Obstruction",
            "unique_id": f"{unique}_obs",
            "device_class": "motion",
            "state_topic": "~/status/obstruction",
            "payload_on": "obstructed",
            "payload_off": "clear",
        },
    }
    return [
        Publish(
            f"{_PREFIX}/{component}/{name}/config",
            json.dumps(
                {
                    "~": base,
                    "availability_topic": "~/status/availability",
                    **entity,
                    "device": device,
                },
                separators=(",", ":"),
            ).encode(),
            retain=True,
        )
        for component, entity in entities.items()
    ]
