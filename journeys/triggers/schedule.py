"""A rule of time starts a run for everybody who is in a segment then."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr
from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.events.spec import Happened
from journeys.node import AUDIENCE, RunEvent, Sentence, Settings
from journeys.trigger import Trigger
from journeys.zones import local

FRESH = dt.timedelta(hours=24)
LATE = dt.timedelta(hours=6)  # an occasion missed by more (everything was down) is left out
AHEAD = dt.timedelta(days=6 * 366)  # within which a rule must come once
# dateutil looks for a rule's next time until the year 9999. Days and weekdays repeat every 28 years where no century comes between,
# so whether a rule comes at all is asked near the end of time, where it finds out soon.
LAST_YEARS, CYCLE = 9964, 28


class ScheduleSettings(Settings):
    """`rule` as in calendars (RFC 5545, RRULE); `at` and days by the installation's clock."""

    segment: str = Field(min_length=1, max_length=100, title=_l("Everybody in the segment"), json_schema_extra={"x-suggest": "segment"})
    rule: str = Field(
        default="FREQ=WEEKLY;BYDAY=SU",
        max_length=200,
        title=_l("How often"),
        json_schema_extra={"x-suggest": "rrule"},
    )
    at: str = Field(default="09:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", title=_l("At this time of day"))
    begins: dt.date = Field(default=dt.date(2026, 1, 1), title=_l("From this day on"))

    @model_validator(mode="after")
    def _comes(self) -> ScheduleSettings:
        repeats(self.rule.upper(), self.begins, self.at)
        return self


@lru_cache(maxsize=256)
def repeats(rule: str, begins: dt.date, at: str) -> rrule:
    """The rule as dateutil reads it, in wall-clock time. Raises ValueError with what is wrong."""
    if not re.fullmatch(r"[A-Z0-9=;,+-]+", rule) or "FREQ=" not in rule:
        raise SaidError(_l("a rule begins with FREQ=, for example FREQ=DAILY or FREQ=WEEKLY;BYDAY=MO,TH"))
    if "UNTIL=" in rule or "DTSTART" in rule:
        raise SaidError(_l("a rule may say COUNT=, not UNTIL= or DTSTART; the day it begins on is a field of its own"))
    if not re.search(r"FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;|$)", rule):
        raise SaidError(_l("a rule comes daily, weekly, monthly or yearly; hours of a day are said by BYHOUR=9,15"))
    if re.search(r"INTERVAL=(?!\+?0*[1-9])", rule):
        raise SaidError(_l("a rule comes every day, week, month or year, or every so many of them: INTERVAL= is 1 or more"))
    start = dt.datetime.combine(begins, dt.time.fromisoformat(at))
    try:
        found = rrulestr(rule, dtstart=start)
        late = start.replace(year=LAST_YEARS + (begins.year - LAST_YEARS) % CYCLE)
        first = next(iter(rrulestr(rule, dtstart=late)), None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SaidError(_l("this rule cannot be read: %(why)s"), why=str(error)) from error
    if not isinstance(found, rrule) or first is None or first - late > AHEAD:
        raise SaidError(_l("this rule never comes within six years; look at its days and months"))
    return found


class ScheduleTrigger(Trigger[ScheduleSettings]):
    """The clock says to the log who is there at each occasion; an occasion starts one run for each."""

    kind = "schedule"
    title = _l("Schedule")
    icon = "clock"
    settings_type = ScheduleSettings

    def names(self, settings: ScheduleSettings) -> frozenset[str]:
        """Kesher's own event."""
        return frozenset({AUDIENCE})

    def matches(self, settings: ScheduleSettings, event: Happened, journey: str = "") -> bool:
        """One said for this journey."""
        return event.name == AUDIENCE and event.trusted and journey in ("", event.properties.get("journey"))

    def keyed_by(self, settings: ScheduleSettings) -> str:
        """The occasion."""
        return "property"

    def about(self, settings: ScheduleSettings, event: RunEvent) -> str | None:
        """Its time."""
        occasion = event.properties.get("occasion")
        return str(occasion) if occasion else None

    def fresh_for(self, settings: ScheduleSettings) -> dt.timedelta:
        """A day."""
        return FRESH

    def due(self, settings: ScheduleSettings, zone: str, now: dt.datetime) -> list[dt.datetime]:
        """The occasions of the last hours, as moments."""
        here = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        near = repeats(settings.rule.upper(), settings.begins, settings.at).between(here - LATE - dt.timedelta(hours=2), here + dt.timedelta(hours=2), inc=True)
        moments = [local(each.date(), each.time(), zone) for each in near]
        return sorted({each for each in moments if now - LATE < each <= now})

    def next(self, settings: ScheduleSettings, zone: str, now: dt.datetime) -> dt.datetime | None:
        """The next occasion."""
        here = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        found = repeats(settings.rule.upper(), settings.begins, settings.at).after(here)
        return local(found.date(), found.time(), zone) if found else None

    def summary(self, settings: ScheduleSettings) -> Sentence:
        """Whom, and how often."""
        return Sentence(_l("everybody in “%(segment)s”: %(rrule)s, %(at)s"), {"segment": settings.segment, "rrule": settings.rule.upper(), "at": settings.at})


plugin = ScheduleTrigger()
