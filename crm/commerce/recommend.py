"""What to offer somebody: what goes together with what they chose, else what sells best beside it; only what is there and not theirs yet."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce.product import card

Basis = Literal["start", "cart", "viewed", "bought"]
LATEST = 5  # articles looked at or bought last, from which to go on
SELLING = dt.timedelta(days=30)
BEST = 20  # of each category
OFTEN = 5  # a purchase of both counts as much as so many people who looked at both


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be offered how many, going on from what. `start` holds the variants of the start or the cart. `cheaper`: alternatives that cost less."""

    profile_id: uuid.UUID
    basis: Basis
    many: int
    cheaper: bool = False
    start: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """A variant as choosing sees it."""

    id: str
    category: str
    price: Decimal | None
    currency: str
    there: bool  # in stock, sold, with a price
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What was read for many at once: variants, what goes together (variant -> other -> weight), what sells best (category -> ids; '' of all)."""

    offers: Mapping[str, Offer]
    together: Mapping[str, Mapping[str, int]]
    best: Mapping[str, Sequence[str]]


def recommend(session: Session, wanted: Sequence[Wanted], now: dt.datetime) -> list[list[dict[str, Any]]]:
    """For each wish the articles to offer, as events carry them, the best first; in the same order."""
    profiles = sorted({each.profile_id for each in wanted})
    lately = {basis: _lately(session, profiles, basis) for basis in {each.basis for each in wanted} & {"viewed", "bought"}}
    seeds = [each.start or tuple(lately.get(each.basis, {}).get(each.profile_id, ())) for each in wanted]
    owned = _owned(session, profiles)
    shelf = _shelf(session, {seed for mine in seeds for seed in mine}, now)
    chosen = [choose(shelf, mine, owned.get(each.profile_id, set()), each.many, cheaper=each.cheaper) for each, mine in zip(wanted, seeds, strict=True)]
    return [[dict(shelf.offers[one].card) for one in ids] for ids in chosen]


def choose(shelf: Shelf, seeds: Sequence[str], owned: Collection[str], many: int, *, cheaper: bool = False) -> list[str]:
    """Pure: the same shelf gives the same answer. Cheaper means: of a seed's category, for less money."""
    weights: dict[str, int] = defaultdict(int)
    for seed in seeds:
        for other, weight in shelf.together.get(seed, {}).items():
            weights[other] += weight
    known = [shelf.offers[seed] for seed in seeds if seed in shelf.offers]
    ranked = sorted(weights, key=lambda one: (-weights[one], one))
    beside = [one for category in dict.fromkeys(offer.category for offer in known) if category for one in shelf.best.get(category, ())]
    rest = [] if cheaper else shelf.best.get("", ())
    fits = [
        one
        for one in dict.fromkeys((*ranked, *beside, *rest))
        if one not in seeds and one not in owned and one in shelf.offers and shelf.offers[one].there and (not cheaper or _is_cheaper(shelf.offers[one], known))
    ]
    return fits[:many]


def _is_cheaper(offer: Offer, than: Sequence[Offer]) -> bool:
    return any(
        offer.category == each.category and offer.currency == each.currency and offer.price is not None and each.price is not None and offer.price < each.price
        for each in than
    )


def _lately(session: Session, profiles: Sequence[uuid.UUID], basis: Basis) -> dict[uuid.UUID, list[str]]:
    found: dict[uuid.UUID, list[str]] = defaultdict(list)
    for row in session.execute(text(_VIEWED if basis == "viewed" else _BOUGHT), {"profiles": list(profiles), "latest": LATEST}):
        found[row.profile_id].append(row.id)
    return found


