"""A scenario's world in one run: it lets every device have its people, battery, radio and day.

Everything is drawn per device, from a stream of the device's own and for this purpose alone: no
draw depends on which other devices there are, or on which process they live in. What happens to a
device of itself goes through `SimDevice.act` as `<verb>:<value>`; a simulator's `WORLD` names the
verbs that its protocol has something to say about.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from fleet_sim.acts import Resident
from fleet_sim.chance import stream
from fleet_sim.fleet import Population
from fleet_sim.habits import Manner
from fleet_sim.scenario import Scenario
from fleet_sim.shard import WHOLE, Shard
from fleet_sim.unit import Unit
from fleet_sim.world import courier
from fleet_sim.world.battery import Battery
from fleet_sim.world.delivery import Deliveries
from fleet_sim.world.people import rhythm_of
from fleet_sim.world.population import Group, habits, of_one, world_of
from fleet_sim.world.reception import Reception
from fleet_sim.world.rhythm import FLAT
from fleet_sim.world.rollout import Rollout, Turn, turn
from fleet_sim.world.weather import STILL
from fleet_sim.world.weektime import DAY_MS, HOUR_MS, WallClock
from vendors.sim import Chance

# Of a run too short for a whole delivery: in its last part nobody comes any more.
_LAST_PART: Final = 0.4


class World:
    """What the scenario's devices live in.

    Args:
        scenario: what it says.
        seed: of all chance.
        speed: how many seconds of the scenario pass in one of the run's.
    """

    def __init__(self, scenario: Scenario, seed: int, speed: float = 1.0) -> None:
        self.wall = WallClock(scenario.starts, speed)
        self.tour = courier.Tour()
        #: By place in `scenario.rollouts`: what became of it.
        self.told = [dict.fromkeys(("told", "failed"), 0) for _ in scenario.rollouts]
        #: Publishes on a device's command topic; None where there is no gateway.
        self.say: courier.Say | None = None
        self._scenario = scenario
        self._seed = seed
        self._speed = speed
        self._began_ms = self._ends_ms = 0.0
        self._resting = False
        self._couriers: dict[tuple[str, str], courier.Courier] = {}
        self._receptions: list[tuple[str, Reception]] = []
        self._populations: list[Population] = []
        self._units: Sequence[Unit] = ()
        self._hubs: set[int] = set()
        #: When in the week couriers come.
        self._shape = FLAT if scenario.deliveries is None else scenario.deliveries.shape()

    # --- before the run -----------------------------------------------------------------------

    def populations(
        self,
        epoch_ms: int,
        shard: Shard = WHOLE,
        *,
        only: Mapping[str, Sequence[int]] | None = None,
    ) -> list[Population]:
        """Everybody who lives in this shard of it, with how each is used.

        Args:
            epoch_ms: when the run begins, Unix ms.
            shard: which part of the fleet.
            only: or else the numbers of those that are meant, by vendor.

        Raises:
            ConfigError: an option that a vendor's devices do not have.
        """
        scenario = self._scenario
        for vendor, count in scenario.fleet.items():
            if only is not None and vendor not in only:
                continue
            population = Population(
                vendor,
                count,
                self._seed,
                epoch_ms,
                scenario.options.get(vendor),
                shard=shard,
                only=None if only is None else only[vendor],
                groups=scenario.special(vendor),
            )
            population.manners = [
                (numbers, manner)
                for numbers, group in scenario.groups(vendor)
                if (manner := self._manner(group)) is not None
            ]
            self._populations.append(population)
        return self._populations

    def _manner(self, group: Group) -> Manner | None:
        use, usual = group.habits, rhythm_of(self._scenario.rhythm)
        if use is None:
            return None if usual.flat else Manner(habits(group.vendor), 1.0, usual, self.wall)
        rates = {**habits(group.vendor), **use.rates}
        return Manner(rates, use.pace, rhythm_of(use.rhythm), self.wall)

    # --- the run ------------------------------------------------------------------------------

    def begin(self, units: Sequence[Unit], now_ms: float) -> None:
        """The scenario begins: everything that will happen to these is planned.

        Args:
            units: all devices of `populations`, in their order.
            now_ms: Unix ms of the run.
        """
        scenario = self._scenario
        self.wall.begin(now_ms)
        self._units = units
        self._began_ms = now_ms
        self._ends_ms = now_ms + scenario.seconds * 1000 / self._speed
        groups = scenario.fleet.groups
        radios = [scenario.radio, *(group.radio for group in groups)]
        wanted = {
            self._give_battery: scenario.batteries is not None,
            self._tell_firmware: any(group.firmware for group in groups),
            self._tune: bool(scenario.storms) or not all(radio.perfect for radio in radios),
            self._let_drift: any(group.drift_ms_per_day for group in groups),
            self._plan_rollouts: bool(scenario.rollouts),
            self._send_couriers: scenario.deliveries is not None,
        }
        stirs = [stir for stir, is_wanted in wanted.items() if is_wanted]
        # Of a million devices nobody looks at each for nothing.
        for unit, _, group in self._settled(units) if stirs else ():
            for stir in stirs:
                stir(unit, group)
        self._announce_storms()

    def residents(self, units: Sequence[Unit]) -> Iterator[Resident]:
        """The devices of this process, with their numbers and sites; see `begin`."""
        for unit, number, group in self._settled(units):
            yield Resident(unit, number, group.site)

    def _settled(self, units: Sequence[Unit]) -> Iterator[tuple[Unit, int, Group]]:
        """Each device with its number and its group."""
        those = iter(units)
        for population in self._populations:
            groups = iter(self._scenario.groups(population.vendor))
            numbers, group = next(groups)
            for number in population.spec.members:
                while number >= numbers.stop:
                    numbers, group = next(groups)
                yield next(those), number, group

    def heard(self, event: Mapping[str, Any], now_ms: float) -> None:
        """The bus said something."""
        ended = courier.finished(event) if self._couriers else None
        if ended is not None:
            found = self._couriers.get((ended["vendor"], ended["device"]))
            if found is not None:
                found.heard(ended, int(now_ms))

    def rest(self) -> None:
        """The scenario is over: nothing new happens, and everybody is back."""
        self._resting = True
        for one in self._couriers.values():
            one.rest()
        for _, reception in self._receptions:
            reception.rest()
        for unit in self._units:
            unit.come_back()

    def result(self) -> dict[str, Any]:
        """What a report says of it: deliveries and rollouts, where there were any."""
        found: dict[str, Any] = {}
        if self._scenario.deliveries is not None:
            found["deliveries"] = self.tour.figures()
        if self._scenario.rollouts:
            found["rollouts"] = [
                {"vendor": rollout.vendor, "to": rollout.to, **told}
                for rollout, told in zip(self._scenario.rollouts, self.told, strict=True)
            ]
        return found

    # --- what happens to one ------------------------------------------------------------------

    def _stream(self, purpose: str, unit: Unit) -> Chance:
        return stream(self._seed, f"{purpose}/{unit.name}")

    def _at(self, unit: Unit, at_s: float, what: Callable[[int], None]) -> None:
        """At this second of the scenario, unless it is over by then."""

        def due(now_ms: int) -> None:
            if not self._resting:
                what(now_ms)

        unit.fleet.agenda.at(round(self._began_ms + at_s * 1000 / self._speed), due)

    def _scenario_s(self, now_ms: float) -> float:
        return (now_ms - self._began_ms) * self._speed / 1000

    def _hourly(self, unit: Unit, rng: Chance, what: Callable[[int], None]) -> None:
        """Once an hour of the scenario, each device in its own minute."""

        def due(now_ms: int) -> None:
            if not self._resting:
                what(now_ms)
                unit.fleet.agenda.at(now_ms + max(1, round(HOUR_MS / self._speed)), due)

        unit.fleet.agenda.at(round(self._began_ms + rng.uniform(0, HOUR_MS) / self._speed), due)

    def outside_c(self, site: str, now_ms: float) -> float:
        """The temperature there."""
        weather = self._scenario.weather or STILL
        return weather.temperature_c(self.wall.at(now_ms), self._scenario_s(now_ms), site)

    def _give_battery(self, unit: Unit, group: Group) -> None:
        spec = self._scenario.batteries
        if spec is None or "battery" not in world_of(unit.vendor):
            return
        rng = self._stream("battery", unit)
        began_ms = int(self._began_ms)
        battery = unit.battery = Battery(spec, rng, began_ms)

        def look(now_ms: int) -> None:
            if battery.drain(now_ms, self.outside_c(group.site, now_ms), rng, self._speed):
                battery.told = battery.percent
                unit.act(f"battery:{battery.told}", now_ms)

        look(began_ms)
        self._hourly(unit, rng, look)

    def _tell_firmware(self, unit: Unit, group: Group) -> None:
        own = bool(group.firmware) and "firmware" not in of_one(unit.vendor)
        if own and "firmware" in world_of(unit.vendor):
            unit.act(f"firmware:{group.firmware}", int(self._began_ms))

    def _tune(self, unit: Unit, group: Group) -> None:
        radio = self._scenario.radio.worse(group.radio)
        if radio.perfect and not any(storm.over(group.site) for storm in self._scenario.storms):
            return
        # Behind one hub there is one link: its first device loses it for all.
        hub = unit.device.hub
        first = hub is None or id(hub) not in self._hubs
        self._hubs.add(id(hub))
        cuts = self._stream("cuts", unit) if first else None
        reception = Reception(unit, radio, self._stream("radio", unit), cuts, speed=self._speed)
        reception.weather([], int(self._began_ms))
        self._receptions.append((group.site, reception))

    def _let_drift(self, unit: Unit, group: Group) -> None:
        if not group.drift_ms_per_day:
            return
        rng = self._stream("drift", unit)
        a_day_ms = rng.gauss(0.0, group.drift_ms_per_day)
        told_ms = 0

        def look(now_ms: int) -> None:
            nonlocal told_ms
            wrong_ms = round(a_day_ms * self._scenario_s(now_ms) * 1000 / DAY_MS)
            if wrong_ms != told_ms:
                unit.act(f"clock:{wrong_ms - told_ms}", now_ms)
                told_ms = wrong_ms

        self._hourly(unit, rng, look)

    def _plan_rollouts(self, unit: Unit, group: Group) -> None:
        for number, rollout in enumerate(self._scenario.rollouts):
            if rollout.vendor == unit.vendor and rollout.site in (None, group.site):
                its = turn(rollout, self._stream(f"rollout/{number}", unit))
                if its is not None:
                    self._at(unit, its.down_s, partial(self._update, unit, rollout, number, its))

    def _update(self, unit: Unit, rollout: Rollout, number: int, its: Turn, _now_ms: int) -> None:
        """It loads what is new and boots; or it fails, and somebody has to come."""
        unit.leave()
        self.told[number]["failed"] += its.failed

        def done(now_ms: int) -> None:
            self.told[number]["told"] += 1
            if "firmware" in world_of(unit.vendor):
                unit.act(f"firmware:{rollout.to}", now_ms)
            unit.boot()

        self._at(unit, its.up_s, done)

    def _send_couriers(self, unit: Unit, group: Group) -> None:
        spec = self._scenario.deliveries
        assert spec is not None
        way = courier.habits_of if self.say is None else courier.way_of
        if not spec.come_to(unit.vendor, group.site) or way(unit.vendor) is None:
            return
        rng = self._stream("courier", unit)
        if rng.random() >= spec.share:
            return
        # How long a parcel takes is drawn when a door is open, which the gateway decides: it must
        # not move when the next one comes.
        one = courier.Courier(unit, spec, self._stream("parcel", unit), self.tour, self.say)
        self._couriers[unit.vendor, unit.device.name] = one
        self._expect(one, spec, rng, int(self._began_ms))

    def _expect(self, one: courier.Courier, spec: Deliveries, rng: Chance, now_ms: int) -> None:
        """The next delivery at this door, if there is time for all of it."""
        if spec.gaps_s:
            gap_ms = rng.choice(spec.gaps_s) * 1000 / self._speed
        else:
            mean_ms = rng.expovariate(spec.per_day / DAY_MS)
            gap_ms = self._shape.wait_ms(self.wall.at(now_ms), mean_ms) / self._speed
        at_ms = now_ms + max(1, round(gap_ms))
        length_ms = self._ends_ms - self._began_ms
        if at_ms + min(spec.longest_s * 1000, length_ms * _LAST_PART) > self._ends_ms:
            return

        def due(due_ms: int) -> None:
            if not self._resting:
                one.arrive(due_ms)
                self._expect(one, spec, rng, due_ms)

        one.unit.fleet.agenda.at(at_ms, due)

    def _announce_storms(self) -> None:
        """At each beginning and end of a storm every radio there gets worse, or better."""
        storms = self._scenario.storms
        for at_s in sorted({at_s for storm in storms for at_s in (storm.at_s, storm.until_s)}):
            for site, reception in self._receptions:
                if any(at_s in (storm.at_s, storm.until_s) for storm in storms if storm.over(site)):
                    blowing = [storm.radio for storm in storms if storm.blows(at_s, site)]
                    self._at(reception.unit, at_s, partial(reception.weather, blowing))
