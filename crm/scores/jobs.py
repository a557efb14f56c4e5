"""What is to be trained, compared and applied, and when: rows that pages and the clock write and the scoring process takes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.profiles.models import Profile
from crm.scores.score import asked
from crm.scores.score_models import ScoreJob, ScoreKind

NIGHT = 3  # o'clock
SUNDAY = 6


def ask(session: Session, kind: str, *, user_id: int | None, now: dt.datetime) -> bool:
    """Ask for a training; False where one waits or goes on already."""
    values = {"kind": kind, "asked_by": user_id, "asked_at": now}
    made = insert(ScoreJob).values(values).on_conflict_do_nothing().returning(ScoreJob.id)
    if session.execute(made).first() is None:
        return False
    hint(session, "score")
    return True


def schedule(session: Session, now: dt.datetime, zone: str) -> int:
    """Once a minute: a row for every score, and a training asked for whose hour has come. Returns how many were asked for."""
    known = set(session.scalars(select(ScoreKind.kind)))
    for one in asked(session).values():
        if one.kind not in known:
            session.execute(
                insert(ScoreKind)
                .values(kind=one.kind, created_at=now, apply_at=now, train_at=next_night(now, zone) if one.label else None, check_at=next_week(now, zone))
                .on_conflict_do_nothing()
            )
    due = list(session.scalars(select(ScoreKind.kind).where(ScoreKind.train_at <= now, exists().select_from(Profile))))
    for kind in due:
        ask(session, kind, user_id=None, now=now)
        session.execute(update(ScoreKind).where(ScoreKind.kind == kind).values(train_at=next_night(now, zone)))
    return len(due)


def row_of(session: Session, kind: str, now: dt.datetime) -> ScoreKind:
    """What is decided about a score."""
    session.execute(insert(ScoreKind).values(kind=kind, created_at=now, apply_at=now).on_conflict_do_nothing())
    return session.get_one(ScoreKind, kind)


def use_rules(session: Session, kind: str, *, rules: bool, now: dt.datetime) -> None:
    """A person takes the model out of use, or puts it back; everybody is scored anew."""
    row = row_of(session, kind, now)
    row.rules_only, row.notice, row.apply_at = rules, {"code": "by_hand"} if rules else None, now
    session.flush()
    hint(session, "score")


def score_everybody(session: Session, kind: str, *, now: dt.datetime) -> None:
    """A round over the whole base now, and not only at night."""
    row_of(session, kind, now).apply_at = now
    session.flush()
    hint(session, "score")


def by_hand(row: ScoreKind) -> bool:
    """Whether it was a person who took the model out of use."""
    return row.rules_only and (row.notice or {}).get("code") == "by_hand"


def next_night(now: dt.datetime, zone: str) -> dt.datetime:
    """Three in the morning, by the installation's clock."""
    here = now.astimezone(ZoneInfo(zone))
    night = here.replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    return (night if night > here else night + dt.timedelta(days=1)).astimezone(dt.UTC)


def next_week(now: dt.datetime, zone: str) -> dt.datetime:
    """The night before Sunday's work."""
    night = next_night(now, zone)
    return night + dt.timedelta(days=(SUNDAY - night.astimezone(ZoneInfo(zone)).weekday()) % 7)


DUE = """,
       EXISTS (SELECT FROM score_dirty) OR EXISTS (SELECT FROM score_jobs WHERE status IN ('waiting', 'running'))
    OR EXISTS (SELECT FROM score_history WHERE asked_at IS NOT NULL AND told IS NULL)
    OR EXISTS (SELECT FROM score_kinds WHERE after IS NOT NULL OR ((apply_at <= :now OR check_at <= :now) AND EXISTS (SELECT FROM profiles)))
"""  # whether the scoring process has anything to do
