"""Shelly devices by a broker or each at its own address: one decoder, two ways of speaking.

mqtt     device ◄─► broker ◄─► MqttSide ────────────┐
direct   device ◄─► WebSocket, HTTP ◄─► DirectSide ─┴─► frames ─► codec
"""

from vendors.api import Adapter, Decode, Port
from vendors.shelly import codec
from vendors.shelly.by_mqtt import MqttSide
from vendors.shelly.direct import DirectSide
from vendors.shelly.settings import ShellySettings


def decoder(settings: ShellySettings) -> Decode:
    """The decoder of a cell with these settings."""
    mqtt = settings.mqtt
    route = (
        codec.router("", "", ())
        if mqtt is None
        else codec.router(mqtt.prefix, mqtt.reply_to, mqtt.devices)
    )
    return codec.decoder(route, settings.openers)


def connect(settings: ShellySettings, port: Port) -> Adapter:
    """An adapter that opens nothing before `run`."""
    if settings.mqtt is not None:
        return MqttSide(settings, settings.mqtt, port)
    assert settings.direct is not None, "settings have one of the two"
    return DirectSide(settings, settings.direct, port)
