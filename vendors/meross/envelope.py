"""The signed envelope, the same in both directions and on both transports; pure.

Shape: JSON {"header": {messageId, namespace, method, from, timestamp (s), sign, ...}, "payload"}.
Source: arandall/meross `doc/protocol.md`; envelopes in its `mdp/testdata` (755c45b); albertogeniola
MerossIot 0.4.10.4. `sign` is md5(messageId + key + timestamp) in lower-case hex: it covers neither
the payload nor the device, so a signed message can be replayed.
"""

import hmac
import re
from collections.abc import Mapping
from hashlib import md5
from typing import Any, Final, NamedTuple

import orjson

#: Where a device listens, where it speaks, and an app's own topic for answers.
REQUESTS: Final = "/appliance/{uuid}/subscribe"
SPEECH: Final = re.compile(r"/appliance/([0-9A-Za-z_]{1,64})/publish")
ANSWERS: Final = re.compile(r"/app/[0-9A-Za-z_-]{1,128}/subscribe")
# `System.All` of a msg200 with its rules of daylight saving is below 4 KiB.
_BYTES_MAX: Final = 65_536


class Envelope(NamedTuple):
    """A message that could be read; whether it is believed is `genuine`'s to say.

    `at_s` and `at_ms` are the sender's clock; None where the header has none. `payload` is JSON.
    """

    message_id: str
    namespace: str
    method: str
    origin: str
    at_s: int | None
    at_ms: int
    sign: str
    payload: Mapping[str, Any]

    @property
    def uuid(self) -> str | None:
        """The device that says it sent this; None if it is none."""
        found = SPEECH.fullmatch(self.origin)
        return found[1] if found else None

    @property
    def is_answer(self) -> bool:
        """Whether it answers a question, and repeats the question's messageId."""
        return self.method in {"GETACK", "SETACK", "ERROR"}


def signature(message_id: str, key: str, at_s: int) -> str:
    """What the header's `sign` must be."""
    return md5(f"{message_id}{key}{at_s}".encode(), usedforsecurity=False).hexdigest()


def genuine(envelope: Envelope, key: str) -> bool:
    """Whether who sent it knows the key."""
    if not envelope.message_id or envelope.at_s is None:
        return False
    wanted = signature(envelope.message_id, key, envelope.at_s)
    return hmac.compare_digest(wanted.encode(), envelope.sign.encode())


def write(  # noqa: PLR0913 -- by keyword: what a header is made of
    *,
    message_id: str,
    namespace: str,
    method: str,
    origin: str,
    key: str,
    now_ms: int,
    payload: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """A message, signed; `extra` goes into its header."""
    at_s, at_ms = divmod(now_ms, 1_000)
    header = {
        "messageId": message_id,
        "namespace": namespace,
        "method": method,
        "payloadVersion": 1,
        "from": origin,
        "timestamp": at_s,
        "timestampMs": at_ms,
        "sign": signature(message_id, key, at_s),
        **(extra or {}),
    }
    return orjson.dumps({"header": header, "payload": payload})


def read(message: bytes) -> Envelope:
    """The envelope of a message, whoever signed it.

    Raises:
        ValueError: it has none; says why, without its content.
    """
    if len(message) > _BYTES_MAX:
        raise ValueError(f"more than {_BYTES_MAX} bytes")
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON at byte {error.pos}: cut off?") from error
    header = document.get("header") if isinstance(document, dict) else None
    payload = document.get("payload") if isinstance(document, dict) else None
    if not isinstance(header, dict) or not isinstance(payload, dict):
        raise ValueError("no header and payload")  # noqa: TRY004 -- of the message, not of a call
    namespace, method = header.get("namespace"), header.get("method")
    if not isinstance(namespace, str) or not isinstance(method, str):
        raise ValueError("a header without namespace and method")  # noqa: TRY004 -- likewise
    return Envelope(
        _text(header.get("messageId")),
        namespace,
        method,
        _text(header.get("from")),
        _whole(header.get("timestamp")),
        _whole(header.get("timestampMs")) or 0,
        _text(header.get("sign")),
        payload,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
