"""A simulated relay on an opener's button, and reeds at the ends of the door; pure.

The opener toggles: start, stop, the other way. The device only sees its reeds: one (a 1 Mini Gen4)
or two (a 2PM Gen3 in its switch profile).
Source: fields as captured (aioshelly ea7a88f `shellymini1gen4`); Switch.Set and `auto_off` from
shelly-api-docs.shelly.cloud/gen2 ComponentsAndServices/Switch.
"""

from collections.abc import Mapping
from typing import Any, Final

from vendors.shelly.door import DOWN, Door
from vendors.shelly.profile import INVALID, Method, Plans, RpcError, Status, part
from vendors.sim import Chance

_AUTO_OFF_MS: Final = 500
_DRIVE_MS: Final = (30_000, 300_000)
# A reed that is not debounced closes, opens and closes within a tenth of a second or two.
_BOUNCE_MS: Final = (40, 120)

#: What a consumer must come to see, by (closed reed, open reed); the second is None if there is
#: none.
SEEN: Final[Mapping[tuple[bool, bool | None], tuple[str | None, str | None, str | None]]] = {
    (True, None): ("Stopped", "FullyClosed", "None"),
    (False, None): (None, "PartiallyOpened", None),
    (True, False): ("Stopped", "FullyClosed", "None"),
    (False, True): ("Stopped", "FullyOpened", "None"),
    (False, False): (None, "PartiallyOpened", None),
    (True, True): (None, None, None),
}


