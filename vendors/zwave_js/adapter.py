"""Z-Wave locks by zwave-js-server or by the MQTT gateway of Z-Wave JS UI: one decoder.

server:  lock ◄─ radio ─► driver ─► WebSocket ─► ServerSide ─┐
mqtt:    lock ◄─ radio ─► driver ─► broker ────► MqttSide ───┴─► Node ─► frames ─► codec
"""

from functools import partial
from typing import Final

from vendors.api import Adapter, Decode, Port
from vendors.zwave_js import codec
from vendors.zwave_js.mqtt_side import MqttSide
from vendors.zwave_js.server_side import MODES, ServerSide
from vendors.zwave_js.settings import ZwaveJsSettings

COMMANDS: Final = (*MODES, "SetCredential", "ClearCredential")


def decoder(settings: ZwaveJsSettings) -> Decode:
    """The decoder of a cell with these settings."""
    return partial(codec.decode, boltless=frozenset(settings.boltless))


def connect(settings: ZwaveJsSettings, port: Port) -> Adapter:
    """An adapter that opens nothing before `run`."""
    if settings.mqtt is not None:
        return MqttSide(settings, settings.mqtt, port)
    assert settings.server is not None, "settings have one of the two"
    return ServerSide(settings, settings.server, port)
