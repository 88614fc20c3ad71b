"""Listening to ratgdo boards, and pressing the one button they have.

A board's `open`, `close` and `stop` are the same toggle behind a guard on what it last heard
from the opener: `open` does nothing while the door is open or opening, `stop` nothing while it
rests. In every other state the command is one press of the wall button, and one press moves a
stopped door against its last direction and stops a moving one. So we send only what can go one way.
Source: mqtt-ratgdo a8e213a, src/ratgdo.cpp `openDoor`, `closeDoor`, `stopDoor`, `callback`.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import Field, field_validator

from devices.closure import MainState, Position, TargetPosition
from devices.command import Command, Reason
from devices.errors import RefusedError
from devices.reading import Value
from devices.twin import Twin
from vendors.api import Decode, Port
from vendors.ratgdo import codec
from vendors.wire.mqtt import MqttSettings
from vendors.wire.mqtt_adapter import MqttLink

#: Our name, the board's word, and where it shall take the door.
VERBS: Final[Mapping[str, tuple[bytes, TargetPosition | None]]] = {
    "MoveToFullyOpen": (b"open", TargetPosition.MOVE_TO_FULLY_OPEN),
    "MoveToFullyClosed": (b"close", TargetPosition.MOVE_TO_FULLY_CLOSED),
    "Stop": (b"stop", None),
}

# A board answers a query within a second; asking again before that prolongs its blindness.
_QUERY_EVERY_MS: Final = 5_000
_QUERY_EXPIRY_S: Final = 2


class RatgdoSettings(MqttSettings):
    """One broker with ratgdo boards behind it."""

    prefix: str = Field(
        default="home/garage/",
        max_length=256,
        description="What the boards have as MQTT topic prefix, to the letter. The board adds"
        " no slash between it and the device's name.",
        examples=["home/garage/", "/home/garage"],
    )
    query_on_refresh: bool = Field(
        default=True,
        description="Ask the board (`query`) when a command lacks fresh state. The board then"
        " reports everything as unknown for a moment, and the truth after that. Without it, a"
        " door can be commanded only while its last live report is still fresh.",
    )
    allow_press_from_stopped: bool = Field(
        default=False,
        description="Let open and close through for a door that rests half open. The press moves"
        " it against its last direction, whichever word was sent.",
    )

    @field_validator("prefix")
    @classmethod
    def _a_topic_and_no_filter(cls, prefix: str) -> str:
        if any(mark in prefix for mark in "+#\0"):
            raise ValueError("must not hold +, # or NUL")
        return prefix

    @property
    def subscription(self) -> str:
        """The filter that covers all boards; a wildcard stands for whole levels only."""
        return f"{self.prefix[: self.prefix.rfind('/') + 1]}+{codec.STATUS}#"


def decoder(settings: RatgdoSettings) -> Decode:
    """The decoder of a cell with these settings."""
    return codec.decoder(settings.prefix)


def connect(settings: RatgdoSettings, port: Port) -> "RatgdoAdapter":
    """An adapter that opens nothing before `run`."""
    return RatgdoAdapter(settings, port)


class RatgdoAdapter:
    """The boards below one prefix."""

    def __init__(self, settings: RatgdoSettings, port: Port) -> None:
        self._settings = settings
        self._port = port
        self._asked_ms: dict[str, int] = {}
        self._link = MqttLink(codec.VENDOR, settings, port, subscriptions=(settings.subscription,))

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._link.run()

    async def send(self, command: Command) -> None:
        """Press once, or not at all.

        Returns once the broker has it: a board never answers. A door that is already on its way
        to where it shall go is not pressed again.

        Raises:
            RefusedError: `unknown_device`, `unsupported`, `unknown_state` (a press could go
                either way), `precondition` (it moves the other way: a press would only stop it).
            RejectedError: the broker said no.
            UnavailableError: it left, and the broker did not answer.
        """
        twin = self._port.twin(command.device)
        if twin is None:
            raise RefusedError(Reason.UNKNOWN_DEVICE)
        if command.name not in VERBS:
            raise RefusedError(Reason.UNSUPPORTED)
        word, target = VERBS[command.name]
        if self._on_its_way(twin, target):
            return
        await self._link.command(self._topic(command.device, "door"), word, command.deadline_ms)

    async def refresh(self, device: str) -> None:
        """Have the board ask its opener, if the settings allow it.

        Sent below a topic of its own, so that no board can take it for a word about the door.
        """
        now_ms = self._port.now_ms()
        asked_ms = self._asked_ms.get(device)
        if not self._settings.query_on_refresh or self._port.twin(device) is None:
            return
        if asked_ms is not None and now_ms - asked_ms < _QUERY_EVERY_MS:
            return
        self._asked_ms[device] = now_ms
        self._link.ask(self._topic(device, "query"), b"query", expiry_s=_QUERY_EXPIRY_S)

    def _topic(self, device: str, what: str) -> str:
        return f"{self._settings.prefix}{device}{codec.COMMAND}{what}"

    def _on_its_way(self, twin: Twin, target: TargetPosition | None) -> bool:
        """Whether nothing need be sent; raises if nothing may be."""
        main_state, position = _value(twin, "main_state"), _value(twin, "position")
        if main_state is None or position is None:
            raise RefusedError(Reason.UNKNOWN_STATE)
        if target is None:
            return False
        if main_state == MainState.MOVING:
            if _value(twin, "target_position") == target:
                return True
            raise RefusedError(Reason.PRECONDITION)
        if position == Position.PARTIALLY_OPENED and not self._settings.allow_press_from_stopped:
            raise RefusedError(Reason.UNKNOWN_STATE)
        return False


def _value(twin: Twin, axis: str) -> Value:
    known = twin.axes.get(axis)
    return known.value if known is not None else None
