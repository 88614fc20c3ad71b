"""`doorfleet-sim record`."""

import argparse
import asyncio
import contextlib
import os
import re
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, identity

if TYPE_CHECKING:
    from datetime import tzinfo

    from fleet_sim.recording.capture import Figures, Tape, Wish
    from fleet_sim.recording.scrub import Scrubber

HELP: Final = "record live traffic of a broker, with every name in it replaced"

_EXAMPLES: Final = """\
examples:
  doorfleet-sim record --northbound --for 10m morning.jsonl --scenario morning.yaml
  doorfleet-sim record --vendor nuki --broker mqtts://broker.example --ca-file ca.pem locks.jsonl
  doorfleet-sim record --topic 'zigbee2mqtt/#' --topic 'zwave/#' --count 500 radios.jsonl
  doorfleet-sim record --from theirs.jsonl scrubbed.jsonl

Ctrl-C ends it, and all that was said before is in the file. Names, serials, addresses, codes and
everything else that no codec knows are replaced, the same by the same; --keep FILE lists words
that may stay. The stand-ins of two recordings agree if they are made with one --scrub-key.
"""
#: What must be typed for a recording with names in it.
WITH_NAMES: Final = "with-names"
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_SIZES: Final = re.compile(r"(\d+)([kMG]?)B?")
_BYTES: Final = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_TELL_S: Final = 1.0
_KEY_MIN: Final = 16
_KEYS_SHOWN: Final = 12


def arguments(sub: argparse.ArgumentParser) -> None:
    """What to record, when it is enough, and how it is scrubbed."""
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    sub.epilog = _EXAMPLES
    sub.add_argument("out", type=Path, metavar="OUT.jsonl", help="the recording, JSON lines")
    what = sub.add_argument_group("what")
    what.add_argument("--northbound", action="store_true", help="what our gateway says and hears")
    what.add_argument("--vendor", action="append", default=[], metavar="NAME", help="its devices")
    what.add_argument("--topic", action="append", default=[], metavar="FILTER", help="and these")
    what.add_argument("--from", dest="source", type=Path, metavar="FILE", help="scrub a recording")
    enough = sub.add_argument_group("when it is enough")
    enough.add_argument("--for", dest="for_s", type=_duration, metavar="TIME", help="90s, 10m, 1h")
    enough.add_argument("--count", type=int, metavar="N", help="frames")
    enough.add_argument("--max-bytes", type=_size, default=1 << 30, metavar="N", help="(1G)")
    broker = sub.add_argument_group("broker")
    broker.add_argument("--broker", default="mqtt://127.0.0.1:1883", help="mqtt[s]://host:port")
    broker.add_argument("--mqtt", choices=("5", "3.1.1"), default="5", help="version (5)")
    identity.arguments(broker)
    names = sub.add_argument_group("names")
    names.add_argument(
        "--scrub-key", type=Path, metavar="FILE", help="secret that stand-ins depend on"
    )
    names.add_argument("--keep", type=Path, metavar="FILE", help="words that may stay, one a line")
    names.add_argument(
        "--no-scrub", metavar="WORD", help=f"leave every name in it; the word is {WITH_NAMES}"
    )
    after = sub.add_argument_group("what is made of it")
    after.add_argument("--scenario", type=Path, metavar="OUT.yaml", help="as busy as this was")
    after.add_argument("--timezone", metavar="NAME", help="of the devices (this machine's)")
    sub.add_argument("--force", action="store_true", help="write over files that are there")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")


def act(options: argparse.Namespace) -> int:
    """Record it; the exit code."""
    from fleet_sim.recording import capture
    from fleet_sim.recording.scrub import Scrubber

    if problems := _problems(options):
        raise ConfigError(tuple(problems))
    wish, zone = _wish(options), _zone(options.timezone)
    key, keep = _key(options.scrub_key), _kept(options.keep)
    scrubber = None if options.no_scrub else Scrubber(key, keep)
    if scrubber is None:
        _say("warning: names, serials and codes stay in this recording; show it to nobody")
    tape = capture.Tape(options.out, scrubber, wish)
    began_ms = time.time() * 1000
    figures = _scrub_file(options.source, tape, scrubber) if options.source else _live(wish, tape)
    report = _report(options, figures, scrubber, time.time() * 1000 - began_ms)
    if options.scenario is not None:
        live_ms = None if options.source else (began_ms, time.time() * 1000)
        report["scenario"] = _scenario(options, zone, live_ms)
    if not common.write(report, options.json):
        for name, value in report.items():
            print(f"{name:<13} {value}")
    return common.OK


