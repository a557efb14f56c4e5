"""The board: open deals by stage, the largest first, with sums; and where leads came from."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.commerce import rates
from crm.sales import deals
from crm.sales.deal_models import Pipeline, Stage

SHOWN = 50  # deals of one stage


@dataclass(frozen=True, slots=True)
class Card:
    """One deal on the board. `late` where it has stayed longer than its stage allows."""

    id: uuid.UUID
    title: str
    amount: Decimal
    currency: str
    person: str
    company: str | None
    owner_id: int | None
    closes_on: dt.date | None
    stage_at: dt.datetime
    late: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One stage with its first deals; `sums` of all of them, in the shop's currency and beside it in those without a rate."""

    stage: Stage
    cards: Sequence[Card]
    count: int
    sums: Sequence[tuple[str, Decimal]]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Leads of one source and campaign since a day: how many, how far they came, what one cost, how many were answered in time."""

    source: str
    campaign: str
    leads: int
    qualified: int
    won: int
    cost: Decimal | None
    currency: str | None
    per_lead: Decimal | None
    in_time: float | None
    handed_over: int


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What became of leads that marketing handed over: how many, of them qualified and won; of those whose answer fell due, how many got it in time."""

    leads: int
    qualified: int
    won: int
    due: int
    kept: int


def pipelines(session: Session) -> list[Pipeline]:
    """The pipelines there are."""
    return list(session.scalars(select(Pipeline).order_by(Pipeline.id)))


def board(session: Session, pipeline: str, *, owner: int | None, shop: str, now: dt.datetime) -> list[Column]:
    """Every stage of a pipeline with its open deals, of one owner where one is named."""
    columns = []
    there = deals.stages(session, pipeline)
    values = {"stages": [one.id for one in there], "owner": owner, "now": now, "shown": SHOWN, "shop": shop}
    cards: dict[int, list[Card]] = {}
    for row in session.execute(text(_CARDS), values):
        cards.setdefault(row[0], []).append(Card(*row[1:]))
    sums: dict[int, list[tuple[str, Decimal]]] = {}
    counts: dict[int, int] = {}
    for row in session.execute(text(_SUMS), values):
        sums.setdefault(row.stage_id, []).append((row.currency, row.sum))
        counts[row.stage_id] = counts.get(row.stage_id, 0) + row.n
    for one in there:
        columns.append(Column(one, cards.get(one.id, []), counts.get(one.id, 0), sums.get(one.id, [])))
    return columns


def sources(session: Session, *, shop: str, since: dt.datetime, now: dt.datetime) -> list[SourceRow]:
    """Where leads since then came from; the hundred largest. Costs count at the rate of the day the lead came."""
    return [SourceRow(*row) for row in session.execute(text(_SOURCES), {"since": since, "shop": shop, "now": now})]


def handed_over(session: Session, *, since: dt.datetime, now: dt.datetime) -> HandedOver:
    """Whoever entered the segment of marketing since then. A promise whose time has not come is neither kept nor broken."""
    return HandedOver(*session.execute(text(_HANDED), {"since": since, "now": now}).one())


_DUE = "(answer_by <= :now OR answered_at <= answer_by)"  # a promise that was kept or broken
_CARDS = f"""
SELECT s.id, d.* FROM unnest(CAST(:stages AS integer[])) AS s(id) CROSS JOIN LATERAL (
    SELECT d.id, d.title, d.amount, d.currency, p.name AS person, a.name AS company, d.owner_id, d.closes_on, d.stage_at,
           d.stage_at < CAST(:now AS timestamptz) - make_interval(days => g.days) AS late
    FROM deals d JOIN stages g ON g.id = d.stage_id JOIN profiles p ON p.id = d.profile_id LEFT JOIN accounts a ON a.id = d.account_id
    {rates.joined("d", "CAST(:now AS date)")}
    WHERE d.stage_id = s.id AND d.status = 'open' AND (CAST(:owner AS integer) IS NULL OR d.owner_id = :owner)
    ORDER BY d.amount * d_in.rate DESC, d.id LIMIT :shown
) d
"""  # noqa: S608  our own join
_SUMS = f"""
SELECT d.stage_id, d_in.unit AS currency, count(*) AS n, sum(d.amount * d_in.rate) AS sum FROM deals d {rates.joined("d", "CAST(:now AS date)")}
WHERE d.stage_id = ANY(CAST(:stages AS integer[])) AND d.status = 'open' AND (CAST(:owner AS integer) IS NULL OR d.owner_id = :owner)
GROUP BY 1, 2 ORDER BY 1, d_in.unit <> :shop, 4 DESC
"""  # noqa: S608  our own join
_SOURCES = f"""
SELECT source, campaign, count(*), count(*) FILTER (WHERE status IN ('qualified', 'won')), count(*) FILTER (WHERE status = 'won'),
       sum(cost * l_in.rate), l_in.unit, sum(cost * l_in.rate) / nullif(count(*), 0),
       CAST(count(*) FILTER (WHERE answered_at <= answer_by) AS float) / nullif(count(*) FILTER (WHERE {_DUE}), 0),
       count(*) FILTER (WHERE mql_at IS NOT NULL)
FROM leads l {rates.joined("l", "CAST(l.created_at AS date)")}
WHERE created_at >= :since GROUP BY source, campaign, l_in.unit ORDER BY 3 DESC, 1, 2 LIMIT 100
"""  # noqa: S608  our own join
_HANDED = f"""
SELECT count(*), count(*) FILTER (WHERE sql_at IS NOT NULL OR status IN ('qualified', 'won')), count(*) FILTER (WHERE status = 'won'),
       count(*) FILTER (WHERE {_DUE}), count(*) FILTER (WHERE answered_at <= answer_by)
FROM leads WHERE mql_at >= :since
"""  # noqa: S608  our own condition
