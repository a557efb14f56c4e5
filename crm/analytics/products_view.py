"""Products on a page: the list, one variant with its histories, who waits for it, what was lost while there was none."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.paging import Page
from crm.profiles.called import CALLED

DAYS = 90
RECENT = 30  # days of views in the list
ENOUGH = 30  # people who looked while there was some, before their rate of buying means anything
SHOWN = 50  # waiting people on a page
State = Literal["all", "out", "wanted", "archived"]
Sort = Literal["wanted", "name", "stock"]


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A variant in the list. `views` of 30 days, `lost_people`: who looked while there was none, counted by the day."""

    id: str
    name: str
    variety: str
    pictures: list[str]
    price: Decimal | None
    currency: str
    stock: int | None
    waiting: int
    views: int
    lost_people: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who asked to be told, in their order; `name`: what they go by."""

    profile_id: uuid.UUID
    name: str
    asked_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """What was wanted while there was none, since `since`. `rate`: of who looks while there is some, so many buy; None where that is not known."""

    since: dt.date
    views: int
    people: int
    searches: int
    asked: int
    days_out: float
    rate: float | None
    price: Decimal | None

    @property
    def looked_worth(self) -> Decimal | None:
        """What those who looked would usually have brought."""
        return None if self.rate is None or self.price is None else self.people * Decimal(str(self.rate)) * self.price

    @property
    def asked_worth(self) -> Decimal | None:
        """What it would bring if everybody who asked bought one."""
        return None if self.price is None else self.asked * self.price


@dataclass(frozen=True, slots=True)
class ProductView:
    """One variant whole. `stocks` and `prices`: (since when, value), with the one that held at the beginning first; `days`: the last 90."""

    row: Any
    since: dt.datetime
    now: dt.datetime
    stocks: Sequence[tuple[dt.datetime, float | None]]
    prices: Sequence[tuple[dt.datetime, float | None]]
    days: Sequence[Row[Any]]
    lost: Lost
    waiting: Sequence[Waiting]
    waiting_total: int
    told: int
    siblings: Sequence[Row[Any]]
    together: Sequence[Row[Any]]

    @property
    def views(self) -> list[int]:
        """Of each day, also of those on which nobody looked."""
        seen = {day.day: day.views for day in self.days}
        return [seen.get(self.since.date() + dt.timedelta(days=n), 0) for n in range(DAYS + 1)]


def products(  # each is a choice of the page
    session: Session, words: str = "", state: State = "all", sort: Sort = "wanted", *, now: dt.datetime, after: str | None = None, limit: int = 50
) -> Page[ProductRow]:
    """A page of variants; `after` is the `next` of the page before."""
    place = _place(after, sort)
    params: dict[str, object] = {"words": words.lower().replace("\x00", ""), "since": (now - dt.timedelta(days=RECENT)).date(), "limit": limit + 1}
    if place:
        params |= {"rank": place[0] if sort == "name" else int(place[0]), "id": place[1]}
    rows = session.execute(text(statement(state, sort, searched=bool(params["words"]), later=place is not None)), params).all()
    shown = [ProductRow(r.id, r.name, r.variety, r.pictures, r.price, r.currency, r.stock, r.waiting, r.views, r.lost) for r in rows[:limit]]
    return Page(shown, f"{rows[limit - 1].place}\x1f{shown[-1].id}" if len(rows) > limit else None)


def product(session: Session, variant_id: str, now: dt.datetime) -> ProductView | None:
    """One variant, or None."""
    variant_id = variant_id.replace("\x00", "")  # the database cannot hold it, so nothing is called so
    row = session.execute(text("SELECT * FROM variants WHERE id = :id"), {"id": variant_id}).one_or_none()
    if row is None:
        return None
    since = now - dt.timedelta(days=DAYS)
    asked = {"id": variant_id, "since": since, "day": since.date(), "now": now, "shown": SHOWN}
    stocks = [(at, value) for at, value in session.execute(text(_STOCKS), asked)]
    prices = [(at, None if value is None else float(value)) for at, value in session.execute(text(_PRICES), asked)]
    days = session.execute(text(_DAYS), asked).all()
    sums = session.execute(text(_REQUESTS), asked).one()
    waiting = [Waiting(*each) for each in session.execute(text(_WAITING), asked)]
    lost = Lost(
        since.date(),
        sum(day.out_views for day in days),
        sum(day.out_viewers for day in days),
        sum(day.out_searches for day in days),
        sums.asked,
        _days_out(stocks, since, now),
        _rate(session, row, since.date()),
        row.price,
    )
    siblings = session.execute(text(_SIBLINGS), {"id": variant_id, "product": row.product_id}).all()
    together = session.execute(text(_TOGETHER), asked).all()
    return ProductView(row, since, now, stocks, prices, days, lost, waiting, sums.waiting, sums.told, siblings, together)


def _days_out(stocks: Sequence[tuple[dt.datetime, float | None]], since: dt.datetime, now: dt.datetime) -> float:
    """For how many days there was none."""
    ends = [at for at, _ in stocks[1:]] + [now]
    spent = (end - max(begin, since) for (begin, value), end in zip(stocks, ends, strict=False) if value == 0)
    return sum(each.total_seconds() for each in spent) / 86_400


def _rate(session: Session, row: Any, since: dt.date) -> float | None:
    """Of people who look while there is some, how many buy: of this one, else of its category, else of everything."""
    own, category, everything = session.execute(text(_RATES), {"id": row.id, "category": row.category, "since": since}).all()
    for each in (own, category, everything):
        if each.viewers >= ENOUGH:
            return min(1.0, float(each.buyers) / float(each.viewers))
    return None


def _place(after: str | None, sort: Sort) -> tuple[str, str] | None:
    """What a page ended with; None where it is none of ours."""
    rank, separator, identifier = (after or "").replace("\x00", "").partition("\x1f")
    fits = sort == "name" or re.fullmatch(r"-?[0-9]{1,18}", rank, re.ASCII)
    return (rank, identifier) if separator and fits else None


_ORDERS = {"name": "lower(v.name)", "stock": "coalesce(v.stock, 2147483647)"}
_WAITS = "EXISTS (SELECT FROM stock_requests r WHERE r.variant_id = v.id AND r.ended IS NULL)"
_STATES = {"all": "NOT v.archived", "out": "NOT v.archived AND v.stock = 0", "wanted": f"NOT v.archived AND {_WAITS}", "archived": "v.archived"}
# What is sought is found first and sorted then: to walk along an order until enough fit may mean to walk along all of it.
_SOUGHT = """
WITH sought AS MATERIALIZED (
  SELECT * FROM variants v WHERE strpos(lower(v.name || ' ' || v.variety || ' ' || v.brand), :words) > 0 OR starts_with(lower(v.id), :words)
  OR lower(v.product_id) = :words
)
"""
_COUNTS = "(SELECT variant_id, count(*) AS waiting FROM stock_requests WHERE ended IS NULL GROUP BY variant_id)"
_PAGE = "SELECT v.*, {what} AS place FROM {source} v WHERE {which}{beyond} ORDER BY {what}, v.id LIMIT :limit"
# The most waited for come from those somebody waits for, the others after them by their number: neither part sorts all that is sold.
_WAITED = """
(SELECT v.*, -w.waiting AS place FROM {waiting} w JOIN {source} v ON v.id = w.variant_id WHERE {which}{beyond} ORDER BY place, v.id LIMIT :limit)
"""
_OTHERS = "UNION ALL (SELECT v.*, 0 AS place FROM {source} v WHERE {which} AND NOT {waits}{beyond} ORDER BY v.id LIMIT :limit)"
_LIST = """
SELECT s.*, coalesce(w.waiting, 0) AS waiting, coalesce(d.views, 0) AS views, coalesce(d.lost, 0) AS lost FROM ({page}) s
LEFT JOIN LATERAL (SELECT count(*) AS waiting FROM stock_requests WHERE variant_id = s.id AND ended IS NULL) w ON true
LEFT JOIN LATERAL (SELECT sum(views) AS views, sum(out_viewers) AS lost FROM variant_days WHERE variant_id = s.id AND day >= :since) d ON true
ORDER BY s.place, s.id LIMIT :limit
"""


def statement(state: State, sort: Sort, *, searched: bool, later: bool) -> str:
    """The statement of a page: only what was chosen stands in it, so that an order has its index."""
    parts = {"which": _STATES[state], "source": "sought" if searched else "variants", "waiting": _COUNTS, "waits": _WAITS}
    if sort == "wanted":
        page = _WAITED.format(beyond=" AND (-w.waiting, v.id) > (:rank, :id)" if later else "", **parts)
        page += _OTHERS.format(beyond=" AND (:rank < 0 OR v.id > :id)" if later else "", **parts) if state != "wanted" else ""
    else:
        what = _ORDERS[sort]
        page = _PAGE.format(what=what, beyond=f" AND ({what}, v.id) > (:rank, :id)" if later else "", **parts)
    return (_SOUGHT if searched else "") + _LIST.format(page=page)


_BEFORE = """
(SELECT CAST(:since AS timestamptz) AS at, {what} FROM {table} WHERE variant_id = :id AND at <= :since ORDER BY {table}.at DESC, accepted DESC LIMIT 1)
UNION ALL (SELECT at, {what} FROM {table} WHERE variant_id = :id AND at > :since ORDER BY at, accepted)
"""
_STOCKS = _BEFORE.format(what="stock", table="stock_history")
_PRICES = _BEFORE.format(what="price", table="price_history")
_DAYS = "SELECT * FROM variant_days WHERE variant_id = :id AND day >= :day ORDER BY day"
_REQUESTS = """
SELECT count(*) FILTER (WHERE ended IS NULL) AS waiting, count(*) FILTER (WHERE ended = 'notified' AND ended_at >= :since) AS told,
       count(*) FILTER (WHERE asked_at >= :since) AS asked
