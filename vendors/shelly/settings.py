"""What an operator says of Shelly devices: by a broker, or each at its own address."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from vendors.shelly.codec import NAME
from vendors.shelly.opener import Opener
from vendors.wire.mqtt import MqttSettings

_LEVELS: Final = re.compile(r"[^+#\0]*")


class ShellyMqtt(MqttSettings):
    """One broker that the devices are clients of; nothing is authenticated but by the broker."""

    prefix: str = Field(
        default="",
        max_length=256,
        description="What stands before the device's name in its `topic_prefix`, with the slash."
        " A device that was not told otherwise has its id as topic prefix, and this is empty.",
        examples=["", "shellies-gen3/"],
    )
    devices: tuple[str, ...] = Field(
        default=(),
        description="Last levels of the topic prefixes of the doors; empty: every Shelly below"
        " the prefix. List them if the broker has Shellys that move no door.",
        examples=[["shellyplus2pm-a8032ab63ddc"]],
    )
    reply_to: str = Field(
        default="doorfleet-shelly",
        min_length=1,
        max_length=100,
        description="First level of the topics on which devices answer us."
        " Two gateways on one broker need two.",
    )

    @field_validator("prefix", "reply_to")
    @classmethod
    def _a_topic_and_no_filter(cls, text: str) -> str:
        if _LEVELS.fullmatch(text) is None:
            raise ValueError("must not hold +, # or NUL")
        return text

    @field_validator("prefix")
    @classmethod
    def _whole_levels(cls, prefix: str) -> str:
        if prefix and not prefix.endswith("/"):
            raise ValueError("must end with a slash, or be empty")
        return prefix

    @field_validator("devices")
    @classmethod
    def _names(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_name(device) for device in devices)

    @model_validator(mode="after")
    def _questions_are_no_answers(self) -> "ShellyMqtt":
        if self.prefix == f"{self.reply_to}/":
            raise ValueError("reply_to must not be the prefix: requests would read as replies")
        return self


class ShellyDirect(BaseModel):
    """Devices that are spoken to at their own addresses, over WebSocket and HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: Mapping[str, str] = Field(
        min_length=1,
        description="Name on our bus to the device's base URL.",
        examples=[{"garage-left": "http://192.0.2.20"}],
    )
    password: SecretStr | None = Field(
        default=None, description="Password of user admin on these devices; better in a file."
    )
    password_file: Path | None = Field(
        default=None,
        description="File that holds the password and nothing else; read when it is asked for.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the CA behind https devices; absent: the system's."
    )

    @field_validator("devices")
    @classmethod
    def _bases(cls, devices: Mapping[str, str]) -> Mapping[str, str]:
        for device, url in devices.items():
            _name(device)
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
                raise ValueError(f"{device}: must be http://host or https://host, nothing secret")
        return devices

    @model_validator(mode="after")
    def _one_password(self) -> "ShellyDirect":
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are two words for one thing")
        return self

    def secret(self) -> str | None:
        """The password now; None if there is none.

        Raises:
            OSError: the file cannot be read.
        """
        if self.password_file is not None:
            return self.password_file.read_text().strip()
        return self.password.get_secret_value() if self.password is not None else None


class ShellySettings(BaseModel):
    """Shelly covers and relays of one cell; exactly one of `mqtt` and `direct`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mqtt: ShellyMqtt | None = Field(
        default=None, description="The broker whose clients the devices are."
    )
    direct: ShellyDirect | None = Field(
        default=None, description="Devices at addresses of their own, without a broker."
    )
    openers: Mapping[str, Opener] = Field(
        default_factory=dict,
        description="Devices whose relay presses an opener's button, by name; every other device"
        " is a cover.",
    )
    poll_interval_ms: int = Field(
        default=30_000,
        ge=1_000,
        le=3_600_000,
        description="How often each device is asked for its whole status beside what it tells.",
    )
    reply_timeout_ms: int = Field(
        default=5_000, ge=200, le=60_000, description="How long a device may take over a reply."
    )
    silent_after: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Unanswered questions in a row after which a device is offline.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "ShellySettings":
        if (self.mqtt is None) == (self.direct is None):
            raise ValueError("say either mqtt or direct")
        return self


def _name(device: str) -> str:
    if re.fullmatch(NAME, device) is None:
        raise ValueError(f"{device!r}: a name has letters, digits, dots, dashes, underscores")
    return device
