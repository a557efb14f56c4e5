"""They are a lead: its status, whose it is, where it came from, its score's band; as the log tells it.

Anybody may ask to be a lead; only we say how it stands.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.segments import values
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

CREATED, STATUS, ASSIGNED = "Lead Created", "Lead Status Changed", "Lead Assigned"
OPEN = ("new", "working", "qualified")
WORDS = {
    "any": _l("is or was a lead%(owner)s%(source)s%(band)s"),
    "open": _l("is an open lead%(owner)s%(source)s%(band)s"),
    "new": _l("is a lead nobody spoke to yet%(owner)s%(source)s%(band)s"),
    "working": _l("is a lead being worked on%(owner)s%(source)s%(band)s"),
    "qualified": _l("is a qualified lead%(owner)s%(source)s%(band)s"),
    "won": _l("is a lead that was won%(owner)s%(source)s%(band)s"),
    "lost": _l("is a lead that was lost%(owner)s%(source)s%(band)s"),
}


class LeadSettings(Settings):
    status: Literal["any", "open", "new", "working", "qualified", "won", "lost"] = Field(default="open", title=_l("Status"))
    owner: str | None = Field(default=None, max_length=320, title=_l("Owner: an e-mail address, or nobody"))
    source: str | None = Field(default=None, max_length=200, title=_l("Source"))
    band: Literal["hot", "warm", "cool", "cold"] | None = Field(default=None, title=_l("Score"))
    score: str = Field(default="lead", pattern=r"^[a-z0-9_-]{1,60}$", title=_l("Kind of score"))


class Lead(Rule[LeadSettings]):
    kind = "lead"
    title = _l("A lead")
    settings_type = LeadSettings

    def sql(self, settings: LeadSettings, query: Query) -> Clause:
        names = query.bind([CREATED, STATUS, ASSIGNED], "text[]")
        status, owner, source = (values.word_sql(f"(e.properties -> '{name}')") for name in ("status", "owner", "source"))
        newest, oldest = "ORDER BY e.occurred_at DESC, e.accepted DESC", "ORDER BY e.occurred_at, e.accepted"
        alias = query.join(
            f"SELECT e.profile_id, bool_or(e.name = '{CREATED}') AS is_lead,"
            f" coalesce((array_agg({status} {newest}) FILTER (WHERE e.name = '{STATUS}' AND e.trusted))[1], 'new') AS status,"
            f" coalesce((array_agg({owner} {newest}) FILTER (WHERE e.name = '{ASSIGNED}' AND e.trusted))[1], '') AS owner,"
            f" (array_agg({source} {oldest}) FILTER (WHERE e.name = '{CREATED}'))[1] AS source"
            f" FROM events e WHERE e.name = ANY({names}) {query.only('e.profile_id')} GROUP BY 1"
        )
        holds = [f"{alias}.is_lead"]
        if settings.status == "open":
            holds.append(f"{alias}.status = ANY({query.bind(list(OPEN), 'text[]')})")
        elif settings.status != "any":
            holds.append(f"{alias}.status = {query.bind(settings.status, 'text')}")
        if settings.owner is not None:
            holds.append(f"{alias}.owner = {query.bind(_owner(settings), 'text')}")
        if settings.source is not None:
            holds.append(f"{alias}.source = {query.bind(values.fold(settings.source), 'text')}")
        if settings.band is not None:
            band = values.word_sql(f"(p.traits -> {query.bind(_trait(settings), 'text')})")
            holds.append(f"{band} = {query.bind(settings.band, 'text')}")
        return Clause(" AND ".join(holds))

    def read(self, settings: LeadSettings, person: Person, now: dt.datetime) -> bool:
        said = {name: [e.properties for e in person.events if e.name == name and (e.trusted or name == CREATED)] for name in (CREATED, STATUS, ASSIGNED)}
        if not said[CREATED]:
            return False
        told = values.word(said[STATUS][-1].get("status")) if said[STATUS] else None
        status = "new" if told is None else told
        owner = (values.word(said[ASSIGNED][-1].get("owner")) if said[ASSIGNED] else None) or ""
        fits = settings.status == "any" or (status in OPEN if settings.status == "open" else status == settings.status)
        return (
            fits
            and (settings.owner is None or owner == _owner(settings))
            and (settings.source is None or values.word(said[CREATED][0].get("source")) == values.fold(settings.source))
            and (settings.band is None or values.word(person.traits.get(_trait(settings))) == settings.band)
        )

    def reads(self, settings: LeadSettings) -> Reads:
        return Reads(events=frozenset({CREATED, STATUS, ASSIGNED}), traits=frozenset({_trait(settings)} if settings.band else ()))

    def sentence(self, settings: LeadSettings) -> Sentence:
        owner: Sentence | str = ""
        if settings.owner is not None:
            owner = Sentence(_l(" of %(owner)s"), {"owner": settings.owner}) if _owner(settings) else Sentence(_l(" of nobody"))
        source = Sentence(_l(" from %(source)s"), {"source": settings.source}) if settings.source else ""
        band = Sentence(_l(" whose score is %(band)s"), {"band": settings.band}) if settings.band else ""
        return Sentence(WORDS[settings.status], {"owner": owner, "source": source, "band": band})


def _owner(settings: LeadSettings) -> str:
    said = values.fold((settings.owner or "").strip())
    return "" if said == "nobody" else said


def _trait(settings: LeadSettings) -> str:
    return f"{settings.score}_band"


plugin = Lead()
