"""What a gateway is told of a fleet whose devices are in several processes; pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]


def merged(parts: Sequence[Mapping[str, Settings]]) -> dict[str, dict[str, Any]]:
    """A cell's settings for each vendor, of all shards that have devices of it.

    What is listed adds up; what is said once is the same in every shard.

    Args:
        parts: by shard, by vendor.
    """
    whole: dict[str, dict[str, Any]] = {}
    for part in parts:
        for vendor, settings in part.items():
            whole[vendor] = _together(whole.get(vendor, {}), settings)
    return whole


def _together(one: Settings, other: Settings) -> dict[str, Any]:
    found = dict(one)
    for key, value in other.items():
        before = found.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found[key] = _together(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            found[key] = [*before, *(each for each in value if each not in before)]
        else:
            found.setdefault(key, value)
    return found
