"""Shelly's digest authentication: one formula, in an RPC frame and in an HTTP header; pure.

    HA1 = SHA256(admin:realm:password)        HA2 = SHA256(dummy_method:dummy_uri) in a frame,
    response = SHA256(HA1:nonce:nc:cnonce:auth:HA2)      SHA256(method:uri) in a header

MQTT and `Shelly.GetDeviceInfo` need none. The challenge comes as error 401, whose message is JSON
by itself, or as `WWW-Authenticate`. Firmware 2.0 adds `stale`: the nonce is used up, the
password is not wrong.
Source: shelly-api-docs.shelly.cloud/gen2 General/Authentication; RFC 7616; a challenge as
captured by aioshelly (ea7a88f, shellyplus2pm/Cover.Close_auth_failure).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

USER: Final = "admin"
_ALGORITHM: Final = "SHA-256"
_FRAME_HA2_OF: Final = "dummy_method:dummy_uri"
_PAIR: Final = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def digest(text: str) -> str:
    """SHA-256 in hex."""
    return sha256(text.encode()).hexdigest()


def response_to(ha1: str, nonce: str, nc: str, cnonce: str, ha2_of: str) -> str:
    """The proof that the password behind `ha1` is known."""
    return digest(f"{ha1}:{nonce}:{nc}:{cnonce}:auth:{digest(ha2_of)}")


@dataclass(slots=True)
class Challenge:
    """What a device asks to be proven; `nc` counts the proofs given to one nonce."""

    realm: str
    nonce: int | str
    nc: int = 1
    stale: bool = False

    def frame(self, password: str, cnonce: str) -> Mapping[str, object]:
        """The `auth` object of the next RPC frame."""
        nc, self.nc = self.nc, self.nc + 1
        ha1 = digest(f"{USER}:{self.realm}:{password}")
        return {
            "realm": self.realm,
            "username": USER,
            "nonce": self.nonce,
            "nc": nc,
            "cnonce": cnonce,
            "response": response_to(ha1, str(self.nonce), str(nc), cnonce, _FRAME_HA2_OF),
            "algorithm": _ALGORITHM,
        }

    def header(self, password: str, cnonce: str, method: str, uri: str) -> str:
        """The `Authorization` header of the next request; its count has eight hex digits."""
        nc, self.nc = f"{self.nc:08x}", self.nc + 1
        ha1 = digest(f"{USER}:{self.realm}:{password}")
        response = response_to(ha1, str(self.nonce), nc, cnonce, f"{method}:{uri}")
        return (
            f'Digest username="{USER}", realm="{self.realm}", nonce="{self.nonce}", uri="{uri}", '
            f'algorithm={_ALGORITHM}, qop=auth, nc={nc}, cnonce="{cnonce}", response="{response}"'
        )


def in_frame(error: object) -> Challenge | None:
    """The challenge in an RPC error; None if it is none that we can meet."""
    if not isinstance(error, Mapping) or error.get("code") != 401:  # noqa: PLR2004 -- HTTP's
        return None
    try:
        said = orjson.loads(str(error.get("message")))
    except orjson.JSONDecodeError:
        return None
    return _challenge(said) if isinstance(said, dict) else None


def in_header(text: str | None) -> Challenge | None:
    """The challenge in a `WWW-Authenticate` header; None if it is none that we can meet."""
    if text is None or not text.lower().startswith("digest "):
        return None
    return _challenge(pairs(text))


def pairs(text: str) -> Mapping[str, str]:
    """The parameters of a digest header."""
    return {name: quoted or bare for name, quoted, bare in _PAIR.findall(text)}


def _challenge(said: Mapping[str, Any]) -> Challenge | None:
    realm, nonce = said.get("realm"), said.get("nonce")
    if said.get("algorithm") != _ALGORITHM or not isinstance(realm, str):
        return None
    if not isinstance(nonce, int | str) or '"' in realm:
        return None
    try:
        nc = int(said.get("nc", 1))  # a Wall Display says it as a text
    except (TypeError, ValueError):
        return None
    return Challenge(realm, nonce, nc, said.get("stale") in (True, "true"))
