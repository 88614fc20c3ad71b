"""`doorfleet-sim proxy` as typed: what it refuses, and how it says so."""

import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import pytest

import fleet_sim.proxy
from fleet_sim import chance, cli
from fleet_sim.proxy import orders
from fleet_sim.proxy.catalogue import TOXICS
from fleet_sim.proxy.flow import Wanted
from fleet_sim.proxy.serve import toxic_of
from fleet_sim.proxy.stage import Stage
from fleet_sim.proxy.toxic import Toxic, milliseconds
from fleet_sim.verbs.proxy import _EXAMPLES

README: Final = Path(fleet_sim.proxy.__file__).with_name("README.md").read_text()
ONE = ["--listen", "0", "--upstream", "127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "0"], "--listen and --upstream belong together"),
        (["--config", "/nowhere.json"], "--config /nowhere.json: there is no such file"),
        (["--toxic", "latency"], "--toxic is of the one proxy"),
        ([*ONE, "--toxic", "latency:x=1"], "--toxic latency:x=1: bad request body: attributes.x"),
        ([*ONE, "--toxic", "latncy"], "--toxic latncy: invalid toxic type: 'latncy'; known are"),
        ([*ONE, "--protocol", "ftp"], "--protocol ftp: bad request body: protocol: 'ftp' is none"),
    ],
)
def test_bad_input_is_refused_with_its_remedy_before_anything_starts(
    arguments, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["proxy", *arguments]) == cli.BAD_INPUT
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting property name"),
        ('[{"name": "web"}]', "missing required field: upstream at proxy 1"),
    ],
)
def test_a_file_that_is_wrong_is_bad_input(text, said, tmp_path, capsys) -> None:
    config = tmp_path / "proxies.json"
    config.write_text(text)

    assert cli.main(["proxy", "--api", "0", "--config", str(config)]) == cli.BAD_INPUT
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--api"], ["--upstream", "127.0.0.1:1", "--listen"]])
def test_an_address_that_is_taken_is_said_with_who_has_it(
    arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert cli.main(["proxy", *arguments, str(port)]) == cli.COULD_NOT

    assert f"127.0.0.1:{port} is taken" in capsys.readouterr().err


def test_toxics_are_listed_for_people_and_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["proxy", "--toxics"]) == cli.OK
    assert "mqtt_drop: Packets are lost" in capsys.readouterr().out
    assert cli.main(["proxy", "--toxics", "--json"]) == cli.OK
    assert set(json.loads(capsys.readouterr().out)) == set(TOXICS)


def test_every_example_of_the_help_is_a_command_line_that_it_takes() -> None:
    examples = re.findall(r"^  doorfleet-sim (.+)$", _EXAMPLES, re.MULTILINE)

    assert len(examples) >= 5
    for example in examples:
        assert cli.build().parse_args(example.split()).act is not None


def test_every_command_of_the_readme_is_one_that_it_takes() -> None:
    programs = re.findall(r"^\.venv/bin/doorfleet-sim (.+)$", README, re.MULTILINE)
    assert len(programs) >= 5
    for line in programs:
        options = cli.build().parse_args(line.split())
        assert options.act is not None
        assert [toxic_of(text).name for text in options.toxic] or not options.listen

    orders_ = re.findall(r"^curl localhost:8474/(\S+) -d '(.+)'$", README, re.MULTILINE)
    assert [
        (orders.toxic if path.endswith("toxics") else orders.proxy)(json.loads(body)).name
        for path, body in orders_
    ] == ["mqtt", "latency_downstream", "mqtt_drop_upstream"]


def test_every_toxic_is_in_the_readme_and_so_is_one_of_ones_own(course) -> None:
    assert [name for name in TOXICS if f"`{name}`" not in README] == []

    (code,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    names = {each.__name__: each for each in (dataclass, Toxic, Stage, milliseconds)}
    exec(code, names := {**names, "ClassVar": ClassVar})
    sent = course(Wanted("stutter", names["Stutter"](), chance.stream(1, "x"))).says(b"a")

    assert sent.all() == [(0, b"a"), (100, b"a")]