FROM stock_requests WHERE variant_id = :id AND asked_at IS NOT NULL
"""
_WAITING = f"""
SELECT r.profile_id, {CALLED}, r.asked_at
FROM stock_requests r JOIN profiles p ON p.id = r.profile_id WHERE r.variant_id = :id AND r.ended IS NULL ORDER BY r.asked_at, r.profile_id LIMIT :shown
"""  # noqa: S608  our own fragment
_RATES = """
SELECT coalesce(sum(d.buyers), 0) AS buyers, coalesce(sum(d.viewers - d.out_viewers), 0) AS viewers
FROM (VALUES (1), (2), (3)) AS w(wide) LEFT JOIN (variant_days d JOIN variants v ON v.id = d.variant_id AND d.day >= :since)
  ON w.wide = 3 OR w.wide = 2 AND v.category = :category OR w.wide = 1 AND v.id = :id
GROUP BY w.wide ORDER BY w.wide
"""
_SIBLINGS = (
    "SELECT id, name, variety, stock, price, currency FROM variants WHERE product_id = :product AND id <> :id AND NOT archived ORDER BY variety, id LIMIT 20"
)
_TOGETHER = """
SELECT v.id, v.name, v.pictures, v.stock, v.price, v.currency, p.bought, p.viewed FROM variant_pairs p JOIN variants v ON v.id = p.other_id
WHERE p.variant_id = :id AND NOT v.archived ORDER BY 5 * p.bought + p.viewed DESC, v.id LIMIT 6
"""
