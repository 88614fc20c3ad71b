"""The fleet of a test: made by a call, addressed by vendor and name, moved and broken by deeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar, overload

from pydantic import ValidationError

from devices.errors import ConfigError
from devices.reading import Value
from fleet_sim import acts
from fleet_sim.act import Act, kinds_of, own_faults
from fleet_sim.faults import FAULTS, Strikes, name_of
from fleet_sim.scenario_file import mistakes
from fleet_sim.world.population import module_of
from vendors.sim import Addresses

if TYPE_CHECKING:
    from fleet_sim.testing.scene import Scene
    from fleet_sim.unit import Unit

T = TypeVar("T")

#: A garage door needs 12 s or so; a lock 2.
MOVED_S: Final = 30.0


class Stagehand(Protocol):
    """Whoever does what a test asks for: behind the test's back, or in simulated time."""

    def call(self, what: Callable[..., T], *arguments: object) -> T:
        """Do it where the device lives; what it returned."""

    def state(self, device: str) -> Mapping[str, Value]:
        """How `vendor/name` truly is, by axis."""

    def wait(self, device: str, wanted: Mapping[str, Value], within_s: float) -> None:
        """Until `vendor/name` truly is so."""

    async def wait_async(self, device: str, wanted: Mapping[str, Value], within_s: float) -> None:
        """The same for whoever must not be stopped."""


class Device:
    """One simulated device, and what a test can do to it.

    `name` is its id on the bus; `str(device)` is `vendor/name`.
    """

    def __init__(self, hand: Stagehand, unit: "Unit") -> None:
        self._hand = hand
        self._unit = unit
        self._own: set[str] = set()
        self.name: str = unit.device.name
        self.vendor: str = unit.vendor

    def __str__(self) -> str:
        """`vendor/name`, as events, verdicts and topics name it."""
        return f"{self.vendor}/{self.name}"

    def __repr__(self) -> str:
        return f"<{self} {self.fault or 'well'}>"

    @property
    def connected(self) -> bool:
        """Whether its link is there."""
        return self._hand.call(lambda: self._unit.up)

    @property
    def fault(self) -> str | None:
        """What its link suffers from, by its name in `FAULTS`; None while it is well."""
        struck = self._unit.fault
        return None if struck is None else name_of(struck)

    @property
    def struck(self) -> bool:
        """Whether its link, or a fault of its own, was struck and not healed."""
        return self._unit.fault is not None or bool(self._own)

    @property
    def state(self) -> Mapping[str, Value]:
        """How it truly is, by axis, whether or not anybody was told."""
        return self._hand.state(str(self))

    @property
    def habits(self) -> Sequence[str]:
        """What people do with it: the deeds that `act` takes."""
        return list(module_of(self.vendor).HABITS)

    @property
    def faults(self) -> Mapping[str, str]:
        """All that `strike` takes, each with a line: of every link, and of this vendor's devices.

        What strikes more than devices, such as `bus_down`, is `chaos.inject`'s.
        """
        able = kinds_of(self.vendor)
        ways = {
            name: kind.what
            for name, kind in FAULTS.items()
            if kind.strikes is Strikes.LINK or name in able
        }
        return {**ways, **own_faults(self.vendor)}

    def act(self, habit: str) -> None:
        """Let somebody do something with it, such as `come_home`.

        Raises:
            ConfigError: nobody does that with such a device; the message lists what they do.
        """
        __tracebackhide__ = True
        if habit not in self.habits:
            _unknown(self.vendor, "habit", habit, self.habits)
        self._hand.call(self._unit.act, habit)

    def strike(self, fault: str, **how: bool | float | str) -> None:
        """Let it fail: `hang`, `latency` with `latency_ms=300`, or one of its vendor's own faults.

        Raises:
            ConfigError: no such fault, or it takes no such setting.
        """
        __tracebackhide__ = True
        act = self._act(fault, how)
        if act.own is not None:
            self._own.add(act.own)
        self._hand.call(acts.begin, act, [self._unit])

    def heal(self, fault: str | None = None) -> None:
        """Let its link fail no more, or one of its vendor's own faults end."""
        __tracebackhide__ = True
        if fault is None:
            self._hand.call(self._unit.heal)
            return
        act = self._act(fault, {})
        self._own.discard(act.own or "")
        self._hand.call(acts.end, act, [self._unit])

    def _act(self, fault: str, how: Mapping[str, bool | float | str]) -> Act:
        __tracebackhide__ = True
        if fault.removeprefix("fault:") not in self.faults:
            _unknown(self.vendor, "fault", fault, self.faults)
        given = {"at_s": 0, "for_s": 1, "vendor": self.vendor, "fault": fault, "settings": how}
        try:
            return Act.model_validate(given)
        except ValidationError as error:
            raise ConfigError(tuple(mistakes(error, Act))) from None

    def cut(self) -> None:
        """Cut its link, as a pulled cable does; it connects anew as its firmware does."""
        self._hand.call(self._unit.cut)

    def wait(
        self,
        wanted: Mapping[str, Value] | None = None,
        /,
        *,
        within_s: float = MOVED_S,
        **axes: Value,
    ) -> None:
        """Until it truly is so, whoever knows: `wait(position="FullyOpened")`.

        An axis with a dot goes into a mapping: `wait({"door.1.lock_state": "Locked"})`.

        Raises:
            AssertionError: it did not become so in time; with how it is.
        """
        __tracebackhide__ = True
        self._hand.wait(str(self), {**(wanted or {}), **axes}, within_s)

    async def wait_async(
        self,
        wanted: Mapping[str, Value] | None = None,
        /,
        *,
        within_s: float = MOVED_S,
        **axes: Value,
    ) -> None:
        """`wait` for an async test: its loop goes on meanwhile."""
        __tracebackhide__ = True
        await self._hand.wait_async(str(self), {**(wanted or {}), **axes}, within_s)


