"""Settings, and the locks of one or more bridges: one listener for what they post.

lock ~ bluetooth ~ bridge ─► callback ─► WebhookListener ─► Port.offer
▲
└── /list, /lockState, /lockAction ── `link.BridgeLink`, one each
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, Self
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from devices.command import Command, Reason
from devices.errors import RefusedError
from vendors.api import Decode, Frame, HostStanding, Port
from vendors.http import HttpReply, HttpRequest
from vendors.nuki.bridge import codec
from vendors.nuki.bridge.auth import Auth
from vendors.nuki.bridge.link import BridgeLink, Rhythm
from vendors.wire.errors import NotSentError
from vendors.wire.webhook import WebhookListener

#: `action` numbers of `/lockAction`.
ACTIONS: Final[Mapping[str, int]] = {"UnlockDoor": 1, "LockDoor": 2, "Unlatch": 3, "LockAndGo": 4}
_LISTEN_AGAIN_S: Final = 30.0
# One bridge serves a flat; more of them are a building, and that is several cells.
_BRIDGES_MAX: Final = 64
# The longest address that a bridge keeps is 254 characters; ours adds about 90.
_BASE_CHARS_MAX: Final = 150
_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared with, not bound to

log = structlog.get_logger("vendors.nuki_bridge")


class BridgeSettings(BaseModel):
    """One bridge, and how we prove ourselves to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        pattern=r"^http://[^/?#@\s]+$",
        max_length=255,
        description="Address of the bridge; it speaks plain HTTP only.",
        examples=["http://192.0.2.30:8080"],
    )
    token: SecretStr | None = Field(
        default=None, description="The bridge's API token; better kept in `token_file`."
    )
    token_file: Path | None = Field(
        default=None, description="File that holds the token; read for each request."
    )
    auth: Auth = Field(
        default=Auth.ENCRYPTED,
        description="How the token is shown: encrypted, hashed, or plain, which anybody on the"
        " network can read. All but plain need clocks that agree.",
    )

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if (self.token is None) == (self.token_file is None):
            raise ValueError("give either token or token_file")
        return self

    def secret(self) -> str:
        """The token, as it is now.

        Raises:
            NotSentError: the file cannot be read, or is empty.
        """
        if self.token is not None:
            return self.token.get_secret_value()
        assert self.token_file is not None
        try:
            token = self.token_file.read_text().strip()
        except (OSError, ValueError) as error:
            raise NotSentError(f"token_file: {type(error).__name__}") from None
        if not token:
            raise NotSentError("token_file: empty")
        return token


