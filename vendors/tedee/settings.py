"""What an operator says of Tedee bridges; every secret is better off in a file of its own."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

_ANY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 -- looked for, not listened on


def _plain_http(url: str) -> str:
    """A bridge speaks HTTP without TLS, in both directions."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("is no http:// URL with a host; a bridge knows no https")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError("has more than scheme, host and port")
    _ = parts.port  # raises ValueError for what is no port
    return url.rstrip("/")


PlainUrl = Annotated[str, AfterValidator(_plain_http)]


class _Model(BaseModel):
    # What is refused may hold a token: a mistake is named, and not shown.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BridgeSettings(_Model):
    """One bridge with its local API switched on."""

    url: PlainUrl = Field(
        description="Where the bridge is; the app shows its address.",
        examples=["http://192.0.2.10"],
    )
    token: SecretStr | None = Field(
        default=None, min_length=1, description="The API token itself; `token_file` is better."
    )
    token_file: Path | None = Field(
        default=None, description="A file that holds the API token; read for every request."
    )
    auth: Literal["encrypted", "plain"] = Field(
        default="encrypted",
        description="As switched in the app. `plain` sends the token itself over the network.",
    )

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if (self.token is None) == (self.token_file is None):
            raise ValueError("give either token or token_file")
        return self

    def secret(self) -> str:
        """The token as it is now.

        Raises:
            OSError, ValueError: the file cannot be read, or holds none.
        """
        if self.token is not None:
            return self.token.get_secret_value()
        assert self.token_file is not None
        found = self.token_file.read_text().strip()
        if not found:
            raise ValueError("the file is empty")
        return found


class WebhookSettings(_Model):
    """Where bridges tell us what happens. They do so over plain HTTP, and only once."""

    host: str = Field(
        description="The address to listen on: one that the bridges can reach.",
        examples=["192.0.2.2"],
    )
    port: int = Field(default=8931, ge=0, le=65_535, description="The port; 0 takes a free one.")
    url: PlainUrl | None = Field(
        default=None,
        description="How bridges reach us, if not by `host` and `port`.",
        examples=["http://192.0.2.2:8931"],
    )
    method: Literal["POST", "GET", "GET+NO_PARAMS"] = Field(
        default="POST", description="The form in which bridges tell."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.host in _ANY_ADDRESS and self.url is None:
            raise ValueError("host is no address that a bridge could call: give url too")
        return self


class TedeeSettings(_Model):
    """Bridges in the local network. One cell per bridge: two would clear each other's callback."""

    bridges: tuple[BridgeSettings, ...] = Field(
        min_length=1, max_length=200, description="The bridges, each with its own token."
    )
    webhook: WebhookSettings | None = Field(
        default=None, description="Where to be told; absent: bridges are only asked."
    )
    poll_interval_s: float = Field(
        default=5.0,
        ge=1.0,
        le=300.0,
        description="How often each bridge is asked; the vendor wants no more than once a second.",
    )
