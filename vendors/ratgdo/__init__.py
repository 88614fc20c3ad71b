"""ratgdo: open garage-door boards with MQTT firmware (Paul Wieland), local."""

from typing import Final

from devices.kinds import CLOSURE
from vendors.api import Delivery, Vendor
from vendors.ratgdo import adapter

VENDOR: Final = Vendor(
    name="ratgdo",
    title="ratgdo, MQTT firmware 2.5x",
    kind=CLOSURE,
    settings=adapter.RatgdoSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=tuple(adapter.VERBS),
    transports=("MQTT 3.1.1",),
    delivery=Delivery.PUSH,
    # A board that was cut off tells nothing again until something changes: no bound.
    staleness_s=None,
    checked_by=("firmware source a8e213a", "Home Assistant 2024.3.3 MQTT discovery schema"),
    simulator="vendors.ratgdo.simulator",
)
