"""Whose word counts: where the shop itself tells of orders, leads or an outcome, what a public key says of them counts for nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

TOLD = ("Order Completed", "Lead Created")
DEALS = ("Deal Created", "Deal Stage Changed", "Deal Won", "Deal Lost")  # never a browser's to tell
LATELY, BACK = dt.timedelta(days=90), dt.timedelta(days=1200)
Told = Mapping[str, str]  # event -> from when on, as ISO text, only a word with trust counts


def told_by_shop(session: Session, outcomes: Iterable[str], *, now: dt.datetime) -> dict[str, str]:
    """From when on the shop's own systems tell of these events and of `TOLD`; without those they told nothing of lately.

    A shop that has a public key alone goes by what that says; one that got a server key keeps what counted before.
    """
    names = sorted({*TOLD, *outcomes} - {*DEALS})
    rows = session.execute(text(_FIRST), {"names": names, "back": now - BACK, "lately": now - LATELY, "now": now})
    return dict.fromkeys(DEALS, (now - BACK).isoformat()) | {name: first.isoformat() for name, first in rows}


def counts(event: str, told: str = ":told") -> str:
    """SQL: whether an event of the log counts; `event` is its alias, `told` a `Told` as JSON. Proven is what `spec.trust_of` says is.

    Before goes by our time: a browser may date its word back.
    """
    since = f"CAST(CAST({told} AS jsonb)->>{event}.name AS timestamptz)"
    return f"({event}.trusted OR starts_with(coalesce({event}.cause, ''), 'import:') OR coalesce({event}.received_at < {since}, true))"


_FIRST = """
SELECT n, first.at FROM unnest(CAST(:names AS text[])) n CROSS JOIN LATERAL (
  SELECT e.occurred_at AS at FROM events e WHERE e.name = n AND e.trusted AND e.origin = 'live' AND e.occurred_at >= :back AND e.occurred_at < :now
  ORDER BY e.occurred_at LIMIT 1
) first WHERE EXISTS (SELECT FROM events e WHERE e.name = n AND e.trusted AND e.origin = 'live' AND e.occurred_at >= :lately AND e.occurred_at < :now)
"""
