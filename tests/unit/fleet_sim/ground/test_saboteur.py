"""What is refused before anybody misbehaves."""

from pathlib import Path

import pytest

from devices.errors import ConfigError
from fleet_sim.ground.saboteur import INSIDE, OUTSIDE, Saboteur, main, orders_of


def test_a_configuration_that_is_not_there_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_a_socket_has_no_room_for_a_long_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"state_dir: .* is too long for a socket; choose"):
        orders_of(tmp_path / ("x" * 100), "nuki")


def test_whatever_can_be_ordered_says_what_it_does() -> None:
    assert [name for name, way in INSIDE.items() if not way.__doc__] == []


async def test_what_nobody_can_do_is_not_ordered(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'sulk': unknown; known are hang, spin, .*freeze"):
        await Saboteur(tmp_path).order("nuki", "sulk", 1)


async def test_an_order_to_a_cell_that_is_not_there_reaches_nobody() -> None:
    saboteur = Saboteur(Path("/nowhere"))

    told = [await saboteur.order("nuki", what, 0.001) for what in (*INSIDE, *OUTSIDE)]

    assert not any(told)
