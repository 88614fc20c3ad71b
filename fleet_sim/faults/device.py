"""What fails inside a device, whoever made it.

Two sorts. What only the device's own model can act out strikes by the name that its vendor's
simulator has for it (`vendors.sim.SimulatorModule.KINDS`), and its link is well. What new firmware
says otherwise than before is done to what leaves: nobody knows what such a frame meant, so it
counts as swallowed, and a gateway may rightly call unknown what it told of.
"""

from dataclasses import dataclass
from typing import Final

from fleet_sim.faults import respoken
from fleet_sim.faults.fault import Arrivals, Carried, Fault, setting
from fleet_sim.faults.kind import Family, Kind, Strikes
from vendors.sim import Chance

_THE_FIELD: Final = "which; absent, one by chance in each message"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfItself(Fault):
    """Its vendor's simulator acts it out; the link is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Respoken(Fault):
    """New firmware says one field otherwise; when it is mended, the device connects anew."""

    field: str = setting("", "", _THE_FIELD)

    @property
    def veils(self) -> bool:
        """Whoever does not understand a value may say so."""
        return True

    @property
    def reconnect(self) -> bool:
        """The next firmware boots."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RenamedField(_Respoken):
    """A field has another name: a key of a document, or the last level of a topic."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """The same with another name in it."""
        return ((0, respoken.renamed(message, self.field, rng)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEnum(_Respoken):
    """A word is one that nobody knows."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """The same with a strange word in it."""
        return ((0, respoken.estranged(message, self.field, rng)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class NullValue(_Respoken):
    """A value is null."""

    def strike(self, message: Carried, rng: Chance) -> Arrivals:
        """The same with a hole in it."""
        return ((0, respoken.nullified(message, self.field, rng)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class BabblingIdiot(Fault):
    """One device says its last words again and again."""

    babble_per_s: float = setting(20.0, "per s", "how often it says something again")

    @property
    def babble_ms(self) -> float | None:
        """On average."""
        return 1000 / self.babble_per_s


def _of_itself(what: str, seen: str, source: str) -> Kind:
    return Kind(Family.DEVICE, OfItself, what, seen, source, Strikes.DEVICE)


KINDS: Final = {
    "jam": _of_itself(
        "the motor runs, and bolt or door does not get there",
        "a fault of the lock instead of the state that was wanted; a door that stays where it is",
        "technyon/nuki_hub#165, #330: blocked, and 10 s later said to be locked",
    ),
    "obstruction": _of_itself(
        "something is in the way of a door, or before its photo eye",
        "an obstruction is told; the door turns back, or comes to rest on its way",
        "ratgdo/esphome-ratgdo#327: a photo eye that flaps several times a second",
    ),
    "stuck_moving": _of_itself(
        "a movement begins and no end of it is ever told",
        "the door is under way, or not shut, for longer than any travel takes",
        "krahabb/meross_lan#498; homebridge-meross#307: stuck in opening and closing",
    ),
    "bounce": _of_itself(
        "a contact or bolt says one thing, the other, and the first again",
        "a state, its opposite, and the state again within seconds of one movement",
        "mongoose-os-apps/shelly-homekit#1087: a reed says closed, open, closed",
    ),
    "brown_out": _of_itself(
        "the battery is low: a movement takes the radio's power, and the lock boots",
        "gone in the middle of a movement; back without knowing where its bolt is",
        "digaus/esphome-components-eqiva#22: where the batteries gave up, its state is unknown",
    ),
    "sensor_latched": _of_itself(
        "a sensor says the same, whatever is before it",
        "the told state stays as it was, while door or bolt moves",
        "OpenGarage-Firmware#121: 20 cm, and so `open`, until a restart",
    ),
    "phantom_event": _of_itself(
        "something is told that did not take place",
        "news of a movement, while nothing has moved",
        "zigbee-herdsman-converters yale.ts (Solis): operation events after a boot",
    ),
    "stale_state": _of_itself(
        "what it says of itself is old, and looks good",
        "no news of what a hand has done, and an old answer to who asks",
        "ebaauw/homebridge-nb#133: /list stays as it was for hours",
    ),
    "contradictory_state": _of_itself(
        "two words of one device contradict each other",
        "two fields, or event and state, that cannot both be true",
        "home-assistant/core, fixture list.json of nuki: state 1 is called unlocked",
    ),
    "accepted_not_executed": _of_itself(
        "a command is taken, and nothing comes of it",
        "the usual acknowledgement, and no movement",
        "home-assistant/core#179738: 100, and the bolt does not move",
    ),
    "executed_not_answered": _of_itself(
        "a command is carried out, and its answer is an error or none",
        "a movement after a command that has failed or timed out",
        "Koenkk/zigbee2mqtt#2541, #13077: the set times out, and the bolt has moved",
    ),
    "firmware_during_command": _of_itself(
        "an update begins while bolt or door moves",
        "a command whose end is not told; meanwhile busy, and no state",
        "home-assistant/core#169379: state 18 and battery 255 while it updates",
    ),
    "clock_skew": _of_itself(
        "its clock is off by seconds to an hour",
        "signed requests are refused, or its times are off",
        "home-assistant/core#121778: each token is refused when a clock drifts",
    ),
    "epoch_clock": _of_itself(
        "its clock begins at the epoch after a boot",
        "times of 1970 or 2000 in what it says",
        "krahabb/meross_lan, trace of a msg100: 3 s after 1970 after a boot",
    ),
    "dst_jump": _of_itself(
        "its clock has no zone, and jumps by an hour",
        "local times that are an hour off",
        "uhppoted: a controller's clock is local time that hosts set",
    ),
    "renamed_field": Kind(
        Family.DEVICE,
        RenamedField,
        "a field of what it says has another name",
        "a key, or a topic's last level, with `_v2` behind it; datagrams have no names",
        "PeteRager/lennoxs30#321: `value` is `values` after an update",
    ),
    "unknown_enum": Kind(
        Family.DEVICE,
        UnknownEnum,
        "a word of what it says is one that nobody knows",
        "`hovering` in the place of a word; datagrams have no words",
        "home-assistant/core#179206: states in words that no reader had met",
    ),
    "null_value": Kind(
        Family.DEVICE,
        NullValue,
        "a value of what it says is null",
        "`null` in the place of a value; datagrams have no null",
        "Koenkk/zigbee2mqtt#18852: UNLOCK, and nulls beside it",
    ),
    "babbling_idiot": Kind(
        Family.DEVICE,
        BabblingIdiot,
        "one device says its last words babble_per_s times a second",
        "the same frames again and again, of one device; who only answers does not babble",
        "Koenkk/zigbee2mqtt#16845, #27158: one plug's reports slow down a whole network",
        of_one=True,
    ),
}
