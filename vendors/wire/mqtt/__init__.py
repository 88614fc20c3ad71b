"""The one MQTT 5 client session of the house, on the sans-IO `mqtt5` codec.

settings ─► opener ─► connection ─► session ─► on_publish, on_link
                      (bytes)       (promises)
"""

from mqtt5 import PubAckReasonCode, PublishPacket, QoS, RetainHandling, TopicFilter, Will

from vendors.wire.mqtt.announcer import Link
from vendors.wire.mqtt.opener import Opener
from vendors.wire.mqtt.session import Session
from vendors.wire.mqtt.settings import MqttSettings

__all__ = [
    "Link",
    "MqttSettings",
    "Opener",
    "PubAckReasonCode",
    "PublishPacket",
    "QoS",
    "RetainHandling",
    "Session",
    "TopicFilter",
    "Will",
]
