"""The order of the queue: expected value × urgency × the owner's capacity, kept as a logarithm so that it need not be written again as time passes.

Urgency halves with each half-life since the person was last active. As that is so for everybody alike, the order of two leads stays the same while
both rest: rank = log2(value × steps) + last activity / half-life. Only steps (a promise falls due, a task's time comes) change it at moments known
beforehand; those are `check_at` of the lead.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import rates
from crm.core.json import dumps
from crm.sales import settings
from crm.sales.settings import SalesSettings

EPOCH = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
UNKNOWN = 0.05  # the chance of somebody no score knows
SOON, OVERDUE, DUE, LATER = 2.0, 4.0, 2.0, 0.125
DEEPEST = 6  # halvings of an overloaded owner's leads
AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rank of one lead follows from. `chance` is None where there is no score; `deals` what open deals will bring, weighted."""

    last_seen: dt.datetime
    chance: float | None = None
    expected: Decimal | None = None
    deals: Decimal | None = None
    answer_by: dt.datetime | None = None
    answered_at: dt.datetime | None = None
    next_at: dt.datetime | None = None
    load_step: int = 0


@dataclass(frozen=True, slots=True)
class Rank:
    """The parts a screen explains, their product's logarithm, and when time changes a step (None: never)."""

    worth: Decimal
    why_worth: str  # deals | score | chance | unknown
    step: float
    why_step: str  # overdue | soon | answer | due | later | none
    recency: float
    capacity: float
    rank: float
    next_change: dt.datetime | None


def rank(facts: Facts, rules: SalesSettings, now: dt.datetime) -> Rank:
    """The formula."""
    worth, why_worth = _worth(facts, rules)
    step, why_step, change = _step(facts, rules, now)
    half_life = dt.timedelta(days=rules.half_life_days)
    age = max((now - facts.last_seen) / half_life, 0.0)
    value = math.log2(max(float(worth), 0.01)) + math.log2(step) - facts.load_step + (min(facts.last_seen, now) - EPOCH) / half_life
    return Rank(worth, why_worth, step, why_step, 2.0**-age, 2.0**-facts.load_step, value, change)


def load_step(open_leads: int, most_open: int) -> int:
    """Halvings for an owner with more leads than they can take: none up to the limit, one up to twice as many, and so on."""
    return min(DEEPEST, max(0, math.ceil(math.log2(max(open_leads, 1) / max(most_open, 1)))))


def refresh(session: Session, *, profile_ids: Collection[uuid.UUID], shop: str, now: dt.datetime, taken: bool = False) -> int:
    """Rank these leads anew, in sets; whoever is no open lead is passed over. `shop` is the currency of what they are worth. Returns how many were ranked.

    A lead that waits for a worker (for an owner, now or when somebody comes on duty) goes on waiting, unless this is the worker, who has `taken` it.
    """
    rules = settings.read(session)
    ids = sorted(profile_ids)
    return sum(_refresh(session, ids[start : start + AT_ONCE], rules, shop, now, taken=taken) for start in range(0, len(ids), AT_ONCE))


def one(session: Session, profile_id: uuid.UUID, *, rules: SalesSettings, shop: str, now: dt.datetime) -> Rank | None:
    """The parts of one lead's rank, for its screen; None where there is no open lead."""
    row = session.execute(text(_FACTS), {"ids": [profile_id], "kind": rules.score, "shop": shop, "now": now}).first()
    return rank(_facts(row), rules, now) if row else None


def measure_loads(session: Session, now: dt.datetime) -> int:
    """Owners who have more than they can take rank lower, and higher again once they have room; returns how many changed."""
    changed = 0
    for row in session.execute(text(_LOADS)).all():
        step = load_step(row.n, row.most_open)
        if step != row.load_step:
            session.execute(text("UPDATE sellers SET load_step = :step WHERE user_id = :id"), {"step": step, "id": row.user_id})
            moved = {"by": row.load_step - step, "id": row.user_id}
            session.execute(text("UPDATE leads SET rank = rank + :by WHERE owner_id = :id AND open"), moved)
            changed += 1
    return changed


