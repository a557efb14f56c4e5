"""Who gets a lead: rules in order, chosen purely, given under one lock so that two workers stay fair."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.sales import leads
from crm.sales.hours import Hours
from crm.sales.settings import AssignRule, SalesSettings

LOCK = 0x73616C31
_TICK = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wanting:
    """What a choice looks at of one lead."""

    profile_id: uuid.UUID
    source: str = ""
    language: str = ""
    places: frozenset[str] = frozenset()  # city and country, folded
    account_owners: frozenset[int] = frozenset()
    owner_id: int | None = None  # who has it and is to be relieved


@dataclass(frozen=True, slots=True)
class Standing:
    """What a choice looks at of one seller."""

    user_id: int
    on_duty: bool
    open: int
    most_open: int
    languages: frozenset[str] = frozenset()
    territories: frozenset[str] = frozenset()
    last: dt.datetime = field(default=dt.datetime.min.replace(tzinfo=dt.UTC))

    @property
    def has_room(self) -> bool:
        return self.open < self.most_open


def choose(rules: Sequence[AssignRule], lead: Wanting, sellers: Collection[Standing], *, wait: bool = False) -> tuple[int, str] | None:
    """The seller and the kind of the rule that found them; None where nobody may take it. Those off duty come second, or never where it may `wait`."""
    able = [one for one in sellers if one.user_id != lead.owner_id and one.has_room]
    for present in ([one for one in able if one.on_duty], [] if wait else able):
        for rule in rules:
            if found := _by(rule, lead, present, sellers):
                return min(found, key=_turn(rule)).user_id, rule.kind
    return None


def _by(rule: AssignRule, lead: Wanting, present: Collection[Standing], all_: Collection[Standing]) -> list[Standing]:
    """Whom one rule allows. A company's owner gets its leads however full or late the day."""
    if rule.sources and lead.source not in rule.sources:
        return []
    if rule.kind == "account_owner":
        return [one for one in all_ if one.user_id in lead.account_owners and one.user_id != lead.owner_id]
    named = [one for one in present if not rule.people or one.user_id in rule.people]
    if rule.kind == "territory":
        return [one for one in named if one.territories & lead.places]
    if rule.kind == "language":
        return [one for one in named if lead.language in one.languages]
    return named


def _turn(rule: AssignRule) -> Callable[[Standing], tuple[Any, ...]]:
    """Whose turn it is: by load where room decides, then whoever waited longest."""
    if rule.kind == "capacity":
        return lambda one: (one.open / max(one.most_open, 1), one.last, one.user_id)
    return lambda one: (one.last, one.user_id)


def give(  # whom, by what, when
    session: Session, profile_ids: Collection[uuid.UUID], *, rules: SalesSettings, zone: str, now: dt.datetime, by: int | None = None
) -> Mapping[uuid.UUID, int]:
    """Find owners for these leads, for the user `by` where one asks; returns lead -> owner.

    The caller holds the people's locks; the lock of the rules ends with the transaction.
    """
    wanting = _wanting(session, profile_ids)
    if not wanting:
        return {}
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    standing = {one.user_id: one for one in sellers(session, rules=rules, zone=zone, now=now)}
    chosen: dict[uuid.UUID, tuple[int | None, str]] = {}
    turn = max([now, *(one.last for one in standing.values())])
    for lead in wanting:
        found = choose(rules.rules, lead, standing.values(), wait=rules.off_duty == "wait")
        if found:
            chosen[lead.profile_id], turn, one = (found[0], "hand" if by else found[1]), turn + _TICK, standing[found[0]]
            standing[found[0]] = replace(one, open=one.open + 1, last=turn)
    leads.assign(session, chosen, by=by, now=now)
    given = [(one.user_id, one.last) for one in standing.values() if any(owner == one.user_id for owner, _ in chosen.values())]
    session.execute(text(_GIVEN), {"users": [user for user, _ in given], "at": [at for _, at in given]})
    return {one: owner for one, (owner, _) in chosen.items() if owner is not None}


def sellers(session: Session, *, rules: SalesSettings, zone: str, now: dt.datetime) -> list[Standing]:
    """Everybody who sells, as they stand now."""
    rows = session.execute(text(_SELLERS)).all()
    return [
        Standing(
            row.user_id,
            (row.away_until is None or row.away_until <= now) and Hours(row.weekdays, row.starts, row.ends, zone).on(now),
            row.open,
            row.most_open,
            frozenset(row.languages),
            frozenset(place.casefold() for place in row.territories),
            row.assigned_at or dt.datetime.min.replace(tzinfo=dt.UTC),
        )
        for row in rows
    ]


def next_duty(session: Session, *, zone: str, now: dt.datetime) -> dt.datetime | None:
    """When the next seller comes on duty; None where nobody sells."""
    rows = session.execute(text("SELECT weekdays, starts, ends, away_until FROM sellers WHERE active")).all()
    starts = [Hours(row.weekdays, row.starts, row.ends, zone).next_start(max(now, row.away_until or now)) for row in rows]
    return min((start for start in starts if start), default=None)


def _wanting(session: Session, profile_ids: Collection[uuid.UUID]) -> list[Wanting]:
    rows = session.execute(text(_WANTING), {"ids": list(profile_ids)}).all()
    return [
        Wanting(
            row.profile_id,
            row.source,
            str(row.language or "").replace("_", "-").split("-")[0].lower(),
            frozenset(str(place).casefold() for place in (row.city, row.country) if place),
            frozenset(row.owners or ()),
            row.owner_id,
        )
        for row in rows
    ]


_SELLERS = """
SELECT s.*, coalesce(l.n, 0) AS open FROM sellers s
LEFT JOIN (SELECT owner_id, count(*) AS n FROM leads WHERE open AND owner_id IS NOT NULL GROUP BY 1) l ON l.owner_id = s.user_id
WHERE s.active ORDER BY s.user_id
"""
_WANTING = """
SELECT l.profile_id, l.source, l.owner_id, coalesce(p.traits->>'language', p.traits->>'locale') AS language,
       coalesce(p.traits->>'city', p.traits->'address'->>'city') AS city, coalesce(p.traits->>'country', p.traits->'address'->>'country') AS country,
       (SELECT array_agg(o.user_id) FROM account_members m JOIN (
            SELECT id AS account_id, owner_id AS user_id FROM accounts WHERE owner_id IS NOT NULL UNION SELECT account_id, user_id FROM account_owners
        ) o ON o.account_id = m.account_id WHERE m.profile_id = l.profile_id) AS owners
FROM leads l JOIN profiles p ON p.id = l.profile_id
WHERE l.profile_id = ANY(CAST(:ids AS uuid[])) AND l.open AND (l.owner_id IS NULL OR l.reassign) ORDER BY l.created_at, l.profile_id
"""
_GIVEN = """
UPDATE sellers s SET assigned_at = n.at
FROM unnest(CAST(:users AS integer[]), CAST(:at AS timestamptz[])) AS n(user_id, at) WHERE s.user_id = n.user_id
"""
