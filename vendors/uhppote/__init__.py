"""UHPPOTE: UT0311-L0x access panels over UDP, local, with an event ring of their own."""

from typing import Final

from devices.kinds import PANEL
from vendors.api import Delivery, Vendor
from vendors.uhppote import adapter
from vendors.uhppote.settings import UhppoteSettings

VENDOR: Final = Vendor(
    name="uhppote",
    title="UHPPOTE access panels",
    kind=PANEL,
    settings=UhppoteSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=adapter.COMMANDS,
    transports=("UDP",),
    delivery=Delivery.PUSH_AND_POLL,
    # With the default settings: a poll's time, and three timeouts before silence is told.
    staleness_s=3,
    checked_by=("uhppoted 0.9.1.1 (its own client library)", "uhppoted's recorded packets"),
    simulator="vendors.uhppote.simulator",
)
