"""What a lock says to Home Assistant when it connects: one retained discovery message.

Source: payload of a Smart Lock 3.0 Pro as kept in GladysAssistant/Gladys
`server/test/services/nuki/lib/mqtt/lock.json` (3972814); see `samples/discovery`.
"""

import json

from vendors.sim import Publish


def announcement(device: str) -> Publish:
    """The lock entity, in Home Assistant's abbreviated keys."""
    payload = {
        "~": f"nuki/{device}",
        "avty_t": "~/connected",
        "pl_avail": "true",
        "pl_not_avail": "false",
        "dev": {
            "ids": f"[{device}]",
            "mf": "Nuki",
            "name": device,
            "mdl": "Smart Lock 3.0 Pro",
        },
        "name": device,
        "uniq_id": f"{device}_lock",
        "cmd_t": "~/lockAction",
        "pl_lock": "2",
        "pl_unlk": "1",
        "pl_open": "3",
        "stat_t": "~/state",
        "stat_locked": "1",
        "stat_locking": "4",
        "stat_unlocked": "3",
        "stat_unlocking": "2",
        "stat_jam": "254",
        "val_tpl": '{% if value in ("5","6","7") %}3{% else %}{{value}}{% endif %}',
    }
    return Publish(
        f"homeassistant/lock/nuki_{device}_lock/config",
        json.dumps(payload, separators=(",", ":")).encode(),
        qos=1,
        retain=True,
    )
