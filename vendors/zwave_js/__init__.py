"""Z-Wave locks behind Z-Wave JS: its WebSocket server, or the MQTT gateway of Z-Wave JS UI."""

from typing import Final

from devices.kinds import LOCK
from vendors.api import Delivery, Vendor
from vendors.zwave_js import adapter
from vendors.zwave_js.settings import ZwaveJsSettings

VENDOR: Final = Vendor(
    name="zwave_js",
    title="Z-Wave JS server and Z-Wave JS UI",
    kind=LOCK,
    settings=ZwaveJsSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=adapter.COMMANDS,
    transports=("WebSocket", "MQTT 5"),
    delivery=Delivery.PUSH_AND_POLL,
    # One round of questions an hour, an unanswered question, and a dead link's two pongs.
    staleness_s=3_660,
    checked_by=(
        "zwave-js-server-python 0.56.0",
        "@zwave-js/server 3.10.2 with zwave-js 15.29.0 and its mock lock",
    ),
    simulator="vendors.zwave_js.simulator",
)