class RelayDoor:
    """One relay with its reeds: a `vendors.shelly.profile.Profile`."""

    def __init__(self, rng: Chance, faults: set[str], reeds: int) -> None:
        self._rng = rng
        self.faults = faults
        self._reeds = reeds
        one = reeds == 1
        self.app = "Mini1G4" if one else "S2PMG3"
        self.model = "S4SW-001X8EU" if one else "S3SW-002P16EU"
        self.profile: str | None = None if one else "switch"
        self.door = Door(rng)
        self.plans: Plans = {}
        self._output = False
        self._source = "init"
        self._bounced = False
        self._shut = self.door.shut

    # --- what it says -------------------------------------------------------------------------

    def _reed(self, number: int) -> bool:
        if number == 0:
            return self.door.shut and not self._bounced and "missing_sensor" not in self.faults
        return self.door.full

    def status(self, now_ms: int) -> Mapping[str, Status]:
        """The relay, and each reed."""
        del now_ms
        switch = {
            "id": 0,
            "source": self._source,
            "output": self._output,
            "temperature": {"tC": 64.4, "tF": 147.9},
        }
        reeds = {
            f"input:{number}": {"id": number, "state": self._reed(number)}
            for number in range(self._reeds)
        }
        return {"switch:0": switch, **reeds}

    def config(self) -> Mapping[str, Status]:
        """The relay lets go by itself, and no input moves it."""
        switch = {
            "id": 0,
            "name": None,
            "in_mode": "detached",
            "in_locked": False,
            "initial_state": "off",
            "auto_on": False,
            "auto_on_delay": 60.0,
            "auto_off": True,
            "auto_off_delay": _AUTO_OFF_MS / 1_000,
        }
        reeds = {
            f"input:{number}": {
                "id": number,
                "name": None,
                "type": "switch",
                "enable": True,
                "invert": False,
            }
            for number in range(self._reeds)
        }
        return {"switch:0": switch, **reeds}

    def seen(self, now_ms: int) -> Mapping[str, str | int | None]:
        """What the reeds tell, and no more."""
        del now_ms
        reeds = (self._reed(0), None if self._reeds == 1 else self._reed(1))
        return dict(zip(("main_state", "position", "target_position"), SEEN[reeds], strict=True))

    # --- what can be asked of it --------------------------------------------------------------

    def methods(self) -> Mapping[str, Method]:
        """The Switch and Input namespaces."""
        return {
            "Switch.Set": self._set,
            "Switch.Toggle": lambda params, source, now_ms: self._set(
                {**params, "on": not self._output}, source, now_ms
            ),
            "Switch.GetStatus": lambda params, _, now_ms: self.status(now_ms)[
                f"switch:{part(params)}"
            ],
            "Switch.GetConfig": lambda params, _source, _now: self.config()[
                f"switch:{part(params)}"
            ],
            "Input.GetStatus": lambda params, _, now_ms: self.status(now_ms)[
                f"input:{part(params, self._reeds)}"
            ],
            "Input.GetConfig": lambda params, _source, _now: self.config()[
                f"input:{part(params, self._reeds)}"
            ],
        }

    def _set(self, params: Mapping[str, Any], source: str, now_ms: int) -> Status:
        part(params)
        on, after = params.get("on"), params.get("toggle_after", _AUTO_OFF_MS / 1_000)
        if not isinstance(on, bool):
            raise RpcError(INVALID, "Missing required argument 'on'!")
        if isinstance(after, bool) or not isinstance(after, int | float) or after < 0:
            raise RpcError(INVALID, "Argument 'toggle_after', invalid value!")
        was_on, self._output, self._source = self._output, on, source
        self.plans.pop("let_go", None)
        if on:
            self.plans["let_go"] = now_ms + round(after * 1_000)
            if not was_on:
                self._press(now_ms)
        return {"was_on": was_on}

    def word(self, component: str, text: str, now_ms: int) -> None:
        """`on`, `off`, `toggle`."""
        on = {"on": True, "off": False, "toggle": not self._output}.get(text)
        if component == "switch:0" and on is not None:
            self._set({"id": 0, "on": on}, "MQTT", now_ms)

    # --- the opener ---------------------------------------------------------------------------

    def _press(self, now_ms: int) -> None:
        """Start, stop, or go the other way than last time."""
        if self.door.heading:
            self.door.head(0, now_ms)
            self.plans.pop("arrive", None)
        else:
            self.door.head(-self.door.last_heading, now_ms)
            self.plans["arrive"] = self.door.arrives_ms(now_ms)
        self._moved(now_ms)

    def _moved(self, now_ms: int) -> None:
        if self.door.shut and not self._shut and "reed_bounce" in self.faults:
            self._bounce(now_ms)
        self._shut = self.door.shut

    def _bounce(self, now_ms: int) -> None:
        """Closed; a moment later open; and closed again."""
        first_ms = now_ms + self._rng.randint(*_BOUNCE_MS)
        self.plans["bounce"] = first_ms
        self.plans["settle"] = first_ms + self._rng.randint(*_BOUNCE_MS)

    def run(self, plan: str, at_ms: int) -> None:
        """Carry out a plan whose time has come."""
        del self.plans[plan]
        match plan:
            case "let_go":
                self._output, self._source = False, "timer"
            case "arrive":
                self.door.head(0, at_ms)
                self._moved(at_ms)
            case "bounce":
                self._bounced = True
            case "settle":
                self._bounced = False
            case _:  # "shut"
                self._people_close(at_ms)

    # --- people -------------------------------------------------------------------------------

    def act(self, habit: str, now_ms: int) -> None:
        """People at the opener's own button; the device only sees the reeds."""
        match habit:
            case "leave" | "come_home":
                self._people_open(now_ms)
                self.plans["shut"] = now_ms + self._rng.randint(*_DRIVE_MS)
            case "left_open" | "air":
                self._people_open(now_ms)
            case "close_up":
                self._people_close(now_ms)
            case "wall_switch":
                self._press(now_ms)
            case _:  # the opener has an eye of its own, which goes up instead of down
                if self.door.heading == DOWN:
                    self._press(now_ms)
                    self._press(now_ms)

    def _people_open(self, now_ms: int) -> None:
        if self.door.shut:
            self._press(now_ms)

    def _people_close(self, now_ms: int) -> None:
        while not self.door.shut and self.door.heading != DOWN:  # thrice at most: up, stop, down
            self._press(now_ms)

    # --- what goes wrong ----------------------------------------------------------------------

    def breaks(self, fault: str, now_ms: int) -> None:
        """A fault begins."""
        if fault == "reed_bounce" and self.door.shut:
            self._bounce(now_ms)

    def heals(self, fault: str, now_ms: int) -> None:
        """A fault ends: the reed is debounced again."""
        del now_ms
        if fault == "reed_bounce":
            self._bounced = False
            self.plans.pop("bounce", None)
            self.plans.pop("settle", None)

    def rebooted(self, now_ms: int) -> None:
        """Power was gone: the relay is open. The opener goes on by itself."""
        del now_ms
        self._output, self._source = False, "init"
        self.plans.pop("let_go", None)
