"""Everybody of an import onto a list, or everybody off it: a part at once, the rest by a worker in parts that each commit."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.events.importing import people as imported
from crm.events.importing.models import Upload
from crm.segments import lists
from crm.segments.models import List, ListJob


def begin(session: Session, slug: str, *, upload: Upload | None, now: dt.datetime) -> tuple[int, bool]:
    """Put everybody of this import on a list, or without one take everybody off; returns how many so far, and whether others follow."""
    row = lists.find(session, slug)
    count, after = _part(session, row, upload, None, now)
    if after is not None:
        session.add(ListJob(list_id=row.id, upload_id=upload.id if upload else None, after=after, asked_at=now))
        hint(session, "segments")
    return count, after is not None


def work(session: Session, now: dt.datetime) -> int:
    """The next part of the oldest job; 0 where there is none, or another worker has it. The caller commits."""
    job = session.scalar(select(ListJob).order_by(ListJob.id).limit(1).with_for_update(skip_locked=True))
    if job is None:
        return 0
    upload = session.get_one(Upload, job.upload_id) if job.upload_id is not None else None
    _count, after = _part(session, session.get_one(List, job.list_id), upload, job.after, now)
    if after is None:
        session.delete(job)
    else:
        job.after = after
    session.flush()
    return 1


def going_on(session: Session, slug: str) -> list[Upload | None]:
    """What is still being done to a list, the oldest first: the import whose people go on it, None where everybody goes off."""
    wanted = select(Upload).select_from(ListJob).outerjoin(Upload, Upload.id == ListJob.upload_id).join(List, List.id == ListJob.list_id)
    return list(session.scalars(wanted.where(List.slug == slug).order_by(ListJob.id)))


def _part(session: Session, row: List, upload: Upload | None, after: uuid.UUID | None, now: dt.datetime) -> tuple[int, uuid.UUID | None]:
    """No more people than whose locks one transaction may hold; returns how many changed, and after whom to go on."""
    if upload is not None:
        ids = imported.people(session, upload, after=after, limit=lists.AT_ONCE)
        count = lists.add(session, row.slug, ids, now=now)
    else:
        ids = [one for one, _since in lists.members(session, row.slug, after=after, limit=lists.AT_ONCE)]
        count = lists.remove(session, row.slug, ids, now=now)
    return count, ids[-1] if len(ids) == lists.AT_ONCE else None
