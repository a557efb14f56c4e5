"""Is in another segment."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from crm.core.i18n import _l
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings


class InSegmentSettings(Settings):
    segment: str = Field(min_length=1, max_length=100, title=_l("Segment"))


class InSegment(Rule[InSegmentSettings]):
    kind = "in_segment"
    title = _l("Another segment")
    settings_type = InSegmentSettings

    def sql(self, settings: InSegmentSettings, query: Query) -> Clause:
        slug = query.bind(settings.segment, "text")
        alias = query.join(
            f"SELECT m.profile_id FROM memberships m WHERE m.segment_id = (SELECT id FROM segments WHERE slug = {slug}) {query.only('m.profile_id')}"
        )
        return Clause(f"{alias}.profile_id IS NOT NULL")

    def read(self, settings: InSegmentSettings, person: Person, now: dt.datetime) -> bool:
        return settings.segment in person.segments

    def reads(self, settings: InSegmentSettings) -> Reads:
        return Reads(segments=frozenset({settings.segment}))

    def sentence(self, settings: InSegmentSettings) -> Sentence:
        return Sentence(_l("is in the segment %(segment)s"), {"segment": settings.segment})


plugin = InSegment()
