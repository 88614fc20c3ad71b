"""Shelly Gen2+: covers, and relays on an opener's button; local, by MQTT or WebSocket."""

from typing import Final

from devices.kinds import CLOSURE
from vendors.api import Delivery, Vendor
from vendors.shelly import adapter, commands
from vendors.shelly.settings import ShellySettings

VENDOR: Final = Vendor(
    name="shelly",
    title="Shelly Gen2+ covers and openers",
    kind=CLOSURE,
    settings=ShellySettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=tuple(commands.METHODS),
    transports=("MQTT 3.1.1, JSON-RPC", "WebSocket and HTTP, JSON-RPC"),
    delivery=Delivery.PUSH_AND_POLL,
    # Three questions 30 s apart, each 5 s without an answer, by HTTP twice that.
    staleness_s=125,
    checked_by=("aioshelly 13.35.0", "shelly-api-docs.shelly.cloud/gen2"),
    simulator="vendors.shelly.simulator",
)
