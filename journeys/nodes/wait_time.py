"""Wait until a time of day, on chosen weekdays, by the profile's own clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, Node, Park, Run, Sentence, Settings, Step
from journeys.zones import next_at

Weekday = Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
NUMBERS: dict[str, int] = {"monday": 0, "tuesday": 1, "wednesday": 2, "thursday": 3, "friday": 4, "saturday": 5, "sunday": 6}


class WaitTimeSettings(Settings):
    """`at` on the profile's clock; no weekday chosen means any."""

    at: str = Field(default="10:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", title=_l("Until this time of day"), description=_l("Of the profile's own clock."))
    weekdays: list[Weekday] = Field(default=[], max_length=7, title=_l("On these weekdays"), description=_l("None chosen means any day."))


class WaitTime(Node[WaitTimeSettings]):
    """Looks again on waking: who has moved to another zone meanwhile waits for its time there."""

    kind = "wait_time"
    title = _l("Wait until a time of day")
    icon = "clock"
    group = _l("Waiting")
    reads = frozenset({"traits"})
    settings_type = WaitTimeSettings

    def exits(self, settings: WaitTimeSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def waits(self, settings: WaitTimeSettings) -> bool:
        """Not surely: it may be that time already."""
        return False

    def step(self, settings: WaitTimeSettings, run: Run) -> Step:
        """The first such moment since coming here."""
        days = {NUMBERS[day] for day in settings.weekdays} or set(range(7))
        due = next_at(run.entered_at, dt.time.fromisoformat(settings.at), days, run.zone)
        return Park(due) if run.now < due else Advance(why={"due": due.isoformat(), "zone": run.zone})

    def summary(self, settings: WaitTimeSettings) -> Sentence:
        """When."""
        if not settings.weekdays:
            return Sentence(_l("Until %(at)s, by their own clock"), {"at": settings.at})
        return Sentence(_l("Until %(at)s on %(weekdays)s, by their own clock"), {"at": settings.at, "weekdays": list(settings.weekdays)})


plugin = WaitTime()
