"""What deals will bring and how wrong that was before: all computed from deals and their stage log, nothing is kept aside.

Sums are in the shop's currency, by the rate of the day; what has none stands apart in its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import rates

MONTHS = 6


@dataclass(frozen=True, slots=True)
class Coming:
    """What one month will bring in one currency: open deals, their sum, and weighted by stage. `month` is None for deals without a day."""

    month: dt.date | None
    currency: str
    deals: int
    amount: Decimal
    weighted: Decimal


@dataclass(frozen=True, slots=True)
class Past:
    """What was forecast for a month on its first day, and what was won in it."""

    month: dt.date
    currency: str
    forecast: Decimal
    won: Decimal

    @property
    def error(self) -> float | None:
        """How far off, of what was won; None where nothing was."""
        return float((self.forecast - self.won) / self.won) if self.won else None


@dataclass(frozen=True, slots=True)
class StageLog:
    """One stage, lately: deals that came, went on, were lost there; how long they stayed (days, median)."""

    stage_id: int
    name: str
    came: int
    lost: int
    days: float | None
    goal_days: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Won deals: how many days from opening, median and the slowest tenth."""

    won: int
    lost: int
    median_days: float | None
    p90_days: float | None


@dataclass(frozen=True, slots=True)
class BySource:
    """Where closed deals came from."""

    source: str
    won: int
    lost: int
    currency: str
    amount: Decimal


def coming(session: Session, pipeline_id: int, *, shop: str, now: dt.datetime) -> list[Coming]:
    """Open deals by the month they should close in."""
    return [Coming(*row) for row in session.execute(text(_COMING), {"pipeline": pipeline_id, "shop": shop, "now": now})]


def past(  # where, when and in what it counts
    session: Session, pipeline_id: int, *, shop: str, zone: str, now: dt.datetime, months: int = MONTHS
) -> list[Past]:
    """The last whole months: the forecast as it stood at their beginning, from the stage log, beside what was won; both at the rates of that day."""
    found = []
    for start, end in _months(now, zone, months):
        values = {"pipeline": pipeline_id, "start": start, "end": end, "first": start.astimezone(ZoneInfo(zone)).date(), "shop": shop}
        found += [Past(values["first"], *row) for row in session.execute(text(_PAST), values)]  # type: ignore[arg-type]  # columns come in the order of the fields
    return found


def mean_error(rows: Sequence[Past]) -> float | None:
    """The mean of the absolute errors of months in which something was won; None where there is none."""
    errors = [abs(one.error) for one in rows if one.error is not None]
    return sum(errors) / len(errors) if errors else None


def stage_log(session: Session, pipeline_id: int, *, since: dt.datetime) -> list[StageLog]:
    """Each stage since then."""
    return [StageLog(*row) for row in session.execute(text(_STAGES), {"pipeline": pipeline_id, "since": since})]


def closed(session: Session, pipeline_id: int, *, since: dt.datetime) -> Closed:
    """What was closed since then, and how long winning took."""
    row = session.execute(text(_CLOSED), {"pipeline": pipeline_id, "since": since}).one()
    return Closed(*row)


def by_source(session: Session, pipeline_id: int, *, shop: str, since: dt.datetime) -> list[BySource]:
    """Closed deals by where they came from; at the rate of the day each was closed."""
    return [BySource(*row) for row in session.execute(text(_SOURCES), {"pipeline": pipeline_id, "since": since, "shop": shop})]


def lost_reasons(session: Session, pipeline_id: int, *, since: dt.datetime) -> list[tuple[str, int]]:
    """Why deals were lost, the most frequent first."""
    rows = session.execute(text(_REASONS), {"pipeline": pipeline_id, "since": since})
    return [(row.reason, row.n) for row in rows]


def _months(now: dt.datetime, zone: str, months: int) -> list[tuple[dt.datetime, dt.datetime]]:
    """Beginnings and ends of the last whole months on that clock, oldest first."""
    here = now.astimezone(ZoneInfo(zone))
    starts = []
    for back in range(months, -1, -1):
        year, month = divmod(here.year * 12 + here.month - 1 - back, 12)
        starts.append(dt.datetime(year, month + 1, 1, tzinfo=ZoneInfo(zone)))
    return list(zip(starts, starts[1:], strict=False))


