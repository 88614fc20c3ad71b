"""Zigbee2MQTT: Zigbee locks behind a bridge that speaks MQTT, local."""

from typing import Final

from devices.kinds import LOCK
from vendors.api import Delivery, Vendor
from vendors.zigbee2mqtt import adapter
from vendors.zigbee2mqtt.settings import Zigbee2MqttSettings

VENDOR: Final = Vendor(
    name="zigbee2mqtt",
    title="Zigbee2MQTT locks",
    kind=LOCK,
    settings=Zigbee2MqttSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=adapter.COMMANDS,
    transports=("MQTT 3.1.1 or 5",),
    delivery=Delivery.PUSH_AND_POLL,
    # A question every 900 s, three that are not answered within 15 s, a minute between them.
    staleness_s=1_125,
    checked_by=(
        "zigbee-herdsman-converters 26.112.0, run on Node",
        "Home Assistant 2024.3.3 MQTT discovery schema",
    ),
    simulator="vendors.zigbee2mqtt.simulator",
)
