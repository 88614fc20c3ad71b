"""Every mistake at once, each with file, place, value and remedy."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from devices.errors import ConfigError
from gateway.config import JsonlBus, MqttBus
from gateway.config_file import EXAMPLE, VARIABLE, find, load, parse

ROOT: Final = Path(__file__).parents[3]
GOOD: Final = """\
site: home
state_dir: /tmp/doorfleet
bus:
  - kind: mqtt
    url: mqtt://127.0.0.1:1883
cells:
  - vendor: nuki
    settings: {url: "mqtt://127.0.0.1:1883"}
"""


def problems(text: str, tmp_path: Path) -> list[str]:
    """What is said of this file, without the file's own name in front."""
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert all(problem.startswith(f"{file}: ") for problem in caught.value.problems)
    return [problem.removeprefix(f"{file}: ") for problem in caught.value.problems]


def changed(**keys: Any) -> str:
    return yaml.safe_dump(yaml.safe_load(GOOD) | keys)


def test_a_good_file_is_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)

    config = load(file)

    assert config.site == "home"
    assert [cell.name for cell in config.cells] == ["nuki"]
    assert config.cells[0].settings.url == "mqtt://127.0.0.1:1883"


def test_the_example_is_good_and_has_both_kinds_of_sink() -> None:
    config = load(ROOT / EXAMPLE)

    assert {type(bus) for bus in config.bus} == {MqttBus, JsonlBus}
    assert {"ratgdo", "nuki"} <= {cell.vendor for cell in config.cells}


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        """\
site: Home!
isolaton: task
bus:
  - kind: mqt
  - kind: mqtt
    url: http://b
cells:
  - vendor: nukki
  - vendor: nuki
    settings: {url: 5, keepalive_s: 0}
  - vendor: nuki
    settings: {url: "mqtt://a"}
    limits: {burst: -1, brust: 3}
""",
        tmp_path,
    )

    places = {problem.split(": ")[0] for problem in found}
    assert places == {
        "site",
        "state_dir",
        "isolaton",
        "bus[0]",
        "bus[1].url",
        "cells[0].vendor",
        "cells[1].settings.url",
        "cells[1].settings.keepalive_s",
        "cells[2].limits.burst",
        "cells[2].limits.brust",
        "2 cells are named 'nuki'; give each its own `name`",
    }


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"site": "Home"},
            "site: holds a character, or begins with one, that may not stand there (got",
        ),
        ({"site": 7}, "site: is no text (got 7); write text, in quotes if it looks like a number"),
        ({"isolaton": "task"}, 'isolaton: unknown key (got "task"); did you mean isolation?'),
        ({"bus": []}, "bus: holds too little (got a list); list at least 1"),
        ({"bus": "x"}, 'bus: is no list (got "x"); write a list, each entry behind `- `'),
        ({"bus": [{"kind": "mqt"}]}, "bus[0]: no such kind (got \"mqt\"); write 'mqtt', 'jsonl'"),
        ({"bus": [{"url": "x"}]}, "bus[0]: says no `kind` (got keys and values); add `kind`"),
        ({"cells": [{}]}, "cells[0].vendor: required, but missing; add it"),
        (
            {"cells": [{"vendor": "ratgod"}]},
            "cells[0].vendor: unknown vendor 'ratgod': did you mean 'ratgdo'? known are meross,",
        ),
        ({"cells": [{"vendor": "nuki"}]}, "cells[0].settings.url: required, but missing; add it"),
        ({"log": {"level": "loud"}}, "log.level: input should be 'debug', 'info', 'warning' or"),
        ({"supervisor": {"hang_s": 1, "heartbeat_s": 1}}, "supervisor: hang_s must be at least"),
        ({"supervisor": {"drain_s": float("nan")}}, "supervisor.drain_s: input should be"),
        ({"state_dir": None}, "state_dir: is no path (got null); write a path"),
        ({7: 1}, "[7]: a key that is no text (got 7); put it in quotes"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_each_mistake_names_its_place_value_and_remedy(
    keys: dict[str, Any], said: str, tmp_path: Path
) -> None:
    found = problems(changed(**keys) if 7 not in keys else GOOD + "7: 1\n", tmp_path)

    assert any(problem.startswith(said) for problem in found), found
    assert len(found) == 1


@pytest.mark.parametrize("key", ["password", "pasword", "secret", "api_token", "pin"])
def test_what_smells_of_a_secret_is_never_repeated(key: str, tmp_path: Path) -> None:
    bus = {"kind": "mqtt", "url": "mqtt://127.0.0.1", key: "hunter2"}

    found = problems(changed(bus=[bus, {"kind": key, key: "hunter2"}]), tmp_path)

    assert "hunter2" not in "\n".join(found)
    assert any("a value that is not shown" in problem for problem in found)


def test_a_password_is_asked_for_in_a_file_of_its_own(tmp_path: Path) -> None:
    bus = {"kind": "mqtt", "url": "mqtt://127.0.0.1", "password": "hunter2"}

    (found,) = problems(changed(bus=[bus]), tmp_path)

    assert found.endswith("put it into a file of its own and name that file in password_file")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "site: a\n\tx: 1\n",
            "line 2, column 1: found character '\\t' that cannot start any token",
        ),
        ("site: [1\nb: c\n", "line 2, column 2: expected ',' or ']', but got ':'"),
        ("site: a\nbus: 1\nsite: b\n", "line 3, column 1: the key 'site' stands here twice"),
        ("site: a\nx: \0\n", "line 2: the character 0 may not stand in YAML"),
        ("? [a]\n: b\n", "line 1, column 3: found unhashable key"),
        ("site: !!python/object:os.system x\n", "line 1, column 7: could not determine a constr"),
        ("", "is empty; begin with a copy of config/gateway.example.yaml"),
        ("- a\n", "holds no keys and values; begin with a copy of config/gateway.example.yaml"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    (found,) = problems(text, tmp_path)

    assert found.startswith(said)


def test_a_file_that_is_not_there_or_is_no_text_is_told(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"site: \xff\n")

    for file, said in (
        (tmp_path / "absent.yaml", "cannot be read: No such file or directory; begin with a copy"),
        (tmp_path, "cannot be read: Is a directory"),
        (binary, "byte 6 is not UTF-8; save the file as UTF-8"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(file)
        assert caught.value.problems[0].startswith(f"{file}: {said}")


def test_a_file_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert problems("site: a\nbus: &a [*a]\n", tmp_path) != []


def test_the_file_is_the_argument_or_what_the_variable_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="give the file as an argument, or name it in"):
        find(None)
    monkeypatch.setenv(VARIABLE, "from-variable.yaml")
    assert (find(None), find("given.yaml")) == (Path("from-variable.yaml"), Path("given.yaml"))


def test_plain_values_are_parsed_as_a_file_is() -> None:
    assert parse(yaml.safe_load(GOOD)).site == "home"
    with pytest.raises(ConfigError, match=r"^scenario: site: required"):
        parse(
            {key: value for key, value in yaml.safe_load(GOOD).items() if key != "site"},
            origin="scenario",
        )