def _problems(options: argparse.Namespace) -> list[str]:
    """Every mistake that can be told before anything starts."""
    problems = common.unwritable(
        ("OUT", options.out), ("--scenario", options.scenario), ("--json", options.json)
    )
    problems += _unreachable(options)
    wished = options.northbound or options.vendor or options.topic
    if bool(options.source) == bool(wished):
        problems.append("give --northbound, --vendor or --topic; or --from alone, for a file")
    if not options.force:
        problems += [
            f"{path}: it is there already; give another name, or --force"
            for path in (options.out, *_of_scenario(options.scenario))
            if path.exists()
        ]
    if options.source is not None and options.source.resolve() == options.out.resolve():
        problems.append(f"--from {options.source}: is OUT, too; give another OUT")
    if options.no_scrub not in (None, WITH_NAMES):
        problems.append(
            f"--no-scrub {options.no_scrub}: names stay in such a file; if that is what you want,"
            f" write --no-scrub {WITH_NAMES}"
        )
    if options.count is not None and options.count < 1:
        problems.append(f"--count {options.count}: give at least 1")
    return problems


def _unreachable(options: argparse.Namespace) -> list[str]:
    """What we may not read or write: OUT is opened late, so that a failure leaves it as it was."""
    problems = []
    for flag, path in (("OUT", options.out), ("--scenario", options.scenario)):
        if path is None or not path.parent.is_dir():
            continue
        if path.is_dir():
            problems.append(f"{flag} {path}: Is a directory; give a file")
        elif not os.access(path if path.exists() else path.parent, os.W_OK):
            problems.append(f"{flag} {path}: Permission denied; give a file that we may write")
    source = options.source
    # Opened only where that fails: to open a pipe and leave it would end who writes to it.
    if source is not None and (source.is_dir() or not os.access(source, os.R_OK)):
        try:
            source.open("rb").close()
        except OSError as error:
            problems.append(f"--from {source}: {error.strerror}; give a file of JSON lines")
    return problems


def _of_scenario(path: Path | None) -> list[Path]:
    """All files that may be written for it; whose rhythms are of a week, only the end tells."""
    if path is None:
        return []
    from fleet_sim.recording import rhythm
    from vendors import registry

    return [path, *(path.with_name(rhythm.csv_of(path.stem, name)) for name in registry.names())]


def _wish(options: argparse.Namespace) -> "Wish":
    from fleet_sim.recording import topics
    from fleet_sim.recording.capture import Wish

    filters = [*(topics.NORTHBOUND if options.northbound else ()), *options.topic]
    for name in options.vendor:
        filters += topics.of_vendor(name).all
    for each in filters:
        if problem := topics.problem(each):
            raise ConfigError((f"--topic {each!r}: {problem}",))
    return Wish(
        identity.settings(options),
        tuple(dict.fromkeys(filters)),
        options.mqtt,
        options.for_s,
        options.count,
        options.max_bytes,
    )


def _live(wish: "Wish", tape: "Tape") -> "Figures":
    from fleet_sim.recording import capture

    async def recording() -> "Figures":
        enough = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, enough.set)
        up = f"recording {', '.join(wish.filters)} of {wish.at.where}; Ctrl-C ends it"
        return await capture.record(wish, tape, enough, _Teller(up))

    return asyncio.run(recording())


def _scrub_file(source: Path, tape: "Tape", scrubber: "Scrubber | None") -> "Figures":
    from fleet_sim.recording import lines

    with contextlib.closing(tape):
        for record in lines.stream(source):
            if not tape.copy(scrubber.record(record) if scrubber is not None else record):
                break
        tape.finish()
    tape.figures.ended = tape.figures.ended or f"all of {source.name}"
    return tape.figures


