"""The one place where chance is born: a stream per name, so that adding a device moves no other."""

from hashlib import blake2b
from random import Random


def stream(seed: int, name: str) -> Random:
    """The stream of this name under this seed; the same in every process and on every machine."""
    digest = blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return Random(int.from_bytes(digest, "big"))  # noqa: S311 -- simulation, not secrets
