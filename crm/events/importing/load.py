"""Chunks of a file into the inbox, each with its progress in one transaction: a killed import goes on where it stopped."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.events import inbox
from crm.events.importing.outcomes import Tally
from crm.events.inbox import NewRow
from crm.events.models import HISTORY, SYSTEM_SOURCE, EventKey, Import, Source
from crm.events.spec import IMPORT_CAUSE, Call, event_key


def source(session: Session, *, name: str) -> int:
    """The source of this name, made where there is none."""
    clean = name.strip()
    if not clean:
        raise InvalidError("The source needs a name: --source NAME.")
    session.execute(insert(Source).values(name=clean).on_conflict_do_nothing())
    found = session.scalars(select(Source.id).where(Source.name == clean)).one()
    if found == SYSTEM_SOURCE:
        raise InvalidError(f"{clean} is Kesher's own source; choose another name.")
    return found


def begin(session: Session, *, source_id: int, file_name: str, digests: tuple[bytes, bytes], now: dt.datetime) -> Import:
    """The row of this import: a new one, or the one that was begun or finished before. `digests`: of the file, of the mapping."""
    key = {"source_id": source_id, "file_digest": digests[0], "mapping_digest": digests[1]}
    session.execute(insert(Import).values(file_name=file_name, started_at=now, **key).on_conflict_do_nothing())
    return session.scalars(select(Import).filter_by(**key)).one()


def append(session: Session, calls: Sequence[Call], *, row: Import, done: int, now: dt.datetime, trusted: bool = True) -> int:
    """Put a chunk into the inbox and move the progress from `done`; returns how many were not there before.

    InvalidError where another process moved it meanwhile.
    """
    moved = session.scalar(update(Import).where(Import.id == row.id, Import.done == done).values(done=done + len(calls)).returning(Import.id))
    if moved is None:
        raise InvalidError("Another process is importing the same file now; let it finish.")
    keys = [event_key(row.source_id, call.message_id) for call in calls]
    known = set(session.scalars(select(EventKey.key).where(EventKey.key.in_(keys))))
    fresh = [call for call, key in zip(calls, keys, strict=True) if key not in known]
    inbox.append(session, [NewRow(row.source_id, trusted=trusted, origin=HISTORY, body=call, cause=f"{IMPORT_CAUSE}{row.id}") for call in fresh], now)
    return len(fresh)


def finish(session: Session, *, row: Import, tally: Tally, now: dt.datetime) -> None:
    """The file is wholly in the inbox."""
    session.execute(update(Import).where(Import.id == row.id).values(finished_at=now, counts=tally.as_dict()))


def again(session: Session, *, row: Import, now: dt.datetime) -> None:
    """Read a finished file once more from its beginning; what is known by its key is not taken twice."""
    row.done, row.started_at, row.finished_at = 0, now, None
    session.flush()
