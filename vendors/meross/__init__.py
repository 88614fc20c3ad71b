"""Meross: garage door units MSG100 and MSG200, on a broker or on the LAN."""

from typing import Final

from devices.kinds import CLOSURE
from vendors.api import Delivery, Vendor
from vendors.meross import adapter, settings

VENDOR: Final = Vendor(
    name="meross",
    title="Meross MSG100 and MSG200",
    kind=CLOSURE,
    settings=settings.MerossSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=tuple(adapter.VERBS),
    transports=("MQTT 3.1.1", "HTTP", "HTTP, AES-256-CBC"),
    delivery=Delivery.PUSH_AND_POLL,
    # Two questions in a row without an answer: two pauses of 60 s, two timeouts of 10 s.
    staleness_s=140,
    checked_by=("meross-iot 0.4.10.4", "traces of three real units, published by meross_lan"),
    simulator="vendors.meross.simulator",
)
