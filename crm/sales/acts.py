"""What a salesperson does with a lead: call, write, plan. Each is an event, counts as an answer, and keeps the lead's next action true."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.events import inbox
from crm.messages import outbox
from crm.messages.models import Template
from crm.profiles import people
from crm.sales import calls, leads, tasks
from crm.sales.lead_state import CALLED
from crm.sales.models import Lead, Task
from crm.sales.tasks import NewTask

OUTCOMES = {
    "reached": _l("Reached"),
    "no_answer": _l("No answer"),
    "voicemail": _l("Left a message"),
    "call_back": _l("Asked to be called back"),
    "wrong_number": _l("Wrong number"),
    "not_interested": _l("Not interested"),
}


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be done next, and when."""

    kind: str
    due_at: dt.datetime
    title: str = ""
    note: str = ""


def log_call(  # each is a field of the form
    session: Session, profile_id: uuid.UUID, *, outcome: str, note: str = "", then: Next | None, by: int, now: dt.datetime
) -> uuid.UUID | None:
    """Write down a call; its task is done, and what comes next is a task. Returns the next task, where there is one."""
    if outcome not in OUTCOMES:
        raise InvalidError(_l("Say how the call ended."))
    _lock(session, profile_id)
    call = calls.began(session, profile_id, by=by, now=now)
    said = {"outcome": outcome, "note": note[:2000], "by": by}
    inbox.append(session, [inbox.system_event(CALLED, profile_id, said, cause=f"user:{by}", hops=0, message_id=calls.number(call))], now)
    _touch(session, profile_id, by=by, now=now)
    due = [task.id for task in tasks.open_of(session, profile_id) if task.kind == "call" and task.due_at <= now + tasks.SOON]
    for task_id in due:
        tasks.done(session, task_id, by=by, now=now, outcome=outcome)
    if outcome == "not_interested":
        leads.set_status(session, profile_id, "lost", by=by, now=now, reason=outcome)
    planned = plan(session, profile_id, then=then, by=by, now=now) if then else None
    calls.did(call, ended=due, planned=planned)
    return planned


def plan(session: Session, profile_id: uuid.UUID, *, then: Next, by: int, now: dt.datetime) -> uuid.UUID | None:
    """The next action, as a task of the lead's owner."""
    _lock(session, profile_id)
    title = then.title.strip() or tasks.KINDS.get(then.kind, "")
    made = tasks.create(session, [NewTask(profile_id, then.kind, title, then.due_at, late_after=dt.timedelta(0), note=then.note, by=by)], now)
    return made[0] if made else None


def later(session: Session, profile_id: uuid.UUID, *, until: dt.datetime, by: int, now: dt.datetime) -> None:
    """Not now: what is due before waits until then; where nothing is planned, a call is."""
    if until <= now:
        raise InvalidError(_l("Choose a time that lies ahead."))
    _lock(session, profile_id)
    waiting = [task for task in tasks.open_of(session, profile_id) if task.due_at < until]
    for task in waiting:
        tasks.move(session, task.id, due_at=until, owner_id=task.owner_id, now=now)
    if not waiting:
        plan(session, profile_id, then=Next("call", until), by=by, now=now)


def write(session: Session, profile_id: uuid.UUID, *, template: str, by: int, now: dt.datetime) -> uuid.UUID:
    """Ask for a mail by template; the gate decides. Returns the message, whose page says what became of it.

    It is an answer, and ends its task, once it went out (`leads.fold`).
    """
    if session.scalar(select(Template.name).where(Template.name == template, Template.channel == "email")) is None:
        raise InvalidError(_l("Choose a template for e-mail."))
    _lock(session, profile_id)
    [made] = outbox.queue(session, [outbox.Request(profile_id, "email", template, cause=f"user:{by}", data={"by": by})], now)
    return made


def finish(session: Session, task_id: uuid.UUID, *, by: int, now: dt.datetime, outcome: str = "done") -> Task:
    """A task is done by this person; for its lead that is an answer."""
    _lock_of(session, task_id)
    task = tasks.done(session, task_id, by=by, now=now, outcome=outcome)
    _touch(session, task.profile_id, by=by, now=now)
    return task


def reopen(session: Session, task_id: uuid.UUID, *, now: dt.datetime) -> Task:
    """A task was not done after all."""
    _lock_of(session, task_id)
    return tasks.undo(session, task_id, now=now)


def put_off(session: Session, task_id: uuid.UUID, *, due_at: dt.datetime | None, take: int | None, now: dt.datetime) -> Task:
    """A task gets another time, or is taken by this user; what is None stays as it is."""
    _lock_of(session, task_id)
    task = tasks.find(session, task_id)
    return tasks.move(session, task_id, due_at=due_at or task.due_at, owner_id=take or task.owner_id, now=now)


def set_status(  # each is said in the event
    session: Session, profile_id: uuid.UUID, status: str, *, by: int, now: dt.datetime, reason: str = ""
) -> None:
    """A person says how it stands."""
    _lock(session, profile_id)
    leads.set_status(session, profile_id, status, by=by, now=now, reason=reason)
    if status != "new":
        _touch(session, profile_id, by=by, now=now)


def hand_to(session: Session, profile_id: uuid.UUID, owner_id: int | None, *, by: int, now: dt.datetime) -> None:
    """A person gives the lead, with its open tasks, to somebody (None: to nobody)."""
    _lock(session, profile_id)
    leads.assign(session, {profile_id: (owner_id, "hand")}, by=by, now=now)


def take(session: Session, profile_id: uuid.UUID, *, by: int, now: dt.datetime) -> None:
    """Whoever asks first has a lead that nobody had."""
    _lock(session, profile_id)
    lead = session.get(Lead, profile_id, populate_existing=True)
    if lead is None or not lead.open:
        raise NotFoundError(_l("This person is no lead."))
    if lead.owner_id not in {None, by}:
        raise InvalidError(_l("Somebody was faster: this lead has an owner by now."))
    leads.assign(session, {profile_id: (by, "hand")}, by=by, now=now)


def _lock(session: Session, profile_id: uuid.UUID) -> None:
    if not people.lock(session, [profile_id]):
        raise NotFoundError(_l("There is no such profile. It may have been erased."))


def _lock_of(session: Session, task_id: uuid.UUID) -> None:
    """The person first, as everywhere; then the task."""
    profile_id = session.scalar(select(Task.profile_id).where(Task.id == task_id))
    if profile_id is None:
        raise NotFoundError(_l("There is no such task."))
    _lock(session, profile_id)


def _touch(session: Session, profile_id: uuid.UUID, *, by: int, now: dt.datetime) -> None:
    if leads.touch(session, profile_id, by=by, at=now) == "new":
        leads.set_status(session, profile_id, "working", by=by, now=now, reason="answered")
