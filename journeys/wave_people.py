"""Whom an occasion concerns, in their order: looked up once for many occasions, then taken from the front."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from journeys.goods_trigger import Plan


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody whose turn has come: why, and since when they wanted it."""

    profile_id: uuid.UUID
    because: str
    since: dt.datetime


def gather(session: Session, occasions: Sequence[tuple[Row[Any], Plan]]) -> None:
    """Write down who is meant by each occasion: who asked first, then who looked, by time or by what they are worth."""
    if not occasions:
        return
    rows = [
        {
            "id": row.id,
            "journey_id": row.journey_id,
            "variant_id": row.variant_id,
            "at": row.at,
            "since": row.at - dt.timedelta(days=plan.days),
            "by_value": plan.by_value,
            "out": plan.change == "stock",
            **{why: why in plan.whom for why in ("asked", "viewed", "searched", "carted")},
        }
        for row, plan in occasions
    ]
    session.execute(text(_GATHER), {"rows": dumps(rows), "earliest": min(row["since"] for row in rows), "latest": max(row["at"] for row in rows)})


def pass_over(session: Session, waves: Sequence[int]) -> None:
    """Whoever bought it meanwhile, took the wish back, or was told under another profile that is theirs now loses the place."""
    session.execute(text(_SKIP), {"waves": list(waves)})


def take(session: Session, sizes: Mapping[int, int], now: dt.datetime) -> tuple[dict[int, list[Told]], dict[int, int]]:
    """The next people of each occasion, marked as told; and how many are left."""
    columns = {"waves": list(sizes), "sizes": list(sizes.values())}
    told: dict[int, list[Told]] = {}
    for row in session.execute(text(_TAKE), {**columns, "now": now}).all() if sizes else ():
        told.setdefault(row.wave_id, []).append(Told(row.profile_id, row.because, row.since))
    left = {row.wave_id: row.left for row in session.execute(text(_LEFT), columns)} if sizes else {}
    return told, left


