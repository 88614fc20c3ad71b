"""Our extension of Chaos Toolkit against the server of a run; `chaos run` itself is in interop."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from devices.errors import ConfigError, FleetError
from fleet_sim.chaostoolkit import actions, controls, probes
from fleet_sim.chaostoolkit.leases import LEASE_S, LEASES
from fleet_sim.meter import Moment, Row
from fleet_sim.watching.server import RunServer

WELL: Final = {"lost": 0, "duplicated": 0, "reordered": 0, "invented": 0}
SOON_S: Final = 10.0


@pytest.fixture
def run(turning: RunServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunServer]:
    """A run's server, to which DOORFLEET_RUN leads, and a run behind it that turns."""
    monkeypatch.setenv("DOORFLEET_RUN", turning.url)
    until(turns)
    yield turning
    LEASES.end()


def turns() -> bool:
    try:
        return probes.faults() == []
    except FleetError:
        return False


def moment(**tedee: Any) -> Moment:
    """Nuki is hurt; Tedee is well, unless it is said otherwise."""
    hurt = {"sins": {**WELL, "lost": 2, "reordered": 1}, "cell": "degraded", "p99_ms": None}
    rows = [row("nuki", **hurt), row("tedee", **tedee)]
    return Moment("street", 1, 10.0, 60.0, 10.0, virtual=False, rows=rows)


def row(vendor: str, **more: Any) -> Row:
    figures = {"cell": "up", "p99_ms": 20.0, "sins": WELL, **more}
    return Row(
        vendor=vendor,
        devices=2,
        connected=2,
        fault="",
        frames_per_s=1.0,
        events_per_s=1.0,
        p50_ms=5.0,
        **figures,
    )


def test_probes_say_how_a_vendor_is(run: RunServer) -> None:
    run.show(moment())

    assert (probes.harm("nuki"), probes.harm("tedee")) == (3, 0)
    assert (probes.cell_state("nuki"), probes.cell_state("tedee")) == ("degraded", "up")
    assert probes.p99_ms("tedee") == 20.0
    with pytest.raises(FleetError, match="nuki: no event in"):
        probes.p99_ms("nuki", within_s=0.1)


@pytest.mark.parametrize(
    ("tedee", "said"),
    [
        ({}, ""),
        ({"sins": {**WELL, "invented": 4}}, "tedee: 4 invented"),
        ({"cell": "down"}, "tedee: its cell is down"),
        ({"p99_ms": 300.0}, "tedee: p99 300.0 ms, above 250"),
    ],
)
def test_who_else_was_hurt_is_said_and_fails_the_hypothesis(
    run: RunServer, caplog: pytest.LogCaptureFixture, tedee, said: str
) -> None:
    run.show(moment(**tedee))

    with caplog.at_level(logging.WARNING, "chaostoolkit"):
        unhurt = probes.healthy_vendors_unhurt("nuki", p99_ms_max=250)

    assert unhurt == (not said)
    assert [record.getMessage() for record in caplog.records] == ([said] if said else [])
    assert not probes.healthy_vendors_unhurt([])
    assert probes.healthy_vendors_unhurt(["nuki", "tedee"])


def test_a_vendor_that_is_not_there_is_no_vendor_that_is_well(run: RunServer) -> None:
    run.show(moment())

    for probe in (probes.harm, probes.p99_ms, probes.cell_state, probes.healthy_vendors_unhurt):
        with pytest.raises(FleetError, match="nukki: not in this fleet; there is nuki, tedee"):
            probe("nukki")


def test_actions_break_and_heal_what_is_meant(run: RunServer) -> None:
    hang = actions.break_vendor("nuki", "hang", share=0.5, for_s=30)
    late = actions.break_vendor("tedee", "latency", settings={"latency_ms": 300})
    assert (hang["struck"], hang["lease_s"], late["settings"]["latency_ms"]) == (
        ["39000001"],
        None,
        300,
    )
    with pytest.raises(ConfigError, match="hang"):
        actions.break_vendor("nuki", "hagn")

    assert actions.heal(vendor="nuki", fault="latency") == []
    assert actions.heal(vendor="nuki") == [hang["id"]]
    assert [each["id"] for each in probes.faults()] == [late["id"]]
    actions.heal_all()
    assert probes.faults() == []


def test_under_the_control_a_fault_is_held_and_ends_with_the_experiment(run: RunServer) -> None:
    controls.configure_control()
    actions.break_vendor("nuki", "hang", for_s=60)

    def left_s() -> float:
        (fault,) = probes.faults()
        lease_s: float = fault["lease_s"]
        return lease_s

    assert left_s() <= LEASE_S
    until(lambda: left_s() < LEASE_S - 0.3)
    until(lambda: left_s() > LEASE_S - 0.3)  # somebody has renewed it

    controls.after_experiment_control(context={}, state={})
    assert probes.faults() == []
    assert not LEASES.at_work


def until(holds: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < limit_s
        time.sleep(0.02)
