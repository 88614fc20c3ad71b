"""Tedee: smart locks behind a bridge with a local HTTP API (1.2)."""

from typing import Final

from devices.kinds import LOCK
from vendors.api import Delivery, Vendor
from vendors.tedee import adapter, settings

VENDOR: Final = Vendor(
    name="tedee",
    title="Tedee Bridge, local API",
    kind=LOCK,
    settings=settings.TedeeSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=tuple(adapter.OPERATIONS),
    transports=("HTTP", "webhooks"),
    delivery=Delivery.PUSH_AND_POLL,
    # Three questions without an answer: 3 x (5 s pause, 5 s patience), and waiting for our turn.
    staleness_s=40,
    checked_by=(
        "aiotedee 0.3.0",
        "the facts of the published OpenAPI description of the bridge API 1.2",
    ),
    simulator="vendors.tedee.simulator",
)
