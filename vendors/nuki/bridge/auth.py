"""How a request proves that it knows the bridge's token: pure, since time and chance come in.

    plain      token                     in the clear, and good for ever
    hashed     ts, rnr, hash             hash: SHA-256 of `<ts>,<rnr>,<token>`, in hex
    encrypted  ctoken, nonce             secretbox of `<ts>,<rnr>` under SHA-256(token), in hex

A bridge takes each (ts, rnr) once, and only near its own clock.

Source: Bridge HTTP API 1.13, "Token and hashed token" with its test vector, and "Encrypted
token"; pynuki 1.6.3 `utils.py` does the same.
"""

from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from hmac import new as hmac
from typing import Final

from vendors.http import Pairs

NONCE_BYTES: Final = 24
#: `rnr` is a 16 bit number.
RNR_MAX: Final = 0xFFFF
_HEX_CHARS_MAX: Final = 512


class Auth(StrEnum):
    """The three ways."""

    PLAIN = "plain"
    HASHED = "hashed"
    ENCRYPTED = "encrypted"


def timestamp(at_ms: int) -> str:
    """`2019-03-05T01:06:53Z`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_ms(stamp: str) -> int | None:
    """Unix ms of a timestamp with its zone; None for anything else."""
    try:
        at = datetime.fromisoformat(stamp)
        return None if at.tzinfo is None else round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def plain(token: str) -> Pairs:
    """The token itself."""
    return (("token", token),)


def hashed(token: str, ts: str, rnr: int) -> Pairs:
    """Proof for one request."""
    return (("ts", ts), ("rnr", str(rnr)), ("hash", digest(token, ts, str(rnr))))


def digest(token: str, ts: str, rnr: str) -> str:
    """The hash of a hashed token."""
    return sha256(f"{ts},{rnr},{token}".encode()).hexdigest()


def encrypted(token: str, ts: str, rnr: int, nonce: bytes) -> Pairs:
    """Proof for one request; a nonce must never be used twice under one token."""
    from nacl.secret import SecretBox  # noqa: PLC0415 -- libsodium, for those who use it

    box = SecretBox(sha256(token.encode()).digest())
    sealed = box.encrypt(f"{ts},{rnr}".encode(), nonce).ciphertext
    return (("ctoken", sealed.hex()), ("nonce", nonce.hex()))


def opened(token: str, ctoken: str, nonce: str) -> tuple[str, str] | None:
    """(ts, rnr) of an encrypted token; None if it was not made with this token."""
    from nacl.exceptions import CryptoError  # noqa: PLC0415 -- as above
    from nacl.secret import SecretBox  # noqa: PLC0415 -- as above

    if len(ctoken) > _HEX_CHARS_MAX:
        return None
    try:
        sealed, once = bytes.fromhex(ctoken), bytes.fromhex(nonce)
        if len(once) != NONCE_BYTES:
            return None
        said = SecretBox(sha256(token.encode()).digest()).decrypt(sealed, once)
        ts, _, rnr = said.decode("ascii").partition(",")
    except (ValueError, CryptoError):
        return None
    return ts, rnr


def callback_key(token: str, whose: str) -> str:
    """What makes a callback's address known to the bridge alone, and the same at each start."""
    return hmac(token.encode(), f"doorfleet callback {whose}".encode(), sha256).hexdigest()[:32]
