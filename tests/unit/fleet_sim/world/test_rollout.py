"""New firmware in waves: whose turn it is when."""

from typing import Any

import pytest
from pydantic import ValidationError

from fleet_sim.chance import stream
from fleet_sim.world.rollout import Rollout, turn


def rollout(**more: Any) -> Rollout:
    return Rollout.model_validate(
        {"at": "1h", "vendor": "nuki", "to": "4.0", "waves": ["10%", "50%", 1.0], **more}
    )


def turns(spec: Rollout, count: int = 2_000) -> list[Any]:
    return [turn(spec, stream(4, f"rollout/0/{number}")) for number in range(count)]


def test_each_wave_reaches_its_share_in_its_time() -> None:
    spec = rollout(every="2h", within="30m")
    found = turns(spec)

    waves = [sum(each.wave == wave for each in found) / len(found) for wave in range(3)]
    assert waves == pytest.approx([0.1, 0.4, 0.5], abs=0.04)
    for each in found:
        begins_s = 3600 + each.wave * 7200
        assert begins_s <= each.down_s < begins_s + 1800
        assert 42 <= each.up_s - each.down_s <= 96
    assert spec.until_s == 3600 + 2 * 7200 + 1800


def test_where_it_fails_it_is_tried_again() -> None:
    found = turns(rollout(fails="20%", retry="1h"))

    failed = [each for each in found if each.failed]
    assert len(failed) / len(found) == pytest.approx(0.2, abs=0.04)
    assert all(each.up_s - each.down_s > 3600 for each in failed)


def test_some_may_never_get_it() -> None:
    assert sum(each is None for each in turns(rollout(waves=[0.25]))) == pytest.approx(1500, abs=80)


def test_a_devices_turn_is_its_own() -> None:
    assert turns(rollout(), 10) == turns(rollout(), 20)[:10]


@pytest.mark.parametrize("waves", [[], [0.5, 0.1], [0.5, 0.5], [0, 1], ["110%"], ["many%"]])
def test_waves_that_do_not_rise(waves: list[Any]) -> None:
    with pytest.raises(ValidationError):
        rollout(waves=waves)
