"""What somebody bought, for whoever calls them: in the shop's currency at the rate of each order's day, and beside it what has no rate."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import rates

YEAR = dt.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Bought:
    """A sum after refunds, its currency, and of how many orders it is."""

    amount: Decimal
    currency: str
    orders: int


def within_a_year(session: Session, profile_id: uuid.UUID, *, shop: str, zone: str, now: dt.datetime) -> list[Bought]:
    """The shop's currency first; cancelled orders are none."""
    rows = session.execute(text(_SUMS), {"id": profile_id, "since": now - YEAR, "shop": shop, "zone": zone})
    return [Bought(*row) for row in rows]


_SUMS = f"""
SELECT sum((o.revenue - o.refunded) * o_in.rate), o_in.unit, count(*)
FROM orders o {rates.joined("o", "CAST(o.ordered_at AT TIME ZONE :zone AS date)")}
WHERE o.profile_id = :id AND o.ordered_at >= :since AND o.cancelled_at IS NULL GROUP BY o_in.unit ORDER BY o_in.unit <> :shop, o_in.unit
"""  # noqa: S608  our own join
