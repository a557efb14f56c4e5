"""What the leading clock does once a minute. Each chore takes a session and the present, and says how many rows it touched."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import demand
from crm.consent.ledger import seal
from crm.messages import retention
from crm.messages.deliver import expire_leases
from crm.profiles.suggest import queue
from crm.sales import rank
from crm.segments import seen
from crm.segments.refresh import measure_sizes
from crm.web import users
from journeys import experiments, past, webhooks
from workers.migrate import ensure_partitions

DEDUPE_WINDOW = dt.timedelta(days=30)
AT_ONCE = 50_000  # keys forgotten in one transaction

Chore = Callable[[Session, dt.datetime], int | None]


def make_partitions(session: Session, now: dt.datetime) -> None:
    """The days and months ahead."""
    ensure_partitions(session, now)


def settle_leases(session: Session, now: dt.datetime) -> int:
    """A message whose sender vanished is `unknown`, never sent again by itself."""
    return expire_leases(session, now)


def seal_consents(session: Session, _now: dt.datetime) -> int:
    """Close the hash chain over what was committed."""
    return seal(session)


def forget_event_keys(session: Session, now: dt.datetime) -> int:
    """Past the dedupe window a key has done its duty."""
    gone = session.scalar(text(_FORGET), {"before": now - DEDUPE_WINDOW, "limit": AT_ONCE})
    return int(gone or 0)


def drop_inbox_days(session: Session, now: dt.datetime) -> int:
    """Days past their age go, but only where every row of them was processed."""
    session.execute(text("SET LOCAL lock_timeout = '2s'"))
    last_kept = (now - dt.timedelta(days=retention.ages(session)["inbox"] or 0)).strftime("%Y%m%d")
    names = session.scalars(text("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'event_inbox'::regclass"))
    old = [name for name in names if (day := re.fullmatch(r"event_inbox_(\d{8})", name)) and day[1] < last_kept]
    done = [name for name in old if not session.scalar(text(f"SELECT EXISTS (SELECT FROM {name} WHERE processed_at IS NULL)"))]  # noqa: S608  our own table names
    for name in done:
        session.execute(text(f"DROP TABLE {name}"))
    return len(done)


def empty_old_details(session: Session, now: dt.datetime) -> int:
    """What the shop keeps no longer than so many days; written down with the other changes."""
    swept = retention.sweep(session, now)
    for each in swept:
        users.audit(session, user_id=None, action="retention.swept", subject=each.kind, detail={"days": str(each.days), "rows": str(each.rows)})
    return sum(each.rows for each in swept)


def find_people_known_twice(session: Session, now: dt.datetime) -> int:
    """The next profiles are compared with those they may be one person with; for somebody to confirm."""
    return queue.look(session, now)


def measure_loads(session: Session, now: dt.datetime) -> int:
    """Leads of owners with more than they can take rank lower."""
    return rank.measure_loads(session, now)


def measure_segments(session: Session, now: dt.datetime) -> int:
    """How large each segment is."""
    return measure_sizes(session, now)


def count_wants(session: Session, now: dt.datetime) -> int:
    """How products were wanted, day by day."""
    return demand.count_wants(session, now)


def pair_products(session: Session, now: dt.datetime) -> int:
    """What goes together."""
    return demand.pair(session, now)


def forget_webhook_calls(session: Session, now: dt.datetime) -> int:
    """Calls that came to their end three months ago."""
    return webhooks.forget_old(session, now)


def decide_splits(session: Session, now: dt.datetime) -> int:
    """Let the better way of a split win once enough people were watched."""
    return experiments.decide(session, now)


def fold_past_runs(session: Session, now: dt.datetime) -> int:
    """Runs long over leave the table that moving works on."""
    return past.fold(session, now)


def gather_words(session: Session, now: dt.datetime) -> int:
    """What the segment builder offers while one types."""
    return seen.gather(session, now)


_FORGET = """
WITH gone AS (
    DELETE FROM event_keys WHERE key IN (SELECT key FROM event_keys WHERE seen_at < :before AND NOT forever LIMIT :limit) RETURNING 1
) SELECT count(*) FROM gone
"""
CHORES: Sequence[Chore] = (
    make_partitions, settle_leases, seal_consents, forget_event_keys,
    drop_inbox_days, find_people_known_twice, empty_old_details, measure_segments, measure_loads, gather_words, count_wants, pair_products,
    decide_splits, forget_webhook_calls, fold_past_runs,
)  # fmt: skip
