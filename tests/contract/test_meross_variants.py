"""Every model, firmware and transport of the fleet is held to the laws of every vendor."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from fleet_sim import virtual
from fleet_sim.conform.laws import LAWS, Bench, Law, WaivedError
from fleet_sim.scenario import Scenario
from vendors.meross import simulator
from vendors.sim import Addresses, FleetSpec, RandomFor

VARIANTS: Final[dict[str, dict[str, object]]] = {
    "old_firmware": {"firmware": "3.2.7"},
    "new_firmware": {"firmware": "4.2.8"},
    "three_doors": {"model": "msg200"},
    "three_doors_told_one_at_a_time": {"model": "msg200", "firmware": "4.2.1"},
    "lan": {"transport": "http"},
    "lan_encrypted": {"transport": "http", "encrypted": True},
    "lan_three_doors": {"model": "msg200", "transport": "http", "encrypted": True},
}


#: Faults of what a unit tells by itself; on the LAN it tells nothing.
OF_PUSHES: Final = {"no_push", "replayed"}


class Variant(SimpleNamespace):
    """The simulator's module, with options of its own, and the faults that show with them."""

    def __init__(self, options: dict[str, object]) -> None:
        without = OF_PUSHES if options.get("transport") == "http" else set()
        if options.get("model") != "msg200":
            without = without | {"channel_zero"}
        faults = {name: why for name, why in simulator.FAULTS.items() if name not in without}
        super().__init__(HABITS=simulator.HABITS, FAULTS=faults)
        self._options = options

    def _with(self, spec: FleetSpec) -> FleetSpec:
        return replace(spec, options={**self._options, **spec.options})

    def fleet(self, spec: FleetSpec, rng_for: RandomFor) -> Any:
        return simulator.fleet(self._with(spec), rng_for)

    def gateway_settings(self, spec: FleetSpec, at: Addresses) -> Any:
        return simulator.gateway_settings(self._with(spec), at)


@pytest.fixture(scope="module")
def benches() -> dict[str, Bench]:
    made = {}
    for name, options in VARIANTS.items():
        made[name] = Bench("meross")
        made[name].module = Variant(options)
    return made


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_keeps_the_laws(benches: dict[str, Bench], variant: str, law: Law) -> None:
    try:
        law.check(benches[variant])
    except WaivedError as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_bad_hour_of_a_variant_breaks_no_promise(variant: str) -> None:
    acts = [
        {"at": "5m", "for": "8m", "vendor": "meross", "fault": "sign_error", "share": 0.5},
        {"at": "15m", "for": "8m", "vendor": "meross", "fault": "reconnect_storm"},
        {"at": "25m", "for": "8m", "vendor": "meross", "fault": "truncated", "share": 0.5},
        {"at": "35m", "for": "8m", "vendor": "meross", "fault": "epoch_clock", "share": 0.5},
    ]
    scenario = Scenario.model_validate(
        {
            "hours": 1,
            "pace": 20,
            "fleet": {"meross": 6},
            "options": {"meross": VARIANTS[variant]},
            "acts": acts,
        }
    )

    result = virtual.run(scenario, seed=5)

    assert (result["verdict"], result["evidence"]) == ("pass", [])
    assert result["vendors"]["meross"]["events"] > 20
