"""Was put on a list by hand."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from crm.core.i18n import _l
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings


class InListSettings(Settings):
    list: str = Field(min_length=1, max_length=100, title=_l("List"))


class InList(Rule[InListSettings]):
    kind = "in_list"
    title = _l("A list by hand")
    settings_type = InListSettings

    def sql(self, settings: InListSettings, query: Query) -> Clause:
        slug = query.bind(settings.list, "text")
        alias = query.join(
            f"SELECT DISTINCT m.profile_id FROM list_members m WHERE m.list_id = (SELECT id FROM lists WHERE slug = {slug}) {query.only('m.profile_id')}"
        )
        return Clause(f"{alias}.profile_id IS NOT NULL")

    def read(self, settings: InListSettings, person: Person, now: dt.datetime) -> bool:
        return settings.list in person.lists

    def reads(self, settings: InListSettings) -> Reads:
        return Reads(lists=frozenset({settings.list}))

    def sentence(self, settings: InListSettings) -> Sentence:
        return Sentence(_l("is on the list %(list)s"), {"list": settings.list})


plugin = InList()
