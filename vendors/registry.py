"""Every vendor this build speaks. A new one is a folder, and one line here.

Third parties add theirs without touching this tree: an entry point in the group
`doorfleet.vendors` whose value is a `Vendor`. A vendor is imported when it is asked for, so
that a gateway with one cell does not carry the others.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from devices.errors import ConfigError
from vendors.api import Vendor

OURS: Final[Mapping[str, str]] = {
    "meross": "vendors.meross",
    "nuki": "vendors.nuki",
    "nuki_bridge": "vendors.nuki.bridge",
    "opengarage": "vendors.opengarage",
    "ratgdo": "vendors.ratgdo",
    "shelly": "vendors.shelly",
    "switchbot": "vendors.switchbot",
    "tedee": "vendors.tedee",
    "uhppote": "vendors.uhppote",
    "zigbee2mqtt": "vendors.zigbee2mqtt",
    "zwave_js": "vendors.zwave_js",
}
GROUP: Final = "doorfleet.vendors"


@cache
def _theirs() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """All known vendors, ours and third parties', sorted."""
    return tuple(sorted({*OURS, *_theirs()}))


@cache
def vendor(name: str) -> Vendor:
    """The vendor of this name; ours win over a third party's of the same name.

    Raises:
        ConfigError: nobody speaks it; the message lists who is known and the nearest name.
    """
    if name in OURS:
        found = import_module(OURS[name]).VENDOR
    elif name in _theirs():
        found = _theirs()[name].load()
    else:
        near = get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError((f"unknown vendor {name!r}: {hint}known are {', '.join(names())}",))
    if not isinstance(found, Vendor):
        raise ConfigError((f"vendor {name!r}: the entry point is not a vendors.api.Vendor",))
    return found
