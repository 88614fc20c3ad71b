"""Real distributions from CSV: when things were counted, and how long it was between them; pure."""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Final, NamedTuple

from fleet_sim.world.fields import DAYS
from fleet_sim.world.rhythm import Rhythm
from fleet_sim.world.weektime import DAY_HOURS, HOURS

_MISTAKES_MAX: Final = 10
_ROWS_MAX: Final = 1_000_000
#: From here on a number is Unix ms, not seconds: seconds would be in the year 5138.
_MS_FROM: Final = 100_000_000_000
_TIMES: Final = ("timestamp", "time", "at")
_GAPS: Final = "gap_s"
_HINT: Final = (
    "begin with a line of column names: timestamp; or hour and count, with weekday if you have it;"
    " or gap_s for deliveries"
)


class Counted(NamedTuple):
    """What a file says.

    `rhythm`: by hour, of what was counted; None of gaps. `gaps_s`: seconds from one to the next,
    as counted; empty if hours were.
    """

    rhythm: Rhythm | None
    gaps_s: tuple[float, ...] = ()


class _Line(NamedTuple):
    number: int
    cells: dict[str, str]


def read(text: str, *, gaps: bool = False) -> Counted:
    """What a CSV of counts, moments or gaps says.

    Args:
        text: the file. Columns `hour` (0-23) and `count`, and `weekday` if there is one (`monday`,
            `mon` or 0-6); or `timestamp` (ISO 8601, or Unix seconds or ms); or `gap_s`.
        gaps: whether gaps are wanted too, where the file has them.

    Raises:
        ValueError: with a line for each mistake: where, what, and what to write.
    """
    lines = _lines(text)
    columns = set(lines[0].cells)
    if gaps and _GAPS in columns:
        return Counted(None, tuple(_numbers(lines, _GAPS)))
    if "hour" in columns and "count" in columns:
        return Counted(_by_hour(lines, by_day="weekday" in columns))
    for column in _TIMES:
        if column in columns:
            return Counted(_by_time(_moments(lines, column)))
    raise ValueError(f"line 1: columns {', '.join(sorted(columns))}; {_HINT}")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The number of each line with something in it, and its cells."""
    reader = csv.reader(StringIO(text.removeprefix("\ufeff")))
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(
            f"line {reader.line_num}: {error}; write each row on a line of its own, and close what"
            " is quoted"
        ) from None


def _lines(text: str) -> list[_Line]:
    names: list[str] | None = None
    found: list[_Line] = []
    for number, row in _rows(text):
        if names is None:
            names = [cell.strip().lower() for cell in row]
            continue
        if len(row) != len(names):
            raise ValueError(
                f"line {number}: {len(row)} cells under {len(names)} columns; give one to each"
            )
        if len(found) >= _ROWS_MAX:
            raise ValueError(f"line {number}: more than {_ROWS_MAX:,} rows; give a sample")
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        found.append(_Line(number, cells))
    if names is None or not found:
        raise ValueError(f"no rows; {_HINT}")
    return found


def _complain(mistakes: Sequence[str]) -> None:
    if mistakes:
        shown = list(mistakes[:_MISTAKES_MAX])
        if len(mistakes) > len(shown):
            shown.append(f"{len(mistakes) - len(shown)} more mistakes; correct these first")
        raise ValueError("\n".join(shown))


def _numbers(lines: Sequence[_Line], column: str) -> Iterator[float]:
    values, mistakes = [], []
    for line in lines:
        try:
            value = float(line.cells[column])
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            mistakes.append(
                f"line {line.number}: {column} is {line.cells[column]!r}; write a number from 0 on"
            )
        values.append(value)
    _complain(mistakes)
    if not any(values):
        raise ValueError(f"{column} is 0 in every line; give one above 0 at least")
    return iter(values)


def _by_hour(lines: Sequence[_Line], *, by_day: bool) -> Rhythm:
    weights, mistakes = [0.0] * HOURS, []
    for line, count in zip(lines, _numbers(lines, "count"), strict=True):
        hour = line.cells["hour"]
        if not (hour.isdecimal() and int(hour) < DAY_HOURS):
            mistakes.append(f"line {line.number}: hour is {hour!r}; write 0 to 23")
            continue
        if not by_day:
            for day in range(len(DAYS)):
                weights[day * DAY_HOURS + int(hour)] += count
            continue
        day_found = _day(line.cells["weekday"])
        if day_found is None:
            mistakes.append(
                f"line {line.number}: weekday is {line.cells['weekday']!r}; write monday to sunday,"
                " mon to sun, or 0 (Monday) to 6"
            )
            continue
        weights[day_found * DAY_HOURS + int(hour)] += count
    _complain(mistakes)
    return Rhythm(weights)


def _day(word: str) -> int | None:
    if word.isdecimal():
        return int(word) if int(word) < len(DAYS) else None
    among = [number for number, day in enumerate(DAYS) if word.lower() in (day, day[:3])]
    return among[0] if among else None


def _moments(lines: Sequence[_Line], column: str) -> list[datetime]:
    found, mistakes = [], []
    for line in lines:
        word = line.cells[column]
        try:
            found.append(_moment(word))
        except (ValueError, OverflowError, OSError):
            mistakes.append(
                f"line {line.number}: {column} is {word!r}; write it like 2026-02-14T06:30:00, or"
                " as Unix seconds"
            )
    _complain(mistakes)
    return found


def _moment(word: str) -> datetime:
    try:
        number = float(word)
    except ValueError:
        return datetime.fromisoformat(word).replace(tzinfo=None)
    seconds = number / 1000 if number >= _MS_FROM else number
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _by_time(moments: Sequence[datetime]) -> Rhythm:
    """By hour of the week if every day of it was counted, else by hour of the day.

    What was counted on more Mondays than Sundays is divided by how many there were.
    """
    weights = [0.0] * HOURS
    dates = {moment.date() for moment in moments}
    days = [sum(date.weekday() == day for date in dates) for day in range(len(DAYS))]
    whole = all(days)
    for moment in moments:
        if whole:
            weights[moment.weekday() * DAY_HOURS + moment.hour] += 1 / days[moment.weekday()]
        else:
            for day in range(len(DAYS)):
                weights[day * DAY_HOURS + moment.hour] += 1
    return Rhythm(weights)
