"""Partitions exist before the insert: days of the inbox, months of the log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

_LOCK = 0x6B736872  # one creator at a time


def day_bounds(moment: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The UTC day around a moment."""
    start = moment.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + dt.timedelta(days=1)


def month_bounds(moment: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The UTC month around a moment."""
    start = moment.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, (start + dt.timedelta(days=32)).replace(day=1)


def ensure(session: Session, table: str, spans: Iterable[tuple[dt.datetime, dt.datetime]]) -> int:
    """Create the missing partitions of `table` for these spans; returns how many were missing."""
    wanted = {f"{table}_{start:%Y%m%d}": (start, end) for start, end in spans}
    there = set(session.scalars(text("SELECT relname FROM pg_class WHERE relname = ANY(:names)"), {"names": list(wanted)}))
    missing = {name: span for name, span in wanted.items() if name not in there}
    if missing:
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    for name, (start, end) in sorted(missing.items()):
        if session.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is None:  # another process may have made it while we waited
            session.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
            # attaching, unlike CREATE … PARTITION OF, does not lock out those who read and write the other partitions
            session.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"))
    return len(missing)
