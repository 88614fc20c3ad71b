"""The shape of the configuration: names, sinks per cell, and the schema that editors read."""

import json
from pathlib import Path
from random import Random
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml
from pydantic import ValidationError

from gateway import config_schema
from gateway.config import GatewayConfig, JsonlBus, MqttBus, Supervision

CONFIG: Final = Path(__file__).parents[3] / "config"
MQTT: Final = {"kind": "mqtt", "url": "mqtt://127.0.0.1"}


def whole(**keys: Any) -> GatewayConfig:
    return GatewayConfig.model_validate(
        {"site": "home", "state_dir": "s", "bus": [MQTT], "cells": [{"vendor": "nuki"}], **keys}
    )


def test_a_cell_is_named_after_its_vendor_unless_it_says_otherwise() -> None:
    cells = [{"vendor": "nuki"}, {"vendor": "nuki", "name": "nuki-2"}]

    assert [cell.name for cell in whole(cells=cells).cells] == ["nuki", "nuki-2"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"cells": [{"vendor": "nuki"}, {"vendor": "nuki"}]}, "2 cells are named 'nuki'"),
        ({"bus": [MQTT, MQTT]}, "2 sinks of `bus` are named 'mqtt'"),
        (
            {
                "cells": [{"vendor": "nuki"}, {"vendor": "ratgdo"}],
                "bus": [{"kind": "jsonl", "path": "events"}],
            },
            "2 sinks would write the file events; put {cell} into the path",
        ),
        (
            {
                "cells": [{"vendor": "nuki"}, {"vendor": "ratgdo"}],
                "bus": [{**MQTT, "client_id": "me"}],
            },
            "client_id 'me' would be shared by all cells",
        ),
    ],
)
def test_what_would_be_in_each_others_way_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        whole(**keys)

    assert said in str(caught.value)


def test_each_cell_can_be_somebody_of_its_own_to_the_broker() -> None:
    bus = MqttBus(
        url="mqtts://b", username="{cell}", cert_file=Path("t/{cell}.pem"), key_file=Path("k")
    ).of("nuki")

    assert (bus.username, bus.cert_file, bus.key_file) == ("nuki", Path("t/nuki.pem"), Path("k"))
    assert JsonlBus(path=Path("{cell}.jsonl")).path_of("nuki") == Path("nuki.jsonl")


def test_the_schema_for_editors_is_fresh() -> None:
    written = (CONFIG / "gateway.schema.json").read_bytes()

    assert written == config_schema.text(), "run `make schemas`"


def test_the_schema_takes_the_example_and_refuses_what_the_gateway_refuses() -> None:
    example = yaml.safe_load((CONFIG / "gateway.example.yaml").read_text())
    validator = jsonschema_rs.validator_for(json.loads(config_schema.text()))

    assert validator.is_valid(example)
    assert not validator.is_valid(example | {"isolaton": "task"})
    assert not validator.is_valid(example | {"cells": [{"vendor": "nuki", "settings": {"x": 1}}]})


def test_waits_double_up_to_their_ceiling_and_are_drawn_below_it() -> None:
    times = Supervision(restart_base_ms=100, restart_max_ms=1_000)
    rng = Random(1)

    for failures, ceiling_ms in ((0, 100), (1, 200), (3, 800), (4, 1_000), (5_000, 1_000)):
        waits = [times.backoff.delay_ms(failures, rng) for _ in range(300)]
        assert 0 <= min(waits) < 0.1 * ceiling_ms
        assert 0.9 * ceiling_ms < max(waits) <= ceiling_ms
