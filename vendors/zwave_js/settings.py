"""What an operator may say about one Z-Wave network."""

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vendors.wire.mqtt import MqttSettings

_POLL_INTERVAL_S: Final = 3_600
_ABOUT_POLLING: Final = (
    "How often each lock is asked for its state beside what it reports. Every question wakes a"
    " battery lock; a change that it did not report is seen this late."
)


class ServerSettings(BaseModel):
    """One zwave-js-server; it knows no passwords, so it belongs on a network of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="Where the server listens: ws://host:3000, or wss:// behind a proxy.",
        examples=["ws://127.0.0.1:3000"],
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the CA behind a wss server's certificate; absent: the system's.",
    )
    poll_interval_s: int = Field(
        default=_POLL_INTERVAL_S, ge=30, le=86_400, description=_ABOUT_POLLING
    )

    @field_validator("url")
    @classmethod
    def _a_server(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"}:
            raise ValueError("must start with ws:// or wss://")
        if "@" in parts.netloc:
            raise ValueError("must not hold a user or password")
        if not parts.hostname:
            raise ValueError("names no host: write ws://host:port")
        if parts.port == 0:  # `.port` itself raises ValueError above 65535
            raise ValueError("port must be 1 to 65535")
        return url


class GatewaySettings(MqttSettings):
    """The MQTT gateway of Z-Wave JS UI, with payloads of type `JSON Time-Value`."""

    prefix: str = Field(
        default="zwave",
        pattern=r"^[^/+#\s\x00]{1,64}(/[^/+#\s\x00]{1,64}){0,3}$",
        description="`Prefix` in Z-Wave JS UI's MQTT settings.",
    )
    name: str = Field(
        default="zwave-js-ui",
        pattern=r"^[^/+#\s\x00]{1,64}$",
        description="`Name` in its MQTT settings, as in `_CLIENTS/ZWAVE_GATEWAY-<name>`.",
    )
    poll_interval_s: int = Field(
        default=_POLL_INTERVAL_S, ge=30, le=86_400, description=_ABOUT_POLLING
    )


class ZwaveJsSettings(BaseModel):
    """One Z-Wave network, by its server or by its MQTT gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: ServerSettings | None = Field(
        default=None, description="The zwave-js-server of the network; this or `mqtt`."
    )
    mqtt: GatewaySettings | None = Field(
        default=None, description="The MQTT gateway of Z-Wave JS UI; this or `server`."
    )
    nodes: tuple[str, ...] = Field(
        default=(),
        description="Locks that are taken in, by name; empty: every lock of the network.",
        examples=[["nodeID_20"]],
    )
    boltless: tuple[str, ...] = Field(
        default=(),
        description="Locks whose `boltStatus` is not believed, because it never changes;"
        " otherwise such a lock is unknown, `contradictory`, half of the time.",
        examples=[["nodeID_20"]],
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.server is None) == (self.mqtt is None):
            raise ValueError("set one of server and mqtt")
        return self
