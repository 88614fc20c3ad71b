"""What an operator says about one SwitchBot account."""

from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

_PORT_MAX: Final = 65_535
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def bind_of(text: str) -> tuple[str, int]:
    """(host, port) of `0.0.0.0:8443`.

    Raises:
        ValueError: it is no such pair.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _PORT_MAX):
        raise ValueError("write it as host:port, for example 0.0.0.0:8443")
    return host, int(port)


def _bind(text: str) -> str:
    bind_of(text)
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise ValueError("write it as https://host, for example https://api.switch-bot.com")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("the token would travel in the clear: use https")
    return text.rstrip("/")


Bind = Annotated[str, AfterValidator(_bind)]
Url = Annotated[str, AfterValidator(_url)]


class SwitchBotSettings(BaseModel):
    """One account: its token and secret, its locks, and how its daily calls are spent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Url = Field(
        default="https://api.switch-bot.com", description="The vendor's API, without its path."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM of the authority behind `url`; absent: the system's.",
    )
    token: SecretStr | None = Field(
        default=None, description="Open token of the account; better as `token_file`."
    )
    token_file: Path | None = Field(
        default=None, description="File that holds the token; read for every request."
    )
    secret: SecretStr | None = Field(
        default=None, description="Secret key of the account; better as `secret_file`."
    )
    secret_file: Path | None = Field(
        default=None, description="File that holds the secret key; read for every request."
    )
    devices: tuple[str, ...] = Field(
        default=(),
        description="Device ids of the locks to speak for; empty: every lock of the account.",
        examples=[["E1A2B3C4D5E6"]],
    )
    quota_per_day: int = Field(
        default=10_000,
        ge=100,
        le=50_000_000,
        description="Calls that we may make in 24 hours; less if others use the account too.",
    )
    poll_min_ms: int = Field(
        default=10_000,
        ge=500,
        le=3_600_000,
        description="Least time between two polls of a lock, however much quota there is.",
    )
    list_ms: int = Field(
        default=3_600_000,
        ge=10_000,
        le=86_400_000,
        description="How often the device list and the webhook's registration are looked at.",
    )
    timeout_ms: int = Field(
        default=8_000, ge=100, le=60_000, description="Wait for each reply; asked once."
    )
    rate_per_s: float = Field(
        default=5.0, ge=0.1, le=1_000, description="Calls per second; bursts are answered with 429."
    )
    webhook_bind: Bind | None = Field(
        default=None,
        description="Where to listen for webhooks, host:port; absent: the account is only polled.",
        examples=["127.0.0.1:8420"],
    )
    webhook_url: Url | None = Field(
        default=None,
        description="How the vendor reaches that address from outside, without the key; absent:"
        " as we listen.",
        examples=["https://doors.example.org/switchbot"],
    )
    webhook_key: SecretStr | None = Field(
        default=None, description="Last part of the webhook's URL; better as `webhook_key_file`."
    )
    webhook_key_file: Path | None = Field(
        default=None,
        description="File that holds it: 16 or more letters and digits that nobody can guess,"
        " because webhooks are not signed.",
    )
    webhook_replace: bool = Field(
        default=False,
        description="Replace the webhook that the account has; absent, somebody else's is left"
        " alone, and we poll only. An account has one.",
    )
    hook_age_max_ms: int = Field(
        default=60_000,
        ge=1_000,
        le=3_600_000,
        description="How old the sample of a webhook may be for it to be believed.",
    )
    doubt_ms: int = Field(
        default=600_000,
        ge=0,
        le=86_400_000,
        description="How long a status `locked` is doubted after a reported unlocking that no"
        " status confirmed.",
    )
    code_slots: int = Field(
        default=4, ge=0, le=99, description="Passcodes that we keep on each lock's keypad."
    )

    @model_validator(mode="after")
    def _each_secret_once(self) -> Self:
        for name in ("token", "secret"):
            if (getattr(self, name) is None) == (getattr(self, f"{name}_file") is None):
                raise ValueError(f"give {name}_file (or {name}), and only one of them")
        keys = (self.webhook_key is not None) + (self.webhook_key_file is not None)
        if self.webhook_bind is not None and keys != 1:
            raise ValueError("webhook_bind needs webhook_key_file (or webhook_key)")
        if self.webhook_bind is None and (keys or self.webhook_url is not None):
            raise ValueError("webhook_url and webhook_key_file are of no use without webhook_bind")
        return self


def secret_of(value: SecretStr | None, file: Path | None) -> str:
    """A secret, wherever it is kept.

    Raises:
        OSError: its file cannot be read.
    """
    if value is not None:
        return value.get_secret_value()
    assert file is not None, "settings have one of them"
    return file.read_text().strip()
