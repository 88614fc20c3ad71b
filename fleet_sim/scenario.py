"""A scenario file: which devices, for how long, and what goes wrong when.

    description: Nuki hangs after an hour.
    hours: 6
    pace: 1                                  # times as often as in life people use their devices
    fleet: {ratgdo: 100, nuki: 100}
    options: {ratgdo: {topic_prefix: home/}} # what its simulator takes
    gateway: {uhppote: {poll_ms: 5000}}      # what its cell is told
    acts:
      - {at: 1h, for: 20m, vendor: nuki, fault: hang}
      - {at: 3h, for: 1h, vendor: ratgdo, fault: flapping_eye, share: 0.1}

A fault is one of every link's (`fleet_sim.faults`) or one of the vendor's own devices.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from devices.errors import ConfigError
from fleet_sim.faults import FAULTS, Fault
from fleet_sim.faults import parameters as parameters_of
from gateway.app import yaml_of
from vendors import registry

_DURATION: Final = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_HOURS_MAX: Final = 24 * 366
_DEVICES_MAX: Final = 100_000
_SHOWN_MAX: Final = 60
_OWN: Final = "fault:"
#: pydantic's error type to what to do about it.
_REMEDIES: Final[Mapping[str, str]] = {
    "missing": "add it",
    "greater_than": "write more than {gt}",
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
    "string_type": "write text",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "tuple_type": "write a list, each entry behind `- `",
    "dict_type": "write keys and values",
    "model_type": "write keys and values",
    "too_short": "list at least {min_length}",
}


def _known(name: str, known: Iterable[str], what: str) -> str:
    names = sorted(known)
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown {what}; {hint}known are {', '.join(names)}")


def _vendor(name: str) -> str:
    return _known(name, registry.names(), "vendor")


def _seconds(given: object) -> object:
    """`1h30m`, `45s` or a number of seconds."""
    if isinstance(given, str):
        found = _DURATION.fullmatch(given.strip())
        if found is None:
            raise ValueError("no duration; write it like 90s, 20m, 1h30m, or as seconds")
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds
    return given


Vendor = Annotated[str, AfterValidator(_vendor)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=_DEVICES_MAX)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Act(_Strict):
    """One fault, for a while, at a share of one vendor's devices."""

    at_s: Seconds = Field(alias="at", ge=0, description="When it begins, from the start.")
    for_s: Seconds = Field(alias="for", gt=0, description="How long it lasts.")
    vendor: Vendor = Field(description="Whose devices.")
    fault: str = Field(description="Of any link, or of this vendor's devices.")
    share: float = Field(default=1.0, gt=0, le=1, description="The part of the devices it strikes.")
    parameters: Mapping[str, float | int] = Field(default={}, description="The fault's own.")

    @model_validator(mode="after")
    def _a_fault_that_exists(self) -> Self:
        own = own_faults(self.vendor)
        name = self.fault.removeprefix(_OWN)
        _known(name, own if self.fault.startswith(_OWN) else {*FAULTS, *own}, "fault")
        takes = {} if self.own else parameters_of(name)
        for parameter, value in self.parameters.items():
            if parameter not in takes:
                known = f"it takes {', '.join(takes)}" if takes else "it takes none"
                raise ValueError(f"{name} has no parameter {parameter!r}; {known}")
            whole = takes[parameter] is int
            if value <= 0 or (whole and not isinstance(value, int)):
                number = "a whole number" if whole else "a number"
                raise ValueError(f"parameter {parameter} is {value!r}; write {number} above 0")
        return self

    @property
    def until_s(self) -> float:
        """When it ends, from the start."""
        return self.at_s + self.for_s

    @property
    def own(self) -> str | None:
        """The vendor's own name for it; None for a fault of the link."""
        name = self.fault.removeprefix(_OWN)
        return None if self.fault in FAULTS else name

    def make(self) -> Fault:
        """The link's fault."""
        return FAULTS[self.fault][0](**self.parameters)