class _Teller:
    """Says on stderr that it has begun, and where people look, once in a while, how far it is."""

    def __init__(self, up: str) -> None:
        self._up = up
        self._next_s = time.monotonic() + _TELL_S

    def __call__(self, figures: "Figures") -> None:
        if self._up:
            _say(self._up)
            self._up = ""
        if time.monotonic() < self._next_s or not sys.stderr.isatty():
            return
        self._next_s = time.monotonic() + _TELL_S
        dropped = sum(figures.dropped.values())
        text = f"\r{figures.frames} frames, {len(figures.topics)} topics, {figures.bytes} bytes"
        _say(text + (f", {dropped} dropped" if dropped else ""), end="")


def _report(
    options: argparse.Namespace,
    figures: "Figures",
    scrubber: "Scrubber | None",
    lasted_ms: float,
) -> dict[str, Any]:
    if sys.stderr.isatty():
        _say("")
    unknown = [] if scrubber is None else list(scrubber.unknown_keys)
    if unknown:
        shown = ", ".join(unknown[:_KEYS_SHOWN]) + ("…" if len(unknown) > _KEYS_SHOWN else "")
        _say(f"keys that no codec knows were replaced, too ({shown}); --keep lets them stay")
    return {
        "recording": str(options.out),
        "frames": figures.frames,
        "stored": figures.stored,
        "topics": len(figures.topics),
        "bytes": figures.bytes,
        "seconds": round(lasted_ms / 1000, 1),
        "dropped": dict(figures.dropped),
        "links_lost": figures.links_lost,
        "away_s": round(figures.away_s, 1),
        "ended": figures.ended,
        "scrubbed": scrubber is not None,
        "unknown_keys": len(unknown),
    }


def _scenario(
    options: argparse.Namespace, zone: "tzinfo | None", live_ms: tuple[float, float] | None
) -> dict[str, Any]:
    """Write it; what was found. Nothing to go by is said, and is no failure of the recording."""
    from fleet_sim.recording import deeds, lines, rhythm, usual
    from vendors import registry

    seen = list(deeds.sightings(lines.stream(options.out)))
    known = [
        name for name in dict.fromkeys(each.vendor for each in seen) if name in registry.names()
    ]
    found = rhythm.derive(seen, usual.per_day(known), zone, live_ms)
    if found is None:
        _say(f"--scenario: {options.out} shows no device of a vendor that we know; none is written")
        return {}
    written: list[str] = []
    for name, text in rhythm.scenario(found, options.scenario.stem, options.out.name).items():
        # The scenario is called what was asked for, be it .yml; its CSV files as it names them.
        path = options.scenario if name.endswith(".yaml") else options.scenario.with_name(name)
        written.append(path.name)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError((f"--scenario {path}: {error.strerror}",)) from error
    return {
        "files": sorted(written),
        "hours": round(found.hours, 2),
        "vendors": {
            name: {"devices": one.devices, "deeds": one.deeds, "pace": round(one.pace, 3)}
            for name, one in found.vendors.items()
        },
    }


def _zone(name: str | None) -> "tzinfo | None":
    """The devices' local time; None for this machine's."""
    if name is None:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError((f"--timezone {name}: {error}; write one like Europe/Rome",)) from error
    except KeyError:
        raise ConfigError((f"--timezone {name}: nobody knows it; write Europe/Rome",)) from None


def _key(path: Path | None) -> bytes:
    """What a file holds; or chance, which nobody keeps."""
    if path is None:
        from fleet_sim.recording.pseudonyms import KEY_BYTES

        return secrets.token_bytes(KEY_BYTES)
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError((f"--scrub-key {path}: {error.strerror}",)) from error
    if len(key) < _KEY_MIN:
        raise ConfigError(
            (f"--scrub-key {path}: {len(key)} bytes; give {_KEY_MIN} of chance at least",)
        )
    return key


def _kept(path: Path | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"--keep {path}: {error}; give a file of one word a line",)) from error
    return frozenset(line.strip() for line in lines if line.strip())


def _duration(text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found is not None else 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write it like 90s, 10m or 1h")
    return seconds


def _size(text: str) -> int:
    found = _SIZES.fullmatch(text.strip())
    size = int(found[1]) * _BYTES[found[2]] if found is not None else 0
    if not size:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 500k, 20M or 1G")
    return size


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)
