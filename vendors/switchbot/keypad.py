"""A simulated keypad: passcodes are accepted at once and carried out seconds later; pure.

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b, "Keypad": a list of passcodes with their
names unique, each encrypted with the account's secret (AES-128-CBC); results by webhook.
"""

import json
from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from vendors.sim import Chance

_OK: Final = 100
_UNSUPPORTED: Final = 160
_BAD: Final = 190
_CARRIED_OUT_MS: Final = (3_000, 12_000)
_TIMEOUT_MS: Final = 60_000
_DIGITS: Final = range(6, 13)
_TYPES: Final = frozenset({"permanent", "timeLimit", "disposable", "urgent"})
_TIMED: Final = frozenset({"timeLimit", "disposable"})
_BLOCK_BYTES: Final = 16
_STAY_S: Final = 3 * 86_400


class Change(NamedTuple):
    """What a command asked for, to be carried out later."""

    word: str
    name: str
    key: Mapping[str, object]
    command_id: str
    result: str


class Keypad:
    """One keypad, paired with one lock, which draws its chance."""

    def __init__(self, device: str, rng: Chance, secret: str) -> None:
        self.device = device
        self._rng = rng
        self._secret = bytes.fromhex(secret)
        self._keys: dict[str, dict[str, object]] = {}
        self._next_id = 1
        self._commands = 0
        self._guests = 0

    def listed(self, lock: str, hub: str, now_ms: int) -> Mapping[str, object]:
        """Its entry of the device list."""
        return {
            "deviceId": self.device,
            "deviceName": f"Keypad {self.device[-4:]}",
            "deviceType": "Keypad",
            "enableCloudService": True,
            "hubDeviceId": hub,
            "lockDeviceId": lock,
            "keyList": [
                {
                    **{name: value for name, value in key.items() if name != "endTime"},
                    "status": _status(key, now_ms),
                }
                for key in self._keys.values()
            ],
        }

    def slot(self, number: int) -> str:
        """What a reader must come to know of a slot: our passcodes have such names."""
        return "OccupiedEnabled" if f"doorfleet {number}" in self._keys else "Available"

    def accept(
        self, word: str, parameter: object, now_ms: int, faults: Collection[str]
    ) -> tuple[int, str, int, Change | None]:
        """(statusCode, commandId, ms until it is carried out, what then)."""
        about: Mapping[str, Any] = parameter if isinstance(parameter, dict) else {}
        if word not in ("createKey", "deleteKey"):
            return _UNSUPPORTED, "", 0, None
        if not (_creatable(about) if word == "createKey" else "id" in about):
            return _BAD, "", 0, None
        self._commands += 1
        command_id = f"CMD-{now_ms}-{self._commands % 100:02d}"
        result = "failed" if "key_fails" in faults else "success"
        after_ms = self._rng.randint(*_CARRIED_OUT_MS)
        if "key_times_out" in faults:
            result, after_ms = "timeout", _TIMEOUT_MS
        name = str(about.get("name")) if word == "createKey" else self._name_of(about["id"])
        key = self._new(name, about, now_ms) if word == "createKey" else {}
        change = Change(word, name, key, command_id, result)
        # A reply writes the id without dashes (README, "Keypad example").
        return _OK, command_id.replace("-", ""), after_ms, change

    def carry_out(self, change: Change, now_ms: int) -> Mapping[str, object]:
        """Do it, or find that it cannot be done; the context of the webhook that tells."""
        word, name, key, command_id, result = change
        if result == "success":
            if word == "createKey" and name not in self._keys:
                self._keys[name] = {"id": self._next_id, **key}
                self._next_id += 1
            elif word == "deleteKey" and name in self._keys:
                del self._keys[name]
            else:
                result = "failed"
        return {
            "deviceType": "WoKeypad",
            "deviceMac": self.device,
            # As the README has it: with a space at the end of one of them.
            "eventName": "createKey" if word == "createKey" else "deleteKey ",
            "commandId": command_id,
            "result": result,
            "timeOfSample": now_ms,
        }

    def guest(self, now_ms: int) -> tuple[str, Mapping[str, object]]:
        """A command of somebody else: a passcode for a guest, or the end of the last one's."""
        name = f"Guest {self._guests}"
        if name in self._keys:
            return "deleteKey", {"id": self._keys[name]["id"]}
        self._guests += 1
        return "createKey", {
            "name": f"Guest {self._guests}",
            "type": "timeLimit",
            "password": f"{self._rng.randrange(10**8):08d}",
            "startTime": now_ms // 1000,
            "endTime": now_ms // 1000 + _STAY_S,
        }

    def _new(self, name: str, about: Mapping[str, Any], now_ms: int) -> dict[str, object]:
        iv = self._rng.randbytes(_BLOCK_BYTES)
        padder = padding.PKCS7(8 * _BLOCK_BYTES).padder()
        plain = padder.update(about["password"].encode()) + padder.finalize()
        encryptor = Cipher(algorithms.AES(self._secret), modes.CBC(iv)).encryptor()
        sealed = encryptor.update(plain) + encryptor.finalize()
        return {
            "name": name,
            "type": about["type"],
            "password": b64encode(sealed).decode(),
            "iv": iv.hex(),
            "createTime": now_ms // 1000,
            "endTime": about.get("endTime", 0) if about["type"] in _TIMED else 0,
        }

    def _name_of(self, key_id: object) -> str:
        found = (name for name, key in self._keys.items() if str(key["id"]) == str(key_id))
        return next(found, "")


def hook_body(context: Mapping[str, object]) -> bytes:
    """A webhook's body."""
    document = {"eventType": "changeReport", "eventVersion": "1", "context": dict(context)}
    return json.dumps(document, separators=(",", ":")).encode()


def _creatable(about: Mapping[str, Any]) -> bool:
    name, kind, password = about.get("name"), about.get("type"), about.get("password")
    times = [about.get("startTime"), about.get("endTime")]
    return (
        isinstance(name, str)
        and 0 < len(name) <= 64  # noqa: PLR2004 -- a guess
        and kind in _TYPES
        and isinstance(password, str)
        and password.isascii()
        and password.isdigit()
        and len(password) in _DIGITS
        and (kind not in _TIMED or all(type(time) is int for time in times))
    )


def _status(key: Mapping[str, object], now_ms: int) -> str:
    end_s = key["endTime"]
    assert isinstance(end_s, int)
    return "expired" if end_s and end_s * 1000 < now_ms else "normal"
