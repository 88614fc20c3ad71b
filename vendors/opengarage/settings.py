"""What an operator says about the openers of one site."""

from enum import StrEnum
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from vendors.wire.mqtt import MqttSettings

#: Between words of a topic, and wildcards: no opener's own topic may hold them.
_NO_TOPIC: Final = frozenset("+#\0")


class Sensor(StrEnum):
    """What the opener looks at; it counts without Security+ only, but for `switch`."""

    CEILING = "ceiling"  #: distance from above: it sees the open door, and nothing else
    SIDE = "side"  #: distance or contact at the shut door: it sees that one, and nothing else
    SWITCH = "switch"  #: likewise, and the distance counts for nothing (option `sno` = 1)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OpenerSettings(_Strict):
    """One opener."""

    mac: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$",
        description="MAC address, as /jc says it. What another opener answers at this address"
        " (a new lease) is then not taken for this one's.",
        examples=["AA:BB:CC:DD:EE:FF"],
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[^/\s]+$",
        description="Its name on our bus; absent, its MAC address without colons.",
        examples=["left"],
    )
    url: str | None = Field(
        default=None,
        description="Where it listens, if it is spoken to over HTTP.",
        examples=["http://192.168.1.50"],
    )
    key: SecretStr | None = Field(default=None, description="Its device key; better, a file.")
    key_file: Path | None = Field(
        default=None,
        description="File that holds the device key and nothing else; read for each command."
        " Absent, with `key` absent too: it is watched and not commanded.",
    )
    topic: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Its MQTT topic (option `mqtp`, or else its name, blanks and all), if it is"
        " spoken to over MQTT.",
        examples=["My OpenGarage"],
    )
    sensor: Sensor = Field(
        default=Sensor.CEILING,
        description="What tells it the door: `ceiling` (distance from above, as delivered),"
        " `side` (distance or contact at the shut door), `switch` (the contact alone).",
    )
    closing_takes_s: int = Field(
        default=30,
        ge=0,
        le=300,
        description="How long the door takes to shut. A ceiling sensor says `closed` as soon as"
        " the door leaves it; so long that is not believed.",
    )

    @field_validator("url")
    @classmethod
    def _an_http_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be http://host or http://host:port")
        if parts.port == 0:  # `.port` itself raises ValueError above 65535
            raise ValueError("port must be 1 to 65535")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must hold no user, no query and no fragment")
        return url

    @field_validator("topic")
    @classmethod
    def _a_topic_and_no_filter(cls, topic: str | None) -> str | None:
        if topic is not None and _NO_TOPIC & set(topic):
            raise ValueError("must not hold +, # or NUL")
        return topic

    @model_validator(mode="after")
    def _who_and_how(self) -> Self:
        if self.name is None and self.mac is None:
            raise ValueError("needs a mac, a name, or both")
        if (self.url is None) == (self.topic is None):
            raise ValueError("needs a url (HTTP) or a topic (MQTT), and not both")
        if self.key is not None and self.key_file is not None:
            raise ValueError("key and key_file exclude each other")
        if self.topic is not None and (self.key is not None or self.key_file is not None):
            raise ValueError("the device key is for HTTP; over MQTT the broker lets you in")
        return self

    @property
    def device(self) -> str:
        """Its name on the bus."""
        return self.name or (self.mac or "").replace(":", "").upper()

    def secret(self) -> str | None:
        """The device key; None if it has none here.

        Raises:
            OSError: the file cannot be read.
            UnicodeDecodeError: it holds no text.
        """
        if self.key is not None:
            return self.key.get_secret_value()
        return None if self.key_file is None else self.key_file.read_text().strip() or None


class OpenGarageSettings(_Strict):
    """The openers, and how they are spoken to: all over HTTP, or all over one broker."""

    openers: tuple[OpenerSettings, ...] = Field(
        min_length=1, max_length=1_000, description="Each opener."
    )
    broker: MqttSettings | None = Field(
        default=None,
        description="The openers' MQTT broker. Present: they are spoken to over MQTT, each by its"
        " `topic`. Absent: over HTTP, each at its `url`.",
    )
    poll_ms: int = Field(
        default=1_000,
        ge=200,
        le=600_000,
        description="How often an opener is asked for its state over HTTP. It looks at its"
        " sensors every two seconds.",
    )
    timeout_ms: int = Field(
        default=3_000,
        ge=100,
        le=60_000,
        description="Wait for an opener's answer. It is deaf for a second while it presses.",
    )

    @model_validator(mode="after")
    def _one_transport_and_no_opener_twice(self) -> Self:
        for number, opener in enumerate(self.openers):
            if self.broker is not None and opener.topic is None:
                raise ValueError(f"openers.{number}: there is a broker, so it needs a topic")
            if self.broker is None and opener.url is None:
                raise ValueError(f"openers.{number}: there is no broker, so it needs a url")
        for what in ("device", "topic"):
            values = [each for o in self.openers if (each := getattr(o, what)) is not None]
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"{what} {', '.join(twice)}: given to two openers")
        return self
