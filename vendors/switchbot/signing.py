"""The signature of a request: HMAC-SHA256 over token, time and nonce, in base64; pure.

Source: OpenWonderLabs/SwitchBotAPI README.md 0214825b, "How to Sign?". Its prose wants the
signature in upper case, which would spoil base64; its own samples leave it as it is, and so do
switchbot-api 2.13.1 and we.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from uuid import UUID


def signed(token: str, secret: str, now_ms: int, chance: int) -> Mapping[str, str]:
    """The headers of one attempt; `chance` is 128 bits that were never used before."""
    nonce = str(UUID(int=chance, version=4))
    said = f"{token}{now_ms}{nonce}".encode()
    sign = b64encode(hmac.digest(secret.encode(), said, "sha256")).decode()
    return {
        "Authorization": token,
        "Content-Type": "application/json; charset=utf8",
        "t": str(now_ms),
        "nonce": nonce,
        "sign": sign,
    }
