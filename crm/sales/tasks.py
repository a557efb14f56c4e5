"""Tasks: what somebody must do by a time. One that stays undone goes up a step; the clock looks, rows remember."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events import inbox
from crm.sales.lead_state import DONE
from crm.sales.models import TASK_KINDS, Lead, Task

KINDS = {"call": _l("Call"), "mail": _l("Write"), "meeting": _l("Meet"), "approve": _l("Approve"), "other": _l("Do")}
READY = (  # what the recipes ask for
    _l("Call about their enquiry"),
    _l("Ask whether they still need it"),
    _l("Call and ask what went wrong"),
    _l("Ask about the quote"),
    _l("Decide whether the deal is lost"),
    _l("Ask who approves, and speak with them"),
    _l("Speak about renewing the contract"),
)
LATE = "Task Late"
HIGHEST = 2  # steps up: whoever has it, then whoever hears of late ones
LONGEST = 500
SOON = dt.timedelta(days=1)  # what is due by then is done by doing it now


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to make. Without owner and role it is the lead's owner's. `late_after` None: lateness alarms nobody. The same `key` makes one for ever."""

    profile_id: uuid.UUID
    kind: str
    title: str
    due_at: dt.datetime
    owner_id: int | None = None
    role: str | None = None
    late_after: dt.timedelta | None = dt.timedelta(0)
    note: str = ""
    deal_id: uuid.UUID | None = None
    key: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    hops: int = 0
    by: int | None = None


def create(session: Session, new: Sequence[NewTask], now: dt.datetime) -> list[uuid.UUID]:
    """Make tasks; returns the ids of those that are new. The caller holds the people's locks."""
    if not new:
        return []
    for one in new:
        if one.kind not in TASK_KINDS:
            raise InvalidError(_l("There is no such kind of task."))
    made = list(session.scalars(text(_CREATE), {"rows": dumps([_row(one) for one in new]), "now": now}))
    recount(session, {one.profile_id for one in new}, now)
    return made


def done(session: Session, task_id: uuid.UUID, *, by: int | None, now: dt.datetime, outcome: str = "done") -> Task:
    """It is done; says so in the log, so that journeys go on. The caller holds the person's lock. Doing it twice changes nothing."""
    task = find(session, task_id)
    if task.done_at is None:
        task.done_at, task.done_by, task.outcome, task.check_at = now, by, outcome[:100], None
        said = {"task_id": str(task.id), "kind": task.kind, "title": task.title, "outcome": task.outcome, "by": by, **task.about}
        cause = f"user:{by}" if by else "sales"
        inbox.append(session, [inbox.system_event(DONE, task.profile_id, said, cause=cause, hops=task.hops, message_id=number(task.id, now))], now)
        session.flush()
        recount(session, {task.profile_id}, now)
    return task


def number(task_id: uuid.UUID, done_at: dt.datetime) -> str:
    """The own number of the event that says it was done."""
    return f"task:{task_id}:{done_at.isoformat()}"


def withdraw(session: Session, task_id: uuid.UUID, *, now: dt.datetime) -> None:
    """It need not be done any more, where it is still to be done. The caller holds the person's lock."""
    gone = "UPDATE tasks SET done_at = :now, outcome = 'withdrawn', check_at = NULL WHERE id = :id AND done_at IS NULL RETURNING profile_id"
    if profile_id := session.scalar(text(gone), {"id": task_id, "now": now}):
        recount(session, {profile_id}, now)


def undo(session: Session, task_id: uuid.UUID, *, now: dt.datetime) -> Task:
    """It was not done after all; what its end started meanwhile stays as it happened. It is for whoever got the lead since then."""
    task = find(session, task_id)
    if task.done_at is not None:
        lead = session.get(Lead, task.profile_id, populate_existing=True)
        if task.role is None and lead and lead.owner_at and lead.owner_at > task.done_at:
            task.owner_id = lead.owner_id
        task.done_at = task.done_by = task.outcome = None
        task.check_at = max(now, task.due_at) if task.late_after is not None else None
        session.flush()
        recount(session, {task.profile_id}, now)
    return task


