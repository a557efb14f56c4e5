"""When a date comes round, by the Gregorian and the Hebrew calendar; pure.

A date's key says which day of the year it is: `03-14`, or by the Hebrew calendar `8-29` (month as pyluach counts from Nisan, day), where `12p` is the Adar
of a year that has only one. A birthday in that Adar is kept in the second of two, or in the first, as is chosen. A day that a year lacks (29 February;
30 Cheshvan, Kislev or Adar I) is kept on the day before or the day after, as is chosen.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from pyluach import hebrewcal
from pyluach.dates import HebrewDate

Calendar = Literal["gregorian", "hebrew"]
FIRST, LAST = dt.date(1900, 1, 1), dt.date(2100, 12, 31)  # what the table `hebrew_days` holds
ADAR, ADAR_2 = 12, 13
PLAIN_ADAR = "12p"


@dataclass(frozen=True, slots=True)
class Round:
    """How a date is kept: by which calendar, on which day where it is missing, and the days around it that count (negative: before)."""

    calendar: Calendar = "gregorian"
    missing: Literal["before", "after"] = "before"
    adar: Literal["first", "second"] = "second"
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """How it stands with one key on one day: the anniversary whose days these are, and when that changes next."""

    day: dt.date | None
    changes: dt.date


def key_of(day: dt.date, by: Calendar) -> str | None:
    """A date's key; None where the Hebrew calendar is asked about a day outside the table."""
    if by == "gregorian":
        return f"{day.month:02}-{day.day:02}"
    return hebrew_key(day) if FIRST <= day <= LAST else None


def hebrew_key(day: dt.date) -> str:
    """The key of a day by the Hebrew calendar."""
    found = HebrewDate.from_pydate(day)
    plain = found.month == ADAR and not hebrewcal.Year(found.year).leap
    return f"{PLAIN_ADAR if plain else found.month}-{found.day}"


@lru_cache(maxsize=64)
def turns(kept: Round, today: dt.date) -> Mapping[str, Turn]:
    """Every key's turn on this day."""
    return {key: _turn(kept, key, today) for key in _keys(kept.calendar)}


def _turn(kept: Round, key: str, today: dt.date) -> Turn:
    days = [_in_year(kept, key, year) for year in _years(kept.calendar, today)]
    spans = [(day, day + dt.timedelta(days=kept.start), day + dt.timedelta(days=kept.end + 1)) for day in days]
    inside = next((day for day, begins, over in spans if begins <= today < over), None)
    return Turn(inside, min(edge for _day, *edges in spans for edge in edges if edge > today))


def _years(by: Calendar, today: dt.date) -> range:
    year = today.year if by == "gregorian" else HebrewDate.from_pydate(today).year
    return range(year - 1, year + 3)


def _in_year(kept: Round, key: str, year: int) -> dt.date:
    month, day = key.split("-")
    if kept.calendar == "gregorian":
        return _place(int(day), calendar.monthrange(year, int(month))[1], dt.date(year, int(month), 1), kept)
    number = _hebrew_month(month, kept, leap=hebrewcal.Year(year).leap)
    first = HebrewDate(year, number, 1)
    length = 30 if _has_thirty(first) else 29
    return _place(int(day), length, first.to_pydate(), kept)


def _place(day: int, length: int, first: dt.date, kept: Round) -> dt.date:
    """The day of a month that may lack it."""
    if day > length and kept.missing == "before":
        day = length
    return first + dt.timedelta(days=day - 1)


def _hebrew_month(said: str, kept: Round, *, leap: bool) -> int:
    if said == PLAIN_ADAR:
        return ADAR_2 if leap and kept.adar == "second" else ADAR
    return ADAR if int(said) == ADAR_2 and not leap else int(said)


def _has_thirty(first: HebrewDate) -> bool:
    return bool(HebrewDate.from_pydate(first.to_pydate() + dt.timedelta(days=29)).month == first.month)


@cache
def _keys(by: Calendar) -> tuple[str, ...]:
    """Every key there can be: of a leap year's days; of Hebrew ones, as they came in the years of the table."""
    if by == "gregorian":
        return tuple(f"{month:02}-{day:02}" for month in range(1, 13) for day in range(1, calendar.monthrange(2000, month)[1] + 1))
    months = [(str(month), 30) for month in range(1, 14)] + [(PLAIN_ADAR, 29)]
    return tuple(f"{month}-{day}" for month, most in months for day in range(1, most + 1))
