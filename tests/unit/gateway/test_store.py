"""The store over a real file: all or nothing, one owner, and what gives way when it is full."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from devices.command import Command, Outcome, Result
from devices.errors import ConfigError, StoreError
from devices.kinds import LOCK
from gateway import store_file
from gateway.dead_letters import listed
from gateway.roster import Roster
from gateway.store import (
    DeadLetter,
    Dropped,
    Row,
    Store,
    Writes,
    begun,
    finished,
    prunings,
    result_of,
)

ROOT = Path(__file__).parents[3]
MIB = 1_048_576
FIRST = DeadLetter(5, "t", b"\xff\x00", "no such word", retained=True)


def row(number, device="a", *, decision=False, what="lock.changed", event=b"{}", at_ms=1_000):
    return Row(number, device, number, what, decision, at_ms, event)


def gap(number, device, count, first, last):
    data = {"count": count, "first_sequence": first, "last_sequence": last}
    return row(number, device, decision=True, what="gap", event=orjson.dumps({"data": data}))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cell.db"


@pytest.fixture
def opened(path):
    """A function that opens the store; whatever is still open is closed at the end."""
    stores = []

    def open_store(max_bytes=MIB, at=path):
        stores.append(Store(at, 1_234, max_bytes))
        return stores[-1]

    yield open_store
    for store in stores:
        if store.path is not None:
            close(store)


def close(store):
    if store.path is not None:
        store.close()
        store.path = None


def put(store, **writes):
    store.write(Writes(**writes))
    store.commit()


def test_one_transaction_holds_all_and_survives_the_next_opening(opened):
    store = opened()
    put(
        store,
        rows=[row(1), row(2, "b", decision=True)],
        twins=[("a", 1, b"{}"), ("b", 2, b"{}")],
        cursors=[("ring", 17)],
        dead_letters=[FIRST],
        sinks=[("mqtt", 0)],
    )
    close(store)

    again = opened()

    assert again.between(0, 99, 10) == [row(1), row(2, "b", decision=True)]
    assert again.cursor("ring") == 17
    assert again.cursor("other") is None
    assert [letter for _, letter in again.dead_letters()] == [FIRST]
    assert (again.outbox_rows, again.outbox_bytes, again.next_row) == (2, 4, 3)
    assert again.epoch_ms == 1_234
    assert again.moved_aside is None


def test_what_was_not_committed_never_was(opened):
    store = opened()
    put(store, rows=[row(1)], twins=[("a", 1, b"{}")])
    store.write(Writes(rows=[row(2)], twins=[("a", 2, b'{"x":1}')], cursors=[("ring", 2)]))
    close(store)

    again = opened()
    roster = Roster(site="s", vendor="v", kind=LOCK, devices_max=9)
    again.restore(roster)

    assert again.between(0, 99, 10) == [row(1)]
    assert again.cursor("ring") is None
    assert [(entry.name, entry.sequence) for entry in roster] == [("a", 1)]


def test_a_failed_transaction_leaves_the_counts_as_they_were(opened):
    store = opened()
    put(store, rows=[row(1), row(2)], sinks=[("s", 0)])
    before = (store.outbox_rows, store.outbox_bytes)

    with pytest.raises(StoreError, match=r"cell\.db"):
        store.write(Writes(rows=[row(3), row(2)], sinks=[("s", 1)]))

    assert (store.outbox_rows, store.outbox_bytes) == before
    assert [r.row for r in store.between(0, 99, 10)] == [1, 2]
    put(store, rows=[row(3)], sinks=[("s", 1)])
    assert [r.row for r in store.between(0, 99, 10)] == [2, 3]
    assert (store.outbox_rows, store.outbox_bytes) == (2, 4)


def test_a_row_stays_until_every_sink_has_it(opened):
    store = opened()
    put(store, rows=[row(n) for n in range(1, 6)], sinks=[("fast", 0), ("slow", 0)])

    put(store, sinks=[("fast", 5), ("slow", 2)])
    assert [r.row for r in store.between(0, 99, 10)] == [3, 4, 5]
    put(store, sinks=[("fast", 5), ("slow", 5)])

    assert (store.outbox_rows, store.outbox_bytes) == (0, 0)
    close(store)
    assert opened().next_row == 6, "numbers are not used again"


def test_a_sink_that_left_the_configuration_holds_nothing_up(opened):
    store = opened()
    put(store, rows=[row(1), row(2)], sinks=[("gone", 0), ("here", 0)])
    close(store)

    store = opened()
    put(store, sinks=[("here", 2)])

    assert store.outbox_rows == 0


def test_a_writer_killed_in_mid_flight_leaves_whole_transactions(path, opened):
    child = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from gateway.store import Row, Store, Writes
store = Store(Path({str(path)!r}), 7, 1 << 30)
n = 0
while True:
    rows = [Row(n + k, "a", n + k, "lock.changed", False, 1, b"x" * 700) for k in range(1, 11)]
    n += 10
    store.write(Writes(rows, [("a", n, b"{{}}")], [("ring", n)]))
    store.commit()
    print(n, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(20)]
        os.kill(writer.pid, signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().splitlines()]

    store = opened()
    roster = Roster(site="s", vendor="v", kind=LOCK, devices_max=9)
    store.restore(roster)
    rows = [r.row for r in store.between(0, 10**9, 10**9)]

    assert store.moved_aside is None
    assert rows == list(range(1, len(rows) + 1))
    assert len(rows) >= said[-1], "what it was told is durable, is"
    assert len(rows) % 10 == 0
    assert [entry.sequence for entry in roster] == [len(rows)] == [store.cursor("ring")]


@pytest.mark.parametrize("damage", ["no database", "torn pages", "an empty head"])
def test_a_corrupt_file_is_moved_aside_and_kept(path, opened, damage):
    store = opened()
    put(store, rows=[row(n, event=b"y" * 900) for n in range(1, 200)])
    close(store)
    bytes_ = bytearray(path.read_bytes())
    match damage:
        case "no database":
            bytes_[:] = b"this was never a database, but a text of some length" * 100
        case "torn pages":
            bytes_[8192:40960] = os.urandom(32768)
        case _:
            bytes_[:100] = bytes(100)
    path.write_bytes(bytes_)

    again = opened()

    assert again.moved_aside is not None
    assert again.moved_aside.read_bytes() == bytes(bytes_)
    assert again.between(0, 999, 10) == []
    put(again, rows=[row(1)])


def test_a_full_disk_at_the_start_lays_no_good_file_aside(path, opened):
    store = opened()
    put(store, rows=[row(1)])
    close(store)
    path.chmod(0o400)
    child = f"""
