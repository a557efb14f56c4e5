"""When the scoring process is woken: never on an installation without people."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.scores import jobs
from tests.scores.makers import people
from workers.due import due


def test_nobody_to_score_wakes_nobody(session: Session, now: dt.datetime) -> None:
    later = now + dt.timedelta(days=8)
    assert jobs.schedule(session, now, "Asia/Jerusalem") == 0
    assert "score" not in due(session, later)
    assert jobs.schedule(session, later, "Asia/Jerusalem") == 0, "nothing to learn from"
    people(session, [{}], at=now)
    assert "score" in due(session, now), "there are people whom no round has seen"
    assert jobs.schedule(session, later, "Asia/Jerusalem") == 3
    assert session.scalar(text("SELECT count(*) FROM score_jobs")) == 3
    assert jobs.schedule(session, later, "Asia/Jerusalem") == 0, "each once a night"


def test_the_week_ends_before_sundays_work() -> None:
    monday = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
    assert jobs.next_week(monday, "Asia/Jerusalem") == dt.datetime(2026, 11, 29, 1, tzinfo=dt.UTC)
    assert jobs.next_night(monday, "Asia/Jerusalem") == dt.datetime(2026, 11, 24, 1, tzinfo=dt.UTC)
