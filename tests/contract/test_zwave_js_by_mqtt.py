"""The laws again, for locks behind the MQTT gateway of Z-Wave JS UI."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import pytest

from fleet_sim.conform.laws import LAWS, Bench, Law, WaivedError
from vendors.sim import Addresses, FleetSpec, RandomFor

OPTIONS: Final = {"transport": "mqtt"}


@cache
def bench() -> Bench:
    """A bench whose fleets speak MQTT."""
    made = Bench("zwave_js")
    module: Any = made.module

    def fleet(spec: FleetSpec, rng_for: RandomFor) -> Any:
        return module.fleet(replace(spec, options={**OPTIONS, **spec.options}), rng_for)

    def settings(spec: FleetSpec, at: Addresses) -> Any:
        return module.gateway_settings(replace(spec, options=OPTIONS), at)

    made.module = SimpleNamespace(
        HABITS=module.HABITS, FAULTS=module.FAULTS, fleet=fleet, gateway_settings=settings
    )
    return made


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_gateway_keeps_the_law_too(law: Law) -> None:
    try:
        law.check(bench())
    except WaivedError as reason:
        pytest.skip(str(reason))
