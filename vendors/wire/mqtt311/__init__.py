"""MQTT 3.1.1 packets to bytes and back: pure, for simulated boards and for the broker.

`read` takes one packet off a buffer, `encode` writes one. Level 3 ("MQIsdp", MQTT 3.1) is
understood in CONNECT, because old boards still say it; everything else of 3.1 is the same here.
Both directions refuse what the standard calls malformed, so nothing is written that `read`
would not take.

Source: OASIS Standard "MQTT Version 3.1.1", 29 October 2014; numbers in [] are its statements.
"""

from vendors.wire.mqtt311.packets import (
    ConnAck,
    Connect,
    Disconnect,
    MalformedPacketError,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from vendors.wire.mqtt311.reader import Buffer, measure, read
from vendors.wire.mqtt311.rules import PACKET_MAX, REMAINING_MAX
from vendors.wire.mqtt311.writer import encode, encode_publish

__all__ = [
    "PACKET_MAX",
    "REMAINING_MAX",
    "Buffer",
    "ConnAck",
    "Connect",
    "Disconnect",
    "MalformedPacketError",
    "Packet",
    "PingReq",
    "PingResp",
    "PubAck",
    "PubComp",
    "PubRec",
    "PubRel",
    "Publish",
    "SubAck",
    "Subscribe",
    "UnsubAck",
    "Unsubscribe",
    "Will",
    "encode",
    "encode_publish",
    "measure",
    "read",
]
