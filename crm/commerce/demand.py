"""How variants are wanted, day by day, and what goes together: counted from the log in sets, by the clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.commerce.computed_models import ComputedRun
from crm.events.models import HISTORY
from crm.events.spec import Happened

DAYS = 90  # counted
STEP = 10  # days counted at once
FRESH = dt.timedelta(minutes=10)  # today and yesterday are counted anew after this long,
SETTLED = dt.timedelta(days=1)  # earlier days once a day
COUNTED = frozenset({"Product Viewed", "Products Searched", "Order Completed", "Order Updated", "Order Cancelled"})
PAIRS = dt.timedelta(hours=6)
TOGETHER = 30  # others kept for each variant
LOOKED, BOUGHT = dt.timedelta(days=30), dt.timedelta(days=365)  # how far back
LATEST = 12  # articles of one person that are paired


def forget(session: Session, events: Iterable[Happened]) -> None:
    """Days an import tells of are counted again. A day another worker has in hand is left to it; what it cannot see yet is counted within a day."""
    days = sorted({event.occurred_at.date() for event in events if event.origin == HISTORY and event.name in COUNTED})
    if days:
        session.execute(text(_FORGET), {"days": days})


def count_wants(session: Session, now: dt.datetime) -> int:
    """Count the days that were not counted yet, or not lately, newest first; returns how many days that was."""
    wanted = {"today": now.date(), "first": now.date() - dt.timedelta(days=DAYS), "fresh": now - FRESH, "settled": now - SETTLED, "step": STEP}
    days = list(session.scalars(text(_STALE), wanted)) if session.scalar(text("SELECT EXISTS (SELECT FROM variants)")) else []
    for day in days:
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        session.execute(text(_COUNTED), {"day": day, "now": now})  # waits for whoever is just telling of this day, so that it is counted with it
        session.execute(text("DELETE FROM variant_days WHERE day = :day"), {"day": day})
        session.execute(text(_COUNT), {"day": day, "start": start, "end": start + dt.timedelta(days=1)})
    return len(days)


def pair(session: Session, now: dt.datetime) -> int:
    """Count anew who bought, and who looked at, two things: every six hours, sooner where earlier days were counted again. Returns how many pairs are kept."""
    last = session.scalar(select(ComputedRun.began_at).where(ComputedRun.name == "pairs"))
    if last is not None and (last > now - FRESH or last > now - PAIRS and not session.scalar(text(_LEARNED), {"last": last, "settled": now.date() - SETTLED})):
        return 0
    session.merge(ComputedRun(name="pairs", began_at=now, after=None, bounds={}))
    session.execute(text("DELETE FROM variant_pairs"))
    wanted = {"now": now, "looked": now - LOOKED, "bought": now - BOUGHT, "latest": LATEST, "together": TOGETHER}
    return len(session.execute(text(_PAIR), wanted).all())


_FORGET = """
DELETE FROM counted_days WHERE day IN (SELECT day FROM counted_days WHERE day = ANY(CAST(:days AS date[])) ORDER BY day FOR UPDATE SKIP LOCKED)
"""
_STALE = """
SELECT CAST(d AS date) FROM generate_series(CAST(:first AS timestamp), CAST(:today AS timestamp), interval '1 day') AS d
LEFT JOIN counted_days c ON c.day = CAST(d AS date)
WHERE c.counted_at IS NULL OR c.counted_at < CASE WHEN CAST(d AS date) >= CAST(:today AS date) - 1 THEN CAST(:fresh AS timestamptz)
  ELSE CAST(:settled AS timestamptz) END
