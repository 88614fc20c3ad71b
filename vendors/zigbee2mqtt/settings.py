"""What an operator may say about one Zigbee2MQTT."""

from typing import Annotated, Final

from pydantic import Field, field_validator

from vendors.wire.mqtt import MqttSettings

#: Default of `poll_interval_s`, and so of how old a state may be before we know.
POLL_S: Final = 900
# `bridge/devices` and `bridge/definitions` of a network of 200 devices are some megabytes.
_PACKET_BYTES: Final = 16_777_216


class Zigbee2MqttSettings(MqttSettings):
    """One broker with one Zigbee2MQTT; its locks are found by themselves."""

    base_topic: str = Field(
        default="zigbee2mqtt",
        min_length=1,
        max_length=128,
        description="Zigbee2MQTT's own `mqtt.base_topic`.",
    )
    devices: tuple[Annotated[str, Field(pattern=r"^0x[0-9a-f]{16}$")], ...] = Field(
        default=(),
        description="IEEE addresses of the locks to take; empty: every lock of the network.",
        examples=[["0x000d6f0000000510"]],
    )
    poll_interval_s: int = Field(
        default=POLL_S,
        ge=5,
        le=86_400,
        description="How often a lock is asked where its bolt is, beside what it reports. Each"
        " question costs the lock's battery.",
    )
    packet_max_bytes: int = Field(
        default=_PACKET_BYTES,
        ge=1_024,
        le=268_435_455,
        description="Largest packet we accept; the list of devices must fit, or no lock is found.",
    )

    @field_validator("base_topic")
    @classmethod
    def _a_topic(cls, topic: str) -> str:
        if set(topic) & set("+#\0") or topic.startswith("/") or topic.endswith("/"):
            raise ValueError("must be a topic without wildcards, and without / at its ends")
        return topic
