"""A trait of the profile: compared by type, against the present, or just known."""

from __future__ import annotations

import datetime as dt

from crm.core.i18n import _l
from crm.segments import values
from crm.segments.compare import Comparison
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence


class Trait(Rule[Comparison]):
    kind = "trait"
    title = _l("A trait")
    settings_type = Comparison

    def sql(self, settings: Comparison, query: Query) -> Clause:
        return settings.clause(query, "p.traits")

    def read(self, settings: Comparison, person: Person, now: dt.datetime) -> bool:
        return settings.holds(values.dig(person.traits, settings.name), now)

    def reads(self, settings: Comparison) -> Reads:
        return Reads(traits=frozenset({settings.name, settings.name.split(".")[0]}), birth=settings.op in {"missing", "is_not"})

    def sentence(self, settings: Comparison) -> Sentence:
        return settings.sentence()


plugin = Trait()
