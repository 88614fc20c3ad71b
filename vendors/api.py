"""The seam between a vendor and the house: what a vendor gives, and what it is given.

A vendor is a folder that exports one `VENDOR = Vendor(...)`. Its codec and its simulator are
pure; only its adapter touches the network, through `vendors.wire`. The gateway knows nothing
else of it, and the simulators know nothing of the gateway.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel

from devices.command import Command
from devices.kinds import Kind
from devices.reading import Happening, Reading
from devices.twin import Twin

# --- gateway side -----------------------------------------------------------------------------


class Frame(NamedTuple):
    """What crossed the wire, untouched.

    `source` is the MQTT topic, or `udp/<serial>` and the like: enough for the codec to find
    the device. `retained` is the MQTT retain flag as received. `cursor` is stored in the same
    transaction as what the frame led to: (name, position) of a vendor's own event memory.
    """

    source: str
    payload: bytes
    received_at_ms: int
    retained: bool = False
    cursor: tuple[str, int] | None = None

    def __repr__(self) -> str:
        """Never the payload: it may hold codes and names."""
        return f"<Frame {self.source} {len(self.payload)} B>"


Fact = Reading | Happening
#: Bytes in, facts out. What the vendor's protocol says but we do not model yields nothing.
#: Raises DecodeError, and nothing else, whatever the bytes are.
Decode = Callable[[Frame], Sequence[Fact]]


class Port(Protocol):
    """What a cell gives its adapter. All of it is called from the cell's own event loop."""

    rng: Random
    #: Replaces sockets in in-process runs; None means the real network. `vendors.wire` takes it.
    network: Any

    def now_ms(self) -> int:
        """Unix ms by the gateway's clock."""

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        """Hand over frames in wire order; returns at once.

        `committed` is called once everything these frames led to is durable (dead letters
        included): only then acknowledge upstream. None says that there is nothing to
        acknowledge and that the frames may be conflated or shed under load.
        """

    def cursor(self, name: str) -> int | None:
        """The last committed position under this name; None if there never was one."""

    def link(self, *, up: bool, reason: str) -> None:
        """Tell the cell whether the vendor can be spoken to; repeats are ignored."""

    def twin(self, device: str) -> Twin | None:
        """The device as committed; None if it was never heard of. Read only."""


class Adapter(Protocol):
    """A running connection to one vendor."""

    async def run(self) -> None:
        """Connect, listen or poll, and reconnect, until cancelled. Returns never by itself."""

    async def send(self, command: Command) -> None:
        """Let a command leave, once; returns when the vendor accepted it, if it says so at all.

        Raises:
            RefusedError: nothing left us; the reason is a `devices.command.Reason` value.
            RejectedError: the vendor said no; `detail` is `busy`, `not_authorized`,
                `vendor:<code>` and the like.
            UnavailableError: it may have left us, nobody answered.
        """

    async def refresh(self, device: str) -> None:
        """Ask for the device's present state, if the vendor can be asked; else do nothing.

        Called before a command that lacks fresh state and while its effect is awaited. The
        answer arrives through `Port.offer` like any other frame. Never moves the device.
        """


class HostStanding(NamedTuple):
    """How one host of a vendor fares.

    `breaker` is closed, open or half_open, and was opened `opened` times; `asked` counts what left
    us for it, and `refused` what we kept from leaving (it failed, asked us to wait, or is busy).
    """

    host: str
    breaker: str
    opened: int
    asked: int
    refused: int


@runtime_checkable
class HasHosts(Protocol):
    """An adapter that asks hosts, and lets people see how they fare; none has to."""

    def hosts(self) -> Iterable[HostStanding]:
        """Each host of the settings, in their order."""


class Delivery(StrEnum):
    """How state reaches us."""

    PUSH = "push"
    POLL = "poll"
    PUSH_AND_POLL = "push+poll"


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor, as one value.

    Attributes:
        name: lower case, also the cell's name and a level of the northbound topics.
        title: for people.
        kind: what its devices are.
        settings: the pydantic model of `cells[].settings`; `extra="forbid"`, frozen.
        decoder: settings to a `Decode`; called once per cell.
        connect: settings and port to an adapter; opens nothing before `run`.
        commands: the names from `devices.command.COMMANDS[kind]` that it can carry out.
        transports: for people, such as `MQTT 3.1.1`.
        delivery: push or poll.
        staleness_s: how old a state may be at worst before the gateway knows; None unbounded.
        checked_by: the independent clients or documents that our simulator was held against.
        simulator: dotted module with `fleet(spec) `, see `vendors.sim`; imported on demand, so
            that an edge gateway never loads it.
    """

    name: str
    title: str
    kind: Kind
    settings: type[BaseModel]
    decoder: Callable[[Any], Decode]
    connect: Callable[[Any, Port], Adapter]
    commands: tuple[str, ...]
    transports: tuple[str, ...]
    delivery: Delivery
    staleness_s: int | None
    checked_by: tuple[str, ...]
    simulator: str
