"""Working time: when somebody is on duty, when a promise falls due that counts working minutes only. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from zoneinfo import ZoneInfo

LONGEST = 400  # days looked ahead; nobody is off for longer


@dataclass(frozen=True, slots=True)
class Hours:
    """Working days (Monday is 0) and the minutes after midnight between which work is done, on this zone's clock."""

    weekdays: Collection[int]
    starts: int
    ends: int
    zone: str

    def on(self, moment: dt.datetime) -> bool:
        """Whether this moment is working time."""
        return any(begin <= moment < end for begin, end in self._spans(moment, 1))

    def next_start(self, moment: dt.datetime) -> dt.datetime | None:
        """The moment itself where it is working time, else when work begins next; None where nobody ever works."""
        return next((max(begin, moment) for begin, end in self._spans(moment, LONGEST) if end > moment), None)

    def nearest(self, hour: int) -> int:
        """The hour of the day at which work is done that lies nearest to this one; the hour itself where nobody ever works."""
        first, last = -(-self.starts // 60), self.ends // 60 - 1
        return min(max(hour, first), last) if first <= last else hour

    def deadline(self, start: dt.datetime, worked: dt.timedelta) -> dt.datetime:
        """When so much working time since `start` is over; by the plain clock where nobody ever works."""
        left = worked
        for begin, end in self._spans(start, LONGEST):
            works_from = max(begin, start)
            if end - works_from >= left:
                return works_from + left
            left -= max(end - works_from, dt.timedelta(0))
        return start + worked

    def _spans(self, moment: dt.datetime, days: int) -> list[tuple[dt.datetime, dt.datetime]]:
        zone = ZoneInfo(self.zone)
        today = moment.astimezone(zone).date()
        found = []
        for ahead in range(days + 1):
            date = today + dt.timedelta(days=ahead)
            if date.weekday() in self.weekdays and self.starts < self.ends:
                midnight = dt.datetime.combine(date, dt.time(), zone)
                begin, end = (midnight + dt.timedelta(minutes=minutes) for minutes in (self.starts, self.ends))
                found.append((begin.astimezone(dt.UTC), end.astimezone(dt.UTC)))
        return found
