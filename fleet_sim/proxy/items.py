"""What passes along one direction of a connection."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Sign(Enum):
    """How a direction ends."""

    #: The sender says no more (FIN); the other direction goes on.
    END = "end"
    #: The proxy ends the connection, once what was written is out.
    CLOSE = "close"
    #: The proxy ends it at once (RST).
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message of a protocol that we read."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message that is too long to hold, or began before anybody looked."""

    raw: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that goes back to where the one that it answers came from."""

    message: Message


Item: TypeAlias = bytes | Sign | Message | Piece | Answer
