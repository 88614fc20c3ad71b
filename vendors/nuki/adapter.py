"""Listening to Nuki locks, and asking them to act, one thing at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import Field

from devices.command import Command, Reason
from devices.errors import RefusedError, RejectedError
from vendors.api import Decode, Frame, Port
from vendors.nuki import codec
from vendors.wire.mqtt import MqttSettings
from vendors.wire.mqtt_adapter import MqttLink

#: `lockAction` numbers.
ACTIONS: Final[Mapping[str, bytes]] = {
    "UnlockDoor": b"1",
    "LockDoor": b"2",
    "Unlatch": b"3",
    "LockAndGo": b"4",
}
#: `commandResponse` is a BLE error code. Source: I-Connect/NukiBleEsp32 `NukiLockConstants.h`.
RESPONSES: Final[Mapping[bytes, str]] = {
    b"32": Reason.NOT_AUTHORIZED,
    b"38": Reason.NOT_AUTHORIZED,  # remote not allowed
    b"39": Reason.NOT_AUTHORIZED,  # time not allowed
    b"66": Reason.JAMMED,
    b"67": Reason.JAMMED,  # clutch failure
    b"68": Reason.JAMMED,  # motor timeout
    b"69": Reason.BUSY,
    b"71": Reason.NOT_CALIBRATED,
    b"73": Reason.LOW_POWER,
    b"76": Reason.LOW_POWER,
}
_OK: Final = b"0"
# Nuki Hub takes 2 s without an answer for a failure (NukiWrapper.cpp). We only stop listening
# for a refusal then: whether the lock acts is seen in its state.
_RESPONSE_MS: Final = 2_000


class NukiSettings(MqttSettings):
    """One broker with Nuki locks behind it; the locks speak port 1883 without TLS only."""

    devices: tuple[str, ...] = Field(
        default=(),
        description="Nuki IDs, 8 upper-case hex digits each; empty: every lock on the broker.",
        examples=[["398172F4"]],
    )


def decoder(settings: NukiSettings) -> Decode:
    """The codec needs no settings."""
    del settings
    return codec.decode


def connect(settings: NukiSettings, port: Port) -> "NukiAdapter":
    """An adapter that opens nothing before `run`."""
    return NukiAdapter(settings, port)


class NukiAdapter:
    """The locks of one broker."""

    def __init__(self, settings: NukiSettings, port: Port) -> None:
        self._port = port
        self._answers: dict[str, asyncio.Future[bytes]] = {}
        self._link = MqttLink(
            codec.VENDOR,
            settings,
            port,
            subscriptions=[f"nuki/{device}/+" for device in settings.devices or ("+",)],
            overhear=self._overhear,
        )

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._link.run()

    async def send(self, command: Command) -> None:
        """Publish the action once, and hear whether the lock refuses it.

        Raises:
            RefusedError: nothing left us; `busy` while an action of ours awaits its response.
            RejectedError: the lock or the broker said no.
            UnavailableError: it left, and the broker did not answer.
        """
        action = ACTIONS.get(command.name)
        if action is None:
            raise RefusedError(Reason.UNSUPPORTED)
        device = command.device
        if device in self._answers:
            raise RefusedError(Reason.BUSY)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[device] = answer
        try:
            await self._link.command(f"nuki/{device}/lockAction", action, command.deadline_ms)
            wait_ms = min(_RESPONSE_MS, command.deadline_ms - self._port.now_ms())
            async with asyncio.timeout(max(0, wait_ms) / 1000):
                code = await answer
        except TimeoutError:
            return  # accepted or lost: its state will tell
        finally:
            del self._answers[device]
        if code != _OK:
            raw = code.decode(errors="replace")[:8]
            raise RejectedError(codec.VENDOR, RESPONSES.get(code, f"vendor:{raw}"))

    async def refresh(self, device: str) -> None:
        """A lock reports by itself and cannot be asked."""

    def _overhear(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if frame.retained or not self._answers:
                continue
            found = codec.split(frame.source)
            # What is no number is torn, or of another firmware: no refusal, and the lock may move.
            if found is not None and found[1] == "commandResponse" and frame.payload.isdigit():
                answer = self._answers.get(found[0])
                if answer is not None and not answer.done():
                    answer.set_result(frame.payload)
