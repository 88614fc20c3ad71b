"""A disk that forgets, tears, fills up and fails, by itself and under a store."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices.errors import StoreError
from fleet_sim.chance import stream
from fleet_sim.clock import SimLoop
from fleet_sim.ground.disk import SECTOR_BYTES, Piece, SimDisk, SimFile, pieces, survivors
from gateway.store import Row, Store, Writes
from gateway.store_file import UnreadableError

SEEDS = range(200)


def row(number: int, size: int = 100) -> Row:
    return Row(number, "a", number, "lock.changed", False, 0, b"x" * size)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[SimDisk], Store]]:
    stores = []

    def open_store(disk: SimDisk) -> Store:
        stores.append(Store(tmp_path / f"{len(stores)}.db", 1, 2**20, disk))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


# --- a file -----------------------------------------------------------------------------------


def test_a_write_is_cut_where_sectors_end() -> None:
    cut = pieces(b"a" * 12 + b"b" * SECTOR_BYTES + b"c", SECTOR_BYTES - 12)

    assert cut == [
        Piece(SECTOR_BYTES - 12, b"a" * 12),
        Piece(SECTOR_BYTES, b"b" * SECTOR_BYTES),
        Piece(2 * SECTOR_BYTES, b"c"),
    ]


def test_a_write_within_a_sector_is_one_piece() -> None:
    assert pieces(b"abc", 0) == [Piece(0, b"abc")]


def test_what_was_synced_survives_whatever_chance_does() -> None:
    for seed in SEEDS:
        file = SimFile()
        file.write(b"old" * 1_000, 0)
        file.sync()
        file.write(b"new" * 400, 3_000)
        file.lose_power(stream(seed, "power"))

        assert file.content[:3_000] == b"old" * 1_000
        assert file.content == file.durable
        assert file.unsynced == []


def test_of_what_was_not_synced_everything_can_happen_but_a_torn_sector() -> None:
    kept = set()
    for seed in SEEDS:
        file = SimFile()
        file.write(b"-" * 3 * SECTOR_BYTES, 0)
        file.sync()
        file.write(b"1" * 3 * SECTOR_BYTES, 0)
        file.lose_power(stream(seed, "power"))
        sectors = [bytes(file.content[at : at + SECTOR_BYTES]) for at in (0, 512, 1024)]
        assert {len(set(sector)) for sector in sectors} == {1}
        kept.add("".join(chr(sector[0]) for sector in sectors))

    assert len(kept) == 2**3


def test_a_file_may_end_where_it_ended_before_and_holes_are_zeros() -> None:
    ends = set()
    for seed in SEEDS:
        file = SimFile()
        file.write(b"x" * 2_000, 0)
        file.sync()
        file.truncate(0)
        file.write(b"y" * 10, 1_000)
        file.lose_power(stream(seed, "power"))
        ends.add((len(file.content), bytes(file.content[:1])))

    assert ends == {(2_000, b"x"), (0, b""), (1_010, b"\0")}


def test_survivors_are_now_a_beginning_and_now_anything() -> None:
    found = {tuple(survivors([1, 2, 3], stream(seed, "s"))) for seed in SEEDS}

    assert {(), (1,), (1, 2), (1, 2, 3), (3,), (1, 3)} <= found


# --- a disk under a store ---------------------------------------------------------------------


def test_what_was_committed_is_there_after_the_power_cut_and_what_was_only_written_is_not(
    tmp_path: Path,
) -> None:
    disk = SimDisk(7)
    store = Store(tmp_path / "a.db", 1, 2**20, disk)
    store.write(Writes([row(1)]))
    store.commit()
    store.write(Writes([row(2)]))
    disk.cut_power()
    store.close()

    disk.power_on()
    again = Store(tmp_path / "a.db", 1, 2**20, disk)

    assert again.between(0, 9, 9) == [row(1)]
    again.close()


def test_the_power_goes_in_the_middle_of_a_commit_and_only_once(
    opened: Callable[[SimDisk], Store],
) -> None:
    disk, gone = SimDisk(7), []
    disk.on_power_cut = lambda: gone.append(disk.deeds)
    store = opened(disk)
    store.write(Writes([row(1)]))
    disk.cut_power_in(2)
    with pytest.raises(StoreError, match="the power went"):
        store.commit()

    assert gone == [disk.deeds]
    assert not disk.powered
    disk.power_on()
    with pytest.raises(StoreError, match="the power went"):
        store.write(Writes([row(1)]))  # the power is back, but these are a dead process's files


def test_a_full_disk_refuses_what_makes_a_file_grow_until_there_is_room(
    opened: Callable[[SimDisk], Store],
) -> None:
    disk = SimDisk(7)
    store = opened(disk)
    disk.capacity_bytes = disk.used_bytes + 4_096
    store.write(Writes([row(1, 20_000)]))
    with pytest.raises(StoreError, match="the disk is full") as caught:
        store.commit()
    disk.capacity_bytes = None
    store.write(Writes([row(1, 20_000)]))
    store.commit()

    assert not isinstance(caught.value, UnreadableError)
    assert store.between(0, 9, 9) == [row(1, 20_000)]


def test_a_disk_that_fails_is_no_reason_to_lay_a_store_aside(
    opened: Callable[[SimDisk], Store],
) -> None:
    disk = SimDisk(7)
    store = opened(disk)
    store.write(Writes([row(1)]))
    disk.failing = True
    with pytest.raises(StoreError, match="the disk fails") as caught:
        store.commit()
    disk.failing = False
    store.write(Writes([row(1)]))
    store.commit()

    assert not isinstance(caught.value, UnreadableError)


def test_a_commit_takes_its_time_in_the_time_of_the_run() -> None:
    async def commit() -> tuple[float, float]:
        disk, loop = SimDisk(7), asyncio.get_running_loop()
        disk.commit_s = 3.0
        done_s = []
        await disk.commit(lambda: done_s.append(loop.time()))
        return done_s[0], loop.time()

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(commit()) == (1.5, 3.0)


def test_a_commit_whose_machine_went_dark_meanwhile_has_told_nobody() -> None:
    async def commit() -> None:
        disk = SimDisk(7)
        disk.commit_s = 3.0
        asyncio.get_running_loop().call_later(2, disk.cut_power)
        await disk.commit(lambda: None)

    with asyncio.Runner(loop_factory=SimLoop) as runner, pytest.raises(StoreError, match="power"):
        runner.run(commit())


def test_a_file_that_nobody_synced_may_be_gone_and_a_deleted_one_be_back(tmp_path: Path) -> None:
    path = str(tmp_path / "some")
    outcomes = set()
    for seed in SEEDS:
        disk = SimDisk(seed)
        disk.xOpen(path, [0, 0]).xSync(0)
        disk.xOpen(path + "-new", [0, 0]).xWrite(b"x", 0)
        disk.xDelete(path, False)
        disk.cut_power()
        disk.power_on()
        outcomes.add((disk.xAccess(path, 0), disk.xAccess(path + "-new", 0)))

    assert outcomes == {(False, False), (False, True), (True, False), (True, True)}


def test_the_same_seed_loses_the_same(tmp_path: Path) -> None:
    def kept(seed: int) -> list[bytes]:
        disk = SimDisk(seed)
        files = [disk.xOpen(str(tmp_path / name), [0, 0]) for name in "abc"]
        for file in files:
            file.xSync(0)
            file.xWrite(b"z" * 5_000, 0)
        disk.cut_power()
        disk.power_on()
        return [disk.xOpen(str(tmp_path / name), [0, 0]).xRead(5_000, 0) for name in "abc"]

    assert kept(3) == kept(3)
    assert kept(3) != kept(4)