class Scenario(_Strict):
    """The whole file; `name` is the file's."""

    name: str = "scenario"
    description: str = Field(default="", description="One line for people.")
    hours: float = Field(gt=0, le=_HOURS_MAX, description="How long it lasts.")
    pace: float = Field(
        default=1.0, gt=0, le=10_000, description="How many times as often as in life."
    )
    fleet: Mapping[Vendor, Count] = Field(min_length=1, description="Devices of each vendor.")
    options: Mapping[Vendor, Mapping[str, Any]] = Field(
        default={}, description="What a vendor's simulator takes."
    )
    gateway: Mapping[Vendor, Mapping[str, Any]] = Field(
        default={}, description="Settings of a vendor's cell, beside where its devices are."
    )
    acts: tuple[Act, ...] = Field(default=(), description="What goes wrong, and when.")

    @model_validator(mode="after")
    def _acts_that_fit(self) -> Self:
        problems = []
        for number, act in enumerate(self.acts):
            here = f"acts[{number}]"
            if act.vendor not in self.fleet:
                problems.append(
                    f"{here}.vendor: no {act.vendor} in the fleet; add some, or remove the act"
                )
            if act.until_s > self.hours * 3600:
                problems.append(
                    f"{here}: ends after the {self.hours:g} hours; begin earlier or shorten it"
                )
            problems += [
                f"{here}: overlaps acts[{other}]; a link of {act.vendor} fails in one way at a"
                " time, so begin when the other is over"
                for other in range(number)
                if _clash(self.acts[other], act)
            ]
        problems += [
            f"{key}.{vendor}: no {vendor} in the fleet; add some, or remove this"
            for key, vendors in (("options", self.options), ("gateway", self.gateway))
            for vendor in vendors
            if vendor not in self.fleet
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.hours * 3600

    @property
    def longest_wait_s(self) -> float:
        """How long after its end news may still come: of polls, and by slow links."""
        waits_s = [float(registry.vendor(vendor).staleness_s or 0) for vendor in self.fleet]
        waits_s += [2 * told.get("poll_ms", 0) / 1000 for told in self.gateway.values()]
        waits_s += [act.parameters.get("latency_ms", 0) / 1000 for act in self.acts]
        return max(waits_s)


def _clash(one: Act, other: Act) -> bool:
    together = one.at_s < other.until_s and other.at_s < one.until_s
    same = one.vendor == other.vendor and (one.own == other.own)
    return together and same


def own_faults(vendor: str) -> Mapping[str, str]:
    """The device-level faults that a vendor's simulator can act out, with a line for each."""
    module = import_module(registry.vendor(vendor).simulator)
    faults: Mapping[str, str] = module.FAULTS
    return faults


# --- files ------------------------------------------------------------------------------------


def folder() -> Traversable:
    """Where our own scenarios are: beside the code when installed, in `config/` of a checkout."""
    installed = files("fleet_sim") / "scenarios"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "config" / "scenarios"


def names() -> list[str]:
    """The scenarios that came with doorfleet."""
    found = (entry.name for entry in folder().iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def _read(path: str | Path) -> bytes:
    """The bytes of a file, or of one of ours by its name.

    Raises:
        ConfigError: neither is there, or it cannot be read.
    """
    given = Path(path)
    source: Traversable = given
    if not given.exists() and str(path) in names():
        source = folder() / f"{path}.yaml"
    try:
        return source.read_bytes()
    except FileNotFoundError:
        near = get_close_matches(given.stem, names(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError((f"{path}: no such file; {hint}ours are {', '.join(names())}",)) from None
    except OSError as error:
        raise ConfigError(
            (f"{path}: {error.strerror}; give a YAML file that we may read",)
        ) from error


def load(path: str | Path) -> Scenario:
    """The scenario in this file, or of this name.

    Raises:
        ConfigError: with every mistake: file, place, value and remedy.
    """
    document = yaml_of(_read(path), str(path))
    if not isinstance(document, dict):
        raise ConfigError((f"{path}: no keys and values; begin with a copy of quiet_day.yaml",))
    try:
        return Scenario.model_validate({"name": Path(path).stem, **document})
    except ValidationError as error:
        lines = [line for each in error.errors() for line in _lines(each)]
        raise ConfigError(tuple(f"{path}: {line}" for line in lines)) from error


def _lines(error: ErrorDetails) -> Iterator[str]:
    """One mistake, in words."""
    place = [step for step in error["loc"] if step != "[key]"]
    where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in place).lstrip(".")
    kind, context = error["type"], error.get("ctx", {})
    shown = str(error["input"])
    shown = f" (got {shown[:_SHOWN_MAX]}{'…' if len(shown) > _SHOWN_MAX else ''})"
    prefix = f"{where}: " if where else ""
    if kind == "value_error":
        for sentence in str(context["error"]).splitlines():
            problem, _, remedy = sentence.partition("; ")
            yield f"{prefix}{problem}{'' if isinstance(error['input'], dict) else shown}; {remedy}"
    elif kind == "extra_forbidden":
        model = Act if place[0] == "acts" else Scenario
        keys = sorted(field.alias or name for name, field in model.model_fields.items())
        near = get_close_matches(str(place[-1]), keys, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
        yield f"{prefix}unknown key{shown}; {remedy}"
    elif kind == "missing":
        yield f"{prefix}required, but missing; add it"
    else:
        message = error["msg"][:1].lower() + error["msg"][1:]
        remedy = _REMEDIES.get(kind, "correct it").format_map({**context})
        yield f"{prefix}{message}{shown}; {remedy}"
