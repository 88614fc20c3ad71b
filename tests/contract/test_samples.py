"""Every sample of every vendor, replayed: recorded and documented facts, and what they mean.

A sample is `vendors/<vendor>/samples/<case>.json`:

    origin    where the facts are from
    about     what is to be seen in them
    settings  of the cell
    frames    [{"source", "text" or "hex", "retained"}]
    expect    for each frame a list of {"device", "axis", "value"[, "reason"]} or
              {"device", "happening"[, "vendor_key"][, "data"]}; or {"error": part of its text}
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from devices.errors import DecodeError
from devices.kinds import HAPPENINGS
from devices.reading import Reading
from vendors import registry
from vendors.api import Decode, Fact, Frame, Vendor

RECEIVED_AT_MS: Final = 1_767_225_600_000


def folder(vendor: str) -> Path:
    """Where a vendor lives: in the copy that is tested, or in a package of its own."""
    spec = find_spec(registry.vendor(vendor).simulator)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


SAMPLES: Final = [
    (name, path)
    for name in registry.names()
    for path in sorted((folder(name) / "samples").glob("*.json"))
]
FRAME_KEYS: Final = {"source", "text", "hex", "retained"}
FACT_KEYS: Final = (
    {"device", "axis", "value", "reason"},
    {"device", "happening", "vendor_key", "data"},
)


def shown(fact: Fact, wanted: dict[str, Any]) -> dict[str, Any]:
    """The fact in a sample's words; what the sample leaves open is left out."""
    if isinstance(fact, Reading):
        said = {
            "device": fact.device,
            "axis": fact.axis,
            "value": fact.value,
            "reason": fact.reason,
        }
    else:
        said = {
            "device": fact.device,
            "happening": fact.type,
            "vendor_key": fact.vendor_key,
            "data": dict(fact.data),
        }
    left_open = {"reason", "vendor_key", "data"} - wanted.keys()
    return {key: value for key, value in said.items() if key not in left_open}


def payload(frame: dict[str, Any]) -> bytes:
    return bytes.fromhex(frame["hex"]) if "hex" in frame else frame["text"].encode()


def read(decode: Decode, frame: dict[str, Any]) -> list[Fact] | str:
    """The facts of one frame, or the text of its refusal."""
    source, retained = frame["source"], frame.get("retained", False)
    try:
        return list(decode(Frame(source, payload(frame), RECEIVED_AT_MS, retained)))
    except DecodeError as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "path"), SAMPLES, ids=[f"{name}-{path.stem}" for name, path in SAMPLES]
)
def test_a_sample_means_what_it_says(name: str, path: Path) -> None:
    sample = json.loads(path.read_text())
    vendor = registry.vendor(name)
    decode = vendor.decoder(vendor.settings.model_validate(sample["settings"]))

    assert sample.keys() == {"origin", "about", "settings", "frames", "expect"}
    assert sample["origin"]
    assert sample["about"]
    assert sample["frames"]
    assert len(sample["frames"]) == len(sample["expect"]), "one expectation for each frame"
    for number, (frame, wanted) in enumerate(zip(sample["frames"], sample["expect"], strict=True)):
        where = f"{name}/{path.stem} frame {number} {frame['source'][:60]}"
        assert frame.keys() <= FRAME_KEYS, where
        assert ("text" in frame) != ("hex" in frame), f"{where}: text or hex"
        found = read(decode, frame)
        if isinstance(wanted, dict) or isinstance(found, str):
            assert isinstance(found, str), f"{where}: read as {found}"
            assert isinstance(wanted, dict), f"{where}: refused with {found!r}"
            assert wanted["error"] in found, where
            continue
        compare(found, wanted, vendor, where)


def compare(found: list[Fact], wanted: list[dict[str, Any]], vendor: Vendor, where: str) -> None:
    assert all(any(each.keys() <= keys for keys in FACT_KEYS) for each in wanted), where
    filled = [*wanted, *({} for _ in found[len(wanted) :])]
    said = [shown(fact, want) for fact, want in zip(found, filled, strict=False)]
    assert said == wanted, where
    for fact in found:
        if isinstance(fact, Reading):
            assert vendor.kind.axis(fact.axis) is not None, f"{where}: {fact.axis}"
            assert fact.value is not None or fact.reason, f"{where}: unknown without a reason"
        else:
            assert fact.type in HAPPENINGS, f"{where}: {fact.type}"


def test_each_vendor_has_samples_of_the_good_and_of_the_bad(vendor: str) -> None:
    expected = [
        each
        for name, path in SAMPLES
        if name == vendor
        for each in json.loads(path.read_text())["expect"]
    ]

    assert any(isinstance(each, list) and each for each in expected)
    assert any(isinstance(each, dict) for each in expected)
