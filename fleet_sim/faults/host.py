"""What fails about the gateway's host: its cells, its disk, its clock, its bus.

Whoever runs a gateway carries these out (`fleet_sim.ground`); of a link they are none.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from fleet_sim.faults.fault import Fault, setting
from fleet_sim.faults.kind import Family, Kind, Strikes

_YEAR_S: Final = 366 * 86_400
_VIRTUAL: Final = ("virtual",)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHang(Fault):
    """A cell's process stands still; what it held is held on, until it is killed for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSpin(Fault):
    """A cell's process computes without end, and does nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLeak(Fault):
    """A cell's process keeps `mb_per_s` more each second, until it is killed for it."""

    mb_per_s: float = setting(20.0, "MB/s", "how fast it grows")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCrash(Fault):
    """A vendor's code raises what nobody expects; the cell ends, and is started again."""

    every_s: float = setting(0.0, "s", "and again so long after, while it lasts; 0: once", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellKill(Fault):
    """Kill -9: a cell's process is gone, with all that it had not committed."""

    every_s: float = setting(0.0, "s", "and again so long after, while it lasts; 0: once", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesExhausted(Fault):
    """A cell's process has no file descriptor left, and its connections break once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull(Fault):
    """The disk takes `room_kib` more, and then nothing."""

    room_kib: int = setting(0, "KiB", "what it still takes", least=0, times=_VIRTUAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSlow(Fault):
    """Each commit waits `commit_ms` for the disk."""

    commit_ms: int = setting(500, "ms", "how long a commit takes")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskForgets(Fault):
    """The gateway's box loses power, and its disk what was not synced; it boots at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump(Fault):
    """The gateway's clock is set `jump_s` ahead, or back if it is negative; right at the end."""

    jump_s: float = setting(3_600.0, "s", "how wrong it is; negative: behind", least=-_YEAR_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusDown(Fault):
    """The bus breaks every connection of the gateway, and lets none in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSlow(Fault):
    """The bus looks at the gateway's connections only every `late_ms`."""

    late_ms: int = setting(2_000, "ms", "how late it hears and is heard at worst")


@dataclass(frozen=True, slots=True, kw_only=True)
class BusThrottled(Fault):
    """The bus takes `per_s` messages a second of each connection of the gateway."""

    per_s: int = setting(5, "1/s", "how many messages it takes of each")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLate(Fault):
    """A command reaches the gateway `late_ms` after it was asked for."""

    late_ms: int = setting(30_000, "ms", "how late it comes")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDoubled(Fault):
    """A command reaches the gateway, and once more `again_ms` later."""

    again_ms: int = setting(5_000, "ms", "how much later it comes again", least=0)


_cell = partial(Kind, Family.HOST, strikes=Strikes.CELL)
_gateway = partial(Kind, Family.HOST, strikes=Strikes.GATEWAY)
_command = partial(_gateway, by_the_message=True)

KINDS: Final = {
    "cell_hang": _cell(
        CellHang,
        "a cell's process stands still",
        "no event and no heartbeat of it; killed when it is silent for hang_s, and started again",
        "scaarup/aula#18: an integration's sleep() in the loop of the whole house",
    ),
    "cell_spin": _cell(
        CellSpin,
        "a cell's process computes without end, and does nothing else",
        "no event and no heartbeat of it, and one core is busy; killed and started again",
        "ramses-rf/ramses_cc#373: an endless loop, 100 % CPU, and everything stopped",
    ),
    "cell_leak": _cell(
        CellLeak,
        "a cell's process keeps mb_per_s more each second",
        "it grows until it weighs memory_max_mb; killed and started again, as often as it takes",
        "chirpstack/chirpstack-gateway-bridge#86: a bridge that had 87 % of the memory",
    ),
    "cell_crash": _cell(
        CellCrash,
        "a vendor's code raises what nobody expects",
        "its cell says that it is down, commits what it has, and is started again",
        "home-assistant/core#121778: one lock's unknown state ended the polling of all",
    ),
    "cell_kill": _cell(
        CellKill,
        "kill -9: a cell's process is gone in the middle of whatever it did",
        "the will of its bus connection; the next life goes on from what was committed",
        "proc(5), oom_score: who takes the last memory is killed, and not asked",
    ),
    "files_exhausted": _cell(
        FilesExhausted,
        "a cell's process has no file descriptor left; its connections break once",
        "EMFILE for whatever it would open: it connects to nobody until the end",
        "home-assistant/core#93147: accept() out of system resource, and all stops responding",
    ),
    "disk_full": _gateway(
        DiskFull,
        "the disk takes room_kib more, and then nothing",
        "cells are degraded with SQLITE_FULL and acknowledge nothing; then all of it comes",
        "sqlite.org/rescode.html: SQLITE_FULL, a write did not complete because the disk is full",
    ),
    "disk_slow": _gateway(
        DiskSlow,
        "each commit waits commit_ms for the disk",
        "every event and every acknowledgement is later by that",
        "sqlite.org/faq.html, 19: a transaction waits for the platter, 60 in a second",
    ),
    "disk_forgets": _gateway(
        DiskForgets,
        "the box loses power, and its disk what was not synced; it boots at the end",
        "all cells are gone at once; they go on from the last sync, and lose nothing committed",
        "sqlite.org/atomiccommit.html, 2: what was written and not synced is lost, or torn",
        times=_VIRTUAL,
    ),
    "clock_jump": _gateway(
        ClockJump,
        "the gateway's clock is set jump_s ahead, or back; right again at the end",
        "times in events jump by it, and come back",
        "RFC 5905, 11.3: an offset beyond the step threshold is not slewed but stepped",
        times=_VIRTUAL,
    ),
    "bus_down": _gateway(
        BusDown,
        "the bus breaks every connection of the gateway, and lets none in",
        "cells are degraded and keep their events; then all come, in order",
        "MQTT 5.0, 3.2.2.2: CONNACK 0x88, server unavailable",
    ),
    "bus_slow": _gateway(
        BusSlow,
        "the bus looks at the gateway's connections only every late_ms",
        "events come in heaps, up to late_ms later",
        "MQTT 5.0, 3.3.4: who gets no PUBACK may send so much, and then waits",
    ),
    "bus_throttled": _gateway(
        BusThrottled,
        "the bus takes per_s messages a second of each connection of the gateway",
        "never more than per_s events of a cell in a second; the rest waits in its outbox",
        "AWS IoT Core endpoints and quotas: 100 publishes a second per connection",
    ),
    "command_late": _command(
        CommandLate,
        "a command reaches the gateway late_ms after it was asked for",
        "late_ms between request and effect; beyond its deadline no effect at all",
        "pergolafabio/Hikvision-Addons#29: a backlog of commands replayed on reconnect",
    ),
    "command_doubled": _command(
        CommandDoubled,
        "a command reaches the gateway, and once more again_ms later",
        "the same id twice on the command topic, and one effect",
        "MQTT 5.0, 4.3.2: at QoS 1 a receiver may get a message more than once",
    ),
}
