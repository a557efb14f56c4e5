"""A logged call, and how it is taken back: the lead stands as before, what was said stays in the log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.ids import new_id
from crm.events import inbox
from crm.profiles import people
from crm.sales import leads, tasks
from crm.sales.lead_state import WITHDRAWN
from crm.sales.models import Call, Lead, Task

WITHIN = dt.timedelta(hours=1)


def began(session: Session, profile_id: uuid.UUID, *, by: int, now: dt.datetime) -> Call:
    """A call, with how the lead stands before it counts; the caller holds the person's lock."""
    lead = session.get(Lead, profile_id, populate_existing=True)
    names = ("status", "touched_at", "touched_by")
    before = {name: _plain(getattr(lead, name)) for name in names} if lead else {}
    made = Call(id=new_id(), profile_id=profile_id, by=by, at=now, before=before)
    session.add(made)
    return made


def did(call: Call, *, ended: Collection[uuid.UUID], planned: uuid.UUID | None) -> None:
    """What it did to tasks."""
    call.before = {**call.before, "ended": [str(one) for one in ended], "planned": str(planned) if planned else None}


def number(call: Call) -> str:
    """Its event's own number."""
    return f"call:{call.id}"


def last(session: Session, *, by: int, now: dt.datetime) -> Call | None:
    """The call this user can still take back."""
    mine = select(Call).where(Call.by == by, Call.at > now - WITHIN, Call.undone_at.is_(None))
    return session.scalars(mine.order_by(Call.at.desc(), Call.id.desc()).limit(1)).first()


def take_back(session: Session, call_id: uuid.UUID, *, by: int, now: dt.datetime) -> Call:
    """It was not so: whatever it changed and nothing changed since is as before. Doing it twice changes nothing.

    The tasks it ended are open again, the one it planned is withdrawn. What its events started meanwhile stays as it happened.
    """
    profile_id = session.scalar(select(Call.profile_id).where(Call.id == call_id))
    if profile_id is None or not people.lock(session, [profile_id]):
        raise NotFoundError(_l("There is no such call."))
    call = session.get_one(Call, call_id, with_for_update=True, populate_existing=True)
    if call.by != by or call.at <= now - WITHIN:
        raise InvalidError(_l("Only a call of your own can be taken back, and only within an hour."))
    if call.undone_at is None:
        call.undone_at = now
        ended = _tasks(session, call, now)
        said = {"call": str(call.id), "voids": [number(call), *ended], "by": by}
        inbox.append(session, [inbox.system_event(WITHDRAWN, profile_id, said, cause=f"user:{by}", hops=0, message_id=f"{number(call)}:back")], now)
        _lead(session, call, now)
    return call


def _tasks(session: Session, call: Call, now: dt.datetime) -> list[str]:
    """Open again what it ended; returns the numbers of the events that had said so."""
    wanted = select(Task).where(Task.id.in_([uuid.UUID(one) for one in call.before.get("ended", ())]), Task.done_at == call.at)
    ended = [tasks.undo(session, task.id, now=now) for task in session.scalars(wanted).all()]
    if planned := call.before.get("planned"):
        tasks.withdraw(session, uuid.UUID(planned), now=now)
    return [tasks.number(task.id, call.at) for task in ended]


def _lead(session: Session, call: Call, now: dt.datetime) -> None:
    values: dict[str, Any] = {name: call.before.get(name) for name in ("touched_at", "touched_by")}
    lead = session.execute(text(_BACK), {**values, "id": call.profile_id, "at": call.at, "now": now}).first()
    was = call.before.get("status", "new")
    if lead and lead.since and was == "new":  # somebody answered since
        was = "working"
    if lead and lead.status_at == call.at and lead.status != was:
        leads.set_status(session, call.profile_id, was, by=call.by, now=now, reason="call taken back")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.datetime) else value


_BACK = """
UPDATE leads SET check_at = :now,
    answered_at = CASE WHEN answered_at = :at THEN least(
        (SELECT min(c.at) FROM calls c WHERE c.profile_id = :id AND c.at > :at AND c.undone_at IS NULL),
        (SELECT min(t.done_at) FROM tasks t WHERE t.profile_id = :id AND t.done_at > :at AND t.done_by IS NOT NULL),
        (SELECT min(m.sent_at) FROM messages m WHERE m.profile_id = :id AND m.sent_at > :at AND m.journey IS NULL AND m.data->>'by' IS NOT NULL),
        CASE WHEN touched_at > :at THEN touched_at END
    ) ELSE answered_at END,
    touched_by = CASE WHEN touched_at = :at THEN CAST(:touched_by AS integer) ELSE touched_by END,
    touched_at = CASE WHEN touched_at = :at THEN CAST(:touched_at AS timestamptz) ELSE touched_at END
WHERE profile_id = :id RETURNING status, status_at, touched_at > :at AS since
"""
