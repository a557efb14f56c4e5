"""How busy a shop in Israel is: quiet Shabbat, peaks before the holidays, a day's own rhythm.

The Hebrew calendar's arithmetic: Reingold and Dershowitz, "Calendrical Calculations", chapter 8 (fixed dates are Python's ordinals).
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import NamedTuple

EPOCH = -1373427  # ordinal of 1 Tishri of the year 1
FRIDAY, SATURDAY, SUNDAY = 4, 5, 6
_WEEKDAYS = (1.0, 1.0, 1.0, 1.1, 0.75, 0.22, 1.15)  # Monday first
_HOURS = (2, 1, 0, 0, 0, 0, 1, 3, 5, 7, 8, 8, 8, 7, 6, 6, 6, 7, 8, 10, 12, 12, 9, 5)
_FRIDAY_HOURS = (2, 1, 0, 0, 0, 0, 2, 5, 9, 12, 12, 10, 7, 4, 2, 1, 0, 0, 0, 0, 1, 1, 1, 1)
_SATURDAY_HOURS = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 6, 10, 13, 13, 10, 5)


class Season(NamedTuple):
    """Days before a date in which people buy more, up to `peak` times as much."""

    date: dt.date
    days: int
    peak: float


@functools.cache
def new_year(year: int) -> dt.date:
    """Rosh Hashana of a Hebrew year."""
    before, here, after = (_elapsed(year + step) for step in (-1, 0, 1))
    shift = 2 if after - here == 356 else 1 if here - before == 382 else 0
    return dt.date.fromordinal(EPOCH + here + shift)


def _elapsed(year: int) -> int:
    months = (235 * year - 234) // 19
    parts = 12084 + 13753 * months
    day = 29 * months + parts // 25920
    return day + 1 if 3 * (day + 1) % 7 < 3 else day


def passover(year: int) -> dt.date:
    """The first day of Pesach of a Hebrew year: always 163 days before the next year."""
    return new_year(year + 1) - dt.timedelta(days=163)


def hanukkah(year: int) -> dt.date:
    """25 Kislev; Heshvan has a thirtieth day in the long years only."""
    long = (new_year(year + 1) - new_year(year)).days % 10 == 5
    return new_year(year) + dt.timedelta(days=30 + (30 if long else 29) + 24)


def black_friday(year: int) -> dt.date:
    """The Friday after the fourth Thursday of November."""
    first = dt.date(year, 11, 1)
    return first + dt.timedelta(days=(3 - first.weekday()) % 7 + 22)


@functools.cache
def seasons(year: int) -> tuple[Season, ...]:
    """What a civil year's shopping leads up to."""
    hebrew = year + 3761  # the Hebrew year that begins in this autumn
    return (
        Season(new_year(hebrew), 18, 3.0),
        Season(hanukkah(hebrew), 12, 2.2),
        Season(passover(hebrew - 1), 18, 2.8),
        Season(passover(hebrew - 1) - dt.timedelta(days=30), 7, 1.5),  # Purim
        Season(black_friday(year) + dt.timedelta(days=1), 3, 3.2),
    )


@functools.cache
def closed_days(year: int) -> frozenset[dt.date]:
    """Days on which hardly anybody shops."""
    autumn, spring = new_year(year + 3761), passover(year + 3760)
    return frozenset([*(autumn + dt.timedelta(days=n) for n in (0, 1, 9, 14, 21)), spring, spring + dt.timedelta(days=6)])


def demand(day: dt.date) -> float:
    """How many visits to expect on a day; 1 is an ordinary one."""
    if day in closed_days(day.year):
        return 0.05
    lift = max((1 + (s.peak - 1) * (1 - (s.date - day).days / s.days) for s in seasons(day.year) if 0 < (s.date - day).days <= s.days), default=1.0)
    return _WEEKDAYS[day.weekday()] * lift


def hours(day: dt.date) -> tuple[int, ...]:
    """Weights of the hours of a day, local time."""
    if day.weekday() == FRIDAY:
        return _FRIDAY_HOURS
    return _SATURDAY_HOURS if day.weekday() == SATURDAY or day in closed_days(day.year) else _HOURS
