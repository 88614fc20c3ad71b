"""The laws again, for openers that are not fitted as the default fleet's are."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Final

import pytest

from fleet_sim.conform.laws import LAWS, Bench, Law, WaivedError, busy_street

VARIANTS: Final = {
    "mqtt-seen": {"transport": "mqtt", "secv": 0},
    "mqtt-heard": {"transport": "mqtt", "secv": 2},
    "mqtt-contact": {"transport": "mqtt", "secv": 0, "sensor": "switch", "alarm_s": 10},
    "http-side": {"secv": 0, "sensor": "side", "alarm_s": 0},
    "http-heard": {"secv": 1},
}
#: That a fault makes a difference is asked of the default fleet.
FAULTS_SHOW: Final = "each_fault_shows_is_survived_and_heals"


@cache
def bench(variant: str) -> Bench:
    made = Bench("opengarage")
    real, options = made.module, VARIANTS[variant]
    made.module = SimpleNamespace(
        HABITS=real.HABITS,
        FAULTS=real.FAULTS,
        fleet=lambda spec, rng_for: real.fleet(
            replace(spec, options={**options, **spec.options}), rng_for
        ),
        gateway_settings=lambda spec, at: real.gateway_settings(replace(spec, options=options), at),
    )
    return made


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "law", [each for each in LAWS if each.name != FAULTS_SHOW], ids=lambda law: law.name
)
def test_a_variant_keeps_the_law(variant: str, law: Law) -> None:
    try:
        law.check(bench(variant))
    except WaivedError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("variant", [each for each in VARIANTS if each.startswith("mqtt")])
def test_each_fault_is_survived_and_heals(variant: str) -> None:
    made = bench(variant)

    for fault in made.module.FAULTS:

        async def play(here, fault=fault) -> None:
            await busy_street(here, fault)

        here = made.street(play, fresh=True)
        for device in here.devices:
            true, axes = here.finally_true(device.name), here.twins[device.name].axes
            assert (fault, {key: axes[key].value for key in true}) == (fault, true)
