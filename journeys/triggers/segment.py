"""Coming into a segment, or leaving it, starts a run."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.events.spec import Happened
from crm.segments.refresh import ENTERED, LEFT
from journeys.node import AUDIENCE, Sentence, Settings
from journeys.trigger import Trigger

FRESH = dt.timedelta(hours=24)


class SegmentSettings(Settings):
    """Which segment, and which way."""

    segment: str = Field(min_length=1, max_length=100, title=_l("Segment"), json_schema_extra={"x-suggest": "segment"})
    way: Literal["entered", "left"] = Field(default="entered", title=_l("When somebody"))


class SegmentTrigger(Trigger[SegmentSettings]):
    """A segment that is new, edited or rebuilt fills silently; only people who come or go afterwards start anything."""

    kind = "segment"
    title = _l("Segment")
    icon = "users"
    settings_type = SegmentSettings

    def names(self, settings: SegmentSettings) -> frozenset[str]:
        """Kesher's own events; `Audience Reached` for who was in it before, where that was chosen when publishing."""
        return frozenset({ENTERED, AUDIENCE}) if settings.way == "entered" else frozenset({LEFT})

    def matches(self, settings: SegmentSettings, event: Happened, journey: str = "") -> bool:
        """That segment; who was in it before, only for the journey that asked."""
        if event.name == AUDIENCE and journey not in ("", event.properties.get("journey")):
            return False
        return event.name in self.names(settings) and event.trusted and event.properties.get("segment") == settings.segment

    def keyed_by(self, settings: SegmentSettings) -> str:
        """The rules of entry decide."""
        return "profile"

    def fresh_for(self, settings: SegmentSettings) -> dt.timedelta:
        """A day."""
        return FRESH

    def summary(self, settings: SegmentSettings) -> Sentence:
        """Which, and which way."""
        if settings.way == "left":
            return Sentence(_l("who leaves “%(segment)s”"), {"segment": settings.segment})
        return Sentence(_l("who comes into “%(segment)s”"), {"segment": settings.segment})


plugin = SegmentTrigger()
