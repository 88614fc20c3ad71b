"""Rows to one sink: each in order, from memory or from the disk, none twice, none left out."""

import random

import pytest

from gateway.bus import feed as module
from gateway.bus.feed import Feed
from gateway.store import Row, Store, Writes


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "cell.db", 1, 1 << 30)
    yield made
    made.close()


def rows(first, last):
    return [Row(n, "d", n, "lock.changed", False, 1, b"{}") for n in range(first, last + 1)]


def commit(store, *feeds, first, last):
    store.write(Writes(rows(first, last)))
    store.commit()
    for feed in feeds:
        feed.committed(rows(first, last))


def feed_of(store, cursor=0, committed=0):
    return Feed(store, cursor, committed, lambda: None)


def deliver(feed, limit=100):
    taken = feed.take(limit)
    for row in taken:
        feed.delivered(row.row)
    return [row.row for row in taken]


def test_it_delivers_from_memory_in_order(store):
    feed = feed_of(store)
    commit(store, feed, first=1, last=5)

    assert deliver(feed, 3) == [1, 2, 3]
    assert feed.cursor == 3
    assert deliver(feed) == [4, 5]
    assert feed.idle
    assert feed.lag_rows == 0


def test_the_cursor_waits_for_the_first_that_has_not_arrived(store):
    feed = feed_of(store)
    commit(store, feed, first=1, last=4)
    feed.take(4)

    for row in (2, 4, 3):
        feed.delivered(row)
        assert feed.cursor == 0
    feed.delivered(1)

    assert feed.cursor == 4


def test_what_could_not_leave_is_the_next_again(store):
    feed = feed_of(store)
    commit(store, feed, first=1, last=5)
    taken = feed.take(5)
    feed.put_back(taken[2:])

    assert [row.row for row in feed.take(9)] == [3, 4, 5]


def test_one_that_fell_behind_reads_back_from_the_disk(store, monkeypatch):
    monkeypatch.setattr(module, "_MEMORY_ROWS", 10)
    monkeypatch.setattr(module, "_CHUNK_ROWS", 4)
    feed = feed_of(store)
    for start in range(1, 60, 5):
        commit(store, feed, first=start, last=start + 4)
    came = []
    while got := deliver(feed, 3):
        came += got

    assert came == list(range(1, 61))
    commit(store, feed, first=61, last=62)
    assert deliver(feed) == [61, 62], "and then from memory again"


def test_a_later_life_starts_where_the_noted_cursor_was(store):
    commit(store, first=1, last=9)
    feed = feed_of(store, cursor=4, committed=9)

    assert deliver(feed) == [5, 6, 7, 8, 9]


def test_rows_that_gave_way_are_not_waited_for(store):
    commit(store, first=1, last=9)
    feed = feed_of(store, cursor=0, committed=9)
    store.write(Writes(gives_way=9))
    store.commit()

    assert deliver(feed) == []
    assert feed.idle
    assert feed.cursor == 9


def test_two_feeds_know_nothing_of_each_other(store):
    fast, dead = feed_of(store), feed_of(store)
    commit(store, fast, dead, first=1, last=3)
    dead.take(2)

    assert deliver(fast) == [1, 2, 3]
    assert (fast.cursor, dead.cursor) == (3, 0)


def test_whatever_the_interleaving_every_row_comes_once_and_in_order(store, monkeypatch):
    monkeypatch.setattr(module, "_MEMORY_ROWS", 20)
    monkeypatch.setattr(module, "_CHUNK_ROWS", 7)
    rng = random.Random(7)
    feed, last, came, under_way = feed_of(store), 0, [], []
    while last < 1_000 or under_way or not feed.idle:
        if last < 1_000 and rng.random() < 0.4:
            upto = min(1_000, last + rng.randint(1, 30))
            commit(store, feed, first=last + 1, last=upto)
            last = upto
        taken = feed.take(rng.randint(0, 12))
        kept = rng.randint(0, len(taken))
        feed.put_back(taken[kept:])
        came += [row.row for row in taken[:kept]]
        under_way += [row.row for row in taken[:kept]]
        rng.shuffle(under_way)
        for _ in range(rng.randint(0, len(under_way))):
            feed.delivered(under_way.pop())
        assert feed.cursor <= min([*under_way, 10**9])

    assert came == list(range(1, 1_001))
    assert feed.cursor == 1_000