ORDER BY d DESC LIMIT :step
"""
_COUNTED = "INSERT INTO counted_days (day, counted_at) VALUES (:day, :now) ON CONFLICT (day) DO UPDATE SET counted_at = excluded.counted_at"
_LEARNED = "SELECT EXISTS (SELECT FROM counted_days WHERE counted_at > :last AND day < :settled)"
_KEY = "coalesce({0}->>'variant_id', {0}->>'sku', {0}->>'product_id')"
_COUNT = f"""
WITH seen AS (
  SELECT v.id, e.profile_id, e.occurred_at FROM events e JOIN variants v ON v.id = {_KEY.format("e.properties")}
  WHERE e.name = 'Product Viewed' AND e.occurred_at >= :start AND e.occurred_at < :end
), spans AS (
  SELECT variant_id, at AS began, coalesce(lead(at) OVER (PARTITION BY variant_id ORDER BY at, accepted), 'infinity') AS ended, stock FROM stock_history
  WHERE variant_id IN (SELECT variant_id FROM stock_history WHERE stock = 0 AND at < :end)
), gaps AS MATERIALIZED (
  SELECT variant_id, began, ended FROM spans WHERE stock = 0 AND began < :end AND ended > :start
), looked AS (
  SELECT s.id, count(*) AS views, count(DISTINCT s.profile_id) AS viewers, count(g.began) AS out_views,
         count(DISTINCT s.profile_id) FILTER (WHERE g.began IS NOT NULL) AS out_viewers
  FROM seen s LEFT JOIN gaps g ON g.variant_id = s.id AND s.occurred_at >= g.began AND s.occurred_at < g.ended GROUP BY s.id
), sought AS (
  SELECT g.variant_id AS id, count(*) AS searches FROM events e
  JOIN gaps g ON e.occurred_at >= g.began AND e.occurred_at < g.ended JOIN variants v ON v.id = g.variant_id
  WHERE e.name = 'Products Searched' AND e.occurred_at >= :start AND e.occurred_at < :end
    AND length(trim(e.properties->>'query')) >= 3 AND strpos(lower(v.name || ' ' || v.variety), lower(trim(e.properties->>'query'))) > 0
  GROUP BY g.variant_id
), sold AS (
  SELECT v.id, count(DISTINCT o.profile_id) AS buyers, sum(coalesce(CAST(nullif(i->>'quantity', '') AS numeric), 1)) AS units
  FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.items) i JOIN variants v ON v.id = {_KEY.format("i")}
  WHERE o.ordered_at >= :start AND o.ordered_at < :end AND o.cancelled_at IS NULL GROUP BY v.id
)
INSERT INTO variant_days (day, variant_id, views, viewers, out_views, out_viewers, out_searches, buyers, units)
SELECT CAST(:day AS date), v.id, coalesce(l.views, 0), coalesce(l.viewers, 0), coalesce(l.out_views, 0), coalesce(l.out_viewers, 0),
       coalesce(s.searches, 0), coalesce(b.buyers, 0), coalesce(b.units, 0)
FROM variants v LEFT JOIN looked l USING (id) LEFT JOIN sought s USING (id) LEFT JOIN sold b USING (id)
WHERE l.id IS NOT NULL OR s.id IS NOT NULL OR b.id IS NOT NULL
"""  # noqa: S608  our own words
_PAIR = f"""
WITH looked AS (
  SELECT profile_id, id FROM (
    SELECT e.profile_id, v.id, row_number() OVER (PARTITION BY e.profile_id ORDER BY max(e.occurred_at) DESC, v.id) AS turn
    FROM events e JOIN variants v ON v.id = {_KEY.format("e.properties")}
    WHERE e.name = 'Product Viewed' AND e.occurred_at >= :looked GROUP BY e.profile_id, v.id
  ) x WHERE turn <= :latest
), bought AS (
  SELECT profile_id, id FROM (
    SELECT o.profile_id, v.id, row_number() OVER (PARTITION BY o.profile_id ORDER BY max(o.ordered_at) DESC, v.id) AS turn
    FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.items) i JOIN variants v ON v.id = {_KEY.format("i")}
    WHERE o.ordered_at >= :bought AND o.cancelled_at IS NULL GROUP BY o.profile_id, v.id
  ) x WHERE turn <= :latest
), counted AS (
  SELECT id, other_id, sum(bought) AS bought, sum(viewed) AS viewed FROM (
    SELECT a.id, b.id AS other_id, count(*) AS bought, 0 AS viewed FROM bought a JOIN bought b USING (profile_id) WHERE a.id <> b.id GROUP BY 1, 2
    UNION ALL
    SELECT a.id, b.id, 0, count(*) FROM looked a JOIN looked b USING (profile_id) WHERE a.id <> b.id GROUP BY 1, 2
  ) y GROUP BY 1, 2
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY 5 * bought + viewed DESC, other_id) AS turn FROM counted
)
INSERT INTO variant_pairs (variant_id, other_id, bought, viewed, counted_at)
SELECT id, other_id, bought, viewed, :now FROM ranked WHERE turn <= :together RETURNING 1
"""  # noqa: S608  our own words