class Devices(Sequence[Device]):
    """All devices of one vendor, by number from 0 on or by name; a deed is done to each."""

    def __init__(self, vendor: str, devices: Sequence[Device]) -> None:
        self.vendor = vendor
        self._devices = devices

    @overload
    def __getitem__(self, key: int) -> Device: ...

    @overload
    def __getitem__(self, key: str) -> Device: ...

    @overload
    def __getitem__(self, key: slice) -> "Devices": ...

    def __getitem__(self, key: int | str | slice) -> "Device | Devices":
        """One by its number or name, or a group of its own."""
        if isinstance(key, slice):
            return Devices(self.vendor, self._devices[key])
        if isinstance(key, int):
            return self._devices[key]
        for device in self._devices:
            if key in (device.name, str(device)):
                return device
        names = ", ".join(device.name for device in self._devices)
        raise KeyError(f"no {self.vendor} is called {key!r}; there are {names}")

    def __len__(self) -> int:
        """How many."""
        return len(self._devices)

    def act(self, habit: str) -> None:
        """Let somebody do this with each; see `Device.act`."""
        __tracebackhide__ = True
        for device in self._devices:
            device.act(habit)

    def strike(self, fault: str, **how: bool | float | str) -> None:
        """Let all of them fail; see `Device.strike`."""
        __tracebackhide__ = True
        for device in self._devices:
            device.strike(fault, **how)

    def heal(self, fault: str | None = None) -> None:
        """Let them fail no more; see `Device.heal`."""
        __tracebackhide__ = True
        for device in self._devices:
            device.heal(fault)

    def cut(self) -> None:
        """Cut the link of each; see `Device.cut`."""
        for device in self._devices:
            device.cut()

    def wait(
        self,
        wanted: Mapping[str, Value] | None = None,
        /,
        *,
        within_s: float = MOVED_S,
        **axes: Value,
    ) -> None:
        """Until it is so with each of them; see `Device.wait`."""
        __tracebackhide__ = True
        for device in self._devices:
            device.wait({**(wanted or {}), **axes}, within_s=within_s)

    async def wait_async(
        self,
        wanted: Mapping[str, Value] | None = None,
        /,
        *,
        within_s: float = MOVED_S,
        **axes: Value,
    ) -> None:
        """`wait` for an async test: its loop goes on meanwhile."""
        __tracebackhide__ = True
        for device in self._devices:
            await device.wait_async({**(wanted or {}), **axes}, within_s=within_s)


class Fleet(Mapping[str, Devices]):
    """The fleet of one test: call it once to make it, then address it by vendor."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene

    def __call__(
        self,
        devices: Mapping[str, int] | None = None,
        /,
        *,
        seed: int | None = None,
        pace: float = 0.0,
        options: Mapping[str, Mapping[str, object]] | None = None,
        **counts: int,
    ) -> "Fleet":
        """Make it: every device connects as its firmware does, and tells how it is.

        With the `gateway` fixture, the gateway is started first, and has heard of every device
        when this returns.

        Args:
            devices: vendor to number of devices, for a name that is no identifier.
            seed: of all its chance; absent, that of `--doorfleet-seed`.
            pace: how many times as often as in life people use the devices; 0: nobody but you.
            options: what a vendor's simulator takes, as `options` of a scenario.
            counts: vendor to number of devices: `ratgdo=5, nuki=3`.

        Raises:
            ConfigError: a vendor, number or option that cannot be; with every mistake.
            SceneError: it did not come up.
        """
        __tracebackhide__ = True
        self._scene.make({**(devices or {}), **counts}, seed, pace, options or {})
        return self

    @property
    def seed(self) -> int:
        """Of all its chance."""
        return self._scene.seed

    @property
    def addresses(self) -> Addresses:
        """Where a gateway of your own finds it: the broker, the datagrams' socket, the hubs."""
        return self._scene.addresses

    def settings(self, vendor: str) -> Mapping[str, Any]:
        """What our gateway's cell would be told to listen to these; yours may read it too."""
        return self._scene.settings(vendor)

    def __getitem__(self, vendor: str) -> Devices:
        """All devices of this vendor."""
        __tracebackhide__ = True
        groups = self._scene.groups()
        if vendor not in groups:
            raise KeyError(f"no {vendor} in this fleet; there are {', '.join(groups)}")
        return groups[vendor]

    def __iter__(self) -> Iterator[str]:
        """The vendors."""
        return iter(self._scene.groups())

    def __len__(self) -> int:
        """How many vendors."""
        return len(self._scene.groups())

    @property
    def devices(self) -> Sequence[Device]:
        """All of them."""
        return [device for group in self._scene.groups().values() for device in group]


def _unknown(
    vendor: str, what: str, name: str, known: Sequence[str] | Mapping[str, str]
) -> NoReturn:
    __tracebackhide__ = True
    near = get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError((f"{vendor}: unknown {what} {name!r}; {hint}known are {', '.join(known)}",))
