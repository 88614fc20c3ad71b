"""What several shards found is what one run would have found."""

from collections import Counter
from pathlib import Path
from typing import Any

from fleet_sim.cluster import merge
from fleet_sim.cluster.plan import Part, Restarted
from fleet_sim.journal import Digest
from fleet_sim.ledger import EVIDENCE_MAX, Tally
from fleet_sim.report import percentile
from fleet_sim.scenario import Scenario, load
from fleet_sim.timeline import Timeline
from fleet_sim.world.courier import Tour


def scenario(tmp_path: Path) -> Scenario:
    path = tmp_path / "two.yaml"
    path.write_text("description: Two.\nhours: 0.01\nfleet: {nuki: 3, ratgdo: 2}\n")
    return load(str(path))


def part(tallies: dict[str, Tally], **more: Any) -> Part:
    course = Timeline(tallies, 36.0)
    for _ in course.ends_s:
        course.close_bucket()
    return Part(tallies, more.get("cells", {}), course.so_far(), more.get("digest", Digest()))


def test_counts_add_up_and_a_percentile_is_of_all_latencies() -> None:
    fast = Tally(devices=2, frames=5, events=4, lost=1, latencies=[(1, 1.0)] * 99)
    slow = Tally(devices=1, frames=3, events=3, late=1, latencies=[(1, 900.0)])

    whole = merge.tallies([part({"nuki": fast}), part({"nuki": slow, "ratgdo": Tally(devices=2)})])

    nuki = whole["nuki"]
    assert (nuki.devices, nuki.frames, nuki.events, nuki.lost, nuki.late) == (3, 8, 7, 1, 1)
    assert percentile([ms for _, ms in nuki.latencies], 99) == 1.0  # and no mean of 1 and 900
    assert percentile([ms for _, ms in nuki.latencies], 100) == 900.0
    assert whole["ratgdo"].devices == 2


def test_the_shards_own_tallies_stay_as_they_were() -> None:
    one = Tally(devices=1, evidence=["lost 1: here"], latencies=[(1, 2.0)])

    merge.tallies([part({"nuki": one}), part({"nuki": one})])

    assert one == Tally(devices=1, evidence=["lost 1: here"], latencies=[(1, 2.0)])


def test_evidence_is_of_every_shard_and_not_endless() -> None:
    many = [part({"nuki": Tally(evidence=[f"lost 1: {n}-{k}" for k in range(15)])}) for n in "ab"]

    evidence = merge.tallies(many)["nuki"].evidence

    assert len(evidence) == EVIDENCE_MAX
    assert {line[8] for line in evidence} == {"a", "b"}


def test_a_report_names_cells_by_shard_and_what_was_begun_again(tmp_path: Path) -> None:
    up, down = {"state": "up"}, {"state": "failed", "reason": "memory"}
    tallies = {"nuki": Tally(devices=1, events=1), "ratgdo": Tally(devices=1, events=1)}
    parts = {
        1: part(tallies, cells={"nuki": down}, digest=Digest(2, 3)),
        0: part(tallies, cells={"nuki": up}, digest=Digest(5, 1)),
    }

    report = merge.result(scenario(tmp_path), 7, parts, [Restarted(1, "killed", 2.5)])

    assert report["cells"] == {"nuki#0": up, "nuki#1": down}
    assert report["problems"] == ["nuki#1: its cell is failed: memory"]
    assert report["verdict"] == "fail"
    assert report["vendors"]["ratgdo"]["devices"] == 2
    assert report["journal"] == {"digest": str(Digest(7, 4)), "lines": 4}
    assert report["workers"] == 2
    assert report["restarted"] == [{"shard": 1, "why": "killed", "at_s": 2.5}]
    assert report["timeline"]["vendors"]["nuki"]["events"][0] == 2


def test_a_vendor_that_one_shard_has_none_of_is_no_problem(tmp_path: Path) -> None:
    some = {"nuki": Tally(devices=3, events=1), "ratgdo": Tally(devices=2, events=2)}
    none = {"nuki": Tally(), "ratgdo": Tally()}

    report = merge.result(scenario(tmp_path), 7, {0: part(some), 1: part(none)}, [])

    assert report["verdict"] == "pass"


def test_deliveries_and_rollouts_are_those_of_all_shards(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "description: Two.\nhours: 1\nfleet: {nuki: 3}\n"
        "deliveries: {per_day: 5}\n"
        "rollouts: [{vendor: nuki, to: '3.6.4', at: 1m}]\n"
    )
    first = Tour(asked=3, done=2, refused=Counter(busy=1), seconds=[10.0, 20.0])
    second = Tour(asked=1, done=1, refused=Counter(busy=2), seconds=[30.0])

    found = merge.world(
        load(str(path)),
        7,
        [
            Part(tour=first, told=[{"told": 2, "failed": 1}]),
            Part(tour=second, told=[{"told": 3, "failed": 0}]),
        ],
    )

    assert found["deliveries"]["asked"] == 4
    assert found["deliveries"]["done"] == 3
    assert found["deliveries"]["refused"] == {"busy": 3}
    assert found["deliveries"]["p90_s"] == 30.0
    assert [(each["told"], each["failed"]) for each in found["rollouts"]] == [(5, 1)]


def test_what_went_over_the_connections_adds_up_and_the_worst_wait_is_the_worst() -> None:
    parts = [
        {"sessions": 3, "connects_per_s": 10.5, "worst_wait": 0.5},
        {"sessions": 2, "connects_per_s": 4.0, "worst_wait": 0.25},
        {},
    ]

    assert merge.wire(parts) == {"sessions": 5, "connects_per_s": 14.5, "worst_wait": 0.5}
