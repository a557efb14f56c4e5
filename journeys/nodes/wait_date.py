"""Wait until a date the profile tells, so many days before or after, by its own clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, Node, Park, Run, Sentence, Settings, Step
from journeys.zones import day_in, local


class WaitDateSettings(Settings):
    """`days` before (negative) or after the date in `trait`, at `at` on the profile's clock."""

    trait: str = Field(min_length=1, max_length=200, title=_l("Trait with the date"), json_schema_extra={"x-suggest": "trait"})
    days: int = Field(default=0, ge=-366, le=366, title=_l("Days after it"), description=_l("Negative: before it."))
    at: str = Field(default="10:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", title=_l("At this time of day"))


class WaitDate(Node[WaitDateSettings]):
    """Exits: `next` when the day comes; `past` where it is over already; `unknown` where the trait holds no date."""

    kind = "wait_date"
    title = _l("Wait until a date")
    icon = "calendar"
    group = _l("Waiting")
    reads = frozenset({"traits"})
    settings_type = WaitDateSettings

    def exits(self, settings: WaitDateSettings) -> Mapping[str, str]:
        """Three."""
        return {"next": _l("the day came"), "past": _l("it was over"), "unknown": _l("no date known")}

    def step(self, settings: WaitDateSettings, run: Run) -> Step:
        """Read the date again on every waking: it may have been corrected."""
        day = day_in(run.traits.get(settings.trait))
        if day is None:
            return Advance("unknown", why={"trait": settings.trait})
        due = local(day + dt.timedelta(days=settings.days), dt.time.fromisoformat(settings.at), run.zone)
        if run.now < due:
            return Park(due)
        return Advance("past" if due < run.entered_at else "next", why={"due": due.isoformat(), "zone": run.zone})

    def summary(self, settings: WaitDateSettings) -> Sentence:
        """When."""
        values = {"trait": settings.trait, "time": dt.timedelta(days=abs(settings.days)), "at": settings.at}
        if settings.days < 0:
            return Sentence(_l("Until %(time)s before “%(trait)s”, %(at)s"), values)
        return Sentence(_l("Until %(time)s after “%(trait)s”, %(at)s"), values) if settings.days else Sentence(_l("Until “%(trait)s”, %(at)s"), values)


plugin = WaitDate()
