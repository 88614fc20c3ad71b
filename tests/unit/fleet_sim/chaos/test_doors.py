"""No command moves a door twice, late, or stale."""

from typing import Any

from fleet_sim.chaos.doors import wrong


def command(id_: str = "c1", asked_s: float = 10.0, name: str = "UnlockDoor", **more: Any) -> Any:
    return {
        "device": "nuki/1",
        "id": id_,
        "name": name,
        "asked_s": [asked_s],
        "deadline_s": asked_s + 90,
        "results": [],
        **more,
    }


def moved(at_s: float, device: str = "nuki/1", value: object = "Unlocking") -> Any:
    return {"at_s": at_s, "device": device, "did": "received", "changes": {"motion": value}}


def found(commands: list[Any], actuations: list[Any], late_s: float = 0.0) -> list[str]:
    return list(wrong(commands, actuations, "nuki", late_s=late_s))


def test_a_door_may_move_once_for_each_command() -> None:
    two = [command("c1", 10), command("c2", 60)]

    assert found(two, [moved(11), moved(61)]) == []


def test_a_door_that_moves_twice_by_one_command_is_told() -> None:
    (said,) = found([command()], [moved(11), moved(17)])

    assert said.startswith("nuki/1 moved twice by c1, again at 17.0 s")


def test_what_closes_may_be_said_again() -> None:
    assert found([command(name="LockDoor")], [moved(11), moved(31)]) == []


def test_a_door_that_moves_and_nobody_asked_is_told() -> None:
    (said,) = found([], [moved(5)])

    assert "nobody had asked" in said


def test_a_door_that_moves_after_the_deadline_is_told_unless_the_wire_is_late() -> None:
    assert len(found([command()], [moved(130)])) == 1
    assert found([command()], [moved(130)], late_s=30) == []


def test_a_door_that_moves_by_a_command_that_was_rejected_is_told() -> None:
    no = {"outcome": "rejected", "reason": "stale_state", "at_s": 10, "finished_s": 10}

    (said,) = found([command(results=[no])], [moved(11)])

    assert said.endswith("which was rejected: stale_state")


def test_a_door_that_is_found_at_rest_does_not_begin_to_move() -> None:
    rests = {"main_state": "Stopped", "target_position": "None"}
    arrived = {"motion": None, "lock_state": "Locked"}

    assert found([], [{**moved(5), "changes": rests}, {**moved(9), "changes": arrived}]) == []


def test_a_command_that_succeeds_after_its_time_is_told() -> None:
    late = {"outcome": "succeeded", "reason": None, "at_s": 140.0, "finished_s": 140.0}
    told_late = {**late, "finished_s": 60.0}

    (said,) = found([command(results=[late])], [])

    assert said == "nuki/1: c1 succeeded at 140.0 s, due by 100.0 s"
    assert found([command(results=[told_late])], []) == []


def test_a_board_that_looks_again_moves_nothing_and_others_are_not_looked_at() -> None:
    assert found([], [moved(5, value=None), moved(5, device="tedee/1")]) == []
