"""The product in one function: read `run` first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

import journeys.engine
import journeys.waves
from crm.commerce import carts, computed, demand, orders, products, requests
from crm.consent import context, ledger
from crm.core import clock, partitions
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import is_passing
from crm.events import inbox, quarantine, store
from crm.events.inbox import Waiting
from crm.events.quarantine import Holding
from crm.events.read import read
from crm.events.source import HeldError
from crm.events.spec import Accepted
from crm.profiles import accounts, fold, people, tombstones
from crm.profiles.identify import StaleError, identify
from crm.profiles.move import moved
from crm.profiles.search import refresh_search
from crm.sales import fold as sales
from crm.scores import dirty
from crm.segments.refresh import refresh
from workers.batches import uncollected

BATCH = 2_000
PARTS = 4  # of a batch that fails: as many runs as by halves to find one culprit, and a fifth fewer calls run again
TRIES = 5  # of a batch whose identities somebody else keeps taking

log = structlog.get_logger()


def run(session: Session, batch: Sequence[Accepted], now: dt.datetime, config: Config) -> None:
    """What happens when things happen: who it was, what it changes, what comes next. One transaction; the caller commits."""
    batch = tombstones.living(session, batch, Keys(config.secret_key))
    goods, calls = products.part(store.first_seen(session, batch, now))
    events, known = identify(session, calls, now)
    store.append(session, [*goods, *events])
    fold.learn(events, known.people)
    orders.tell(session, orders.fold(session, events, currency=config.currency), now)
    carts.fold(session, events, known.people, currency=config.currency)
    refresh_search(session, people.save(session, known.people.values()))
    requests.fold(session, events)
    changes = products.fold(session, goods, currency=config.currency)
    demand.forget(session, events)
    ledger.record(session, context.changes(session, events), Keys(config.secret_key), now)
    accounts.fold(session, events)
    sales.fold(session, events, now)
    moved(session, known.joins, now)
    computed.mark_changed(session, events)
    dirty.mark_changed(session, events)
    refresh(session, events, known.people, now, config)
    journeys.engine.on_events(session, events, now, config)
    journeys.waves.begin(session, changes, now)


def drain(sessions: sessionmaker[Session], config: Config, now: Callable[[], dt.datetime] = clock.now, limit: int = BATCH) -> int:
    """Claim a batch from the inbox and run it; returns how many rows that was, 0 when nothing can be claimed.

    What cannot be read or makes the pipeline fail ends in quarantine, alone. A database that is away or a deadlock is raised: nothing was done.
    People whom others keep taking are left for the next turn: running parts of it would lock them out of order, and no call is to blame.
    """
    with uncollected(), sessions() as session:
        rows = inbox.claim(session, limit)
        if not rows:
            return 0
        moment = now()
        accepted, held = _read(rows)
        _ensure_months(sessions, accepted)
        try:
            held += _run_in_parts(session, accepted, {row.id: row for row in rows}, moment, config)
        except StaleError:
            log.info("batch_put_back", rows=len(rows))
            return 0
        quarantine.hold(session, held)
        inbox.mark(session, rows, moment)
        session.commit()
    return len(rows)


def _read(rows: Sequence[Waiting]) -> tuple[list[Accepted], list[Holding]]:
    accepted, held = [], []
    for row in rows:
        try:
            accepted.append(read(row))
        except HeldError as error:
            held.append(_holding(row, error.reason, error.detail))
        except Exception as error:  # a row that cannot even be read must not stop the others
            log.warning("event_unreadable", accepted=row.id, exc_info=True)
            held.append(_holding(row, "failed", _why(error)))
    return accepted, held


def _run_in_parts(session: Session, batch: Sequence[Accepted], rows: dict[int, Waiting], now: dt.datetime, config: Config) -> list[Holding]:
    """Run a batch; one that fails is taken apart until the culprit stands alone."""
    if not batch:
        return []
    try:
        _run_again_if_stale(session, batch, now, config)
    except Exception as error:  # whatever one event can do to us must not stop the others
        if is_passing(error) or isinstance(error, StaleError):
            raise
        if len(batch) == 1:
            log.warning("event_quarantined", accepted=batch[0].id, error=_why(error))
            return [_holding(rows[batch[0].id], "failed", _why(error))]
        size = -(-len(batch) // PARTS)
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        return [held for part in parts for held in _run_in_parts(session, part, rows, now, config)]
    return []


def _run_again_if_stale(session: Session, batch: Sequence[Accepted], now: dt.datetime, config: Config) -> None:
    for attempt in range(TRIES):
        try:
            with session.begin_nested():
                run(session, batch, now, config)
        except StaleError:
            if attempt == TRIES - 1:
                raise
        else:
            return


def _why(error: Exception) -> str:
    """What a person reads in quarantine: the database's own words, not the statement they are about."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return f"{type(cause).__name__}: {cause}"[:500]


def _holding(row: Waiting, reason: str, detail: str) -> Holding:
    return Holding(row.received_at, row.source_id, row.trusted, row.origin, row.sent_at, reason, detail, row.body, row.hops, row.cause)


def _ensure_months(sessions: sessionmaker[Session], accepted: Sequence[Accepted]) -> None:
    """The months of the log this batch needs, made in a transaction of their own so that no lock on the log is held over the batch."""
    moments = {(call.occurred_at.year, call.occurred_at.month): call.occurred_at for call in accepted}
    with sessions() as session:
        if partitions.ensure(session, "events", sorted(map(partitions.month_bounds, moments.values()))):
            session.commit()
