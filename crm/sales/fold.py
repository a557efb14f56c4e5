"""3 WHAT, for sales: one batch of events into leads, deals and alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.spec import Happened
from crm.sales import alerts, leads

RESTED = dt.timedelta(hours=1)  # a lead that stays active is ranked anew no more often


def fold(session: Session, events: Sequence[Happened], now: dt.datetime) -> None:
    """The people are locked, the events in the log."""
    leads.fold(session, events, now)
    alerts.hear(session, events, now)
    active = {event.profile_id for event in events if event.origin == LIVE and event.source_id != SYSTEM_SOURCE}
    if active:
        session.execute(text(_ACTIVE), {"ids": sorted(active), "now": now, "before": now - RESTED})


_ACTIVE = """
UPDATE leads SET check_at = :now
WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND open AND seen_at < :before AND (check_at IS NULL OR check_at > :now)
"""
