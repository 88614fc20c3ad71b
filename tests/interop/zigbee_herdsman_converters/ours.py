"""Our side of the comparison, run by our own Python: what codec, simulator and adapter say.

Reads what `golden.cjs` printed, or nothing, from standard input; prints JSON.
"""

import json
import sys
from random import Random
from typing import Any

from devices.reading import Reading
from vendors.api import Frame
from vendors.sim import Effects, FleetSpec, Publish
from vendors.zigbee2mqtt import adapter, codec, models, simulator
from vendors.zigbee2mqtt.lock import Lock

#: Our models by the name that the converters find them by.
FOUND_BY = {"assure": "YRD226/246 TSDB", "id_lock": "ID Lock 202", "c4": "ZYA-C4-MOD-S"}
LOCK = "0x000d6f0000000001"


def facts(payload: dict[str, Any]) -> list[dict[str, Any]]:
    frame = Frame(f"lock/{LOCK}/state?*=report", json.dumps(payload).encode(), 0)
    return [
        {"axis": fact.axis, "value": fact.value, "reason": fact.reason}
        if isinstance(fact, Reading)
        else {"happening": fact.type, "data": dict(fact.data)}
        for fact in codec.decode(frame)
    ]


class Witness:
    """One simulated lock, and everything that it says."""

    def __init__(self, model: str) -> None:
        options = {"models": [model], "expose_pin": True}
        spec = FleetSpec(1, "zigbee2mqtt", 0, options)
        self.lock: Lock = simulator.fleet(spec, lambda _: Random(1))[0]
        self.now_ms = 0
        self.said: list[dict[str, Any]] = []
        self.lock.bridge.connected(self.now_ms)

    def keep(self, effects: Effects) -> None:
        self.said += [
            json.loads(message.payload)
            for message in effects.messages
            if isinstance(message, Publish) and message.topic.endswith(f"/{self.lock.friendly}")
        ]

    def ask(self, verb: str, body: object) -> None:
        topic = f"zigbee2mqtt/{self.lock.friendly}/{verb}"
        message = Publish(topic, json.dumps(body).encode())
        self.keep(self.lock.bridge.receive(message, self.now_ms).devices[self.lock.name])

    def a_minute(self, habit: str) -> None:
        """Somebody does something, and every command is given."""
        self.keep(self.lock.act(habit, self.now_ms))
        self.ask("set", {"state": "LOCK"})
        self.ask("set", {"state": "UNLOCK"})
        if self.lock.model.pin_slots:
            self.ask("set", {"pin_code": {"user": 3, "pin_code": "271828"}})
            self.ask("get", {"pin_code": {"user": 3}})
            self.ask("get", {"pin_code": {"user": 5}})
        self.now_ms += 60_000
        self.keep(self.lock.wake(self.now_ms))


def documents(model: str) -> list[dict[str, Any]]:
    """Everything that a simulated lock of the model says while everything happens to it."""
    it = Witness(model)
    for fault in ["", *simulator.FAULTS]:
        if fault:
            it.keep(it.lock.act(f"fault:{fault}", it.now_ms))
        for habit in [*simulator.HABITS, *simulator.HABITS]:
            it.a_minute(habit)
        if fault:
            it.keep(it.lock.act(f"heal:{fault}", it.now_ms))
    return it.said


def refusal(key: str, value: object) -> str:
    """What the simulated bridge's log says of a command."""
    spec = FleetSpec(1, "zigbee2mqtt", 0, {"models": ["assure"]})
    lock: Lock = simulator.fleet(spec, lambda _: Random(1))[0]
    lock.bridge.connected(0)
    topic = f"zigbee2mqtt/{lock.friendly}/set"
    effects = lock.bridge.receive(Publish(topic, json.dumps({key: value}).encode()), 0)
    (line,) = effects.devices[lock.name].messages
    assert isinstance(line, Publish)
    message: str = json.loads(line.payload)["message"]
    return message.partition(" failed: '")[2].removesuffix("'")


def main() -> None:
    golden = json.loads(sys.stdin.read() or "{}")
    answer = {
        "facts": [facts(report["payload"]) for report in golden.get("reports", [])],
        "refusals": [refusal(each["key"], each["value"]) for each in golden.get("sets", [])]
        if golden.get("refused")
        else [],
        "documents": {FOUND_BY[model]: documents(model) for model in FOUND_BY},
        "exposes": {
            FOUND_BY[name]: {
                "model": model.model,
                "vendor": model.vendor,
                "description": model.about,
                "exposes": list(model.exposes),
            }
            for name, model in models.MODELS.items()
        },
        "states": dict(adapter.STATES),
    }
    json.dump(answer, sys.stdout)


main()
