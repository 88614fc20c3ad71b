"""A simulated cover: a 2PM Gen3 on a door with end switches, a photo eye and people; pure.

Source: shelly-api-docs.shelly.cloud/gen2 ComponentsAndServices/Cover; fields as captured
(aioshelly ea7a88f `shelly2pmg3`, home-assistant/core 050838b `2pm_gen3_cover.json`). Which action
follows an obstruction or the safety switch is configuration; here each device has one by chance.
"""

from collections.abc import Mapping
from typing import Any, Final

from vendors.shelly.door import DOWN, UP, Door
from vendors.shelly.profile import (
    INVALID,
    PRECONDITION,
    Method,
    Plans,
    RpcError,
    Status,
    part,
)
from vendors.sim import Chance

_MAXTIME_MS: Final = 60_000
# A cover that is not calibrated runs for its maxtime: here too short for the door.
_SHORT_MS: Final = 7_000
_IDLE_CONFIRM_MS: Final = 250
_POWER_AFTER_MS: Final = 1_000
_REVERSE_AFTER_MS: Final = 500
# Guesses about people, in ms.
_DRIVE_MS: Final = (30_000, 300_000)
_BEAM_MS: Final = (2_000, 20_000)
_VENT_PCT: Final = 20
_FULL_PCT: Final = 100

_WORD_OF: Final = {UP: "opening", DOWN: "closing"}
_END_OF: Final = {UP: "open", DOWN: "closed"}
_DIRECTION_OF: Final = {UP: "open", DOWN: "close"}
_EYE: Final = "safety_switch"

#: What a consumer must come to see of each state: main state, position, heading.
SEEN: Final[Mapping[str, tuple[str, str | None, str | None]]] = {
    "open": ("Stopped", "FullyOpened", "None"),
    "closed": ("Stopped", "FullyClosed", "None"),
    "stopped": ("Stopped", "PartiallyOpened", "None"),
    "opening": ("Moving", "PartiallyOpened", "MoveToFullyOpen"),
    "closing": ("Moving", "PartiallyOpened", "MoveToFullyClosed"),
    "calibrating": ("Calibrating", None, None),
}
SEEN_ERRORS: Final[Mapping[str, str]] = {
    "obstruction": "PhysicallyBlocked",
    _EYE: "BlockedBySensor",
    "overtemp": "TemperatureLimited",
    "overpower": "Unspecified",
}