class NukiBridgeSettings(BaseModel):
    """Bridges with their locks, and where they reach us."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bridges: tuple[BridgeSettings, ...] = Field(
        description="The bridges, each with its token.",
    )
    listen: str | None = Field(
        default=None,
        pattern=r"^[^/\s]*:[0-9]{1,5}$",
        description="host:port to listen on for the bridges' callbacks; absent: only asked.",
        examples=["192.0.2.10:8765"],
    )
    callback_url: str | None = Field(
        default=None,
        pattern=r"^http://[^/?#@\s]+$",
        max_length=_BASE_CHARS_MAX,
        description="How the bridges reach `listen`, if that is not its own address.",
        examples=["http://192.0.2.10:8765"],
    )
    callback_name: str = Field(
        default="doorfleet",
        pattern=r"^[a-z0-9_-]{1,32}$",
        description="Tells our callbacks from others'; two gateways at one bridge need two names,"
        " because each removes old ones of its own name.",
    )
    poll_interval_s: int = Field(
        default=30,
        ge=2,
        le=3_600,
        description="How often a bridge is asked for what it knows; some reboot when asked often.",
    )
    check_interval_s: int = Field(
        default=1_800,
        ge=60,
        le=86_400,
        description="How often each lock itself is asked; that wakes it and costs its battery.",
    )
    wait_for_action: bool = Field(
        default=False,
        description="Let the bridge answer a command when the lock is done, not when it begins;"
        " it answers nobody else meanwhile.",
    )

    @field_validator("bridges")
    @classmethod
    def _each_once(cls, bridges: tuple[BridgeSettings, ...]) -> tuple[BridgeSettings, ...]:
        if not 1 <= len(bridges) <= _BRIDGES_MAX:
            raise ValueError(f"name 1 to {_BRIDGES_MAX} bridges")
        if len({bridge.url for bridge in bridges}) < len(bridges):
            raise ValueError("the same url twice")
        return bridges

    @model_validator(mode="after")
    def _an_address_that_a_bridge_can_call(self) -> Self:
        host = "" if self.listen is None else self.listen.rpartition(":")[0].strip("[]")
        if self.listen is not None and self.callback_url is None and host in _ANYWHERE | {""}:
            raise ValueError("callback_url is needed: a bridge cannot call every address")
        return self


def decoder(settings: NukiBridgeSettings) -> Decode:
    """The codec needs no settings."""
    del settings
    return codec.decode


def connect(settings: NukiBridgeSettings, port: Port) -> "NukiBridgeAdapter":
    """An adapter that opens nothing before `run`."""
    return NukiBridgeAdapter(settings, port)


class NukiBridgeAdapter:
    """The locks of all bridges of a cell."""

    def __init__(self, settings: NukiBridgeSettings, port: Port) -> None:
        self._settings = settings
        self._port = port
        rhythm = Rhythm(
            poll_ms=settings.poll_interval_s * 1000,
            check_ms=settings.check_interval_s * 1000,
            wait=settings.wait_for_action,
        )
        self.links = [
            BridgeLink(
                bridge.url,
                bridge.secret,
                bridge.auth,
                rhythm,
                port,
                callback_name=settings.callback_name,
                base_url=self._base_url,
                changed=self._changed,
            )
            for bridge in settings.bridges
        ]
        self._listener: WebhookListener | None = None
        if settings.listen is not None:
            host, _, number = settings.listen.rpartition(":")
            bind = (host.strip("[]"), int(number))
            self._listener = WebhookListener(port, self._accept, bind)
        self._listening = False

    async def run(self) -> None:
        """Listen and ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                if self._listener is not None:
                    await self._listen_once(self._listener)
                    if not self._listening:
                        group.create_task(self._listen(self._listener))
                for link in self.links:
                    group.create_task(link.run())
        finally:
            for link in self.links:
                await link.close()
            if self._listener is not None:
                self._listening = False
                await self._listener.close()

    async def send(self, command: Command) -> None:
        """Ask the bridge once; success means that it told the lock, or that the lock is done.

        Raises:
            RefusedError: nothing left us.
            RejectedError: the bridge said no.
            UnavailableError: it may have left us, and nobody said what became of it.
        """
        action = ACTIONS.get(command.name)
        if action is None:
            raise RefusedError(Reason.UNSUPPORTED)
        link = self._link_of(command.device)
        if link is None:
            known = all(link.listed for link in self.links)
            raise RefusedError(Reason.UNKNOWN_DEVICE if known else Reason.UNAVAILABLE)
        await link.act(command.device, action, command.deadline_ms)

    def hosts(self) -> Iterable[HostStanding]:
        """Its bridges."""
        return [link.host.standing for link in self.links]

    async def refresh(self, device: str) -> None:
        """Ask the lock itself, unless it was asked or told something a moment ago."""
        link = self._link_of(device)
        if link is not None:
            await link.refresh(device)

    def _link_of(self, device: str) -> BridgeLink | None:
        """The bridge that has this lock; one that answers, if two have it."""
        having = [link for link in self.links if device in link.locks]
        return next((link for link in having if link.up), having[0] if having else None)

    # --- being told ---------------------------------------------------------------------------

    def _base_url(self) -> str | None:
        """How bridges reach our listener; None while it does not listen."""
        if self._listener is None or not self._listening:
            return None
        return self._settings.callback_url or self._listener.base_url

    async def _listen(self, listener: WebhookListener) -> NoReturn:
        while not self._listening:
            await asyncio.sleep(_LISTEN_AGAIN_S)
            await self._listen_once(listener)
        for link in self.links:
            link.register_soon()
        await asyncio.Event().wait()
        raise AssertionError("only cancelled")

    async def _listen_once(self, listener: WebhookListener) -> None:
        try:
            await listener.open()
        except OSError as error:
            log.warning("nuki_bridge.not_listening", error=str(error)[:200])
            return
        self._listening = True

    def _accept(self, call: HttpRequest) -> tuple[Sequence[Frame], HttpReply]:
        """What a bridge posts to the address that only it knows."""
        link = next((each for each in self.links if each.callbacks.are_at(call.path)), None)
        if link is None or call.method != "POST":
            return (), HttpReply(404)
        return link.heard(call.body), HttpReply(200)

    def _changed(self) -> None:
        """A bridge came or went: the vendor is there as long as one is."""
        down = [link for link in self.links if not link.up]
        if len(down) < len(self.links):
            self._port.link(up=True, reason="")
        else:
            host = urlsplit(down[0].url).netloc
            self._port.link(up=False, reason=f"{host}: {down[0].reason}")
