"""What an operator may say about one MQTT connection."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Registered ports: IANA service names `mqtt` and `secure-mqtt`.
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttSettings(BaseModel):
    """One broker, and how we speak to it (MQTT 5 only)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="Where the broker is: mqtt://host:port, or mqtts://host:port for TLS."
        " Ports default to 1883 and 8883. User and password do not belong in here.",
        examples=["mqtt://127.0.0.1:1883", "mqtts://broker.example:8883"],
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Name of our session on the broker. Two clients with one name throw each"
        " other out; absent, the program makes one from the cell's name.",
    )
    username: str | None = Field(default=None, description="User name, if the broker wants one.")
    password_file: Path | None = Field(
        default=None, description="File that holds the password and nothing else; read per attempt."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the CA behind the broker's certificate; absent: the system's.",
    )
    cert_file: Path | None = Field(
        default=None, description="PEM file of our certificate (mTLS); needs key_file."
    )
    key_file: Path | None = Field(
        default=None, description="PEM file of our private key, unencrypted (mTLS)."
    )
    keepalive_s: int = Field(
        default=30,
        ge=1,
        le=65_535,
        description="A link that is silent this long is probed; without an answer it is dropped.",
    )
    session_expiry_s: int = Field(
        default=3_600,
        ge=0,
        le=4_294_967_295,
        description="How long the broker keeps our subscriptions and frames while we are away.",
    )
    receive_max: int = Field(
        default=1_024,
        ge=1,
        le=65_535,
        description="Frames the broker may have open towards us before we acknowledge one.",
    )
    inflight_max: int = Field(
        default=1_024,
        ge=1,
        le=16_384,
        description="Frames we may have open towards the broker; the broker may allow fewer.",
    )
    connect_timeout_s: int = Field(
        default=10, ge=1, le=300, description="Limit from the first SYN to the last SUBACK."
    )
    backoff_base_ms: int = Field(
        default=200, ge=1, le=60_000, description="Ceiling of the first wait before a reconnect."
    )
    backoff_max_ms: int = Field(
        default=30_000, ge=1, le=3_600_000, description="Ceiling of every wait before a reconnect."
    )
    packet_max_bytes: int = Field(
        default=262_144,
        ge=1_024,
        le=268_435_455,
        description="Largest packet we accept; the broker is told, and a larger one ends the link.",
    )

    @field_validator("url")
    @classmethod
    def _a_broker_and_nothing_else(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError("must start with mqtt:// or mqtts://")
        if "@" in parts.netloc:
            raise ValueError("must not hold a user or password: use username and password_file")
        if not parts.hostname:
            raise ValueError("names no host: write mqtt://host:port")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("must end after the port: write mqtt://host:port")
        if parts.port == 0:  # `.port` itself raises ValueError above 65535
            raise ValueError("port must be 1 to 65535")
        return url

    @model_validator(mode="after")
    def _fields_that_need_each_other(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file come together: set both or neither")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file, cert_file and key_file need TLS: write mqtts:// in url")
        if self.backoff_base_ms > self.backoff_max_ms:
            raise ValueError("backoff_base_ms must not exceed backoff_max_ms")
        return self

    @property
    def tls(self) -> bool:
        """Whether the link is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        """The broker's name or address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's port, the registered one if the URL names none."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def where(self) -> str:
        """`host:port`, as reasons and log lines name the broker."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
