"""`doorfleet-gateway`: run it, ask it, and look after what it could not deliver."""

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from devices.errors import ConfigError, FleetError

if TYPE_CHECKING:
    from gateway.store import DeadLetter

OK, FAILED, BAD_INPUT, REJECTED, COMMAND_FAILED, UNKNOWN = 0, 1, 2, 3, 4, 5

_EXAMPLES: Final = """\
examples:
  doorfleet-gateway check gateway.yaml
  doorfleet-gateway run gateway.yaml
  doorfleet-gateway tail 'nuki/*'
  doorfleet-gateway send nuki/39000001 lock

exit codes: 0 done, 1 could not, 2 bad input; of a command: 3 rejected, 4 failed, 5 unknown
The configuration is the argument given, or the file that $DOORFLEET_CONFIG names.
"""
_EXAMPLES_OF: Final = {
    "run": """\
doorfleet-gateway run gateway.yaml
DOORFLEET_CONFIG=gateway.yaml doorfleet-gateway run""",
    "check": """\
doorfleet-gateway check gateway.yaml
doorfleet-gateway check gateway.yaml --json   # {"file", "good", "problems"}""",
    "vendors": """\
doorfleet-gateway vendors
doorfleet-gateway vendors --json   # with the JSON Schema of each one's settings""",
    "status": """\
doorfleet-gateway status gateway.yaml
doorfleet-gateway status gateway.yaml --json""",
    "send": """\
doorfleet-gateway send nuki/39000001 lock --config gateway.yaml
doorfleet-gateway send ratgdo/garage close --expect obstruction=Clear --timeout 30
doorfleet-gateway send uhppote/405419896 access --part door.1 --broker mqtt://127.0.0.1 --site home
exit codes: 0 succeeded, 3 rejected, 4 failed, 5 unknown; 1 nothing sent: no broker, no gateway""",
    "tail": """\
doorfleet-gateway tail --config gateway.yaml
doorfleet-gateway tail 'ratgdo/*/closure.changed'
doorfleet-gateway tail nuki/39000001 --count 1 --json""",
    "dead-letters": """\
doorfleet-gateway dead-letters list --config gateway.yaml
doorfleet-gateway dead-letters show 17 --cell nuki
doorfleet-gateway dead-letters replay --all --cell nuki
doorfleet-gateway dead-letters drop 17 18 --cell nuki""",
    "schemas": "doorfleet-gateway schemas /tmp/schemas",
    "completion": """\
source <(doorfleet-gateway completion bash)
source <(doorfleet-gateway completion zsh)
doorfleet-gateway completion fish > ~/.config/fish/completions/doorfleet-gateway.fish""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code."""
    parser = build()
    options = parser.parse_args(arguments)
    if options.act is None:
        parser.print_help()
        return BAD_INPUT
    try:
        code: int = options.act(options)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except FleetError as error:
        print(error, file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # Whoever read us has gone; what is still in the buffer shall not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def build() -> argparse.ArgumentParser:
    """All subcommands with their options."""
    parser = argparse.ArgumentParser(
        prog="doorfleet-gateway",
        description="From the wire of garage doors, locks and access panels to an event bus.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(act=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(
        name: str, act: Callable[[argparse.Namespace], int], what: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=what,
            description=textwrap.fill(what, 90),
            epilog="examples:\n" + textwrap.indent(_EXAMPLES_OF[name], "  "),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(act=act)
        return sub

    for name, act, what in (
        ("run", _run, "run the gateway until SIGTERM"),
        ("check", _check, "list every mistake of a configuration; touches no network"),
    ):
        sub = add(name, act, what)
        sub.add_argument("config", nargs="?", help="YAML file")
    _json_flag(sub)
    sub = add("vendors", _vendors, "list the vendors this build speaks")
    _json_flag(sub)
    sub = add(
        "status", _status, "how the cells of a running gateway fare; exit 1 if it is not well"
    )
    sub.add_argument("config", nargs="?", help="YAML file")
    _json_flag(sub)
    sub = add("send", _send, "send one command to one device, and wait for its outcome")
    sub.add_argument("device", help="vendor/device as in the topics, such as nuki/39000001")
    sub.add_argument("command", help="Matter or ONVIF name, or open, close, stop, lock, unlock, …")
    sub.add_argument("--part", default="", help="a panel's door: door.1")
    sub.add_argument("--arg", action="append", default=[], metavar="K=V", help="an argument")
    sub.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="AXIS=VALUE",
        help="refuse unless the device is freshly known to be so",
    )
    sub.add_argument("--timeout", type=float, default=0, metavar="S", help="deadline; 0: its own")
    _broker(sub)
    _json_flag(sub)
    sub = add("tail", _tail, "show events as they come")
    sub.add_argument("filter", nargs="?", default="*", help="glob on vendor/device/type")
    sub.add_argument("--count", type=int, default=0, help="end after so many events")
    _broker(sub)
    _json_flag(sub)
    _dead_letters(add)
    sub = add("schemas", _schemas, "write the event schemas into a folder")
    sub.add_argument("folder", type=Path)
    sub = add("completion", _completion, "print a completion script for a shell")
    sub.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _dead_letters(add: Callable[..., argparse.ArgumentParser]) -> None:
    sub = add("dead-letters", _letters, "frames that could not be read, events that were refused")
    sub.add_argument("do", choices=("list", "show", "replay", "drop"))
    sub.add_argument("ids", nargs="*", type=int, help="which; for replay and drop also --all")
    sub.add_argument("--all", action="store_true", help="all of the cell's")
    sub.add_argument("--cell", "--vendor", default="", help="the cell; needed if there are several")
    sub.add_argument("--config", default=None, help="YAML file")
    _json_flag(sub)


def _json_flag(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="JSON for machines")


def _broker(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--broker", default="", help="mqtt://host:port of the bus")
    sub.add_argument("--config", default=None, help="YAML file to take broker and site from")
    sub.add_argument("--site", default="", help="site; default: the configuration's, or any")
    for name in ("username", "password-file", "ca-file", "cert-file", "key-file"):
        what = "user on the broker" if name == "username" else "as in the configuration's bus"
        sub.add_argument(f"--{name}", default="", help=what)


def _run(options: argparse.Namespace) -> int:
    from gateway import app
    from gateway.config_file import find

    return app.run(app.load(find(options.config)))


def _check(options: argparse.Namespace) -> int:
    from gateway.config_file import find, load

    path = find(options.config)
    try:
        config = load(path)
    except ConfigError as error:
        if not options.json:
            raise
        print(json.dumps({"file": str(path), "good": False, "problems": list(error.problems)}))
        return BAD_INPUT
    if options.json:
        print(json.dumps({"file": str(path), "good": True, "problems": []}))
        return OK
    cells = ", ".join(f"{cell.name} ({cell.vendor})" for cell in config.cells)
    sinks = ", ".join(bus.name for bus in config.bus)
    print(f"{path}: good; site {config.site}, cells {cells}, bus {sinks}")
    return OK


def _vendors(options: argparse.Namespace) -> int:
    from vendors import registry

    rows = []
    for name in registry.names():
        vendor = registry.vendor(name)
        rows.append(
            {
                "name": vendor.name,
                "title": vendor.title,
                "kind": vendor.kind.name,
                "transports": list(vendor.transports),
                "delivery": str(vendor.delivery),
                "staleness_s": vendor.staleness_s,
                "commands": list(vendor.commands),
                "checked_by": list(vendor.checked_by),
                "settings": vendor.settings.model_json_schema(),
            }
        )
    if options.json:
        print(json.dumps(rows, indent=2))
        return OK
    for row in rows:
        stale = row["staleness_s"]
        print(f"{row['name']:<10} {row['title']}")
        print(
            f"{'':<10} {row['kind']}, {', '.join(row['transports'])}, {row['delivery']},"  # type: ignore[arg-type]
            f" at worst {'unbounded' if stale is None else f'{stale} s'} stale"
        )
        print(f"{'':<10} commands: {', '.join(row['commands'])}")  # type: ignore[arg-type]
        print(f"{'':<10} checked by: {', '.join(row['checked_by'])}")  # type: ignore[arg-type]
    return OK


def _status(options: argparse.Namespace) -> int:
    from gateway import status
    from gateway.config_file import find, load

    body = status.read(Path(load(find(options.config)).state_dir))
    cells = body["cells"]
    assert isinstance(cells, dict)
    well = bool(body["running"]) and all(cell.get("state") == "up" for cell in cells.values())
    if options.json:
        print(json.dumps(body, indent=2))
        return OK if well else FAILED
    print(
        f"site {body['site']}, {'running' if body['running'] else 'NOT RUNNING'},"
        f" status {body['age_s']} s old"
    )
    for name, cell in cells.items():
        print(
            f"  {name:<12} {cell.get('state', '?'):<9} {cell.get('devices', 0):>6} devices"
            f" {cell.get('events', 0):>9} events {cell.get('dead_letters', 0):>6} dead letters"
            f" {cell.get('restarts', 0):>3} restarts  {cell.get('reason', '')}"
        )
        for host in cell.get("hosts", ()):
            if host["breaker"] != "closed":
                print(
                    f"  {'':<12} {host['host']} left alone: breaker {host['breaker']},"
                    f" opened {host['opened']} times, {host['asked']} asked,"
                    f" {host['refused']} refused"
                )
    return OK if well else FAILED


def _send(options: argparse.Namespace) -> int:
    from gateway import people

    return people.send(options)


def _tail(options: argparse.Namespace) -> int:
    from gateway import people

    return people.tail(options)


def _letters(options: argparse.Namespace) -> int:
    from gateway import dead_letters
    from gateway.config_file import find, load

    config = load(find(options.config))
    names = [cell.name for cell in config.cells]
    if options.cell and options.cell not in names:
        raise ConfigError((f"no cell {options.cell!r}; there are {', '.join(names)}",))
    if options.do == "list" and not options.cell:
        chosen = names
    elif not options.cell and len(names) > 1:
        raise ConfigError((f"which cell? give --cell, one of {', '.join(names)}",))
    else:
        chosen = [options.cell or names[0]]
    state_dir = Path(config.state_dir)
    found = [
        (cell, id_, letter)
        for cell in chosen
        if (state_dir / f"{cell}.db").exists() or options.cell
        for id_, letter in dead_letters.listed(state_dir / f"{cell}.db")
        if not options.ids or id_ in options.ids
    ]
    missing = set(options.ids) - {id_ for _, id_, _ in found}
    if missing:
        raise ConfigError(
            (f"no dead letter {', '.join(map(str, sorted(missing)))} in {chosen[0]}",)
        )
    if options.do in ("list", "show"):
        _print_letters(found, whole=options.do == "show", as_json=options.json)
        return OK
    if not options.ids and not options.all:
        raise ConfigError((f"{options.do} what? give ids, or --all",))
    if found:
        ids = [id_ for _, id_, _ in found]
        dead_letters.order(state_dir, chosen[0], replay=options.do == "replay", ids=ids)
    verb = "replayed" if options.do == "replay" else "dropped"
    print(f"{len(found)} to be {verb} by cell {chosen[0]}: at once if it runs, else when it starts")
    return OK


def _print_letters(
    found: "list[tuple[str, int, DeadLetter]]", *, whole: bool, as_json: bool
) -> None:
    from gateway.events import rfc3339

    for cell, id_, letter in found:
        if as_json:
            body = {"cell": cell, "id": id_, **letter._asdict(), "payload": letter.payload.hex()}
            print(json.dumps(body))
            continue
        print(
            f"{cell} {id_:>6}  {rfc3339(letter.at_ms)}  {letter.source}  {len(letter.payload)} B"
            f"  {letter.reason}"
        )
        if whole:
            print(textwrap.indent(repr(letter.payload), "    "))


def _schemas(options: argparse.Namespace) -> int:
    from gateway import schemas

    schemas.write(options.folder)
    print(f"{len(schemas.TYPES)} schemas written to {options.folder}")
    return OK


def _completion(options: argparse.Namespace) -> int:
    from gateway.completion import script

    print(script(build(), options.shell))
    return OK