def _owned(session: Session, profiles: Sequence[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
    found: dict[uuid.UUID, set[str]] = defaultdict(set)
    for row in session.execute(text(_OWNED), {"profiles": list(profiles)}):
        found[row.profile_id].add(row.id)
    return found


def _shelf(session: Session, seeds: Collection[str], now: dt.datetime) -> Shelf:
    together: dict[str, dict[str, int]] = defaultdict(dict)
    for row in session.execute(text("SELECT * FROM variant_pairs WHERE variant_id = ANY(CAST(:ids AS text[]))"), {"ids": sorted(seeds)}):
        together[row.variant_id][row.other_id] = OFTEN * row.bought + row.viewed
    best: dict[str, list[str]] = defaultdict(list)
    for row in session.execute(text(_BEST), {"since": (now - SELLING).date(), "best": BEST, "ids": sorted(seeds)}):
        best[row.shelf].append(row.id)
    ids = {*seeds, *(other for each in together.values() for other in each), *(one for each in best.values() for one in each)}
    rows = session.execute(text("SELECT * FROM variants WHERE id = ANY(CAST(:ids AS text[]))"), {"ids": sorted(ids)})
    offers = {row.id: Offer(row.id, row.category, row.price, row.currency, _there(row), card(row)) for row in rows}
    return Shelf(offers, together, best)


def _there(row: Any) -> bool:
    return not row.archived and row.price is not None and bool(row.name) and (row.stock is None or row.stock > 0)


_KEY = "coalesce({0}->>'variant_id', {0}->>'sku', {0}->>'product_id')"
_VIEWED = f"""
SELECT p.id AS profile_id, s.id FROM unnest(CAST(:profiles AS uuid[])) AS p(id) CROSS JOIN LATERAL (
  SELECT {_KEY.format("e.properties")} AS id, max(e.occurred_at) AS at FROM events e
  WHERE e.profile_id = p.id AND e.name = 'Product Viewed' GROUP BY 1 HAVING {_KEY.format("e.properties")} IS NOT NULL ORDER BY 2 DESC, 1 LIMIT :latest
) s ORDER BY p.id, s.at DESC, s.id
"""  # noqa: S608  our own words
_BOUGHT = f"""
SELECT p.id AS profile_id, s.id FROM unnest(CAST(:profiles AS uuid[])) AS p(id) CROSS JOIN LATERAL (
  SELECT {_KEY.format("i")} AS id, max(o.ordered_at) AS at FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.items) i
  WHERE o.profile_id = p.id AND o.ordered_at IS NOT NULL AND o.cancelled_at IS NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :latest
) s ORDER BY p.id, s.at DESC, s.id
"""  # noqa: S608  our own words
_OWNED = f"""
SELECT DISTINCT o.profile_id, {_KEY.format("i")} AS id FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.items) i
WHERE o.profile_id = ANY(CAST(:profiles AS uuid[])) AND o.cancelled_at IS NULL
"""  # noqa: S608  our own words
_THERE = "NOT v.archived AND v.price IS NOT NULL AND v.name <> '' AND v.stock IS DISTINCT FROM 0"
_BEST = f"""
WITH sold AS (
  SELECT variant_id, sum(units) AS units, sum(views) AS views FROM variant_days WHERE day >= :since GROUP BY variant_id
), best AS MATERIALIZED (
  SELECT v.id, v.category, s.units, s.views FROM sold s JOIN variants v ON v.id = s.variant_id WHERE {_THERE}
), categories AS (
  SELECT DISTINCT category FROM variants WHERE id = ANY(CAST(:ids AS text[])) AND category <> ''
), ranked AS (
  SELECT '' AS shelf, id, row_number() OVER (ORDER BY units DESC, views DESC, id) AS turn FROM best
  UNION ALL
  SELECT category, id, row_number() OVER (PARTITION BY category ORDER BY units DESC, views DESC, id) FROM best JOIN categories USING (category)
  UNION ALL  -- nobody bought or saw these lately; they come last
  SELECT c.category, f.id, :best + row_number() OVER (PARTITION BY c.category ORDER BY f.id) FROM categories c CROSS JOIN LATERAL (
    SELECT v.id FROM variants v WHERE v.category = c.category AND {_THERE} ORDER BY v.id LIMIT :best
  ) f
) SELECT shelf, id FROM ranked WHERE turn <= 2 * :best ORDER BY shelf, turn
"""  # noqa: S608  our own words
