"""What an operator may say: the shape of the configuration file.

`gateway.config_file` reads it and finds the mistakes; this module only names the fields and
their limits. Secrets never stand in here: they stand in files that a `*_file` key names.
Relative paths count from the working directory of the gateway.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from vendors.wire.backoff import Backoff
from vendors.wire.mqtt.settings import MqttSettings

#: Sites, cells and sinks are levels of topics and parts of file names.
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
#: What a path or user of a sink holds where each cell's own name goes.
CELL_MARK: Final = "{cell}"

_MIB: Final = 1_048_576


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Log(_Strict):
    """Where log lines go is the service manager's matter: they are written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe line that is written."
    )
    format: Literal["json", "console"] = Field(
        default="json", description="json for machines, console for people."
    )


class MqttBus(MqttSettings):
    """A northbound MQTT 5 broker; each cell has a session of its own on it."""

    kind: Literal["mqtt"] = "mqtt"
    name: Name = Field(default="mqtt", description="Name of the sink; its cursor is kept under it.")

    def of(self, cell: str) -> "MqttBus":
        """The same for one cell, whose name stands for `{cell}` in user and files.

        Each cell can so be somebody of its own to the broker.
        """
        marked = {
            key: type(value)(str(value).replace(CELL_MARK, cell))
            for key in ("username", "password_file", "cert_file", "key_file")
            if (value := getattr(self, key)) is not None
        }
        return self.model_copy(update=marked)


class JsonlBus(_Strict):
    """A file with one event per line."""

    kind: Literal["jsonl"] = "jsonl"
    name: Name = Field(
        default="jsonl", description="Name of the sink; its cursor is kept under it."
    )
    path: Path = Field(
        description="The file. `{cell}` stands for the cell's name: each cell has its own file."
    )
    fsync: bool = Field(
        default=False, description="Force each batch to the disk before it counts as written."
    )
    rotate_bytes: int = Field(
        default=64 * _MIB,
        ge=4_096,
        description="At this size the file is renamed to <path>.1 and a new one is begun.",
    )

    def path_of(self, cell: str) -> Path:
        """This cell's file."""
        return Path(str(self.path).replace(CELL_MARK, cell))


BusConfig = Annotated[MqttBus | JsonlBus, Field(discriminator="kind")]


class Limits(_Strict):
    """How much one cell may take, hold and use. Every queue has its end here."""

    rate_per_s: float = Field(
        default=50, gt=0, le=100_000, description="Frames per second that one device may send."
    )
    burst: int = Field(
        default=200, ge=1, le=1_000_000, description="Frames one device may send at once."
    )
    queue_max: int = Field(
        default=10_000, ge=16, le=1_000_000, description="Frames that may wait for the pipeline."
    )
    pending_max: int = Field(
        default=4_096,
        ge=16,
        le=1_000_000,
        description="Events that may wait for a commit before no further frame is taken.",
    )
    batch_max: int = Field(
        default=256, ge=1, le=10_000, description="Events that are committed at once at the latest."
    )
    linger_ms: int = Field(
        default=4, ge=0, le=20, description="How long an event may wait for company to commit with."
    )
    outbox_max_bytes: int = Field(
        default=256 * _MIB,
        ge=_MIB,
        description="Size of the outbox file; a fifth of it is for decisions and alarms alone.",
    )
    outbox_max_age_s: int = Field(
        default=604_800, ge=60, description="Age at which telemetry that no sink took is dropped."
    )
    devices_max: int = Field(
        default=20_000, ge=1, le=1_000_000, description="Devices that one cell may come to know."
    )
    dead_letters_max: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Dead letters kept; the oldest go first."
    )
    dead_letters_max_bytes: int = Field(
        default=32 * _MIB, ge=65_536, description="Bytes of payload kept in dead letters."
    )
    dead_letters_per_s: float = Field(
        default=20,
        gt=0,
        le=10_000,
        description="Dead letters written per second; the rest is counted.",
    )
    refusals_max: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Tries for an event that a sink refuses for good, before it is a dead letter.",
    )
    fresh_ms: int = Field(
        default=10_000,
        ge=100,
        le=3_600_000,
        description="How old a polled state may be for a command to be checked against it.",
    )
    commands_max: int = Field(
        default=256, ge=1, le=10_000, description="Commands that may run at the same time."
    )
    commands_keep_s: int = Field(
        default=604_800,
        ge=60,
        description="How long a command's id and outcome are remembered.",
    )
    memory_max_mb: int = Field(
        default=256, ge=32, le=65_536, description="Private memory at which a cell is restarted."
    )


