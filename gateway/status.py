"""What the gateway tells about itself in `<state_dir>/status.json`, once a second."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from devices.errors import ConfigError

_FILE: Final = "status.json"
_STALE_S: Final = 10.0


def write(state_dir: Path, site: str, cells: Mapping[str, Mapping[str, object]]) -> None:
    """Replace the file in one step, so that nobody reads half of it; a full disk is not our end."""
    body = {
        "site": site,
        "pid": os.getpid(),
        "at_ms": time.time_ns() // 1_000_000,
        "cells": cells,
    }
    draft = state_dir / f"{_FILE}.draft"
    try:
        draft.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))
        draft.replace(state_dir / _FILE)
    except OSError:
        draft.unlink(missing_ok=True)


def read(state_dir: Path) -> dict[str, object]:
    """The status, with `running` added.

    Raises:
        ConfigError: there is none; the message says where it was looked for.
    """
    path = state_dir / _FILE
    try:
        body: dict[str, object] = orjson.loads(path.read_bytes())
        at_ms = body["at_ms"]
        if not isinstance(body["cells"], dict):
            raise TypeError("`cells` holds no cells")  # noqa: TRY301 -- somebody else's file
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ConfigError((f"{path}: no status ({error}); is the gateway running?",)) from error
    age_s = time.time() - (at_ms / 1000 if isinstance(at_ms, int) else 0)
    return {**body, "running": age_s < _STALE_S, "age_s": round(age_s, 1)}
