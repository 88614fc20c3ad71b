"""What an operator says about the panels of one site."""

import ipaddress
from collections import Counter
from datetime import UTC
from functools import cached_property
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from vendors.uhppote import packets
from vendors.uhppote.codec import DOORS_MAX, Doors, Zone
from vendors.wire.udp import Address

#: Where panels listen.
PANEL_PORT: Final = 60_000
_PORT_MAX: Final = 65_535


def address_of(text: str) -> Address:
    """(IPv4, port) of `192.168.1.100` or `192.168.1.100:60000`.

    Raises:
        ValueError: it is neither.
    """
    host, colon, port = text.partition(":")
    if not isinstance(ipaddress.ip_address(host), ipaddress.IPv4Address):
        raise ValueError("panels speak IPv4 only")  # noqa: TRY004 -- what pydantic reports well
    if colon and not (port.isascii() and port.isdigit() and int(port) <= _PORT_MAX):
        raise ValueError("the port is no number up to 65535")
    return host, int(port) if colon else PANEL_PORT


def _address(text: str) -> str:
    address_of(text)
    return text


AddressText = Annotated[str, AfterValidator(_address)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PanelSettings(_Strict):
    """One panel."""

    serial: int = Field(
        ge=1, lt=packets.NEWEST, description="As printed on the board.", examples=[405419896]
    )
    address: AddressText = Field(
        description="IPv4 address, and the port if it is not 60000.", examples=["192.168.1.100"]
    )
    doors: int = Field(default=DOORS_MAX, ge=1, le=DOORS_MAX, description="Doors it has.")
    contacts: tuple[int, ...] | None = Field(
        default=None,
        description="Doors with a door contact; absent: all. A panel says `closed` of a door"
        " without one, which we must not believe.",
    )

    @model_validator(mode="after")
    def _contacts_of_doors(self) -> Self:
        strange = [door for door in self.contacts or () if not 1 <= door <= self.doors]
        if strange:
            raise ValueError(f"contacts {strange} are of no door; it has doors 1 to {self.doors}")
        return self

    @property
    def wired(self) -> Doors:
        """As the codec wants it."""
        every = range(1, self.doors + 1)
        return Doors(self.doors, frozenset(every if self.contacts is None else self.contacts))


class UhppoteSettings(_Strict):
    """The panels, and how to keep in touch with them."""

    panels: tuple[PanelSettings, ...] = Field(
        min_length=1, max_length=10_000, description="Each panel by its serial and address."
    )
    timezone: str = Field(
        default="UTC",
        description="IANA name of the zone that the panels' clocks run in; they know none.",
        examples=["Europe/Berlin"],
    )
    bind: AddressText = Field(
        default="0.0.0.0:0",
        description="Our end of requests. Port 0 takes a free one; 60000 is the panels' own.",
    )
    listener: AddressText | None = Field(
        default=None,
        description="Address of this machine, with port, that panels are told to push events"
        " to; port 0 takes a free one. It replaces the listener that a panel has, of which"
        " there is one only. Absent: panels are polled, and keep the listener they have.",
        examples=["192.168.1.2:60001"],
    )
    listener_bind: AddressText | None = Field(
        default=None,
        description="Where to listen if that is not `listener` (containers, address translation).",
    )
    record_special_events: bool = Field(
        default=True,
        description="Have panels record door contacts and push buttons, which they do not do"
        " until they are told.",
    )
    poll_ms: int = Field(
        default=1_000, ge=100, le=3_600_000, description="How often a panel is asked for its state."
    )
    upkeep_ms: int = Field(
        default=600_000,
        ge=1_000,
        le=86_400_000,
        description="How often door modes and clock are read, and the listener is set again.",
    )
    timeout_ms: int = Field(
        default=500, ge=10, le=60_000, description="Wait for each reply; asked three times."
    )
    retry_max_ms: int = Field(
        default=10_000, ge=100, le=3_600_000, description="Longest pause for a silent panel."
    )
    history_max: int = Field(
        default=1_000,
        ge=0,
        le=1_000_000,
        description="Records to read out of a panel that was never met before.",
    )

    @field_validator("timezone")
    @classmethod
    def _a_zone(cls, name: str) -> str:
        try:
            _zone(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                "no such time zone here; use an IANA name such as Europe/Berlin"
                " (the system's tzdata must be installed)"
            ) from None
        return name

    @model_validator(mode="after")
    def _no_serial_twice(self) -> Self:
        counts = Counter(panel.serial for panel in self.panels)
        if twice := sorted(serial for serial, count in counts.items() if count > 1):
            raise ValueError(f"serials {twice} are listed twice; each panel once")
        return self

    @cached_property
    def zone(self) -> Zone:
        """The panels' zone."""
        return _zone(self.timezone)


def _zone(name: str) -> Zone:
    return UTC if name == "UTC" else ZoneInfo(name)
