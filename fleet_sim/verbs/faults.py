"""`doorfleet-sim faults`."""

import argparse
import json
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from fleet_sim.verbs import common

if TYPE_CHECKING:
    from fleet_sim.faults import Kind, Setting

HELP: Final = "list the ways to fail, or explain one"
_NAME: Final = 22
_WIDTH: Final = 100


def arguments(sub: argparse.ArgumentParser) -> None:
    """Which, and for whom."""
    sub.add_argument(
        "name", nargs="?", metavar="NAME", help="one of them: all that there is to say"
    )
    sub.add_argument(
        "--vendor", metavar="V", help="the faults that this vendor's devices have alone"
    )
    sub.add_argument("--json", action="store_true", help="JSON for machines: a list")


def act(options: argparse.Namespace) -> int:
    """List or explain them; the exit code."""
    found = list(_entries(options.name, options.vendor))
    if options.json:
        print(json.dumps(found, indent=2))
    elif options.name:
        for entry in found:
            print("\n".join(_page(entry)))
    else:
        print("\n".join(_list(found)))
    return common.OK


def _entries(name: str | None, vendor: str | None) -> Iterator[dict[str, Any]]:
    """The catalogue's kinds, and the faults that one vendor's devices have alone.

    Raises:
        ConfigError: there is none of this name, or no such vendor.
    """
    from devices.errors import ConfigError
    from fleet_sim.act import own_faults
    from fleet_sim.faults import FAULTS
    from vendors import registry

    vendors = registry.names() if vendor is None else (registry.vendor(vendor).name,)
    entries = [] if vendor else [_of_kind(each, kind) for each, kind in FAULTS.items()]
    entries += [
        {"name": own, "family": "vendor", "vendor": each, "what": line}
        for each in vendors
        for own, line in own_faults(each).items()
    ]
    if name is not None:
        near = get_close_matches(name, [entry["name"] for entry in entries], n=1, cutoff=0.0)
        if near != [name]:
            remedy = f"did you mean {near[0]}? `doorfleet-sim faults` lists them all"
            raise ConfigError((f"unknown fault {name!r}; {remedy}",))
    yield from (entry for entry in entries if name in (None, entry["name"]))


def _of_kind(name: str, kind: "Kind") -> dict[str, Any]:
    return {
        "name": name,
        "family": kind.family.value,
        "strikes": kind.strikes.value,
        "what": kind.what,
        "seen": kind.seen,
        "source": kind.source,
        "times": list(kind.times),
        "settings": {each: _setting(takes) for each, takes in kind.settings.items()},
    }


def _setting(takes: "Setting") -> dict[str, Any]:
    return {
        "type": takes.type.__name__,
        "default": takes.default,
        "unit": takes.unit,
        "about": takes.about,
        "times": list(takes.times),
    }


def _list(entries: list[dict[str, Any]]) -> Iterator[str]:
    """One line each, by family; a vendor's own under the vendor's name."""
    before = ""
    for entry in entries:
        family = entry.get("vendor") or entry["family"]
        if family != before:
            yield f"{'' if not before else chr(10)}{family}"
            before = family
        yield f"  {entry['name']:<{_NAME}} {entry['what']}"


def _page(entry: dict[str, Any]) -> Iterator[str]:
    """All that there is to say of one."""
    yield f"{entry['name']} ({entry.get('vendor') or entry['family']}): {entry['what']}"
    if "strikes" not in entry:
        yield f"  act:     {{at: 10m, for: 5m, vendor: {entry['vendor']}, fault: {entry['name']}}}"
        yield ""
        return
    yield from _wrapped("seen", entry["seen"])
    yield from _wrapped("source", entry["source"])
    yield f"  strikes: {entry['strikes']}; in {' and '.join(entry['times'])} time"
    yield "  settings:"
    for name, takes in entry["settings"].items():
        unit = f" {takes['unit']}" if takes["unit"] else ""
        only = "" if takes["times"] == entry["times"] else f"; {takes['times'][0]} time only"
        yield f"    {name:<18} {takes['about']} ({takes['type']}, {takes['default']}{unit}{only})"
    vendor = "" if entry["strikes"] == "gateway" else "vendor: nuki, "
    yield f"  act:     {{at: 10m, for: 5m, {vendor}fault: {entry['name']}}}"
    yield ""


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(f"  {head + ':':<8} {text}", _WIDTH, subsequent_indent=" " * 11)
