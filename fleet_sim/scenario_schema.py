"""A scenario's JSON Schema, for editors: `make schemas` writes it.

It is made from the models, and from what the vendors' simulators say of themselves: which habits
their people have, what can go wrong with them, what options one of them may have.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from fleet_sim.act import able_to, own_faults
from fleet_sim.faults import FAULTS, Kind, Setting
from fleet_sim.scenario import Scenario
from fleet_sim.world.fields import A_VENDOR
from fleet_sim.world.population import habits, of_one
from fleet_sim.world.rhythm import RHYTHMS
from vendors import registry

Node = dict[str, Any]

_KINDS: Final[Mapping[type, str]] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
}


def schema(vendors: Iterable[str], model: type[Scenario] = Scenario) -> Node:
    """A scenario as JSON Schema 2020-12, or what is a scenario and more.

    Args:
        vendors: who may be in one.
        model: what it is.
    """
    names = sorted(vendors)
    document: Node = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:doorfleet:schema:{model.__name__.lower()}:1",
        **model.model_json_schema(),
    }
    parts: Node = document["$defs"]
    _list_vendors(document, names)
    named = document["properties"]
    named.pop("name")  # the file's
    counts = next(form for form in named["fleet"]["oneOf"] if form["type"] == "object")
    for mapping in (counts, named["options"], named["gateway"]):
        mapping["propertyNames"] = {"enum": names}
    named["gateway"]["properties"] = {name: _settings(name) for name in names}
    named["weather"]["anyOf"].append({"type": "number", "description": "Always so warm, in °C."})
    group = parts["Group"]["properties"]
    group["habits"]["anyOf"].append({"type": "string", "enum": list(RHYTHMS)})
    parts["Group"]["allOf"] = [_if("vendor", name, _of_group(name)) for name in names]
    parts["Act"]["allOf"] = [
        *(_if("vendor", name, {"fault": _faults(name)}) for name in names),
        *(_if("fault", name, {"settings": _told(FAULTS[name])}) for name in sorted(FAULTS)),
    ]
    return document


def _list_vendors(node: Any, names: list[str]) -> None:  # noqa: ANN401 -- any part of a schema
    """Where a vendor's name may stand, let an editor offer them."""
    if isinstance(node, dict):
        if node.get("format") == A_VENDOR:
            del node["format"]
            node["enum"] = names
        for each in node.values():
            _list_vendors(each, names)
    elif isinstance(node, list):
        for each in node:
            _list_vendors(each, names)


def _if(key: str, value: str, then: Node) -> Node:
    return {
        "if": {"properties": {key: {"const": value}}, "required": [key]},
        "then": {"properties": then},
    }


def _of_group(vendor: str) -> Node:
    rates = {"propertyNames": {"enum": sorted(habits(vendor))}}
    own = {"propertyNames": {"enum": sorted(of_one(vendor))}}
    return {
        "habits": {"properties": {"rates": rates}},
        "options": own if of_one(vendor) else {"maxProperties": 0},
    }


def _faults(vendor: str) -> Node:
    """Every fault that its devices may have, each with its line."""
    own = own_faults(vendor)
    lines = {
        **{name: kind.what for name, kind in FAULTS.items() if able_to(vendor, name)},
        **own,
        **{f"fault:{name}": what for name, what in own.items()},
    }
    return {"enum": list(lines), "enumDescriptions": list(lines.values())}


def _told(kind: Kind) -> Node:
    takes = {name: _setting(setting) for name, setting in kind.settings.items()}
    if not takes:
        return {"maxProperties": 0}
    return {"properties": takes, "propertyNames": {"enum": list(takes)}}


def _setting(setting: Setting) -> Node:
    unit = f" ({setting.unit})" if setting.unit else ""
    node: Node = {
        "type": _KINDS[setting.type],
        "default": setting.default,
        "description": f"{setting.about}{unit}",
    }
    if setting.type in (int, float):
        low = {"exclusiveMinimum": 0} if setting.least is None else {"minimum": setting.least}
        node |= low | ({"maximum": 1} if setting.unit == "share" else {})
    return node


def _settings(vendor: str) -> Node:
    """What a cell can be told, by its names; the gateway's own schema knows all of it."""
    own = registry.vendor(vendor).settings.model_json_schema()["properties"]
    known = {
        name: {"description": about["description"]} if "description" in about else {}
        for name, about in own.items()
    }
    return {"type": "object", "properties": known, "additionalProperties": False}


def text(vendors: Iterable[str] = registry.OURS) -> bytes:
    """The file's bytes."""
    return bytes_of(schema(vendors))


def bytes_of(document: Node) -> bytes:
    """A schema as a file."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(text())