_SKU = "coalesce({0}.properties->>'variant_id', {0}.properties->>'sku', {0}.properties->>'product_id')"
_GATHER = f"""
WITH due AS MATERIALIZED (
  SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(
    id bigint, journey_id int, variant_id text, at timestamptz, since timestamptz, by_value boolean, out boolean,
    asked boolean, viewed boolean, searched boolean, carted boolean)
), spans AS MATERIALIZED (
  SELECT variant_id, at AS began, coalesce(lead(at) OVER (PARTITION BY variant_id ORDER BY at, accepted), 'infinity') AS ended, stock
  FROM stock_history WHERE variant_id IN (SELECT variant_id FROM due)
), told AS (
  SELECT d.id, r.profile_id, 'asked' AS because, 1 AS rank, r.asked_at AS since
  FROM due d JOIN stock_requests r ON r.variant_id = d.variant_id AND r.ended IS NULL AND r.asked_at <= d.at WHERE d.asked
  UNION ALL
  SELECT d.id, e.profile_id, CASE e.name WHEN 'Product Viewed' THEN 'viewed' ELSE 'carted' END, CASE e.name WHEN 'Product Viewed' THEN 3 ELSE 2 END,
         max(e.occurred_at)
  FROM events e JOIN due d ON d.variant_id = {_SKU.format("e")}
  WHERE e.name IN ('Product Viewed', 'Product Added') AND e.occurred_at >= :earliest AND e.occurred_at < :latest
    AND e.occurred_at >= d.since AND e.occurred_at < d.at AND (e.name = 'Product Viewed' AND d.viewed OR e.name = 'Product Added' AND d.carted)
    AND (NOT d.out OR EXISTS (
      SELECT FROM spans s WHERE s.variant_id = d.variant_id AND s.stock = 0 AND e.occurred_at >= s.began AND e.occurred_at < s.ended))
  GROUP BY d.id, e.profile_id, e.name
  UNION ALL
  SELECT d.id, e.profile_id, 'searched', 4, max(e.occurred_at)
  FROM events e JOIN due d ON d.searched JOIN variants v ON v.id = d.variant_id
  JOIN spans s ON s.variant_id = d.variant_id AND s.stock = 0 AND e.occurred_at >= s.began AND e.occurred_at < s.ended
  WHERE e.name = 'Products Searched' AND e.occurred_at >= :earliest AND e.occurred_at < :latest AND e.occurred_at >= d.since AND e.occurred_at < d.at
    AND length(trim(e.properties->>'query')) >= 3 AND strpos(lower(v.name || ' ' || v.variety), lower(trim(e.properties->>'query'))) > 0
  GROUP BY d.id, e.profile_id
), best AS (
  SELECT DISTINCT ON (t.id, t.profile_id) t.id, t.profile_id, t.because, t.rank, t.since
  FROM told t JOIN due d ON d.id = t.id JOIN profiles p ON p.id = t.profile_id AND p.merged_into IS NULL AND p.known
  WHERE NOT EXISTS (
    SELECT FROM wave_people o JOIN waves e ON e.id = o.wave_id
    WHERE o.profile_id = t.profile_id AND o.told_at >= t.since AND e.journey_id = d.journey_id AND e.variant_id = d.variant_id
      AND (t.because <> 'asked' OR NOT d.out))
  ORDER BY t.id, t.profile_id, t.rank
)
INSERT INTO wave_people (wave_id, place, profile_id, because, since)
SELECT b.id, row_number() OVER (PARTITION BY b.id ORDER BY CASE WHEN d.by_value THEN w.worth ELSE 0 END DESC NULLS LAST,
                                CASE WHEN d.by_value THEN 0 ELSE least(b.rank, 2) END, b.since, b.profile_id), b.profile_id, b.because, b.since
FROM best b JOIN due d ON d.id = b.id
LEFT JOIN LATERAL (
  SELECT sum(o.revenue - o.refunded) AS worth FROM orders o WHERE o.profile_id = b.profile_id AND o.ordered_at IS NOT NULL AND o.cancelled_at IS NULL
    AND o.currency = (SELECT currency FROM variants WHERE id = d.variant_id)
) w ON d.by_value
ON CONFLICT DO NOTHING
"""  # noqa: S608  our own words
_SKIP = """
WITH gone AS (
  SELECT p.wave_id, p.place, CASE
    WHEN EXISTS (SELECT FROM wave_people o WHERE o.wave_id = p.wave_id AND o.profile_id = p.profile_id AND o.number IS NOT NULL) THEN 'twice'
    WHEN p.because = 'asked' AND NOT EXISTS (
      SELECT FROM stock_requests r WHERE r.profile_id = p.profile_id AND r.variant_id = w.variant_id AND r.ended IS NULL) THEN 'taken_back'
    WHEN EXISTS (
      SELECT FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.items) i
      WHERE o.profile_id = p.profile_id AND o.ordered_at >= p.since AND o.cancelled_at IS NULL
        AND w.variant_id = coalesce(i->>'variant_id', i->>'sku', i->>'product_id')) THEN 'bought' END AS why
  FROM wave_people p JOIN waves w ON w.id = p.wave_id WHERE p.wave_id = ANY(CAST(:waves AS bigint[])) AND p.number IS NULL AND p.passed IS NULL
)
UPDATE wave_people p SET passed = g.why FROM gone g WHERE g.why IS NOT NULL AND (p.wave_id, p.place) = (g.wave_id, g.place)
"""
_TAKE = """
WITH next AS (
  SELECT p.wave_id, p.place, row_number() OVER (PARTITION BY p.wave_id ORDER BY p.place) AS turn, s.size
  FROM unnest(CAST(:waves AS bigint[]), CAST(:sizes AS int[])) AS s(wave_id, size) JOIN wave_people p ON p.wave_id = s.wave_id
  WHERE p.number IS NULL AND p.passed IS NULL
), told AS (
  UPDATE wave_people p SET number = w.number + CASE WHEN w.to_tell > 0 THEN 0 ELSE 1 END, told_at = :now
  FROM next n JOIN waves w ON w.id = n.wave_id WHERE n.turn <= n.size AND (p.wave_id, p.place) = (n.wave_id, n.place)
  RETURNING p.wave_id, p.place, p.profile_id, p.because, p.since
) SELECT * FROM told ORDER BY wave_id, place
"""
_LEFT = """
SELECT s.wave_id, (SELECT count(*) FROM wave_people p WHERE p.wave_id = s.wave_id AND p.number IS NULL AND p.passed IS NULL) AS left
FROM unnest(CAST(:waves AS bigint[]), CAST(:sizes AS int[])) AS s(wave_id, size)
"""
