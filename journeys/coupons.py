"""Pools of coupon codes: put codes in, see how many are left, given and used, be told before they run out."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.events.spec import Happened

POOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
LONGEST = 100  # characters of a code
HEADS = frozenset({"code", "codes", "coupon", "קוד", "קופון"})
ORDERED = "Order Completed"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool and its codes; `low` is how few free ones somebody wants to hear of, `day` how many were given in the last 24 hours."""

    name: str
    free: int = 0
    given: int = 0
    used: int = 0
    low: int = 0
    day: int = 0
    last_given: dt.datetime | None = None

    @property
    def runs_low(self) -> bool:
        """Whether it is time for new codes."""
        return self.free < self.low or self.free == 0


def add(session: Session, pool: str, codes: Sequence[str]) -> int:
    """Put codes into a pool; one that is there already stays as it is. Returns how many were new."""
    _named(pool)
    clean = list(dict.fromkeys(code.strip() for code in codes if code.strip()))
    if any(len(code) > LONGEST or "\0" in code for code in clean):
        raise InvalidError(f"a code has at most {LONGEST} characters", field="codes")
    return len(session.execute(_ADD, {"pool": pool, "codes": clean}).all())


def read(content: str) -> list[str]:
    """The codes of a CSV file: its column `code`, else the first."""
    try:
        rows = [row for row in csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline="")) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InvalidError(_l("This is no CSV file. Write one code a line."), field="file") from error
    head = [cell.strip().casefold() for cell in rows[0]] if rows else []
    column = next((index for index, name in enumerate(head) if name in HEADS), None)
    return [row[column or 0] for row in rows[0 if column is None else 1 :] if len(row) > (column or 0)]


def keep(session: Session, pool: str, *, low: int) -> None:
    """Make a pool, or set below how many free codes it runs low."""
    _named(pool)
    if not 0 <= low <= 1_000_000_000:
        raise InvalidError(_l("The number of codes is 0 or more."), field="low")
    session.execute(_KEEP, {"pool": pool, "low": low})


def pools(session: Session, now: dt.datetime) -> list[Pool]:
    """Every pool, those that run low first."""
    found = [Pool(*row) for row in session.execute(_POOLS, {"since": now - dt.timedelta(days=1)})]
    return sorted(found, key=lambda pool: (not pool.runs_low, pool.name))


def use(session: Session, events: Sequence[Happened]) -> None:
    """Codes that orders name are used, at the time of the first such order."""
    said = {code: event.occurred_at for event in reversed(events) if event.name == ORDERED and isinstance(code := event.properties.get("coupon"), str) and code}
    if said:
        session.execute(_USE, {"codes": list(said), "times": list(said.values())})


def _named(pool: str) -> None:
    if not POOL.fullmatch(pool):
        raise InvalidError(_l("A pool is named with small letters, digits, - and _, for example spring-2027."), field="pool")


_ADD = text("INSERT INTO coupons (pool, code) SELECT :pool, c FROM unnest(CAST(:codes AS text[])) AS c ON CONFLICT (pool, code) DO NOTHING RETURNING id")
_KEEP = text("INSERT INTO coupon_pools (name, low) VALUES (:pool, :low) ON CONFLICT (name) DO UPDATE SET low = excluded.low")
_POOLS = text("""
    SELECT coalesce(p.name, c.pool), coalesce(c.free, 0), coalesce(c.given, 0), coalesce(c.used, 0), coalesce(p.low, 0), coalesce(c.day, 0), c.last
    FROM coupon_pools p FULL JOIN (
        SELECT pool, count(*) FILTER (WHERE given_at IS NULL) AS free, count(given_at) AS given, count(used_at) AS used,
               count(*) FILTER (WHERE given_at >= :since) AS day, max(given_at) AS last
        FROM coupons GROUP BY pool
    ) c ON c.pool = p.name
""")
_USE = text("""
    UPDATE coupons c SET used_at = n.at FROM unnest(CAST(:codes AS text[]), CAST(:times AS timestamptz[])) AS n(code, at)
    WHERE c.code = n.code AND c.used_at IS NULL
""")
