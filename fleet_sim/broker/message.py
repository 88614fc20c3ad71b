"""A message on its way through the broker, whatever version its publisher spoke."""

from typing import Final, NamedTuple


class Properties(NamedTuple):
    """The MQTT 5 properties that travel with a message unchanged."""

    payload_format: int = 0
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


PLAIN: Final = Properties()
# What an empty message costs in memory, so that a flood of them is counted too.
_OVERHEAD: Final = 256


class Message:
    """One publication. Never changed once it is routed.

    Units: `expires_at_s` is on the clock that the broker is driven with.
    `size` is about how many bytes it holds on to. `frames` caches its encodings: a message to a
    thousand subscribers is encoded once per form.
    """

    __slots__ = (
        "expires_at_s",
        "frames",
        "payload",
        "properties",
        "publisher",
        "qos",
        "retain",
        "size",
        "topic",
    )

    def __init__(  # noqa: PLR0913 -- that many fields travel; all but two have a default
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        publisher: str = "",
        expires_at_s: float | None = None,
        properties: Properties = PLAIN,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.publisher = publisher
        self.expires_at_s = expires_at_s
        self.properties = properties
        self.frames: dict[int, Frame] = {}
        self.size = _OVERHEAD + len(payload) + len(topic)
        if properties is not PLAIN:
            self.size += sum(len(text or b"") for text in properties[1:4])
            self.size += sum(len(key) + len(value) for key, value in properties.user_properties)

    def __repr__(self) -> str:
        """Topic and length: payloads stay out of logs."""
        return f"Message({self.topic!r}, {len(self.payload)} bytes, qos={self.qos})"

    def expired(self, now_s: float) -> bool:
        """Whether its publisher wanted it forgotten by now."""
        return self.expires_at_s is not None and now_s >= self.expires_at_s


class Delivery(NamedTuple):
    """A message as one subscriber is owed it; `ids` are its matching subscription ids."""

    message: Message
    qos: int
    retain: bool
    ids: tuple[int, ...] = ()


class Frame(NamedTuple):
    """An encoded PUBLISH around its packet id; at QoS 0 `head` is all."""

    head: bytes
    tail: bytes
