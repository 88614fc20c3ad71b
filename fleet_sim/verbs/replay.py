"""`doorfleet-sim replay`."""

import argparse
from pathlib import Path
from typing import Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common, identity

HELP: Final = "play a recording of frames through a running gateway"

_EXAMPLES: Final = """\
examples:
  doorfleet-sim replay recording.jsonl --speed 10
  doorfleet-sim replay recording.jsonl --speed max --json -
  doorfleet-sim replay night.jsonl --max-gap 30 --loop 5
  doorfleet-sim replay panels.jsonl --udp 127.0.0.1:60001

Late frames are counted, none is left out. Events of our own bus are played to who listens to it.
Answers of servers are not played: nobody asked. Exit code 1: a broker or listener refused a frame.
"""
_SHOWN: Final = 20


def arguments(sub: argparse.ArgumentParser) -> None:
    """What to play, and where."""
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    sub.epilog = _EXAMPLES
    sub.add_argument("recording", type=Path, help="JSON lines, one frame each")
    sub.add_argument("--broker", default="mqtt://127.0.0.1:1883", help="mqtt[s]://host:port")
    identity.arguments(sub)
    sub.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N", help="times as fast as it was, or max (1)"
    )
    sub.add_argument(
        "--max-gap", type=common.positive, metavar="S", help="shorten longer pauses to this"
    )
    sub.add_argument("--loop", type=_times, default=1, metavar="N", help="so many times (1)")
    sub.add_argument("--udp", metavar="HOST:PORT", help="who listens for datagrams of panels")
    sub.add_argument("--http", metavar="URL", help="whom bridges and clouds post to")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the report; - is stdout")


def act(options: argparse.Namespace) -> int:
    """Play it; the exit code: 1 if something was refused."""
    from fleet_sim import replay
    from fleet_sim.quiet import quiet_log

    if problems := common.unwritable(("--json", options.json)):
        raise ConfigError(tuple(problems))
    how = replay.Options(options.speed, options.loop, options.max_gap, options.udp, options.http)
    with quiet_log():
        report = common.complete(replay.play(options.recording, identity.settings(options), how))
    if not common.write(report, options.json):
        _print(report)
    return common.FAILED if report["refused"] else common.OK


def _print(report: dict[str, Any]) -> None:
    for key, value in report.items():
        if key != "came":
            print(f"{key:<12} {value}")
    for each in report["came"][:_SHOWN]:
        print("  line {after_line}: {device} {type} {changes}".format(**each))
    if len(report["came"]) > _SHOWN:
        print(f"  and {len(report['came']) - _SHOWN} events more; --json has them")


def _speed(text: str) -> float | None:
    return None if text == "max" else common.positive(text)


def _times(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of times; write 1 or more")
    return int(text)