def _worth(facts: Facts, rules: SalesSettings) -> tuple[Decimal, str]:
    if facts.deals is not None:
        return facts.deals, "deals"
    if facts.expected is not None:
        return facts.expected, "score"
    if facts.chance is not None:
        return rules.typical * Decimal(str(facts.chance)), "chance"
    return rules.typical * Decimal(str(UNKNOWN)), "unknown"


def _step(facts: Facts, rules: SalesSettings, now: dt.datetime) -> tuple[float, str, dt.datetime | None]:
    if facts.answer_by is not None and facts.answered_at is None:
        half = facts.answer_by - rules.answer_within / 2
        if now >= facts.answer_by:
            return OVERDUE, "overdue", None
        return (SOON, "soon", facts.answer_by) if now >= half else (1.0, "answer", half)
    if facts.next_at is None:
        return 1.0, "none", None
    return (DUE, "due", None) if now >= facts.next_at else (LATER, "later", facts.next_at)


def _refresh(session: Session, ids: list[uuid.UUID], rules: SalesSettings, shop: str, now: dt.datetime, *, taken: bool) -> int:
    rows = session.execute(text(_FACTS), {"ids": ids, "kind": rules.score, "shop": shop, "now": now}).all()
    made = [(row, rank(_facts(row), rules, now)) for row in rows]
    said = [
        {"id": row.profile_id, "rank": one.rank, "worth": one.worth, "seen": row.last_seen, "band": row.band, "check": one.next_change} for row, one in made
    ]
    if said:
        session.execute(text(_WRITE), {"rows": dumps(said), "taken": taken})
    return len(said)


def _facts(row: Any) -> Facts:
    return Facts(
        row.last_seen, row.probability, row.expected_value, row.deals, row.answer_by, row.answered_at, row.next_at, row.load_step
    )  # fmt: skip


_FACTS = f"""
SELECT l.profile_id, p.last_seen, s.probability, s.band, l.answer_by, l.answered_at, l.next_at, coalesce(o.load_step, 0) AS load_step, d.deals,
       CASE WHEN coalesce(s_in.unit, :shop) = :shop THEN s.expected_value * s_in.rate END AS expected_value
FROM leads l JOIN profiles p ON p.id = l.profile_id
LEFT JOIN scores s ON s.profile_id = l.profile_id AND s.kind = :kind
{rates.joined("s", "CAST(:now AS date)")}
LEFT JOIN sellers o ON o.user_id = l.owner_id
LEFT JOIN (
    SELECT d.profile_id, sum(d.amount * d_in.rate * CAST(g.probability AS numeric)) AS deals
    FROM deals d JOIN stages g ON g.id = d.stage_id {rates.joined("d", "CAST(:now AS date)")}
    WHERE d.status = 'open' AND d.profile_id = ANY(CAST(:ids AS uuid[])) AND d.amount > 0 AND d_in.unit = :shop GROUP BY 1
) d ON d.profile_id = l.profile_id
WHERE l.profile_id = ANY(CAST(:ids AS uuid[])) AND l.open
"""  # noqa: S608  our own join
_WRITE = """
UPDATE leads l SET rank = n.rank, worth = n.worth, seen_at = n.seen, band = n.band,
    check_at = CASE WHEN :taken THEN n.check ELSE least(l.check_at, n.check) END
FROM json_to_recordset(CAST(:rows AS json)) AS n(id uuid, rank float8, worth numeric, seen timestamptz, band text, "check" timestamptz)
WHERE l.profile_id = n.id
"""
_LOADS = """
SELECT s.user_id, s.most_open, s.load_step, (SELECT count(*) FROM leads l WHERE l.owner_id = s.user_id AND l.open) AS n FROM sellers s ORDER BY s.user_id
"""
