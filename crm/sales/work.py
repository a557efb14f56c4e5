"""What a worker does for sales when its time has come: owners found, ranks followed, late tasks sent up, alerts mailed."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.i18n import _l
from crm.events import inbox
from crm.sales import alerts, assign, rank, settings, tasks
from crm.sales.alerts import NewAlert
from crm.sales.settings import SalesSettings
from crm.sales.tasks import HIGHEST, LATE, NewTask

AT_ONCE = 1_000
RETRY = dt.timedelta(minutes=15)  # of a lead nobody could take
FIRST = _l("First contact")
FROM_FILE = dt.timedelta(days=7)  # until somebody from a file is first spoken to
DUE = """
EXISTS (SELECT FROM leads WHERE check_at <= :now) OR EXISTS (SELECT FROM tasks WHERE check_at <= :now)
OR EXISTS (SELECT FROM alerts a JOIN sellers s ON s.user_id = a.user_id WHERE a.mail)
"""


def step(session: Session, config: Config, now: dt.datetime) -> int:
    """One round; returns how many rows it concerned. The caller commits and calls again until nothing is left."""
    rules = settings.read(session)
    return look(session, rules, config, now) + go_up(session, rules, config, now) + alerts.mail(session, base_url=config.base_url, now=now)


def look(session: Session, rules: SalesSettings, config: Config, now: dt.datetime) -> int:
    """Leads whose time has come: an owner, a first task, a rank. People locked by somebody else are left for the next call."""
    rows = session.execute(text(_CLAIM), {"now": now, "limit": AT_ONCE}).all()
    if not rows:
        return 0
    ids = [row.profile_id for row in rows]
    closed = [row.profile_id for row in rows if not row.open]
    session.execute(text("UPDATE leads SET check_at = NULL WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": closed})
    wanting = [row.profile_id for row in rows if row.open and (row.owner_id is None or row.reassign)]
    given = assign.give(session, wanting, rules=rules, zone=config.timezone, now=now)
    _begin(session, [row for row in rows if row.open], given, rules, config, now)
    rank.refresh(session, profile_ids=ids, shop=config.currency, now=now, taken=True)
    _wait(session, set(wanting) - given.keys(), config, now)
    return len(rows)


def go_up(session: Session, rules: SalesSettings, config: Config, now: dt.datetime) -> int:
    """Late tasks: first whoever has it hears of it, then whoever hears of late ones; an event says so each time."""
    late = session.execute(text(_LATE), {"now": now, "limit": AT_ONCE}).all()
    if not late:
        return 0
    news, events = [], []
    for task in late:
        level = task.level + 1
        hears = task.owner_id if level == 1 else rules.escalate_to
        if hears:
            detail = {"title": task.title, "due_at": task.due_at.isoformat(), "task_id": str(task.id)}
            news.append(NewAlert("late" if level == 1 else "escalated", task.profile_id, f"late:{task.id}:{level}:{task.due_at.isoformat()}", hears, detail))
        said = {"task_id": str(task.id), "kind": task.kind, "title": task.title, "level": level, "owner_id": task.owner_id, **task.about}
        events.append(inbox.system_event(LATE, task.profile_id, said, cause=f"task:{task.id}", hops=task.hops + 1))
    session.execute(text(_WENT_UP), {"ids": [task.id for task in late], "now": now, "default": rules.escalate_minutes * 60, "highest": HIGHEST})
    alerts.raise_(session, news, rules=rules, now=now)
    inbox.append(session, events, now)
    if rules.reassign_late:
        stuck = [task.profile_id for task in late if task.level + 1 >= HIGHEST]
        session.execute(
            text("UPDATE leads SET reassign = true, check_at = :now WHERE open AND profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": stuck, "now": now}
        )
    return len(late)


def _begin(  # noqa: PLR0917  what a first task follows from
    session: Session, rows: Sequence[Any], given: Mapping[uuid.UUID, int], rules: SalesSettings, config: Config, now: dt.datetime
) -> None:
    """A new lead gets its promise and its first task."""
    hours = rules.hours(config.timezone)
    new, first = [], []
    for row in rows:
        if row.status != "new" or row.answered_at is not None or row.answer_by is not None:
            continue
        due = now + FROM_FILE if row.imported else hours.deadline(max(row.status_at, now - dt.timedelta(hours=1)), rules.answer_within)
        first.append({"id": row.profile_id, "by": None if row.imported else due})
        if row.next_at is None:
            late = None if row.imported else dt.timedelta(minutes=rules.escalate_minutes)
            key = f"first:{row.profile_id}:{row.status_at.isoformat()}"
            new.append(NewTask(row.profile_id, "call", FIRST, due, given.get(row.profile_id), late_after=late, key=key))
    session.execute(text(_PROMISE), {"ids": [one["id"] for one in first], "by": [one["by"] for one in first]})
    tasks.create(session, new, now)


def _wait(session: Session, ids: Collection[uuid.UUID], config: Config, now: dt.datetime) -> None:
    """Nobody could take these: they stand on the list of nobody, and are looked at again when somebody comes on duty."""
    if ids:
        duty = assign.next_duty(session, zone=config.timezone, now=now)
        session.execute(text(_AGAIN), {"ids": list(ids), "at": max(duty or now, now + RETRY)})


_CLAIM = """
SELECT l.profile_id, l.open, l.status, l.status_at, l.owner_id, l.reassign, l.imported, l.answer_by, l.answered_at, l.next_at
FROM leads l JOIN profiles p ON p.id = l.profile_id
WHERE l.check_at <= :now ORDER BY l.check_at LIMIT :limit FOR UPDATE OF p SKIP LOCKED
"""
_PROMISE = """
UPDATE leads l SET answer_by = n.by FROM unnest(CAST(:ids AS uuid[]), CAST(:by AS timestamptz[])) AS n(id, by) WHERE l.profile_id = n.id
"""
_AGAIN = """
UPDATE leads SET check_at = least(coalesce(check_at, :at), CAST(:at AS timestamptz)) WHERE profile_id = ANY(CAST(:ids AS uuid[]))
"""
_LATE = """
SELECT id, profile_id, kind, title, owner_id, due_at, level, about, hops FROM tasks
WHERE check_at <= :now AND done_at IS NULL ORDER BY check_at LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_WENT_UP = """
UPDATE tasks SET level = level + 1,
    check_at = CASE WHEN level + 1 < :highest THEN CAST(:now AS timestamptz) + make_interval(secs => coalesce(nullif(late_after, 0), :default)) END
WHERE id = ANY(CAST(:ids AS uuid[]))
"""