_COMING = f"""
SELECT CAST(date_trunc('month', d.closes_on) AS date), d_in.unit, count(*), sum(d.amount * d_in.rate),
       sum(d.amount * d_in.rate * CAST(s.probability AS numeric))
FROM deals d JOIN stages s ON s.id = d.stage_id {rates.joined("d", "CAST(:now AS date)")}
WHERE d.pipeline_id = :pipeline AND d.status = 'open' GROUP BY 1, 2 ORDER BY 1 NULLS LAST, d_in.unit <> :shop, 2
"""  # noqa: S608  our own join
_PAST = f"""
WITH stood AS (
    SELECT DISTINCT ON (m.deal_id) m.deal_id, m.stage_id, m.status, m.amount, m.currency, m.closes_on
    FROM deal_moves m JOIN deals d ON d.id = m.deal_id WHERE d.pipeline_id = :pipeline AND m.at < :start ORDER BY m.deal_id, m.id DESC
), expected AS (
    SELECT t_in.unit AS currency, sum(t.amount * t_in.rate * CAST(s.probability AS numeric)) AS sum
    FROM stood t JOIN stages s ON s.id = t.stage_id {rates.joined("t", ":first")}
    WHERE t.status = 'open' AND t.closes_on >= :first AND t.closes_on < CAST(:first AS date) + interval '1 month' GROUP BY 1
), got AS (
    SELECT d_in.unit AS currency, sum(d.amount * d_in.rate) AS sum FROM deals d {rates.joined("d", ":first")}
    WHERE d.pipeline_id = :pipeline AND d.status = 'won' AND d.closed_at >= :start AND d.closed_at < :end GROUP BY 1
)
SELECT currency, coalesce(e.sum, 0), coalesce(g.sum, 0) FROM expected e FULL JOIN got g USING (currency) ORDER BY currency <> :shop, 1
"""  # noqa: S608  our own join
_STAGES = """
WITH stay AS (
    SELECT m.deal_id, m.stage_id, m.status, m.at, lead(m.at) OVER w AS until
    FROM deal_moves m JOIN deals d ON d.id = m.deal_id WHERE d.pipeline_id = :pipeline WINDOW w AS (PARTITION BY m.deal_id ORDER BY m.id)
), spans AS (
    SELECT deal_id, stage_id, min(at) AS came, max(coalesce(until, at)) AS went, bool_or(status = 'lost') AS lost
    FROM stay WHERE at >= :since GROUP BY 1, 2
)
SELECT s.id, s.name, count(p.deal_id), count(*) FILTER (WHERE p.lost),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM p.went - p.came) / 86400) FILTER (WHERE p.went > p.came), s.days
FROM stages s LEFT JOIN spans p ON p.stage_id = s.id WHERE s.pipeline_id = :pipeline GROUP BY s.id ORDER BY s.position, s.id
"""
_CLOSED = """
SELECT count(*) FILTER (WHERE status = 'won'), count(*) FILTER (WHERE status = 'lost'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - created_at) / 86400) FILTER (WHERE status = 'won'),
       percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - created_at) / 86400) FILTER (WHERE status = 'won')
FROM deals WHERE pipeline_id = :pipeline AND closed_at >= :since
"""
_SOURCES = f"""
SELECT d.source, count(*) FILTER (WHERE d.status = 'won'), count(*) FILTER (WHERE d.status = 'lost'), d_in.unit,
       coalesce(sum(d.amount * d_in.rate) FILTER (WHERE d.status = 'won'), 0)
FROM deals d {rates.joined("d", "CAST(d.closed_at AS date)")}
WHERE d.pipeline_id = :pipeline AND d.closed_at >= :since GROUP BY d.source, d_in.unit ORDER BY 5 DESC, 1 LIMIT 30
"""  # noqa: S608  our own join
_REASONS = """
SELECT lost_reason AS reason, count(*) AS n FROM deals WHERE pipeline_id = :pipeline AND status = 'lost' AND closed_at >= :since AND lost_reason IS NOT NULL
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20
"""
