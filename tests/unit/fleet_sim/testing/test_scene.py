"""What a test may say of its gateway, and what of its fleet; without starting either."""

from collections.abc import Iterator
from typing import Any

import pytest

from devices.errors import ConfigError
from fleet_sim.stage import BrokerAt
from fleet_sim.testing.backstage import Backstage
from fleet_sim.testing.fleet import Fleet
from fleet_sim.testing.scene import Scene
from fleet_sim.testing.wishes import SceneError, merged

CONFIG = {
    "site": "test",
    "log": {"level": "warning", "format": "console"},
    "cells": [
        {"vendor": "nuki", "settings": {"url": "mqtt://127.0.0.1"}},
        {"vendor": "uhppote", "settings": {"bind": "127.0.0.1:0"}},
    ],
}


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    one = Backstage()
    yield one
    one.close()


@pytest.fixture
def fleet(backstage: Backstage) -> Iterator[Fleet]:
    at = BrokerAt("embedded", "127.0.0.1", 1)
    scene = Scene(backstage, at, site="test", seed=1, sweep=False)
    yield Fleet(scene)
    scene.close()


def test_what_a_test_says_of_its_gateway_is_added_deep_down() -> None:
    extra = {
        "log": {"level": "debug"},
        "supervisor": {"hang_s": 2},
        "cells": {"uhppote": {"settings": {"poll_ms": 250}, "state_interval_ms": 0}},
    }

    found = merged(CONFIG, extra)

    assert found["log"] == {"level": "debug", "format": "console"}
    assert found["supervisor"] == {"hang_s": 2}
    assert found["cells"] == [
        CONFIG["cells"][0],
        {
            "vendor": "uhppote",
            "settings": {"bind": "127.0.0.1:0", "poll_ms": 250},
            "state_interval_ms": 0,
        },
    ]
    assert merged(CONFIG, {}) == CONFIG


def test_a_cell_of_nobody_in_the_fleet_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"gateway_config: cells\.tedee: no tedee in the fleet; there are nuki,"
    ):
        merged(CONFIG, {"cells": {"tedee": {}}})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, ["no devices; name some"]),
        ({"ratgo": 3}, ["unknown vendor 'ratgo'", "did you mean 'ratgdo'?"]),
        ({"nuki": 0, "ratgdo": -1}, ["nuki=0: write how many", "ratgdo=-1: write how many"]),
        ({"nuki": True}, ["nuki=True: write how many"]),
        ({"nuki": 1, "pace": -1}, ["pace=-1: write 0 for nobody"]),
        ({"nuki": 1, "options": {"tedee": {}}}, ["options of tedee: no tedee in the fleet"]),
        ({"tedee": 1, "options": {"tedee": {"colour": "red"}}}, ["tedee: options colour"]),
    ],
)
def test_a_fleet_that_cannot_be_is_refused_with_every_mistake(
    fleet: Fleet, asked: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        fleet(**asked)

    for each in said:
        assert each in str(refused.value)


def test_a_fleet_that_nobody_made_is_missed_with_the_remedy(fleet: Fleet) -> None:
    with pytest.raises(SceneError, match=r"make it first: fleet\(ratgdo=3, nuki=2\)"):
        fleet["nuki"]


def test_a_broker_that_is_not_there_is_named(fleet: Fleet) -> None:
    with pytest.raises(SceneError, match=r"broker mqtt://127\.0\.0\.1:1: .*; does it run\?"):
        fleet(nuki=1)
