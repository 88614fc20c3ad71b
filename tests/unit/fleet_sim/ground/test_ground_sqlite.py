"""A simulated disk's connection, held against the one of Python's own module."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleet_sim.ground.disk import SimDisk
from gateway.app import RealDisk


@pytest.fixture(params=[RealDisk, lambda: SimDisk(1)], ids=["sqlite3", "simulated"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    disk = request.param()
    with closing(disk.connect(tmp_path / "some.db")) as connection:
        for pragma in disk.pragmas:
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript("CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB); CREATE TABLE u(a)")
        yield connection


def test_rows_come_back_as_they_went_in(db: Any) -> None:
    db.execute("BEGIN IMMEDIATE")
    within = db.in_transaction
    db.executemany("INSERT INTO t VALUES (?, ?)", [(1, b"\x00\xff"), (2, None), (3, "ü")])
    db.execute("COMMIT")

    rows = db.execute("SELECT a, b FROM t ORDER BY a")

    assert (within, db.in_transaction) == (True, False)
    assert next(iter(rows)) == (1, b"\x00\xff")
    assert rows.fetchone() == (2, None)
    assert rows.fetchall() == [(3, "ü")]
    assert rows.fetchone() is None


def test_a_mapping_can_be_made_of_pairs(db: Any) -> None:
    db.executemany("INSERT INTO t VALUES (?, ?)", {1: b"x", 2: b"y"}.items())

    assert dict(db.execute("SELECT a, b FROM t")) == {1: b"x", 2: b"y"}


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("INSERT INTO t VALUES (1, 2)", sqlite3.SQLITE_CONSTRAINT),
        ("SELECT nothing FROM nowhere", sqlite3.SQLITE_ERROR),
    ],
)
def test_an_error_is_pythons_own_and_carries_sqlites_code(db: Any, sql: str, code: int) -> None:
    db.execute("INSERT INTO t VALUES (1, 1)")

    with pytest.raises(sqlite3.Error) as caught:
        db.execute(sql)

    assert caught.value.sqlite_errorcode & 0xFF == code
    assert str(caught.value)
