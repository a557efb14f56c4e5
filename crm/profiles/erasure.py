"""A person leaves: asked for as a row, done in chunks that each commit, so that a killed worker's erasure goes on where it stood."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, delete, false, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, sessionmaker

from crm.core.crypto import Keys
from crm.core.db import in_short, is_passing
from crm.profiles import accounts, tombstones
from crm.profiles.privacy import Place, Subject, condition, places, subject
from crm.profiles.privacy_models import ASKED, DONE, REFUSED, RUNNING, WAITING, Erasure
from crm.profiles.remains import Words, clean_files

CHUNK = 5_000  # rows of one transaction
AGAIN = dt.timedelta(seconds=5)  # a message is being handed over at this moment: come back
LATER = dt.timedelta(minutes=5)  # a step raised an error: others first
BACKUP = "backup"  # who asked: a restored backup brought the person back
FILES = ("imports", "uploads")  # folders of the home that hold what people sent in

Forget = Callable[[Session, Subject, Keys, dt.datetime], None]
log = structlog.get_logger()


def request(session: Session, profile_id: uuid.UUID, *, by: str, now: dt.datetime, confirmed: bool = True) -> Erasure | None:
    """Ask for somebody to be forgotten; None where there is no such person. An open request for the same person is that request.

    Unconfirmed (asked for by link) it waits until somebody here agrees.
    """
    who = subject(session, profile_id)
    if who is None:
        return None
    session.execute(text("SELECT FROM profiles WHERE id = :id FOR UPDATE"), {"id": who.id})
    wanted = select(Erasure).where(Erasure.subject_id == who.id, Erasure.status.in_((ASKED, WAITING, RUNNING)))
    found = session.scalar(wanted.limit(1))
    if found is None:
        found = Erasure(subject_id=who.id, status=ASKED, by=by, asked_at=now, due_at=now)
        session.add(found)
    if confirmed and found.status == ASKED:
        found.status, found.by, found.due_at = WAITING, by, now
    session.flush()
    return found


def refuse(session: Session, erasure_id: int, now: dt.datetime) -> bool:
    """Somebody here says no to a request that came by link; False where it is not open any more."""
    changed = update(Erasure).where(Erasure.id == erasure_id, Erasure.status == ASKED).values(status=REFUSED, finished_at=now)
    return session.execute(changed.returning(Erasure.id)).first() is not None


def work(sessions: sessionmaker[Session], keys: Keys, home: Path, now: Callable[[], dt.datetime], forget: Sequence[Forget] = ()) -> int:
    """One chunk of the oldest erasure that is due, committed; 0 where there is none or another worker has it.

    `forget` is what upper parts do at the start, in the transaction that takes the person out: consent refused, messages dropped, runs ended.
    One that raises an error says so in its row and is tried again later, so that the others go on.
    """
    with sessions() as session:
        due = select(Erasure).where(Erasure.status.in_((WAITING, RUNNING)), Erasure.due_at <= now())
        job = session.scalar(due.order_by(Erasure.id).limit(1).with_for_update(skip_locked=True))
        if job is None:
            return 0
        number = job.id
        try:
            job.problem = None
            if job.status == WAITING:
                _take_out(session, job, keys, home, now(), forget)
            else:
                _go_on(session, job, keys, home, now())
            session.flush()
        except Exception as error:  # whatever one person's traces can do to us must not keep the others here
            if is_passing(error):
                raise
            session.rollback()
            log.exception("erasure_put_off", erasure=number)
            session.execute(update(Erasure).where(Erasure.id == number).values(problem=in_short(error), due_at=now() + LATER))
        session.commit()
    return 1


def stuck(session: Session) -> str | None:
    """What keeps somebody whom a backup brought back from being taken out again; None where nobody is kept."""
    kept = select(Erasure.problem).where(Erasure.status == WAITING, Erasure.by == BACKUP, Erasure.problem.is_not(None))
    return session.scalar(kept.limit(1))


def restore(session: Session, keys: Keys, home: Path, now: dt.datetime) -> int:
    """After a backup was put back: bury again who left since it was made, and ask for whoever it brought back. Returns how many people that was."""
    missing = tombstones.unknown(session, home)
    for at in set(missing.values()):
        tombstones.bury(session, [one for one, moment in missing.items() if moment == at], at)
    people = tombstones.back_again(session, missing, keys) if missing else []
    return sum(request(session, one, by=BACKUP, now=now) is not None for one in people)


def _take_out(  # noqa: PLR0917  what one step of the job works with
    session: Session, job: Erasure, keys: Keys, home: Path, now: dt.datetime, forget: Sequence[Forget]
) -> None:
    """From this commit on the person is gone from every list, and nothing from before can come in again."""
    tombstones.exclude_batches(session)
    who = subject(session, job.subject_id)
    if who is None:
        job.status, job.finished_at = DONE, now
        return
    session.execute(text("SELECT FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"), {"ids": list(who.ids)})
    hashes = tombstones.hashes_of(keys, who.ids, who.identities)
    tombstones.write_list(home, hashes, now)
    tombstones.bury(session, hashes, now)
    for each in forget:
        each(session, who, keys, now)
    parts = accounts.leave(session, who.ids)
    session.execute(text("DELETE FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(who.ids)})
    session.execute(text("DELETE FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(who.ids)})
    job.status, job.due_at = RUNNING, now
    job.ids, job.identities = [str(one) for one in who.ids], [list(one) for one in who.identities]
    job.counts = {"identities": len(who.identities), "profiles": len(who.ids), "account_members": parts}
    job.total = session.scalar(text("SELECT count(*) FROM events WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(who.ids)}) or 0


def _go_on(session: Session, job: Erasure, keys: Keys, home: Path, now: dt.datetime) -> None:
    who = Subject(job.subject_id, tuple(uuid.UUID(one) for one in job.ids), tuple((kind, value) for kind, value in job.identities))
    if _being_sent(session, who):
        job.due_at = now + AGAIN  # its outcome is still to be written, with the address in it
        return
    place = next((p for p in places() if p.table.name not in job.cleared and p.fate in {"delete", "blank"}), None)
    if place is not None:
        name, count = place.table.name, _clear(session, place, who, keys)
        job.counts = {**job.counts, name: job.counts.get(name, 0) + count}
        if count < CHUNK:
            job.cleared = [*job.cleared, name]
        return
    if session.scalar(text(_READING)):
        job.due_at = now + AGAIN  # an import counts the lines of its file: none may vanish under it
        return
    lines = sum(clean_files(home / folder, Words.of(who.ids, who.identities)) for folder in FILES)
    job.counts = {name: count for name, count in {**job.counts, "lines of files": lines}.items() if count}
    job.status, job.finished_at, job.identities = DONE, now, []


def _being_sent(session: Session, who: Subject) -> bool:
    waiting = text("SELECT EXISTS (SELECT FROM outbox WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND lease_until IS NOT NULL)")
    return bool(session.scalar(waiting, {"ids": list(who.ids)}))


def _clear(session: Session, place: Place, who: Subject, keys: Keys) -> int:
    """One chunk of one place; returns how many rows it was."""
    if place.table.name == "events":
        return _clear_events(session, who)
    theirs, blank = condition(session, place, who, keys), place.fate == "blank"
    key = list(place.table.primary_key.columns)
    full = _not_blank(place) if blank else None
    some = select(*key).where(theirs, *([full] if full is not None else [])).limit(CHUNK)
    chosen = tuple_(*key).in_(some)
    done: Any = session.execute(update(place.table).where(chosen).values(_emptied(place)) if blank else delete(place.table).where(chosen))
    return int(done.rowcount)


def _clear_events(session: Session, who: Subject) -> int:
    """Events go with the inbox rows they came in as."""
    return int(session.scalar(text(_EVENTS), {"ids": list(who.ids), "limit": CHUNK}) or 0)


def _emptied(place: Place) -> dict[str, Any]:
    return {column.name: _nothing(column) for column in place.personal}


def _nothing(column: Any) -> Any:
    if column.nullable:
        return None
    return {} if isinstance(column.type, JSONB) else ""


def _not_blank(place: Place) -> Any:
    """Rows with something left in a personal column, so that chunks come to an end."""
    found: ColumnElement[bool] = false()
    for column in place.personal:
        empty = _nothing(column)
        found = found | (column.is_not(None) if empty is None else column != empty)
    return found


def progress(session: Session, *, limit: int = 50) -> list[Erasure]:
    """The latest requests, open ones first."""
    order = (Erasure.status.in_((ASKED, WAITING, RUNNING)).desc(), Erasure.id.desc())
    return list(session.scalars(select(Erasure).order_by(*order).limit(limit)))


_READING = "SELECT EXISTS (SELECT FROM uploads WHERE status IN ('checking', 'running', 'folding', 'undoing'))"
_EVENTS = """
WITH chunk AS (
    SELECT profile_id, occurred_at, accepted FROM events WHERE profile_id = ANY(CAST(:ids AS uuid[])) LIMIT :limit
), gone AS (
    DELETE FROM events e USING chunk s
    WHERE e.profile_id = s.profile_id AND e.occurred_at = s.occurred_at AND e.accepted = s.accepted RETURNING e.accepted, e.received_at
), calls AS (
    DELETE FROM event_inbox i USING gone WHERE i.id = gone.accepted AND i.received_at = gone.received_at
)
SELECT count(*) FROM gone
"""
