"""Nuki locks behind a Nuki Bridge (Bridge HTTP API 1.13), local; beside the locks' own MQTT."""

from typing import Final

from devices.kinds import LOCK
from vendors.api import Delivery, Vendor
from vendors.nuki.bridge import adapter

VENDOR: Final = Vendor(
    name="nuki_bridge",
    title="Nuki Bridge, HTTP API",
    kind=LOCK,
    settings=adapter.NukiBridgeSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=tuple(adapter.ACTIONS),
    transports=("HTTP", "HTTP callback"),
    delivery=Delivery.PUSH_AND_POLL,
    # A turn by hand that the lock did not notice itself: found when it is next asked, which is
    # every half hour, or a minute or two later if the bridge is busy just then.
    staleness_s=2_000,
    checked_by=("pynuki 1.6.3", "the hash published with Bridge HTTP API 1.13"),
    simulator="vendors.nuki.bridge.simulator",
)
