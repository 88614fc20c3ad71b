"""What an operator says of Meross garage units, and of the way to them."""

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from devices.errors import ConfigError
from vendors.wire.mqtt import MqttSettings

_HOUR_S: Final = 3_600
#: A question and its answer are two messages.
MESSAGES_EACH: Final = 2
#: A pause between two questions is shortened at random, to this share of it at most.
SHORTEST: Final = 0.9
#: What is left for commands and the looks after them, beside polling: two commands.
_SPARE_MIN: Final = 20


class MerossDevice(BaseModel):
    """One unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: str = Field(
        pattern=r"^[0-9A-Za-z_]{1,64}$", description="The unit's uuid, as the vendor's app has it."
    )
    doors: tuple[int, ...] = Field(
        default=(0,),
        min_length=1,
        max_length=3,
        description="Its channels that have a door: [0] of a msg100, of a msg200 some of 1, 2, 3.",
    )
    url: str = Field(
        default="",
        description="Where it answers on the LAN, http://host or http://host:port; leave out with"
        " a broker.",
    )
    encrypted: bool = Field(
        default=False, description="Its firmware wants the LAN encrypted; needs mac."
    )
    mac: str = Field(
        default="",
        pattern=r"^(([0-9a-f]{2}:){5}[0-9a-f]{2})?$",
        description="Its MAC address, lower case with colons; part of the LAN key.",
    )

    @field_validator("doors")
    @classmethod
    def _channels_of_one_model(cls, doors: tuple[int, ...]) -> tuple[int, ...]:
        if doors != (0,) and not (set(doors) <= {1, 2, 3} and len(set(doors)) == len(doors)):
            raise ValueError("must be [0] (msg100), or different ones of 1, 2 and 3 (msg200)")
        return doors

    @field_validator("url")
    @classmethod
    def _a_host(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/")):
            raise ValueError("must be http://host or http://host:port")
        return url

    @model_validator(mode="after")
    def _encryption_needs_the_mac(self) -> Self:
        if self.encrypted and not self.mac:
            raise ValueError("encrypted needs mac")
        return self


class MerossSettings(MqttSettings):
    """Units on one broker, or units that are asked on the LAN; all of one account."""

    url: str = Field(
        default="",
        description="The broker that the units were paired with: mqtt://host:port, or"
        " mqtts://host:port for TLS. Leave out to ask each unit on the LAN (`devices[].url`).",
        examples=["mqtts://broker.example:8883"],
    )
    devices: tuple[MerossDevice, ...] = Field(
        default=(),
        description="The units. Empty: every unit that is heard on the broker; one that never says"
        " anything is then never missed.",
    )
    account_key: SecretStr | None = Field(
        default=None, description="The account's key, in the configuration itself: for trials only."
    )
    account_key_file: Path | None = Field(
        default=None,
        description="File with the account's key and nothing else, read when the cell starts."
        " Without a key, no sign is checked, and what is sent is signed with an empty key.",
    )
    reply_topic: str = Field(
        default="/app/0-doorfleet/subscribe",
        pattern=r"^/app/[0-9A-Za-z_-]{1,128}/subscribe$",
        description="Our own topic for answers; two gateways on one broker need two.",
    )
    poll_interval_s: int = Field(
        default=60,
        ge=1,
        le=3_600,
        description="How often a unit is asked; what it tells by itself comes at once.",
    )
    messages_per_hour: int | None = Field(
        default=200,
        ge=60,
        description="How many messages of one unit the broker's owner bears, questions and answers"
        " alike; the vendor's cloud bears 200. null: no limit. Not counted on the LAN.",
    )
    reply_timeout_ms: int = Field(
        default=10_000,
        ge=100,
        le=60_000,
        description="How long an answer may take: a unit that has just booted takes 6 s.",
    )
    travel_s: int = Field(
        default=32,
        ge=1,
        le=300,
        description="The longest that a door travels. No second command is sent to a door within"
        " this time after one, and none that shuts it after it was seen to open: the press of a"
        " button only stops a door that moves.",
    )

    @property
    def spare_per_hour(self) -> int | None:
        """Messages that polling leaves of a unit's hour; None: any number."""
        if self.messages_per_hour is None or not self.url:
            return None
        polls = int(_HOUR_S / (self.poll_interval_s * SHORTEST)) + 1
        return self.messages_per_hour - MESSAGES_EACH * polls

    @model_validator(mode="after")
    def _one_way_to_the_units(self) -> Self:
        on_the_lan = [device for device in self.devices if device.url]
        if self.url and on_the_lan:
            raise ValueError("url and devices[].url exclude each other: a broker, or the LAN")
        if not self.url and (not self.devices or len(on_the_lan) != len(self.devices)):
            raise ValueError("needs url (a broker), or devices with a url each (the LAN)")
        if self.account_key is not None and self.account_key_file is not None:
            raise ValueError("account_key and account_key_file exclude each other")
        if len({device.uuid for device in self.devices}) != len(self.devices):
            raise ValueError("two devices have one uuid")
        if (spare := self.spare_per_hour) is not None and spare < _SPARE_MIN:
            raise ValueError("poll_interval_s leaves nothing of messages_per_hour for commands")
        return self


def key_of(settings: MerossSettings) -> str | None:
    """The account's key; None if there is none.

    Raises:
        ConfigError: its file cannot be read.
    """
    if settings.account_key is not None:
        return settings.account_key.get_secret_value()
    if settings.account_key_file is None:
        return None
    try:
        return settings.account_key_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            (f"meross: account_key_file {settings.account_key_file}: cannot be read",)
        ) from error
