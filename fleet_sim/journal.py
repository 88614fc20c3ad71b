"""What happened to every device of a run: JSON lines, the same for the same commit, scenario, seed.

    {"at": 1767571203481, "device": "ratgdo/ratgdo-0007", "n": 4, "did": "come_home",
     "truths": [["main_state", "Moving", true]], "frames": 3, "hash": "9f1c…"}

`at` is in Unix ms, `n` counts a device's lines from 1, `did` is a deed of its people, `connected`,
`disconnected`, `wake` for a moment that it had planned, `hub` for what came by its hub, and
`received` for what came from the host side. `truths` are (key, value, whether it was sent out);
`frames` counts what it said of itself, to a broker or by webhook, and `hash` is of that: what goes
to whoever asked, or listens at a connection of its own, holds the numbers of that conversation. A
question that changes nothing, or shows only what nobody was told, is no line: questions come when
a gateway likes, and the journal is the fleet's.

Lines stand in order of (at, device, n), so that the journals of shards merge by time into the one
that a single process would have written.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

import orjson

from devices.errors import ConfigError
from vendors.sim import Effects, Publish, Webhook

#: An empty effect of these is no line: nobody did anything.
_BY_ITSELF: Final = frozenset({"wake", "hub", "received"})
_HASH_BYTES: Final = 8
_DIGEST_BYTES: Final = 16
_MODULUS: Final = 1 << 8 * _DIGEST_BYTES


class Digest(NamedTuple):
    """Of a set of lines: digests of parts add up to that of the whole, in any order."""

    total: int = 0
    lines: int = 0

    def __add__(self, other: object) -> "Digest":
        """Of both sets together."""
        if not isinstance(other, Digest):
            return NotImplemented
        return Digest((self.total + other.total) % _MODULUS, self.lines + other.lines)

    def __str__(self) -> str:
        """32 hex digits."""
        return f"{self.total:0{2 * _DIGEST_BYTES}x}"

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> Self:
        """Of whole lines, without their newline."""
        total = count = 0
        for line in lines:
            total += int.from_bytes(blake2b(line, digest_size=_DIGEST_BYTES).digest(), "big")
            count += 1
        return cls(total % _MODULUS, count)


class Journal:
    """Writes one process's lines.

    Args:
        file: takes the lines; None keeps only their digest.
    """

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file
        self._total = 0
        self._lines = 0
        #: Lines of the present millisecond, by (device, n).
        self._pending: list[tuple[str, int, bytes]] = []
        self._at_ms = 0

    def note(self, at_ms: int, device: str, n: int, did: str, effects: Effects) -> bool:
        """Write down that something happened; False if it was nothing.

        Args:
            at_ms: Unix ms; never less than before.
            device: `vendor/name`.
            n: the number that this line has among its device's, from 1.
            did: what it was; see the module.
            effects: what came of it.
        """
        said = [each for each in effects.messages if isinstance(each, Publish | Webhook)]
        if did in _BY_ITSELF and not (effects.truths or said):
            return False
        if did == "received" and not any(truth.sent for truth in effects.truths):
            return False
        if at_ms != self._at_ms:
            self._flush()
            self._at_ms = at_ms
        line: dict[str, object] = {"at": at_ms, "device": device, "n": n, "did": did}
        if effects.truths:
            line["truths"] = [[key, value, sent] for _, key, value, _, sent in effects.truths]
        if said:
            line["frames"] = len(said)
            line["hash"] = _hash(said)
        self._pending.append((device, n, orjson.dumps(line)))
        return True

    def _flush(self) -> None:
        if len(self._pending) > 1:
            self._pending.sort()
        for _, _, line in self._pending:
            found = blake2b(line, digest_size=_DIGEST_BYTES).digest()
            self._total += int.from_bytes(found, "big")
            if self._file is not None:
                self._file.write(line + b"\n")
        self._lines += len(self._pending)
        self._pending.clear()

    def close(self) -> Digest:
        """Write what is left; the digest of all."""
        self._flush()
        if self._file is not None:
            self._file.flush()
        return Digest(self._total % _MODULUS, self._lines)


def _hash(messages: Sequence[Publish | Webhook]) -> str:
    """Of what was said, not of to whom: addresses are the host's."""
    found = blake2b(digest_size=_HASH_BYTES)
    for message in messages:
        if isinstance(message, Publish):
            found.update(b"%b\0%d%d" % (message.topic.encode(), message.qos, message.retain))
            found.update(message.payload)
        else:
            found.update(message.body)
        found.update(b"\n")
    return found.hexdigest()


def merge(parts: Sequence[Path], whole: Path) -> Digest:
    """The journals of shards as one, in order of time.

    Raises:
        ConfigError: a file cannot be read or written, or a line is none of ours.
    """
    try:
        with ExitStack() as files:
            into = files.enter_context(whole.open("wb"))
            sources = [_keyed(files.enter_context(part.open("rb")), part) for part in parts]
            merged = (line for _, line in heapq.merge(*sources, key=lambda each: each[0]))
            return Digest.of(_written(merged, into.write))
    except OSError as error:
        raise ConfigError(
            (f"{error.filename}: {error.strerror}; give journals that can be read",)
        ) from error


def _keyed(file: BinaryIO, path: Path) -> Iterator[tuple[tuple[int, str, int], bytes]]:
    for number, line in enumerate(file, start=1):
        try:
            one = orjson.loads(line)
            key = (int(one["at"]), str(one["device"]), int(one["n"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError((f"{path}:{number}: no line of a journal; run it again",)) from error
        yield key, line.rstrip(b"\n")


def _written(lines: Iterable[bytes], write: Callable[[bytes], object]) -> Iterator[bytes]:
    for line in lines:
        write(line + b"\n")
        yield line
