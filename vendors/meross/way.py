"""How a question reaches a unit and its answer comes back, whatever lies in between."""

from typing import Final, NamedTuple, Protocol

from vendors.meross.envelope import Envelope

#: Which error says that the key is another one. Source: arandall/meross testdata.
SIGN_ERROR: Final = 5001


class Question(NamedTuple):
    """A signed message that asks for an answer; `moves` if it may move a door."""

    uuid: str
    message_id: str
    body: bytes
    moves: bool = False


class Way(Protocol):
    """The broker, or the LAN. Every answer's frame is offered to the cell by the way itself."""

    async def run(self) -> None:
        """Be there until cancelled."""

    async def ask(self, question: Question, until_ms: int) -> Envelope:
        """The answer that repeats the question's messageId, from the unit that was asked.

        Raises:
            NotSentError: nothing left us.
            NoReplyError: it left us, and no such answer came.
            RejectedError: the broker said no.
        """


def error_code(envelope: Envelope) -> int | None:
    """The code of an ERROR; None if it is none, or has none."""
    error = envelope.payload.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if type(code) is int and envelope.method == "ERROR" else None
