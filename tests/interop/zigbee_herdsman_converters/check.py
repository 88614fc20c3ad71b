"""What real converters make of ZCL messages, held against our codec and our simulator.

The converters run on Node (`golden.cjs`); ours is asked through `ours.py`, in our own Python.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from kit import kit

HERE = Path(__file__).parent
ASSURE, ID_LOCK, C4, C4_ASSURE = "YRD226/246 TSDB", "ID Lock 202", "ZYA-C4-MOD-S", "YRD256-TSDB"
PIN = {"user": 3, "user_type": "unrestricted", "user_enabled": True, "pin_code": "0271"}
#: What our adapter sends, and what a wrong caller might.
WISHES = [
    (ASSURE, "state", "LOCK"),
    (ASSURE, "state", "UNLOCK"),
    (ASSURE, "pin_code", PIN),
    (ASSURE, "pin_code", {"user": 3, "pin_code": None}),
    (ASSURE, "state", "ON"),
    (ASSURE, "pin_code", {"user": 999, "pin_code": None}),
]
#: ZCL 7.3.2.11 LockState; 3 is not in it.
LOCK_STATES = {"0": "NotFullyLocked", "1": "Locked", "2": "Unlocked", "null": None, "3": None}
DOOR_STATES = {
    "0": "DoorOpen",
    "1": "DoorClosed",
    "2": "DoorJammed",
    "3": "DoorForcedOpen",
    "4": "DoorUnspecifiedError",
    "255": None,
}
#: ZCL 7.3.2.17 operation event codes: what was done, and by what means where the code says so.
OPERATIONS = {
    0: ("NonAccessUserEvent", None),
    1: ("Lock", None),
    2: ("Unlock", None),
    7: ("Lock", None),
    8: ("Lock", "Manual"),
    9: ("Unlock", "Manual"),
    10: ("Lock", "Auto"),
    11: ("Lock", "Schedule"),
    12: ("Unlock", "Schedule"),
    13: ("Lock", "Manual"),
    14: ("Unlock", "Manual"),
    15: ("NonAccessUserEvent", None),
}
ERRORS = {
    3: ("Lock", "InvalidCredential"),
    4: ("Lock", "Restricted"),
    5: ("Unlock", "InvalidCredential"),
    6: ("Unlock", "Restricted"),
}
SOURCES = ["Keypad", "Remote", "Manual", "RFID", "Biometric"]
PIN_STATUS = {"0": "Available", "1": "OccupiedEnabled", "2": None, "3": "OccupiedDisabled"}


def run(*command: str, told: object = None) -> Any:
    text = "" if told is None else json.dumps(told)
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def converters(*wishes: tuple[str, str, object]) -> Any:
    return run("node", str(HERE / "golden.cjs"), os.environ["INTEROP_NODE"], json.dumps(wishes))


def ours(golden: object) -> Any:
    return run(os.environ["INTEROP_PYTHON"], str(HERE / "ours.py"), told=golden)


golden = converters(*WISHES)
mine = ours(golden)
#: (name, model, payload, our facts)
pairs = [
    (report["name"], report["model"], report["payload"], facts)
    for report, facts in zip(golden["reports"], mine["facts"], strict=True)
]


def named(what: str) -> list[tuple[list[str], str, dict[str, Any], list[dict[str, Any]]]]:
    found = [
        (name.split()[1:], model, payload, facts)
        for name, model, payload, facts in pairs
        if name.split()[0] == what
    ]
    assert found, what
    return found


def axis(facts: list[dict[str, Any]], name: str) -> Any:
    found = [fact for fact in facts if fact.get("axis") == name]
    assert len(found) == 1, facts
    assert found[0]["value"] is not None or found[0]["reason"], facts
    return found[0]["value"]


def happening(facts: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    (found,) = (fact for fact in facts if "happening" in fact)
    return found["happening"], found["data"]


with kit.check("each lock state reads as ZCL means it, and null as unknown"):
    for (state,), model, _, facts in named("lockState"):
        assert axis(facts, "lock_state") == LOCK_STATES[state], (model, state, facts)

with kit.check("each door state reads as ZCL means it, and undefined as unknown"):
    for (state,), _, _, facts in named("doorState"):
        assert axis(facts, "door_state") == DOOR_STATES[state], (state, facts)

with kit.check("each operation event is told as what was done, by what means, and moves no bolt"):
    for (code, source), _, payload, facts in named("operation"):
        assert not [fact for fact in facts if fact.get("axis") == "lock_state"], facts
        if int(code) == 16:  # of no table: the converters leave the action out, and so do we
            assert "action" not in payload
            assert not [fact for fact in facts if "happening" in fact]
            continue
        what, data = happening(facts)
        if int(code) in ERRORS:
            assert what == "lock.operation_error"
            assert (data["operation"], data["error"]) == ERRORS[int(code)]
            assert data["source"] == SOURCES[int(source)]
        else:
            operation, by = OPERATIONS[int(code)]
            assert what == "lock.operation"
            assert data["operation"] == operation
            assert data["source"] == (by or SOURCES[int(source)]), (code, source, data)
        assert data.get("user") == (3 if int(code) == 2 else None)

with kit.check("each programming event is told as a changed credential"):
    wanted = {
        "1": "Modify", "2": "Add", "3": "Clear", "4": "Modify", "5": "Add", "6": "Clear",
    }  # fmt: skip
    for (code,), _, _, facts in named("programming"):
        what, data = happening(facts)
        if code in wanted:
            assert (what, data["operation"]) == ("credential.changed", wanted[code])
            assert data.get("credential") == (None if code == "1" else 3)

with kit.check("a slot's status is read, and its code is not"):
    for words, _, payload, facts in named("pin"):
        assert axis(facts, "credential.3.status") == PIN_STATUS[words[0]]
        assert ("pin_code" in payload["users"]["3"]) == (words[1:] == ["exposed"])
        assert "271828" not in json.dumps(facts)

with kit.check("the battery is a whole number of percent"):
    for (raw,), _, payload, facts in named("battery"):
        if "battery" in payload:
            percent = axis(facts, "battery_pct")
            assert isinstance(percent, int)
            assert abs(percent - payload["battery"]) <= 0.5, (raw, payload, percent)

with kit.check("Yale's alarms, action and state in one and in their own spelling, are read"):
    bolts = {9: "NotFullyLocked"} | dict.fromkeys((18, 21, 24, 27, 32), "Locked")
    bolts |= dict.fromkeys((19, 22, 25), "Unlocked")
    for (code,), model, payload, facts in named("alarm"):
        if "state" in payload:
            assert axis(facts, "lock_state") == bolts[int(code)], (model, code, facts)
        if payload.get("action") == "error_jammed":
            assert happening(facts)[0] == "lock.operation_error"
        elif payload.get("action", "unknown") != "unknown":
            what, data = happening(facts)
            locked = data["operation"] == "Lock"
            assert (what, locked) == ("lock.operation", bolts[int(code)] == "Locked"), data
    low = {p["alarm"]: axis(f, "power_level") for _, m, p, f in named("alarm") if "alarm" in p}
    assert low["low_battery"] == "Warning"
    assert low["tamper_alarm_front_escutcheon"] == "OK"


def keys(document: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(document.get(name) for name in names)


with kit.check("our simulator says of a bolt only what the converters say, and all of it"):
    for model, documents in mine["documents"].items():
        theirs = {keys(p, "state", "lock_state") for _, m, p, _ in pairs if m == model}
        said = {keys(document, "state", "lock_state") for document in documents}
        assert said <= theirs, (model, said - theirs)
        assert {state for state, _ in said} >= {"LOCK", "UNLOCK"}, said
    spelt = {document["state"] for document in mine["documents"][C4]}
    assert spelt == {"LOCK", "UNLOCK", "LOCKED", "UNLOCKED"}

with kit.check("our simulator says of actions only what the converters say"):
    what = ("action", "action_source", "action_source_name")
    for model, documents in mine["documents"].items():
        theirs = {keys(p, *what) for _, m, p, _ in pairs if m == model and p.get("action")}
        said = {keys(document, *what) for document in documents if document.get("action")}
        assert said <= theirs, (model, said - theirs)
        assert len(said) >= 5

with kit.check("our simulator says of doors and slots only what the converters say"):
    doors = {p["door_state"] for _, _, p, _ in pairs if "door_state" in p}
    users = [p["users"]["3"] for _, _, p, _ in pairs if "users" in p]
    for documents in mine["documents"].values():
        assert {d["door_state"] for d in documents if "door_state" in d} <= doors
        for document in documents:
            for user in document.get("users", {}).values():
                shape = {"status": user["status"]} | (
                    {"pin_code": "271828"} if "pin_code" in user else {}
                )
                assert shape in users, user
    assert any(d.get("users", {}).get("3", {}).get("pin_code") for d in mine["documents"][ASSURE])

with kit.check("what our adapter sends becomes the ZCL command that it means"):
    assert mine["states"] == {"LockDoor": "LOCK", "UnlockDoor": "UNLOCK"}
    calls = [
        [(call["command"], call["payload"]) for call in each["calls"]] for each in golden["sets"]
    ]
    empty = {"pincodevalue": {"type": "Buffer", "data": []}}
    assert calls[:2] == [[("lockDoor", empty)], [("unlockDoor", empty)]]
    stored = {"userid": 3, "userstatus": 1, "usertype": 0, "pincodevalue": "0271"}
    assert calls[2:4] == [[("setPinCode", stored)], [("clearPinCode", {"userid": 3})]]
    assert [each["error"] for each in golden["sets"][:4]] == [None] * 4

with kit.check("what the converters refuse is refused by our simulator in the same words"):
    refused = {"refused": True, "sets": [each for each in golden["sets"] if each["error"]]}
    assert len(refused["sets"]) == 2
    assert ours(refused)["refusals"] == [each["error"] for each in refused["sets"]]

with kit.check("our models are announced as the converters describe them"):
    for model, told in mine["exposes"].items():
        real = golden["exposes"][model]
        about = ("model", "vendor", "description")
        assert keys(told, *about) == keys(real, *about)
        by_name = {each.get("name", each["type"]): each for each in real["exposes"]}
        assert {each.get("name", each["type"]) for each in told["exposes"]} <= by_name.keys()
        for our, their in zip(
            told["exposes"][0]["features"], by_name["lock"]["features"], strict=True
        ):
            assert our == {key: their[key] for key in our}, (model, our, their)
        if "pin_code" in by_name:
            theirs = [feature["name"] for feature in by_name["pin_code"]["features"]]
            (pin,) = (each for each in told["exposes"] if each.get("name") == "pin_code")
            assert [feature["name"] for feature in pin["features"]] == theirs