class CoverDoor:
    """One cover: a `vendors.shelly.profile.Profile`."""

    app = "S2PMG3"
    model = "S3SW-002P16EU"
    profile: str | None = "cover"

    def __init__(self, rng: Chance, faults: set[str]) -> None:
        self._rng = rng
        self.faults = faults
        self.door = Door(rng)
        self.plans: Plans = {}
        self._reverses = rng.random() < 0.5  # noqa: PLR2004 -- half of all
        self._calibrated = True
        self._state = "open" if self.door.full else "closed"
        self._source = "limit_switch"
        self._target: int | None = None
        self._started_ms = 0
        self._maxtime_ms = _MAXTIME_MS
        self._errors: list[str] = []
        self._eye = False
        self._power = False
        #: A fault: what it went on saying while the door ran the other way.
        self._frozen_pct: int | None = None

    # --- what it says -------------------------------------------------------------------------

    def status(self, now_ms: int) -> Mapping[str, Status]:
        """`errors` is there only if there are some; `current_pos` only if it can be known."""
        cover: Status = {
            "id": 0,
            "source": self._source,
            "state": self._state,
            "apower": 123.1 if self._power else 0.0,
            "voltage": 219.7,
            "current": 0.557 if self._power else 0.0,
            "pf": 0.99 if self._power else 0.0,
            "freq": 50.0,
            "aenergy": {"total": 314.8, "by_minute": [0.0, 0.0, 0.0], "minute_ts": 1_760_365_440},
            "temperature": {"tC": 52.0, "tF": 125.7},
            "pos_control": self._calibrated,
            "last_direction": _DIRECTION_OF[self.door.last_heading],
        }
        if self._moving:
            cover["move_timeout"] = self._maxtime_ms / 1_000
            cover["move_started_at"] = self._started_ms / 1_000
            if self._target is not None:
                cover["target_pos"] = self._target
        if self._calibrated:
            cover["current_pos"] = self._pos(now_ms)
        if self._errors:
            cover["errors"] = list(self._errors)
        return {
            "cover:0": cover,
            "input:0": {"id": 0, "state": False},
            "input:1": {"id": 1, "state": self._eye},
        }

    def config(self) -> Mapping[str, Status]:
        """As the recorded one, with obstruction detection and safety switch in use."""
        action = "reverse" if self._reverses else "stop"
        cover = {
            "id": 0,
            "name": None,
            "in_mode": "single",
            "in_locked": False,
            "initial_state": "stopped",
            "invert_directions": False,
            "swap_inputs": False,
            "maintenance_mode": False,
            "maxtime_open": self._maxtime_ms / 1_000,
            "maxtime_close": self._maxtime_ms / 1_000,
            "motor": {"idle_power_thr": 2.0, "idle_confirm_period": _IDLE_CONFIRM_MS / 1_000},
            "obstruction_detection": {
                "enable": True,
                "direction": "both",
                "action": action,
                "power_thr": 1_000,
                "holdoff": 1.0,
            },
            "safety_switch": {
                "enable": True,
                "direction": "close",
                "action": action,
                "allowed_move": "reverse",
            },
            "power_limit": 2_800,
            "voltage_limit": 280,
            "undervoltage_limit": 0,
            "current_limit": 10.0,
        }
        inputs = {
            f"input:{number}": {
                "id": number,
                "name": None,
                "type": "switch",
                "enable": True,
                "invert": False,
            }
            for number in range(2)
        }
        return {"cover:0": cover, **inputs}

    def seen(self, now_ms: int) -> Mapping[str, str | int | None]:
        """By a table of its own; a position is known at rest only."""
        main_state, position, heading = SEEN[self._state]
        pct = None if self._moving or not self._calibrated else self._pos(now_ms)
        if self._target not in (None, 0, _FULL_PCT):
            heading = None if self._moving else heading
        at_end = self._state in _END_OF.values()
        kept = pct is not None and self._source != "timeout"
        if at_end and self._source != "limit_switch" and not kept:
            position = pct = None
        if at_end and pct not in (None, _FULL_PCT if self._state == "open" else 0):
            position = pct = None
        if self._source == "init" and self._state == "stopped" and pct is None:
            position = None
        error = next((seen for raw, seen in SEEN_ERRORS.items() if raw in self._errors), "None")
        return {
            "main_state": main_state,
            "position": position,
            "position_pct": pct,
            "target_position": heading,
            "error": error,
            "obstruction": "BlockedBySensor" if _EYE in self._errors else "Clear",
        }

    @property
    def _moving(self) -> bool:
        return self._state in ("opening", "closing", "calibrating")

    def _pos(self, now_ms: int) -> int | None:
        if "position_lost" in self.faults:
            return None
        return self._frozen_pct if self._frozen_pct is not None else self.door.pct(now_ms)

    # --- what can be asked of it --------------------------------------------------------------

    def methods(self) -> Mapping[str, Method]:
        """The Cover and Input namespaces; `Cover.Close` is answered with null, as captured."""
        return {
            "Cover.Open": lambda params, source, now_ms: self._run_to(UP, params, source, now_ms),
            "Cover.Close": lambda params, source, now_ms: self._run_to(
                DOWN, params, source, now_ms
            ),
            "Cover.Stop": self._stop_call,
            "Cover.GoToPosition": self._go_to,
            "Cover.Calibrate": self._calibrate,
            "Cover.GetStatus": lambda params, _, now_ms: self.status(now_ms)[
                f"cover:{part(params)}"
            ],
            "Cover.GetConfig": lambda params, _source, _now: self.config()[f"cover:{part(params)}"],
            "Cover.SetConfig": self._set_config,
            "Input.GetStatus": lambda params, _, now_ms: self.status(now_ms)[
                f"input:{part(params, 2)}"
            ],
            "Input.GetConfig": lambda params, _source, _now: self.config()[
                f"input:{part(params, 2)}"
            ],
        }

    def _run_to(self, heading: int, params: Mapping[str, Any], source: str, now_ms: int) -> None:
        part(params)
        duration = params.get("duration")
        if duration is not None and not isinstance(duration, int | float):
            raise RpcError(INVALID, "Argument 'duration', invalid type!")
        self._permit(heading)
        if self._state == _END_OF[heading]:
            return
        self._head(heading, source, now_ms)
        if duration is not None:
            self.plans["halt"] = now_ms + round(duration * 1_000)

    def _stop_call(self, params: Mapping[str, Any], source: str, now_ms: int) -> None:
        part(params)
        self._halt(source, now_ms)

    def _go_to(self, params: Mapping[str, Any], source: str, now_ms: int) -> None:
        part(params)
        pos = params.get("pos")
        if isinstance(pos, bool) or not isinstance(pos, int) or not 0 <= pos <= _FULL_PCT:
            raise RpcError(INVALID, "Argument 'pos', out of range!")
        at = self._pos(now_ms) if self._calibrated else None
        if at is None:
            raise RpcError(PRECONDITION, "Precondition failed: Current position unknown!")
        if pos == at and not self._moving:
            return
        heading = UP if pos > at else DOWN
        self._permit(heading)
        self._head(heading, source, now_ms, pos)

    def _calibrate(self, params: Mapping[str, Any], source: str, now_ms: int) -> None:
        part(params)
        if self._moving:
            raise RpcError(PRECONDITION, "Precondition failed: Cover is moving!")
        self._errors = [each for each in self._errors if each == _EYE]
        self._state, self._source, self._started_ms = "calibrating", source, now_ms
        self.door.head(DOWN, now_ms)
        self.plans["bottom"] = now_ms + self.door.travel_ms + _IDLE_CONFIRM_MS

    def _set_config(self, params: Mapping[str, Any], _source: str, _now_ms: int) -> Status:
        part(params)
        if self._moving:
            raise RpcError(PRECONDITION, "Precondition failed: Cover is moving!")
        return {"restart_required": False}

    def word(self, component: str, text: str, now_ms: int) -> None:
        """`open`, `close`, `stop`, `pos,<n>`; what is refused is refused in silence."""
        if component != "cover:0":
            return
        what, _, number = text.partition(",")
        params: dict[str, Any] = {"id": 0}
        if what == "pos" and number.isascii() and number.isdigit():
            params["pos"] = int(number[:4])
        names = {"open": "Open", "close": "Close", "stop": "Stop", "pos": "GoToPosition"}
        if what in names:
            try:
                self.methods()[f"Cover.{names[what]}"](params, "MQTT", now_ms)
            except RpcError:
                return

    # --- motor --------------------------------------------------------------------------------

    def _permit(self, heading: int) -> None:
        if heading == DOWN and self._eye:
            raise RpcError(PRECONDITION, "Precondition failed: Safety switch is engaged!")

    def _head(self, heading: int, source: str, now_ms: int, target: int | None = None) -> None:
        """Begin a movement; an obstruction is forgotten with it."""
        self._unplan()
        self._errors = [each for each in self._errors if each == _EYE]
        self._move(heading, source, now_ms, target)

    def _move(self, heading: int, source: str, now_ms: int, target: int | None = None) -> None:
        if self._frozen_pct is not None:
            self._frozen_pct = None
        self.door.head(heading, now_ms)
        self._state, self._source, self._target = _WORD_OF[heading], source, target
        self._started_ms = now_ms
        at_ms = self.door.arrives_ms(now_ms, target)
        at_end = target in (None, 0, _FULL_PCT)
        self.plans["arrive"] = at_ms + (_IDLE_CONFIRM_MS if at_end else 0)
        self.plans["maxtime"] = now_ms + self._maxtime_ms
        self.plans["power"] = now_ms + _POWER_AFTER_MS

    def _halt(self, source: str, now_ms: int) -> None:
        if not self._moving:
            return
        calibrating = self._state == "calibrating"
        self._rest(now_ms, source)
        if calibrating:
            self._calibrated = False

    def _rest(self, now_ms: int, source: str) -> None:
        self._unplan()
        self.door.head(0, now_ms)
        self._target, self._power = None, False
        self._state = "open" if self.door.full else "closed" if self.door.shut else "stopped"
        self._source = source

    def _unplan(self) -> None:
        for plan in ("arrive", "maxtime", "power", "halt", "reverse", "bottom", "top"):
            self.plans.pop(plan, None)

    def run(self, plan: str, at_ms: int) -> None:
        """Carry out a plan whose time has come."""
        del self.plans[plan]
        match plan:
            case "arrive":
                at_end = self._target in (None, 0, _FULL_PCT)
                self._rest(at_ms, "limit_switch" if at_end else self._source)
            case "maxtime":
                heading = self.door.heading
                self._rest(at_ms, "timeout")
                # It ran for as long as it may, so it takes itself to be there.
                self._state = _END_OF[heading]
            case "power":
                self._power = True
            case "halt":
                self._halt(self._source, at_ms)
            case "reverse":
                self._reverse(at_ms)
            case "bottom":
                self.door.head(UP, at_ms)
                self.plans["top"] = at_ms + self.door.travel_ms + _IDLE_CONFIRM_MS
            case "top":
                self._rest(at_ms, "limit_switch")
                self._calibrated = True
            case "shut":
                self._people_close(at_ms)
            case "eye":
                self._clear_eye()
            case _:  # "thaw": the door has run out unseen
                self.door.head(0, at_ms)

    def _blocked(self, error: str, now_ms: int) -> None:
        """Stop, and go back if so configured."""
        heading = self.door.heading
        self._rest(now_ms, error)
        if error not in self._errors:
            self._errors.append(error)
        if not (self._reverses or "reversal_left_stopped" in self.faults):
            return
        if "reversal_left_stopped" in self.faults and self._state == "stopped":
            self._frozen_pct = self.door.pct(now_ms)
            self.door.head(-heading, now_ms)
            self.plans["thaw"] = self.door.arrives_ms(now_ms)
        else:
            self.plans["reverse"] = now_ms + _REVERSE_AFTER_MS

    def _reverse(self, now_ms: int) -> None:
        """The other way than last, with the error still told: this is no command."""
        heading = -self.door.last_heading
        if self._state != _END_OF[heading] and not (heading == DOWN and self._eye):
            self._move(heading, self._source, now_ms)

    # --- people -------------------------------------------------------------------------------

    def act(self, habit: str, now_ms: int) -> None:
        """People at the wall switch, in the beam, and under the door."""
        match habit:
            case "leave" | "come_home":
                self._people_open(now_ms)
                self.plans["shut"] = now_ms + self._rng.randint(*_DRIVE_MS)
            case "left_open":
                self._people_open(now_ms)
            case "close_up":
                self._people_close(now_ms)
            case "wall_switch":
                self._wall_switch(now_ms)
            case "cross_beam":
                self._block_eye(now_ms, self._rng.randint(*_BEAM_MS))
            case "push_against":
                if self._state in _WORD_OF.values():
                    self._blocked("obstruction", now_ms)
            case "air":
                if self._calibrated and self._state == "closed" and self._pos(now_ms) == 0:
                    self._head(UP, "loopback", now_ms, _VENT_PCT)

    def _people_open(self, now_ms: int) -> None:
        if self._state not in ("open", "opening", "calibrating"):
            self._head(UP, "switch", now_ms)

    def _people_close(self, now_ms: int) -> None:
        if self._state not in ("closed", "closing", "calibrating") and not self._eye:
            self._head(DOWN, "switch", now_ms)

    def _wall_switch(self, now_ms: int) -> None:
        """One button: stop what moves, else the other way than last time."""
        if self._state == "calibrating":
            return
        if self._moving:
            self._halt("switch", now_ms)
        elif self.door.last_heading == DOWN:
            self._people_open(now_ms)
        else:
            self._people_close(now_ms)

    def _block_eye(self, now_ms: int, for_ms: int | None) -> None:
        self._eye = True
        if self._state == "closing":
            self._blocked(_EYE, now_ms)
        elif _EYE not in self._errors:
            self._errors.append(_EYE)
        if for_ms is not None:
            self.plans["eye"] = now_ms + for_ms

    def _clear_eye(self) -> None:
        if "missing_sensor" in self.faults:
            return
        self._eye = False
        self._errors = [each for each in self._errors if each != _EYE]

    # --- what goes wrong ----------------------------------------------------------------------

    def breaks(self, fault: str, now_ms: int) -> None:
        """A fault begins."""
        match fault:
            case "uncalibrated":
                self._calibrated = False
                self._maxtime_ms = _SHORT_MS
            case "missing_sensor":
                self.plans.pop("eye", None)
                self._block_eye(now_ms, None)
            case "reversal_left_stopped":
                if self._state in _WORD_OF.values():
                    self._blocked("obstruction", now_ms)
            case "overpower" | "overtemp":
                if self._state in _WORD_OF.values():
                    self._rest(now_ms, fault)
                self._errors.append(fault)

    def heals(self, fault: str, now_ms: int) -> None:
        """A fault ends."""
        match fault:
            case "uncalibrated":
                self._maxtime_ms, self._calibrated = _MAXTIME_MS, True
                if not self._moving:
                    self._rest(now_ms, "init")
            case "missing_sensor":
                self._clear_eye()
            case "reversal_left_stopped":
                self._thaw(now_ms)
            case "overpower" | "overtemp":
                self._errors = [each for each in self._errors if each != fault]

    def _thaw(self, now_ms: int) -> None:
        """It is restarted, and finds out where it is."""
        if self._frozen_pct is not None:
            self.plans.pop("thaw", None)
            self._frozen_pct = None
            self._rest(now_ms, "init")

    def rebooted(self, now_ms: int) -> None:
        """Power was gone: the motor stands."""
        self.plans.pop("thaw", None)
        self._frozen_pct = None
        self._errors = [each for each in self._errors if each == _EYE]
        self._rest(now_ms, "init")
