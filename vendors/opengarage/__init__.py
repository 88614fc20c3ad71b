"""OpenGarage: garage door controllers with a distance sensor or Security+, local."""

from typing import Final

from devices.kinds import CLOSURE
from vendors.api import Delivery, Vendor
from vendors.opengarage import adapter
from vendors.opengarage.settings import OpenGarageSettings

VENDOR: Final = Vendor(
    name="opengarage",
    title="OpenGarage, firmware 1.2",
    kind=CLOSURE,
    settings=OpenGarageSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=tuple(adapter.MOVES),
    transports=("HTTP", "MQTT 3.1.1"),
    delivery=Delivery.POLL,
    # Three questions of a second and three seconds each, and the pause before the first.
    staleness_s=15,
    checked_by=("open-garage 0.3.1", "firmware source bebb181"),
    simulator="vendors.opengarage.simulator",
)
