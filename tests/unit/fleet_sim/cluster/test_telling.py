"""A shard's ledger passes on what it is told; the coordinator's makes the same of it."""

from fleet_sim.cluster.telling import Telling
from fleet_sim.ledger import Ledger
from vendors.sim import Truth


def event(value: str, sequence: int) -> dict[str, object]:
    return {
        "id": f"{value}-{sequence}",
        "sequence": sequence,
        "type": "doorfleet.lock.changed.v1",
        "data": {"vendor": "nuki", "device": "a", "changes": {"lock_state": {"value": value}}},
    }


def test_told_again_to_another_ledger_it_owes_the_same() -> None:
    told = Telling((), lambda: 5.0)
    told.truth("nuki", Truth("a", "lock_state", "Locked", 1, sent=True), at_ms=1.0)
    told.truth("nuki", Truth("a", "lock_state", "Unlocked", 2, sent=True), at_ms=2.0)
    told.truth("nuki", Truth("a", "lock_state", "Locked", 3, sent=True), at_ms=3.0)
    told.loosen("nuki", "a", 2.5)

    ledger = Ledger()
    news = told.take()
    for _, method, words, more in news:
        getattr(ledger, method)(*words, **more)
    ledger.event(event("Locked", 1), 4.0)

    assert [at_ms for at_ms, *_ in news] == [5.0] * 4
    assert ledger.close()["nuki"].lost == 1  # Unlocked; the last one was cut off, and may be
    assert told.take() == []


def test_where_nobody_listens_nothing_is_kept() -> None:
    told = Telling((), lambda: 5.0, keeps=False)
    told.truth("nuki", Truth("a", "lock_state", "Locked", 1, sent=True))
    told.loosen("nuki", "a", 0.0)

    assert told.take() == []


def test_of_a_device_whose_worker_was_lost_nothing_is_owed_and_nothing_measured() -> None:
    ledger = Ledger()
    for name in ("a", "b"):
        ledger.truth("nuki", Truth(name, "lock_state", "Locked", 1, sent=True), at_ms=1.0)
    ledger.disregard("nuki", "a")
    ledger.event(event("Unlocked", 1), 9_000.0)

    tally = ledger.close()["nuki"]

    assert (tally.lost, tally.invented, tally.events, tally.late) == (1, 0, 1, 0)
    assert tally.evidence[0].startswith("lost 1: nuki/b")
    assert tally.latencies == []
