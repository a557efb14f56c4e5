"""What waits to be done now: asked by the clock each second, and by a worker after each step that may have made work."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.scores import jobs
from journeys import backtest, waves, webhooks
from workers.queue import NAMES, Name


def due(session: Session, now: dt.datetime) -> list[Name]:
    """The kinds of work there is some of."""
    session.execute(text("SET LOCAL enable_seqscan = off"))  # the partial index knows at once; with old statistics a long inbox would be read through
    row = session.execute(text(_DUE), {"now": now}).one()
    return [name for name, some in zip(NAMES, row, strict=True) if some]


_DUE = """
SELECT EXISTS (SELECT FROM event_inbox WHERE processed_at IS NULL),
       EXISTS (SELECT FROM wakeups WHERE due_at <= :now),
       EXISTS (SELECT FROM outbox WHERE due_at <= :now AND lease_until IS NULL),
       EXISTS (SELECT FROM erasures WHERE status IN ('waiting', 'running') AND due_at <= :now),
       EXISTS (SELECT FROM uploads WHERE status IN ('checking', 'running', 'folding', 'undoing')),
       EXISTS (SELECT FROM computed_dirty)
       OR EXISTS (SELECT FROM profiles)
       AND NOT EXISTS (SELECT FROM computed_rounds WHERE name = 'rfm' AND after IS NULL AND began_at > :now - interval '1 hour'),
       EXISTS (SELECT FROM segment_lapses l JOIN segments s ON s.id = l.segment_id AND s.status = 'live' WHERE l.due_at <= :now)
       OR EXISTS (SELECT FROM segments WHERE status = 'filling') OR EXISTS (SELECT FROM list_jobs),
       EXISTS (SELECT FROM large_joins WHERE problem IS NULL),
       EXISTS (SELECT FROM leads WHERE check_at <= :now) OR EXISTS (SELECT FROM tasks WHERE check_at <= :now)
       OR EXISTS (SELECT FROM alerts a JOIN sellers s ON s.user_id = a.user_id WHERE a.mail),
"""
_DUE += webhooks.DUE + waves.DUE + backtest.DUE + jobs.DUE
