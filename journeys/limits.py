"""How many runs may still begin where a journey lets in only so many. Exact: batches that start runs of it count one after the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.clock import scaled
from journeys.entry import Limit
from journeys.passage import Moment
from journeys.past import EVERY

LOCK = 0x6B736A32  # advisory, with the journey's number: whoever counts waits for whoever started runs and has not committed
ALWAYS = dt.datetime.min.replace(tzinfo=dt.UTC)


def room(session: Session, limits: Mapping[int, Limit], moment: Moment) -> dict[int, int]:
    """Journey -> how many more runs may begin now, of those that have a limit."""
    return {journey_id: left(limits[journey_id], _begun(session, journey_id, limits[journey_id], moment)) for journey_id in sorted(limits)}


def since(limit: Limit, moment: Moment) -> dt.datetime:
    """Runs that began after this count now."""
    return moment.now - scaled(limit.within, moment.time_scale) if limit.within else ALWAYS


def left(limit: Limit, begun: int) -> int:
    """How many more may begin where so many count."""
    return limit.runs - begun


def _begun(session: Session, journey_id: int, limit: Limit, moment: Moment) -> int:
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, :journey)"), {"lock": LOCK, "journey": journey_id})
    return session.scalar(_BEGUN, {"journey": journey_id, "since": since(limit, moment), "most": limit.runs}) or 0


_BEGUN = text(f"""
    SELECT count(*) FROM (SELECT FROM {EVERY} r WHERE r.journey_id = :journey AND r.started_at > :since LIMIT :most) AS b
""")  # noqa: S608  our own words
