"""Dead letters, looked at from outside, and the orders by which a running cell is asked to act.

Only the cell itself writes its store. Whoever wants a dead letter replayed or dropped leaves an
order file beside the store; the cell takes it within a moment, or when it is started next.
"""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from devices.errors import ConfigError
from gateway.store import DeadLetter, letters_in
from vendors.api import Frame

_ORDER: Final = "{cell}.order-"
_SUFFIX: Final = ".json"


class Order(NamedTuple):
    """Forget these dead letters, after taking them in again as frames if `replay`."""

    replay: bool
    ids: tuple[int, ...]


def listed(store: Path) -> list[tuple[int, DeadLetter]]:
    """All dead letters of a store, oldest first, whether its cell runs or not.

    Raises:
        ConfigError: there is no such store, or it cannot be read.
    """
    if not store.exists():
        raise ConfigError((f"{store}: no such store; has this cell ever run here?",))
    try:
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
            return list(letters_in(db))
    except sqlite3.Error as error:
        raise ConfigError((f"{store}: {error}",)) from error


def order(state_dir: Path, cell: str, *, replay: bool, ids: Sequence[int]) -> Path:
    """Leave an order; the file is gone once the cell has taken it."""
    name = f"{_ORDER.format(cell=cell)}{os.getpid()}-{min(ids)}{_SUFFIX}"
    path = state_dir / name
    draft = path.with_suffix(".draft")
    draft.write_bytes(orjson.dumps({"replay": replay, "ids": list(ids)}))
    draft.replace(path)
    return path


def taken(state_dir: Path, cell: str) -> list[Order]:
    """Take the orders that wait for this cell; a file that is no order is left where it is."""
    orders: list[Order] = []
    try:
        # Every cell looks four times a second: a pattern would cost three times as much.
        names = os.listdir(state_dir)  # noqa: PTH208 -- of most files the name is enough
    except OSError:  # no descriptor to spare: the next look may have one
        return orders
    ours = _ORDER.format(cell=cell)
    for name in sorted(names):
        if not (name.startswith(ours) and name.endswith(_SUFFIX)):
            continue
        path = state_dir / name
        with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
            body = orjson.loads(path.read_bytes())
            found = Order(bool(body["replay"]), tuple(int(id_) for id_ in body["ids"]))
            path.unlink()
            orders.append(found)
    return orders


def frame_of(letter: DeadLetter, now_ms: int) -> Frame:
    """The frame as it once came; a replayed one is old news, and says so like a retained one."""
    return Frame(letter.source, letter.payload, now_ms, retained=True)