import os, resource, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from devices.errors import StoreError
from gateway.store import Row, Store, Writes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    store = Store(Path({str(path)!r}), 7, 1 << 20)
    store.write(Writes([Row(2, "a", 2, "t", False, 1, b"{{}}")]))
    store.commit()
except StoreError as error:
    os.write(2, str(error).encode())
    os._exit(3)
"""
    ended = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, timeout=60, check=False
    )

    assert ended.returncode == 3, ended.stderr
    assert str(path).encode() in ended.stderr
    path.chmod(0o600)
    again = opened()
    assert again.moved_aside is None
    assert again.between(0, 99, 10) == [row(1)]


def test_a_second_owner_is_refused_with_the_remedy(path, opened, monkeypatch):
    monkeypatch.setattr(store_file, "LOCK_WAIT_S", 0.1)
    first = opened()

    with pytest.raises(ConfigError, match="another gateway owns this store; stop it"):
        Store(path, 1, MIB)

    put(first, rows=[row(1)])
    close(first)
    assert opened().outbox_rows == 1


def test_a_folder_that_cannot_be_is_a_mistake_of_the_configuration(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="choose a writable `state_dir`"):
        Store(tmp_path / "file" / "cell.db", 1, MIB)


def test_the_oldest_telemetry_gives_way_and_decisions_do_not(opened):
    store = opened()
    put(
        store,
        rows=[
            row(1, "a", event=b"x" * 100),
            row(2, "b", decision=True, event=b"x" * 100),
            row(3, "b", event=b"x" * 100),
            row(4, "a", event=b"x" * 100),
            row(5, "a", event=b"x" * 100),
        ],
    )

    going = store.giving_way(250, 0)
    assert going.upto == 4
    assert sorted(going.dropped) == [Dropped("a", 2, 1, 4), Dropped("b", 1, 3, 3)]
    assert store.outbox_rows == 5, "nothing goes before the transaction that tells of it"
    put(store, gives_way=going.upto)

    assert [r.row for r in store.between(0, 99, 10)] == [2, 5]
    assert (store.outbox_rows, store.outbox_bytes) == (2, 200)
    assert store.giving_way(1, 0).upto == 5


def test_what_is_too_old_gives_way_whatever_the_room(opened):
    store = opened()
    put(store, rows=[row(1, at_ms=10), row(2, at_ms=20), row(3, at_ms=30)])

    assert store.giving_way(0, 21).dropped == [Dropped("a", 2, 1, 2)]


def test_an_older_gap_is_told_again_by_the_next_one(opened):
    store = opened()
    put(store, rows=[gap(5, "a", 4, 1, 4), row(6), row(7)])

    going = store.giving_way(10**6, 0)

    assert going.dropped == [Dropped("a", 7, 1, 7)]


def test_side_tables_keep_their_bounds_the_newest_stay(opened):
    store = opened()
    command = Command("c-1", "a", "Lock", 900)
    put(
        store,
        dead_letters=[DeadLetter(n, "t", b"x" * 10, "why") for n in range(20)],
        statements=[begun(command, 100)],
    )

    put(store, statements=prunings(15, 10**6, 0))
    assert [letter.at_ms for _, letter in store.dead_letters()] == list(range(5, 20))
    put(store, statements=prunings(15, 50, 101))

    assert [letter.at_ms for _, letter in store.dead_letters()] == list(range(15, 20))
    assert store.command("a", "c-1") is None


def test_a_command_is_known_from_its_beginning_to_its_end(opened):
    store = opened()
    command = Command("c-1", "a", "Lock", 900)
    put(store, statements=[begun(command, 100)])
    assert store.unfinished() == [command]
    assert result_of("c-1", store.command("a", "c-1")) is None

    result = Result("c-1", Outcome.FAILED, "jammed", 300)
    put(store, statements=[finished(command, result)])

    assert store.unfinished() == []
    assert result_of("c-1", store.command("a", "c-1")) == result


def test_dead_letters_are_read_from_outside_while_the_cell_runs(path, opened):
    put(opened(), dead_letters=[FIRST])

    assert listed(path) == [(1, FIRST)]


def test_no_store_is_said_so(tmp_path):
    with pytest.raises(ConfigError, match="no such store"):
        listed(tmp_path / "none.db")


def test_a_store_that_is_none_is_said_so(tmp_path):
    (tmp_path / "text.db").write_text("hello" * 1000)

    with pytest.raises(ConfigError, match=r"text\.db"):
        listed(tmp_path / "text.db")


def test_it_is_as_durable_as_it_says(path, opened):
    store = opened()
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)  # noqa: SLF001 -- FULL
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)  # noqa: SLF001
    assert sqlite3.threadsafety == 3, "COMMIT runs in another thread"
