"""The electronics of a simulated garage unit: its clock, key and mouth; pure.

    question ──► sign? ──► what it asks for ──► answer, with the question's messageId
    contact of a door changed ──► PUSH, at once

Written from the sources that `codec` names, and not with the codec's own tables.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import md5
from typing import Any, Final, NamedTuple, Protocol

import orjson

from vendors.sim import Chance, Publish

STATE: Final = "Appliance.GarageDoor.State"
_ENCRYPTION: Final = ("Appliance.Encrypt.Suite", "Appliance.Encrypt.ECDHE")
_SIGN_ERROR: Final = 5001
# A code for what a unit does not understand is not public: a guess.
_NOT_UNDERSTOOD: Final = 5000
_QOS: Final = 1
# SETACK within 1 s; after a reboot one took 6 s. Source: msg100 traces of meross_lan.
_SETACK_MS: Final = (100, 900)
_BOOTED_MS: Final = 6_000
_EPOCH_MS: Final = 3_000
_DRIFT_MS: Final = -15_000
_QUIET_MS: Final = 300_000
_REPLAY_MS: Final = (500, 4_000)
_DURATION_MS: Final = 30_000
_APP: Final = re.compile(r"/app/[0-9A-Za-z_-]+/subscribe")
#: Firmware that answers for one door with an object, and says `execute` 1 whatever it does.
OLD_FIRMWARE: Final = frozenset({"3.2.7", "4.2.1"})
FIRMWARE: Final = (*sorted(OLD_FIRMWARE), "4.2.8")


#: A method, and what is said with it at the moment when it leaves.
Said = tuple[str, Callable[[int], Mapping[str, Any]]]


class Contact(NamedTuple):
    """What a door's contact says: since when (the unit's clock, s), and whether it has a door."""

    channel: int
    is_open: bool
    changed_s: int


class Door(Protocol):
    """A door as its unit has it."""

    channel: int

    @property
    def contact(self) -> Contact:
        """What its contact says now."""

    def press(self, now_ms: int) -> None:
        """Pulse the button of its opener."""


class Answer(NamedTuple):
    """What goes back, where, and how long the unit takes over it."""

    topic: str
    compose: Callable[[int], bytes]
    delay_ms: int


class Outbox:
    """What leaves later; composed when it leaves, so that it tells of that moment."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Callable[[int], Publish]]] = []

    def put(self, at_ms: int, compose: Callable[[int], Publish]) -> None:
        """Let this leave then."""
        self._waiting.append((at_ms, compose))

    def clear(self) -> None:
        """The link is gone, and with it what was to leave."""
        self._waiting.clear()

    @property
    def next_ms(self) -> int | None:
        """When the next one leaves."""
        return min((at_ms for at_ms, _ in self._waiting), default=None)

    def due(self, now_ms: int) -> list[Publish]:
        """What leaves now, the earliest first."""
        ready = sorted(
            (each for each in self._waiting if each[0] <= now_ms), key=lambda each: each[0]
        )
        self._waiting = [each for each in self._waiting if each[0] > now_ms]
        return [compose(now_ms) for _, compose in ready]


