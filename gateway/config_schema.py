"""The configuration file's JSON Schema, for editors: `make schemas` writes it."""

import sys
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.config import GatewayConfig
from vendors import registry

_VENDOR: Final = "vendor"


def schema() -> dict[str, Any]:
    """GatewayConfig as JSON Schema 2020-12, with each of our own vendors' settings in place."""
    document = GatewayConfig.model_json_schema()
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:doorfleet:schema:gateway-config:1",
        **document,
    }
    definitions = document["$defs"]
    choices = []
    for name in sorted(registry.OURS):
        settings = registry.vendor(name).settings.model_json_schema(
            ref_template=f"#/$defs/{name}/$defs/{{model}}"
        )
        definitions[name] = settings
        choices.append(
            {
                "if": {"properties": {_VENDOR: {"const": name}}},
                "then": {"properties": {"settings": {"$ref": f"#/$defs/{name}"}}},
            }
        )
    definitions["CellConfig"]["allOf"] = choices
    return document


def text() -> bytes:
    """The file's bytes."""
    return orjson.dumps(schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(text())
