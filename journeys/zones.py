"""Local moments by a profile's own clock. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from crm.profiles.zones import local, zone_of

__all__ = ["Instant", "day_in", "local", "next_at", "zone_of"]
FIRST, END = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
Instant = Annotated[AwareDatetime, Field(ge=FIRST, lt=END)]  # one that somebody asks about: far from the ends of the calendar, where sums of time fail


def next_at(after: dt.datetime, clock: dt.time, weekdays: Collection[int], zone: str) -> dt.datetime:
    """The first moment not before `after` at which it is `clock` on one of `weekdays` (Monday is 0) in that zone."""
    day = after.astimezone(ZoneInfo(zone)).date()
    for ahead in range(9):
        moment = local(day + dt.timedelta(days=ahead), clock, zone)
        if moment >= after and (day + dt.timedelta(days=ahead)).weekday() in weekdays:
            return moment
    raise ValueError("no weekday was chosen")


def day_in(value: object) -> dt.date | None:
    """The date a trait tells: `1985-03-14`, or a time whose first ten characters are one; of the years a segment reads, 1000 to 2999.

    Anybody may say of themselves that they were born in 9999: some days on, there is no calendar any more, and a journey would break on it.
    """
    if not isinstance(value, str):
        return None
    try:
        day = dt.date.fromisoformat(value[:10])
    except ValueError:
        return None
    return day if 1000 <= day.year < 3000 else None