class CellConfig(_Strict):
    """One vendor's process.

    `name` (default: the vendor's) is unique; it names the store `<state_dir>/<name>.db`, the
    health topic and the northbound client. `settings` is an instance of the vendor's own model.
    """

    vendor: str = Field(description="A name that `doorfleet-gateway vendors` lists.")
    name: Name = Field(default="", description="Name of the cell; absent: the vendor's.")
    settings: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(
        default=None, description="What the vendor wants to know; `vendors --json` has its schema."
    )
    limits: Limits = Limits()
    state_interval_ms: int = Field(
        default=200,
        ge=0,
        le=60_000,
        description="A device's retained state is published once in this time at the most.",
    )
    health_interval_ms: int = Field(
        default=10_000,
        ge=100,
        le=3_600_000,
        description="How often the cell's health is published when nothing changes.",
    )

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_vendor(cls, data: Any) -> Any:  # noqa: ANN401 -- whatever YAML held
        if isinstance(data, dict) and "name" not in data and isinstance(data.get("vendor"), str):
            return data | {"name": data["vendor"]}
        return data


class Supervision(_Strict):
    """When a cell counts as hung or hopeless, and how it is stopped."""

    heartbeat_s: float = Field(default=1, ge=0.05, le=60, description="How often a cell reports.")
    hang_s: float = Field(
        default=10, ge=0.2, le=600, description="Silence after which a cell is killed."
    )
    start_s: float = Field(
        default=30, ge=1, le=600, description="Silence allowed before a cell's first report."
    )
    restart_base_ms: int = Field(
        default=200, ge=1, le=60_000, description="Ceiling of the first wait before a restart."
    )
    restart_max_ms: int = Field(
        default=30_000, ge=1, le=3_600_000, description="Ceiling of every wait before a restart."
    )
    stable_s: float = Field(
        default=60, ge=0.1, le=86_400, description="A run this long ends the doubling of waits."
    )
    drain_s: float = Field(
        default=5,
        ge=0.5,
        le=300,
        description="Time a cell has to finish; then it is killed.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.hang_s < 2 * self.heartbeat_s:
            raise ValueError(
                f"hang_s must be at least twice heartbeat_s ({self.heartbeat_s}),"
                " or a late report counts as a hang"
            )
        if self.restart_base_ms > self.restart_max_ms:
            raise ValueError("restart_base_ms must not exceed restart_max_ms")
        return self

    @property
    def backoff(self) -> Backoff:
        """How long a cell that ended waits for its next start."""
        return Backoff(self.restart_base_ms, self.restart_max_ms)


def clashes(cells: Iterable[str], sinks: Iterable[str]) -> list[str]:
    """What is wrong with these names: each may stand once."""
    return [
        f"{count} {what} named {name!r}; give each its own `name`"
        for what, names in (("cells are", cells), ("sinks of `bus` are", sinks))
        for name, count in Counter(names).items()
        if count > 1
    ]


class GatewayConfig(_Strict):
    """The whole file."""

    site: Name = Field(description="Name of this place; a level of every northbound topic.")
    state_dir: Path = Field(description="Folder for what must survive: outboxes, twins, cursors.")
    isolation: Literal["process", "task"] = Field(
        default="process",
        description="One process per cell; or, for very small boxes, one for all of them.",
    )
    log: Log = Log()
    bus: tuple[BusConfig, ...] = Field(min_length=1, description="Where events go.")
    cells: tuple[CellConfig, ...] = Field(min_length=1, description="The vendors to speak to.")
    supervisor: Supervision = Supervision()

    @model_validator(mode="after")
    def _no_two_of_one_name_or_file(self) -> Self:
        problems = clashes([cell.name for cell in self.cells], [bus.name for bus in self.bus])
        files = Counter(
            str(bus.path_of(cell.name))
            for bus in self.bus
            if isinstance(bus, JsonlBus)
            for cell in {cell.name: cell for cell in self.cells}.values()
        )
        problems += [
            f"{writers} sinks would write the file {path}; put {CELL_MARK} into the path,"
            " or give each sink a path of its own"
            for path, writers in files.items()
            if writers > 1
        ]
        if len(self.cells) > 1:
            problems += [
                f"sink {bus.name!r}: client_id {bus.client_id!r} would be shared by all cells, and"
                " they would throw each other out; leave it away"
                for bus in self.bus
                if isinstance(bus, MqttBus) and bus.client_id is not None
            ]
        if problems:
            raise ValueError("\n".join(problems))
        return self