def move(session: Session, task_id: uuid.UUID, *, due_at: dt.datetime, owner_id: int | None, now: dt.datetime) -> Task:
    """Another time or another owner; it counts as not yet late again."""
    task = find(session, task_id)
    watched = task.done_at is None and task.late_after is not None
    task.due_at, task.owner_id, task.level, task.check_at = due_at, owner_id, 0, due_at if watched else None
    session.flush()
    recount(session, {task.profile_id}, now)
    return task


def hand_on(session: Session, owners: Mapping[uuid.UUID, int | None]) -> None:
    """The open tasks of these people go to whoever has their lead now; those of a role stay with it."""
    session.execute(text(_HAND_ON), {"ids": list(owners), "owners": list(owners.values())})


def recount(session: Session, profile_ids: Collection[uuid.UUID], now: dt.datetime) -> None:
    """The next action of these leads is their earliest open task."""
    session.execute(text(_NEXT), {"ids": list(profile_ids), "now": now})
    hint(session, "sales")


def open_of(session: Session, profile_id: uuid.UUID) -> list[Task]:
    """What is to be done for one person, the most urgent first."""
    return list(session.scalars(select(Task).where(Task.profile_id == profile_id, Task.done_at.is_(None)).order_by(Task.due_at, Task.id).limit(50)))


def find(session: Session, task_id: uuid.UUID) -> Task:
    """A task, locked; NotFoundError where there is none."""
    task = session.get(Task, task_id, with_for_update=True, populate_existing=True)
    if task is None:
        raise NotFoundError(_l("There is no such task."))
    return task


def _row(one: NewTask) -> dict[str, Any]:
    return {
        "id": new_id(),
        "profile_id": one.profile_id,
        "deal_id": one.deal_id,
        "kind": one.kind,
        "title": one.title.replace("\x00", "")[:LONGEST],
        "note": one.note.replace("\x00", "")[:5000],
        "owner_id": one.owner_id,
        "role": one.role,
        "due_at": one.due_at,
        "late_after": None if one.late_after is None else int(one.late_after.total_seconds()),
        "key": one.key,
        "about": dict(one.about),
        "hops": one.hops,
        "created_by": one.by,
    }


_CREATE = """
INSERT INTO tasks (id, profile_id, deal_id, kind, title, note, owner_id, role, due_at, late_after, check_at, key, about, hops, created_at, created_by)
SELECT n.id, n.profile_id, n.deal_id, n.kind, n.title, n.note, coalesce(n.owner_id, CASE WHEN n.role IS NULL THEN l.owner_id END), n.role, n.due_at,
       n.late_after, CASE WHEN n.late_after IS NOT NULL THEN n.due_at END, n.key, n.about, n.hops, CAST(:now AS timestamptz), n.created_by
FROM json_to_recordset(CAST(:rows AS json)) AS n(id uuid, profile_id uuid, deal_id uuid, kind text, title text, note text, owner_id int, role text,
    due_at timestamptz, late_after int, key text, about jsonb, hops smallint, created_by int)
LEFT JOIN leads l ON l.profile_id = n.profile_id
ON CONFLICT (key) DO NOTHING RETURNING id
"""
_HAND_ON = """
UPDATE tasks t SET owner_id = n.owner FROM unnest(CAST(:ids AS uuid[]), CAST(:owners AS integer[])) AS n(id, owner)
WHERE t.profile_id = n.id AND t.done_at IS NULL AND t.role IS NULL
"""
_NEXT = """
UPDATE leads l SET next_at = (SELECT min(t.due_at) FROM tasks t WHERE t.profile_id = l.profile_id AND t.done_at IS NULL), check_at = :now
WHERE l.profile_id = ANY(CAST(:ids AS uuid[]))
"""
