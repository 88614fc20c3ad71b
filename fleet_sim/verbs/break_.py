"""`doorfleet-sim break`."""

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from devices.errors import ConfigError
from fleet_sim.verbs import common

if TYPE_CHECKING:
    from fleet_sim.live.client import Client

HELP: Final = "break a vendor of a fleet that runs in real time, until Ctrl-C or its time is over"
_RENEW_S: Final = 1.0
_NOTHING: Final = "nothing is broken by hand"
#: No such fault any more; the run is over.
_GONE: Final = (404, 409)
_SHOWN_MAX: Final = 5


def arguments(sub: argparse.ArgumentParser) -> None:
    """What, at whom, for how long, and where."""
    sub.add_argument(
        "what",
        nargs="*",
        metavar="VENDOR FAULT",
        help="as `faults` lists them; a fault of the gateway or its host has no vendor",
    )
    sub.add_argument("--share", metavar="0.2", help="the part of its devices: 0.2, 20%% (all)")
    sub.add_argument("--site", help="at this site only")
    sub.add_argument(
        "--for", dest="for_", metavar="60s", help="how long at most: 90s, 20m, or seconds (60s)"
    )
    sub.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the fault, such as latency_ms=300; may be given again",
    )
    sub.add_argument(
        "--detach",
        action="store_true",
        help="return at once; otherwise it heals when this command ends, however that comes about",
    )
    sub.add_argument("--list", action="store_true", help="what is broken by hand at present")
    sub.add_argument("--json", action="store_true", help="what the run answers, for machines")
    where(sub)


def where(sub: argparse.ArgumentParser) -> None:
    """Which run."""
    sub.add_argument(
        "--at",
        metavar="URL",
        help="where the run is, if it is not the only one here (DOORFLEET_RUN, DOORFLEET_TOKEN)",
    )


def act(options: argparse.Namespace) -> int:
    """Break it; the exit code."""
    from fleet_sim.live import client

    if options.list:
        _list(client.at(options.at), options)
        return common.OK
    wish = _wish(options)
    run = client.at(options.at)
    if options.detach:
        _say(run.begin(wish), options, "it heals then, or by: doorfleet-sim heal {id}")
        return common.OK
    return _hold(run, wish, options)


def _hold(run: "Client", wish: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Until its time is over, somebody heals it, or somebody ends us."""
    from fleet_sim.live.client import LEASE_S

    with _told_to_end() as ended:
        told = run.begin({**wish, "lease_s": LEASE_S})
        number = told["id"]
        _say(told, options, "Ctrl-C heals it")
        held = True
        while held and not ended.wait(_RENEW_S):
            held = _there(lambda: run.lease(number, LEASE_S))
        if held:
            _there(lambda: run.heal(number))
    if not options.json:
        print(f"{number}: healed")
    return common.OK


def _there(ask: Callable[[], None]) -> bool:
    """Whether the fault, or the run, still was there to be asked about."""
    from fleet_sim.live.client import AnswerError
    from fleet_sim.stage import StageError

    try:
        ask()
    except AnswerError as error:
        if error.status not in _GONE:
            raise
        return False
    except StageError:
        return False
    return True


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """Is set by Ctrl-C or SIGTERM, which interrupt nothing: what was just begun is healed, too."""
    ended = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: ended.set()) for number in numbers]
    try:
        yield ended
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _wish(options: argparse.Namespace) -> dict[str, Any]:
    """What the run is asked for.

    Raises:
        ConfigError: it is no fault, or no setting.
    """
    match options.what:
        case [vendor, fault]:
            wish = {"vendor": vendor, "fault": fault}
        case [fault]:
            wish = {"fault": fault}
        case _:
            said = " ".join(options.what) or "nothing"
            raise ConfigError((f"break {said}: write VENDOR FAULT; `doorfleet-sim faults` lists",))
    wish |= {"share": _value(options.share)} if options.share is not None else {}
    wish |= {"site": options.site} if options.site is not None else {}
    wish |= {"for": _value(options.for_)} if options.for_ is not None else {}
    return {**wish, "settings": dict(_setting(given) for given in options.settings)}


def _setting(given: str) -> tuple[str, Any]:
    key, equals, value = given.partition("=")
    if not (key and equals):
        raise ConfigError((f"--set {given}: no KEY=VALUE; write it like latency_ms=300",))
    return key, _value(value)


def _value(given: str) -> Any:  # noqa: ANN401 -- a number, true, false, or text
    """As YAML would have it."""
    with contextlib.suppress(ValueError):
        found = json.loads(given)
        if isinstance(found, bool | int | float):
            return found
    return given


def _say(told: Mapping[str, Any], options: argparse.Namespace, what_next: str) -> None:
    if options.json:
        print(json.dumps(told), flush=True)
        return
    print(f"{line(told)}; {what_next.format_map(told)}", flush=True)


def line(told: Mapping[str, Any]) -> str:
    """One fault for people."""
    struck: Sequence[str] = told["struck"]
    share = "all" if told["share"] == 1 else f"{told['share']:.0%}"
    shown = ", ".join(struck[:_SHOWN_MAX]) + (", …" if len(struck) > _SHOWN_MAX else "")
    whom = f"{share} of {told['vendor']}" if struck else told["vendor"] or "everybody"
    devices = f", {len(struck)} device{'s' * (len(struck) > 1)} ({shown})" if struck else ""
    settings = "".join(f" {key}={value}" for key, value in told["settings"].items())
    return f"{told['id']}: {told['fault']}{settings} at {whom}{devices}, {told['ends_in_s']:g} s"


def _list(run: "Client", options: argparse.Namespace) -> None:
    faults = run.faults()
    if options.json:
        json.dump(faults, sys.stdout, indent=2)
        print()
        return
    print("\n".join(line(told) for told in faults) or _NOTHING)
