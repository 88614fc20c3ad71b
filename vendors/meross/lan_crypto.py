"""What newer firmware wants around the envelope on the LAN; pure.

Shape: base64 of AES-256-CBC, zero padding; the IV is sixteen ASCII `0`, the key the 32 ASCII hex
digits of md5(uuid[3:22] + key[1:9] + mac + key[10:28]).
Source: krahabb/meross_lan v5.5.0 (`Appliance.Encrypt.ECDHE`).
"""

import base64
import binascii
from hashlib import md5
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

_BLOCK: Final = 16
_IV: Final = b"0" * _BLOCK


def lan_key(uuid: str, key: str, mac: str) -> bytes:
    """The device's own key; `mac` in lower case with colons."""
    text = f"{uuid[3:22]}{key[1:9]}{mac}{key[10:28]}"
    return md5(text.encode(), usedforsecurity=False).hexdigest().encode()


def encrypted(message: bytes, key: bytes) -> bytes:
    """The body that carries a message."""
    padded = message + bytes(-len(message) % _BLOCK)
    encryptor = Cipher(AES(key), CBC(_IV)).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize())


def decrypted(body: bytes, key: bytes) -> bytes:
    """The message in a body.

    Raises:
        ValueError: it is not base64, or of no whole number of blocks.
    """
    try:
        data = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if len(data) % _BLOCK:
        raise ValueError("no whole number of blocks: cut off?")
    decryptor = Cipher(AES(key), CBC(_IV)).decryptor()
    return (decryptor.update(data) + decryptor.finalize()).rstrip(b"\0")
