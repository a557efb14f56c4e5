"""Who else is in their company: any, all, or none of an account's members, themselves among them, are in a segment."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

WORDS = {
    "any": _l("belongs to an account with a member in the segment %(segment)s"),
    "all": _l("belongs to an account all of whose members are in the segment %(segment)s"),
    "none": _l("belongs to no account with a member in the segment %(segment)s"),
}


class ColleaguesSettings(Settings):
    """What its members must have done or be is said by a segment: one that did Order Completed, that has an open cart."""

    segment: str = Field(min_length=1, max_length=100, title=_l("Segment"))
    match: Literal["any", "all", "none"] = Field(default="any", title=_l("Of its members"))


class Colleagues(Rule[ColleaguesSettings]):
    kind = "colleagues"
    title = _l("The people of their company")
    settings_type = ColleaguesSettings

    def sql(self, settings: ColleaguesSettings, query: Query) -> Clause:
        slug = query.bind(settings.segment, "text")
        inside = f"EXISTS (SELECT FROM memberships s WHERE s.profile_id = o.profile_id AND s.segment_id = (SELECT id FROM segments WHERE slug = {slug}))"
        alias = query.join(
            f"SELECT m.profile_id, bool_or(a.some) AS some, bool_or(a.every) AS every "
            f"FROM account_members m JOIN LATERAL (SELECT bool_or({inside}) AS some, bool_and({inside}) AS every "
            f"FROM account_members o WHERE o.account_id = m.account_id) a ON true WHERE true {query.only('m.profile_id')} GROUP BY 1"
        )
        holds = {"any": f"{alias}.some", "all": f"{alias}.every", "none": f"({alias}.some IS NOT TRUE)"}
        return Clause(holds[settings.match])

    def read(self, settings: ColleaguesSettings, person: Person, now: dt.datetime) -> bool:
        inside = [(one.segments.get(settings.segment, 0), one.members) for one in person.accounts]
        if settings.match == "none":
            return not any(count for count, _ in inside)
        return any(count == members if settings.match == "all" else count for count, members in inside)

    def reads(self, settings: ColleaguesSettings) -> Reads:
        named = frozenset({settings.segment})
        return Reads(segments=named, colleagues=named, accounts=True, birth=settings.match == "none")

    def sentence(self, settings: ColleaguesSettings) -> Sentence:
        return Sentence(WORDS[settings.match], {"segment": settings.segment})


plugin = Colleagues()
