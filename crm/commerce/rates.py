"""What other currencies are worth in the shop's own: rates a person sets, each from a day on. Without one a sum stands beside, never in, another."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.commerce import money
from crm.commerce.models import Rate
from crm.core.errors import InvalidError
from crm.core.i18n import _l

MOST = Decimal(10) ** 9
SHOWN = 200
_THOUSANDS = re.compile(r",(?=[0-9]{3}(?![0-9]))")  # any other comma may be meant as a point


def put(session: Session, currency: str, rate: str, *, day: dt.date, shop: str) -> None:
    """From this day on one unit of `currency` is worth so much in the shop's; the same day again replaces it."""
    unit, value = money.currency(currency.strip(), ""), money.amount(_THOUSANDS.sub("", rate))
    if not unit or unit == shop:
        raise InvalidError(_l("Write another currency than the shop's as three letters, for example USD."))
    if value is None or not 0 < value < MOST:
        raise InvalidError(_l("Write what one unit is worth in the shop's currency, for example 3.7."))
    made = insert(Rate).values(currency=unit, day=day, rate=value)
    session.execute(made.on_conflict_do_update(index_elements=["currency", "day"], set_={"rate": value}))


def drop(session: Session, currency: str, day: dt.date) -> None:
    """A rate that was wrong."""
    session.execute(delete(Rate).where(Rate.currency == currency, Rate.day == day))


def known(session: Session) -> Sequence[Rate]:
    """Those that were set, by currency, the latest first."""
    return session.scalars(select(Rate).order_by(Rate.currency, Rate.day.desc()).limit(SHOWN)).all()


def at(session: Session, day: dt.date) -> Mapping[str, Decimal]:
    """What a unit of each currency is worth on a day."""
    rows = session.execute(text("SELECT DISTINCT ON (currency) currency, rate FROM rates WHERE day <= :day ORDER BY currency, day DESC"), {"day": day})
    return {row.currency: row.rate for row in rows}


def total(session: Session, sums: Sequence[tuple[Decimal, str]], *, day: dt.date, shop: str) -> list[tuple[Decimal, str]]:
    """Sums added up in the shop's currency; beside it, each in its own, those without a rate."""
    worth = at(session, day) if any(currency != shop for _, currency in sums) else {}
    found: dict[str, Decimal] = {}
    for amount, currency in sums:
        unit = shop if currency in worth else currency
        found[unit] = found.get(unit, Decimal(0)) + amount * worth.get(currency, Decimal(1))
    return [(amount, unit) for unit, amount in sorted(found.items(), key=lambda one: (one[0] != shop, one[0]))]


def joined(row: str, day: str) -> str:
    """SQL to join to `row`, whose currency may be empty: `<row>_in.rate` to multiply by; `<row>_in.unit`, the shop's (`:shop`) or, without a rate, its own."""
    return f"""CROSS JOIN LATERAL (
    SELECT coalesce(r.rate, 1) AS rate, CASE WHEN r.rate IS NULL THEN {row}.currency ELSE CAST(:shop AS text) END AS unit FROM (
        SELECT CASE WHEN coalesce({row}.currency, :shop) = :shop THEN 1
               ELSE (SELECT k.rate FROM rates k WHERE k.currency = {row}.currency AND k.day <= {day} ORDER BY k.day DESC LIMIT 1) END AS rate) r
) {row}_in"""  # noqa: S608  our own aliases and expressions
