"""Pools of coupon codes: put codes in, see how many are left."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError

POOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
LONGEST = 100  # characters of a code


def add(session: Session, pool: str, codes: Sequence[str]) -> int:
    """Put codes into a pool; one that is there already stays as it is. Returns how many were new."""
    if not POOL.fullmatch(pool):
        raise InvalidError("a pool is named with small letters, digits, - and _, for example spring-2027")
    clean = list(dict.fromkeys(code.strip() for code in codes if code.strip()))
    if any(len(code) > LONGEST for code in clean):
        raise InvalidError(f"a code has at most {LONGEST} characters")
    return len(session.execute(_ADD, {"pool": pool, "codes": clean}).all())


def left(session: Session) -> dict[str, tuple[int, int]]:
    """pool -> codes free and codes given."""
    rows = session.execute(text("SELECT pool, count(*) FILTER (WHERE given_at IS NULL), count(given_at) FROM coupons GROUP BY pool ORDER BY pool"))
    return {row[0]: (row[1], row[2]) for row in rows}


_ADD = text("INSERT INTO coupons (pool, code) SELECT :pool, c FROM unnest(CAST(:codes AS text[])) AS c ON CONFLICT (pool, code) DO NOTHING RETURNING id")
