"""Nuki: smart locks that are MQTT clients themselves (MQTT API 1.5), local."""

from typing import Final

from devices.kinds import LOCK
from vendors.api import Delivery, Vendor
from vendors.nuki import adapter

VENDOR: Final = Vendor(
    name="nuki",
    title="Nuki Smart Lock, MQTT API",
    kind=LOCK,
    settings=adapter.NukiSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=tuple(adapter.ACTIONS),
    transports=("MQTT 3.1.1",),
    delivery=Delivery.PUSH,
    # A lock whose session died unnoticed tells nothing until it is rebooted: no bound.
    staleness_s=None,
    checked_by=(
        "Home Assistant 2024.3.3 MQTT discovery schema",
        "published lockActionEvent samples",
    ),
    simulator="vendors.nuki.simulator",
)
