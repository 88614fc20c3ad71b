"""A scrubbed frame is read as the original one, but for the names in it; and nobody is left in it.

Every sample of every vendor, and every recording if `DOORFLEET_RECORDINGS` names a folder of them.
"""

import json
import os
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

import pytest

from devices.errors import DecodeError
from devices.reading import Reading
from fleet_sim.recording import meaning
from fleet_sim.recording.scrub import Scrubber
from vendors import registry
from vendors.api import Decode, Fact, Frame

KEY: Final = b"a key that tests may know, and nobody else has"
NOW_MS: Final = 1_767_225_600_000
#: An original this short turns up by chance within what replaced another one.
SHORT: Final = 5


def neighbour(name: str) -> Any:
    """Another module of this folder, which is no package."""
    spec = spec_from_file_location(f"_{name}_of_scrub", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAMPLES: Final = neighbour("test_samples").SAMPLES
RECORDINGS: Final = neighbour("test_recordings")
FOLDER: Final = os.environ.get("DOORFLEET_RECORDINGS", "")
FILES: Final = sorted(Path(FOLDER or "-").glob("*/*.jsonl"))


#: What must not be compared, and why.
EXCEPT: Final = {
    ("nuki_bridge", "contradictory"): "a lock with the number 1, which is nobody's serial",
}


class Watched:
    """A scrubber, and everything that it replaced."""

    def __init__(self) -> None:
        self.replaced: dict[str, str] = {}
        self.scrubber = Scrubber(KEY, told=self.note)
        #: Of what is compared, and never written anywhere.
        self.silent = Scrubber(KEY)

    def note(self, was: str, now: str) -> None:
        assert self.replaced.setdefault(was, now) == now, f"{was} has two stand-ins"

    def left_in(self, text: str) -> list[str]:
        """The originals that are still there, as runs of letters and digits of their own."""
        runs = set(re.findall(r"[^\W_]+", text))
        return [
            was
            for was in self.replaced
            if len(was) >= SHORT and (was in runs if was.isalnum() else was in text)
        ]


def without_makes(said: Any) -> Any:
    """All but models and versions, whose words may be somebody's name elsewhere."""
    if isinstance(said, dict):
        return {
            key: without_makes(value)
            for key, value in said.items()
            if meaning.of(key) is not meaning.Meaning.MAKE
        }
    return [without_makes(each) for each in said] if isinstance(said, list) else said


def settings_of(vendor: str, settings: dict[str, Any], scrubber: Scrubber | None) -> Decode:
    """A decoder of these settings, scrubbed or not. A signature holds for the original only."""
    found = registry.vendor(vendor)
    given = {key: value for key, value in settings.items() if key != "account_key"}
    if scrubber is not None:
        given |= {
            key: json.loads(scrubber.text(json.dumps(value)))
            for key, value in given.items()
            if key != "timezone"
        }
    return found.decoder(found.settings.model_validate(given))


def told(decode: Decode, frame: Frame) -> list[Fact] | None:
    try:
        return list(decode(frame))
    except DecodeError:
        return None


def same(was: Any, now: Any, scrubber: Scrubber) -> bool:
    """Whether this is what it was, or its stand-in."""
    if was == now:
        return True
    if isinstance(was, str) and isinstance(now, str):
        return now in {scrubber.text(was), scrubber.topic(was)} or (
            was.partition(":")[0] == now.partition(":")[0] == "unmapped"
        )
    return type(was) is int and now == scrubber.number(was)


def assert_read_alike(
    was: list[Fact] | None, now: list[Fact] | None, scrubber: Scrubber, where: str
) -> int:
    assert (was is None) == (now is None), f"{where}: {was} is {now}"
    if was is None or now is None:
        return 0
    assert len(was) == len(now), f"{where}: {was} is {now}"
    for one, other in zip(was, now, strict=True):
        assert type(one) is type(other), where
        assert same(one.device, other.device, scrubber), f"{where}: {one} is {other}"
        if isinstance(one, Reading) and isinstance(other, Reading):
            assert one[1:5] == other[1:5], f"{where}: {one} is {other}"
            assert same(one.reason, other.reason, scrubber), f"{where}: {one} is {other}"
        else:
            assert (one.type, one.observed_at_ms) == (other.type, other.observed_at_ms), where
            assert one.data.keys() == other.data.keys(), where
            for key, value in one.data.items():
                assert same(value, other.data[key], scrubber), f"{where}: {one} is {other}"
    return len(was)


@pytest.mark.parametrize(
    ("name", "path"), SAMPLES, ids=[f"{name}-{path.stem}" for name, path in SAMPLES]
)
def test_a_scrubbed_sample_is_read_as_the_sample(name: str, path: Path) -> None:
    if why := EXCEPT.get((name, path.stem)):
        pytest.skip(why)
    sample = json.loads(path.read_text())
    watched = Watched()
    before = settings_of(name, sample["settings"], None)
    after = settings_of(name, sample["settings"], watched.silent)
    out = ""

    for number, frame in enumerate(sample["frames"]):
        source, retained = frame["source"], frame.get("retained", False)
        data = bytes.fromhex(frame["hex"]) if "hex" in frame else frame["text"].encode()
        topic, payload = watched.scrubber.topic(source), watched.scrubber.payload(data, source)
        out += f"{topic} {payload.decode('utf-8', 'replace')} {payload.hex()}\n"
        assert_read_alike(
            told(before, Frame(source, data, NOW_MS, retained)),
            told(after, Frame(topic, payload, NOW_MS, retained)),
            watched.silent,
            f"{name}/{path.stem} frame {number}",
        )

    assert watched.left_in(out) == []


#: Shapes of what names somebody, whatever the scrubber thinks of it.
IDENTIFIERS: Final = re.compile(
    r"""(?<![^\W_])(?:
      (?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}
    | [0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}
    | (?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{10,64}
    | (?:192\.168|10\.\d+|172\.16)\.\d+\.\d+
    | [\w.+-]+@[\w-]+\.[a-z]+
    )(?![^\W_])""",
    re.VERBOSE,
)


@pytest.mark.skipif(not FOLDER, reason="DOORFLEET_RECORDINGS names no folder of recordings")
def test_nothing_that_looks_like_an_identifier_is_in_any_scrubbed_recording() -> None:
    scrubber = Scrubber(KEY)
    left, looked_at = set(), set()
    for path in FILES:
        for text in path.read_text().splitlines():
            line = json.loads(text)
            before = set(IDENTIFIERS.findall(text))
            after = json.dumps(without_makes(scrubber.record(line)))
            looked_at |= before
            left |= {each for each in before if each in after}

    assert len(looked_at) > 100
    assert {each for each in left if each.strip("0:-")} == set()


@pytest.mark.skipif(not FOLDER, reason="DOORFLEET_RECORDINGS names no folder of recordings")
@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
def test_a_scrubbed_recording_is_read_as_the_recording(path: Path) -> None:
    vendor = RECORDINGS.vendor_of(path)
    known = vendor in RECORDINGS.VENDORS
    watched = Watched()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    out = [watched.scrubber.record(line) for line in lines]

    text = json.dumps(without_makes(out), ensure_ascii=False)
    assert watched.left_in(text) == []
    assert [line["at_ms"] for line in out] == [line["at_ms"] for line in lines]
    if not known:
        return
    before = RECORDINGS.decoder_of(vendor, path.stem)
    prefix = RECORDINGS.SETTINGS.get((vendor, path.stem), {}).get("prefix")
    after = before
    if prefix is not None:
        settings = {"url": "mqtt://broker.example", "prefix": prefix}
        after = settings_of(vendor, settings, watched.silent)
    for number, (was, now) in enumerate(zip(lines, out, strict=True), 1):
        if was["direction"] != "device->host":
            continue
        noted = {**now, "note": was.get("note", "")}  # which says how a frame is made of it
        for one, other in zip(
            RECORDINGS.frames_of(vendor, was), RECORDINGS.frames_of(vendor, noted), strict=True
        ):
            assert_read_alike(
                told(before, one), told(after, other), watched.silent, f"{path.name}:{number}"
            )
