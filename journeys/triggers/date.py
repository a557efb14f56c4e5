"""A date the profile tells starts a run: the day itself or every year by either calendar, so many days before or after, by its own clock."""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Literal

from pydantic import Field
from pyluach.dates import HebrewDate

from crm.core.i18n import _l
from crm.events.spec import Happened
from crm.segments.anniversaries import Calendar, Round, key_of, turns
from journeys.node import DATE_REACHED, RunEvent, Sentence, Settings
from journeys.trigger import Trigger
from journeys.zones import local

FRESH = dt.timedelta(hours=24)
AROUND = 2


class DateSettings(Settings):
    """`days` before (negative) or after the date in `trait`. A day that a year lacks (29 February; 30 Cheshvan, Kislev or Adar I) is kept as
    `leap` says; who was born in the one Adar of a plain year keeps `adar` in a leap year. A Hebrew day is the civil one it mostly falls on."""

    trait: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_ ]+$", title=_l("Trait with the date"), json_schema_extra={"x-suggest": "trait"})
    yearly: bool = Field(default=True, title=_l("Every year"))
    days: int = Field(default=0, ge=-180, le=180, title=_l("Days after it"), description=_l("Negative: before it."))
    at: str = Field(default="09:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", title=_l("At this time of day"))
    calendar: Calendar = Field(default="gregorian", title=_l("Every year by the calendar"))
    leap: Literal["feb28", "mar1"] = Field(default="feb28", title=_l("A day that a year lacks"))
    adar: Literal["adar1", "adar2"] = Field(default="adar2", title=_l("Adar of a plain year, in a leap year"))

    @property
    def by_hebrew(self) -> bool:
        """Whether the Hebrew calendar says when it comes round; a date that comes once is the same by both."""
        return self.yearly and self.calendar == "hebrew"

    @property
    def kept(self) -> Round:
        """How the anniversary is kept."""
        return Round("hebrew", "before" if self.leap == "feb28" else "after", "first" if self.adar == "adar1" else "second")


def days_near(now: dt.datetime, days: int) -> list[dt.date]:
    """The anniversaries whose `days` before or after may be today somewhere, or were yesterday."""
    middle = now.date() - dt.timedelta(days=days)
    return [middle + dt.timedelta(days=n) for n in range(-AROUND, AROUND + 1)]


class DateTrigger(Trigger[DateSettings]):
    """The clock looks for dates that have come and says so in the log; an occasion starts one run for ever."""

    kind = "date"
    title = _l("Date or anniversary")
    icon = "calendar"
    settings_type = DateSettings

    def names(self, settings: DateSettings) -> frozenset[str]:
        """Kesher's own event."""
        return frozenset({DATE_REACHED})

    def matches(self, settings: DateSettings, event: Happened, journey: str = "") -> bool:
        """One said for this journey."""
        return event.name == DATE_REACHED and event.trusted and journey in ("", event.properties.get("journey"))

    def keyed_by(self, settings: DateSettings) -> str:
        """The occasion."""
        return "property"

    def about(self, settings: DateSettings, event: RunEvent) -> str | None:
        """The year, or the date itself."""
        occasion = event.properties.get("occasion")
        return str(occasion) if occasion else None

    def fresh_for(self, settings: DateSettings) -> dt.timedelta:
        """A day."""
        return FRESH

    def occasion(self, settings: DateSettings, day: dt.date, year: int) -> tuple[str, dt.date] | None:
        """What is celebrated in a year, and on which day; None where it is not."""
        if not settings.yearly:
            return (day.isoformat(), day) if day.year == year else None
        if year < day.year:
            return None
        if (day.month, day.day) == (2, 29) and not calendar.isleap(year):
            return str(year), dt.date(year, 2, 28) if settings.leap == "feb28" else dt.date(year, 3, 1)
        return str(year), day.replace(year=year)

    def due(self, settings: DateSettings, day: dt.date, zone: str, now: dt.datetime) -> str | None:
        """The occasion that has come within the last day, in the profile's zone."""
        clock = dt.time.fromisoformat(settings.at)
        if settings.by_hebrew:
            key = key_of(day, "hebrew")
            for target in days_near(now, settings.days):
                came = key and dt.timedelta(0) <= now - local(target + dt.timedelta(days=settings.days), clock, zone) < FRESH
                if came and day < target and turns(settings.kept, target)[str(key)].day == target:
                    return f"h{HebrewDate.from_pydate(target).year}"
            return None
        for year in (now.year - 1, now.year, now.year + 1):
            found = self.occasion(settings, day, year)
            if found and dt.timedelta(0) <= now - local(found[1] + dt.timedelta(days=settings.days), clock, zone) < FRESH:
                return found[0]
        return None

    def summary(self, settings: DateSettings) -> Sentence:
        """When."""
        values = {"trait": settings.trait, "time": dt.timedelta(days=abs(settings.days)), "at": settings.at}
        if settings.by_hebrew and not settings.days:
            return Sentence(_l("On “%(trait)s” by the Hebrew calendar, %(at)s"), values)
        if settings.by_hebrew:
            before = _l("%(time)s before “%(trait)s” by the Hebrew calendar, %(at)s")
            return Sentence(before if settings.days < 0 else _l("%(time)s after “%(trait)s” by the Hebrew calendar, %(at)s"), values)
        if settings.days < 0:
            return Sentence(_l("%(time)s before “%(trait)s”, %(at)s"), values)
        return Sentence(_l("%(time)s after “%(trait)s”, %(at)s"), values) if settings.days else Sentence(_l("On “%(trait)s”, %(at)s"), values)


plugin = DateTrigger()
