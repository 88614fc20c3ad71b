"""What is left of a message that was torn, cut off or flipped on its way; pure.

None of it is a good message: whoever reads it can tell, and no state comes of it.
"""

from typing import Final

from fleet_sim.faults.fault import Carried
from vendors.http import HttpReply
from vendors.sim import Chance, Publish, Push, Reply, Webhook, WsClose, WsText

# More than any word, number or packet that a codec could take for a meaning.
_GARBAGE_BYTES: Final = (65, 200)
_HIGH_BIT: Final = 0x80
# Bytes side by side that were flipped could make a good character of UTF-8.
_APART: Final = 2


def garbled(message: Carried, rng: Chance) -> Carried:
    """The same message with garbage in it; a close has nothing that could be torn."""
    return _with(message, rng.randbytes(rng.randint(*_GARBAGE_BYTES)))


def cut_off(message: Carried, rng: Chance) -> Carried | None:
    """Its first bytes; None if nothing is left to arrive.

    A PUBLISH says in front how long it is, so half of one is none: no broker hands it on.
    """
    body = _body(message)
    if isinstance(message, Publish) or not body[1:]:
        return None
    return _with(message, body[: rng.randrange(1, len(body))])


def flipped(message: Carried, rng: Chance) -> Carried:
    """The same with some of its bits flipped: the highest of its first byte, and of some others.

    The highest, because all that codecs read is ASCII or begins with a byte below 0x80: what a
    checksum or a TLS record would have caught must not pass for another word here.
    """
    body = bytearray(_body(message))
    for at in range(0, len(body), _APART):
        if not at or rng.random() < 1 / 16:
            body[at] |= _HIGH_BIT
    return _with(message, bytes(body)) if body else message


def _body(message: Carried) -> bytes:
    match message:
        case Publish() | Reply() | Push():
            return message.payload
        case HttpReply() | Webhook():
            return message.body
        case WsText():
            return message.text.encode()
        case WsClose():
            return b""


def _with(message: Carried, body: bytes) -> Carried:
    match message:
        case Publish():
            # Not retained: what a board stores on a broker is its own last word.
            return message._replace(payload=body, retain=False)
        case Reply() | Push():
            return message._replace(payload=body)
        case HttpReply() | Webhook():
            return message._replace(body=body)
        case WsText():
            return message._replace(text=body.decode("latin-1"))
        case WsClose():
            return message
