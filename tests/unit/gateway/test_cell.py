"""What a cell is before it runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devices.errors import ConfigError
from gateway.app import make_cell, parse
from vendors import registry


async def test_a_cell_that_cannot_be_put_together_leaves_its_store_to_the_next_try(
    tmp_path: Path,
) -> None:
    """With `isolation: task` the next try is in the same process, which owned the lock for good."""
    config = parse(
        {
            "site": "home",
            "state_dir": str(tmp_path),
            "bus": [{"kind": "jsonl", "path": str(tmp_path / "events")}],
            "cells": [{"vendor": "nuki", "settings": {"url": "mqtt://127.0.0.1"}}],
        }
    )

    def refuse(settings: Any, port: Any) -> Any:
        raise ConfigError(("no such certificate",))

    vendor = replace(registry.vendor("nuki"), connect=refuse)

    for _ in range(2):
        with pytest.raises(ConfigError, match="no such certificate"):
            await make_cell(config, config.cells[0], vendor=vendor).run()