class Box:
    """One unit.

    Args:
        channels: its places for doors: [0] of a msg100, [1, 2, 3] of a msg200.
        doors: those that are there.
        rng: for message ids and delays.
        encrypts: it says that it can encrypt on the LAN.
    """

    def __init__(  # noqa: PLR0913 -- by keyword: what is printed on its label
        self,
        *,
        uuid: str,
        mac: str,
        key: str,
        firmware: str,
        channels: Sequence[int],
        doors: Sequence[Door],
        rng: Chance,
        encrypts: bool = False,
    ) -> None:
        self.uuid = uuid
        self.mac = mac
        self.firmware = firmware
        self.channels = channels
        self.faults: set[str] = set()
        self.outbox = Outbox()
        self.linked = False
        self._key = key
        self._rng = rng
        self._doors = doors
        self._encrypts = encrypts
        self._booted_ms: int | None = None
        self._answered_ms: int | None = None
        self._asked = 0
        self._pushed: bytes | None = None

    # --- what it says -------------------------------------------------------------------------

    def clock_ms(self, now_ms: int) -> int:
        """What its clock says."""
        since_boot_ms = now_ms - (self._booted_ms or 0)
        if self.faults & {"epoch_clock", "no_ntp"}:
            return since_boot_ms + _EPOCH_MS
        return now_ms + _DRIFT_MS if "clock_drift" in self.faults else now_ms

    @property
    def is_heard(self) -> bool:
        """Whether a push gets out and is understood."""
        return self.linked and not self.faults & {"no_push", "unavailable", "sign_error"}

    def boot(self, now_ms: int) -> list[Publish]:
        """What it says after power on."""
        self._booted_ms = now_ms
        return [*self.announce(now_ms), *self.push(now_ms, None, boot=True)]

    @property
    def has_booted(self) -> bool:
        """Whether it ever was switched on."""
        return self._booted_ms is not None

    def announce(self, now_ms: int) -> list[Publish]:
        """What it says when it has a broker."""
        clock_s = self.clock_ms(now_ms) // 1_000
        bind = {"bindTime": clock_s, **self._about(now_ms, online=True)}
        del bind["online"]
        return self._speak(
            "Appliance.Control.Bind", "SET", {"bind": bind}, now_ms, triggerSrc="DevBoot"
        )

    def push(self, now_ms: int, channel: int | None, *, boot: bool = False) -> list[Publish]:
        """The state of one door, or at boot of all; nothing if it cannot get out."""
        if "no_push" in self.faults:
            return []
        state = [
            self._entry(door.contact)
            for door in self._doors
            if channel is None or door.channel == channel
        ]
        payload: dict[str, Any] = {"state": state}
        if boot:
            payload["reason"] = {"bootup": {"timestamp": self.clock_ms(now_ms) // 1_000}}
        if "channel_zero" in self.faults:
            for entry in state:
                entry["channel"] = 0
        told = self._speak(STATE, "PUSH", payload, now_ms)
        if told and "replayed" in self.faults:
            self._replay(told[0], now_ms)
        if told:
            # A copy of its own size: orjson hands out what lies in a buffer of 4 kB.
            self._pushed = bytes(memoryview(told[0].payload))
        return told

    def _replay(self, told: Publish, now_ms: int) -> None:
        """The push before this one comes again after it, and so does this one, ids and all."""
        for payload in (told.payload, self._pushed):
            if payload is not None:
                again = told._replace(payload=payload)
                at_ms = now_ms + self._rng.randint(*_REPLAY_MS)
                self.outbox.put(at_ms, partial(_as_it_was, again))

    def _speak(
        self,
        namespace: str,
        method: str,
        payload: Mapping[str, Any],
        now_ms: int,
        **extra: Any,  # noqa: ANN401
    ) -> list[Publish]:
        if not self.linked or "unavailable" in self.faults:
            return []
        message = self._message(self._id(), namespace, method, payload, now_ms, **extra)
        return [Publish(f"/appliance/{self.uuid}/publish", message, qos=_QOS)]

    def _id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _message(
        self,
        message_id: str,
        namespace: str,
        method: str,
        payload: Mapping[str, Any],
        now_ms: int,
        **extra: Any,  # noqa: ANN401
    ) -> bytes:
        clock_s, clock_ms = divmod(self.clock_ms(now_ms), 1_000)
        header = {
            "messageId": message_id,
            "namespace": namespace,
            "method": method,
            "payloadVersion": 1,
            "from": f"/appliance/{self.uuid}/publish",
            "uuid": self.uuid,
            "timestamp": clock_s,
            "timestampMs": clock_ms,
            "sign": self._sign(message_id, clock_s),
            **extra,
        }
        return orjson.dumps({"header": header, "payload": payload})

    def _sign(self, message_id: str, clock_s: int) -> str:
        # Paired anew, it has another key: whoever has the old one is a stranger.
        key = self._key[::-1] if "sign_error" in self.faults else self._key
        return md5(f"{message_id}{key}{clock_s}".encode(), usedforsecurity=False).hexdigest()

    # --- what it is asked ---------------------------------------------------------------------

    def answer(self, body: bytes, now_ms: int) -> Answer | None:
        """What a message leads to; None if it stays without an answer."""
        self._asked += 1
        if self.faults & {"deaf", "unavailable"}:
            return None
        if "reboot_drops" in self.faults and self._asked % 3 == 0:
            return None
        if "rate_limited" in self.faults:
            if self._answered_ms is not None and now_ms - self._answered_ms < _QUIET_MS:
                return None
            self._answered_ms = now_ms
        header, payload = _parts(body)
        message_id, at_s = header.get("messageId"), header.get("timestamp")
        if not isinstance(message_id, str) or not isinstance(at_s, int):
            return None
        namespace = str(header.get("namespace"))
        delay_ms = _BOOTED_MS if self.faults & {"epoch_clock", "reboot_drops"} else 0
        if header.get("sign") != self._sign(message_id, at_s):
            method, said = _error({"code": _SIGN_ERROR, "detail": "sign error"})
        elif (namespace, header.get("method")) == (STATE, "SET"):
            method, said = self._set(payload, now_ms)
            delay_ms += self._rng.randint(*_SETACK_MS)
        elif header.get("method") == "GET" and namespace in self._gets:
            method, said = "GETACK", partial(self._gets[namespace], self)
        else:
            method, said = _error({"code": _NOT_UNDERSTOOD})
        origin = str(header.get("from"))
        topic = origin if _APP.fullmatch(origin) else f"/appliance/{self.uuid}/publish"

        def compose(at_ms: int) -> bytes:
            whole = self._message(message_id, namespace, method, said(at_ms), at_ms)
            return whole[: len(whole) * 3 // 5] if "truncated" in self.faults else whole

        return Answer(topic, compose, delay_ms)

    def _set(self, payload: Mapping[str, Any], now_ms: int) -> Said:
        """Press, unless the contact is there already; the state beside is the one before."""
        state = payload.get("state")
        state = state if isinstance(state, dict) else {}
        channel, wanted = state.get("channel"), state.get("open")
        # A msg200 takes channel 0 for all of its doors (homebridge-meross PR 106).
        meant = [door for door in self._doors if channel in (0, door.channel)]
        if wanted not in (0, 1) or not meant:
            return _error({"code": _NOT_UNDERSTOOD})
        acks = []
        for door in meant:
            contact = door.contact
            executes = contact.is_open != bool(wanted)
            told = executes or self.firmware in OLD_FIRMWARE
            acks.append({**self._entry(contact), "execute": int(told)})
            if executes:
                door.press(now_ms)
        return "SETACK", lambda _: {"state": self._shaped(acks)}

    # --- what it can be asked for -------------------------------------------------------------

    def _entry(self, contact: Contact) -> dict[str, Any]:
        entry: dict[str, Any] = {"channel": contact.channel}
        if len(self.channels) > 1 and self.firmware not in OLD_FIRMWARE:
            entry["doorEnable"] = 1
        return {**entry, "open": int(contact.is_open), "lmTime": contact.changed_s}

    def _entries(self) -> list[dict[str, Any]]:
        """All places, those without a door too: they read open."""
        doors = {door.channel: self._entry(door.contact) for door in self._doors}
        empty = {"doorEnable": 0, "open": 1, "lmTime": 0}
        return [doors.get(each, {"channel": each, **empty}) for each in self.channels]

    def _shaped(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]] | dict[str, Any]:
        """A list, or of old firmware the first door alone."""
        as_object = self.firmware in OLD_FIRMWARE
        if "shape_change" in self.faults:
            as_object = not as_object
        return entries[0] if as_object else entries

    def _state(self, now_ms: int) -> Mapping[str, Any]:
        del now_ms
        entries = self._entries()
        if "channel_zero" in self.faults:
            entries = [{**entry, "channel": 0} for entry in entries]
        return {"state": self._shaped(entries)}

    def _about(self, now_ms: int, *, online: bool) -> dict[str, Any]:
        return {
            "hardware": {
                "type": "msg200" if len(self.channels) > 1 else "msg100",
                "subType": "us",
                "version": "4.0.0",
                "chipType": "MT7686",
                "uuid": self.uuid,
                "macAddress": self.mac,
            },
            "firmware": {
                "version": self.firmware,
                "compileTime": "Nov 26 2021 15:47:15",
                "encrypt": 1,
                "wifiMac": "00:00:5e:00:53:01",
                "innerIp": "192.0.2.21",
                "server": "broker.example",
                "port": 8883,
                "userId": 100001,
            },
            "time": {
                "timestamp": self.clock_ms(now_ms) // 1_000,
                "timezone": "Europe/Rome",
                "timeRule": [],
            },
            "online": {"status": 1 if online else 2},
        }

    def _all(self, now_ms: int) -> Mapping[str, Any]:
        clock_is_good = not self.faults & {"epoch_clock", "no_ntp"}
        digest = {"togglex": [], "triggerx": [], "timerx": [], "garageDoor": self._entries()}
        return {"all": {"system": self._about(now_ms, online=clock_is_good), "digest": digest}}

    def _ability(self, now_ms: int) -> Mapping[str, Any]:
        del now_ms
        names = [*self._gets, *(_ENCRYPTION if self._encrypts else ())]
        return {"payloadVersion": 1, "ability": {name: {} for name in names}}

    def _config(self, now_ms: int) -> Mapping[str, Any]:
        del now_ms
        config = {"signalDuration": 1_000, "buzzerEnable": 0}
        if self.firmware != "3.2.7":
            config |= {"doorOpenDuration": _DURATION_MS, "doorCloseDuration": _DURATION_MS}
        return {"config": config}

    def _multiple_config(self, now_ms: int) -> Mapping[str, Any]:
        del now_ms
        doors = {door.channel for door in self._doors}
        one = {"signalOpen": 3_000, "signalClose": 3_000, "buzzerEnable": 0}
        one |= {"doorOpenDuration": _DURATION_MS, "doorCloseDuration": _DURATION_MS}
        return {
            "config": [
                {"channel": each, "doorEnable": int(each in doors), **one} for each in self.channels
            ]
        }

    _gets: Final[Mapping[str, Callable[["Box", int], Mapping[str, Any]]]] = {
        "Appliance.System.All": _all,
        "Appliance.System.Ability": _ability,
        "Appliance.System.Runtime": lambda _self, _now: {"runtime": {"signal": 100}},
        "Appliance.System.DNDMode": lambda _self, _now: {"DNDMode": {"mode": 0}},
        STATE: _state,
        "Appliance.GarageDoor.Config": _config,
        "Appliance.GarageDoor.MultipleConfig": _multiple_config,
    }


def _as_it_was(message: Publish, now_ms: int) -> Publish:
    del now_ms
    return message


def _error(error: Mapping[str, Any]) -> Said:
    return "ERROR", lambda _: {"error": error}


def _parts(body: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and payload of what was asked; empty if it has none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}, {}
    document = document if isinstance(document, dict) else {}
    header, payload = document.get("header"), document.get("payload")
    return (
        header if isinstance(header, dict) else {},
        payload if isinstance(payload, dict) else {},
    )
