"""What a gateway is told of a fleet on real sockets."""

from pathlib import Path

from fleet_sim.wiring import config_of


def test_what_a_scenario_tells_a_cell_replaces_nothing_beside_it() -> None:
    config = config_of(
        {"zwave_js": {"server": {"url": "ws://127.0.0.1:3000", "poll_interval_s": 60}}},
        site="sim",
        bus_url="mqtt://127.0.0.1:1883",
        state_dir=Path("state"),
        told={"zwave_js": {"server": {"poll_interval_s": 3600}}, "nuki": {"keepalive_s": 5}},
    )

    (cell,) = config["cells"]
    assert cell["vendor"] == "zwave_js"
    assert cell["settings"] == {"server": {"url": "ws://127.0.0.1:3000", "poll_interval_s": 3600}}
