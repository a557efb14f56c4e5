"""A trait that is counted: orders, revenue, lifecycle, RFM, affinity, the company's own; compared by type."""

from __future__ import annotations

import datetime as dt

from crm.core.i18n import _l
from crm.segments import values
from crm.segments.compare import Comparison
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence


class Computed(Rule[Comparison]):
    kind = "computed"
    title = _l("A computed trait")
    settings_type = Comparison

    def sql(self, settings: Comparison, query: Query) -> Clause:
        name = query.bind(_name(settings), "text")
        alias = query.join(f"SELECT profile_id, value FROM computed_traits WHERE name = {name} {query.only('profile_id')}")
        return settings.clause(query, f"jsonb_build_object({name}, {alias}.value)")

    def read(self, settings: Comparison, person: Person, now: dt.datetime) -> bool:
        name = _name(settings)
        return settings.holds(values.dig({name: person.computed.get(name)}, settings.name), now)

    def reads(self, settings: Comparison) -> Reads:
        return Reads(computed=frozenset({_name(settings)}), birth=settings.op in {"missing", "is_not"})

    def sentence(self, settings: Comparison) -> Sentence:
        return settings.sentence()


def _name(settings: Comparison) -> str:
    return settings.name.split(".", maxsplit=1)[0]


plugin = Computed()
