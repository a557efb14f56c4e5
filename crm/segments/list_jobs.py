"""Everybody of an import onto a list, or everybody off it: a part at once, the rest by a worker in parts that each commit."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from crm.core.commit import hint
from crm.events.importing import people as imported
from crm.events.importing.models import Upload
from crm.profiles.move import changed_hands
from crm.segments import lists
from crm.segments.models import List, ListJob


def begin(session: Session, slug: str, *, upload: Upload | None, now: dt.datetime) -> tuple[int, bool]:
    """Put everybody of this import on a list, or without one take everybody off; returns how many so far, and whether others follow.

    What is still being done to this list is done first, whole: an order that came later has the last word.
    """
    row = lists.find(session, slug)
    job = ListJob(list_id=row.id, upload_id=upload.id if upload else None, after=uuid.UUID(int=0), asked_at=now)
    waits = session.scalar(select(exists().where(ListJob.list_id == row.id)))
    count, over = (0, False) if waits else _part(session, job, row, upload, now)
    if not over:
        session.add(job)
        hint(session, "segments")
    return count, not over


def work(session: Session, now: dt.datetime) -> int:
    """The next part of the oldest job nobody is at; 0 where there is none. The caller commits.

    The list is locked with its job, so that whoever deletes it waits for the part, not each for the other.
    """
    before = aliased(ListJob)
    first = ~exists().where(before.list_id == ListJob.list_id, before.id < ListJob.id)
    wanted = select(ListJob).join(List, List.id == ListJob.list_id).where(first).order_by(ListJob.id).limit(1)
    job = session.scalar(wanted.with_for_update(skip_locked=True, key_share=True))
    if job is None:
        return 0
    upload = session.get_one(Upload, job.upload_id) if job.upload_id is not None else None
    _count, over = _part(session, job, session.get_one(List, job.list_id), upload, now)
    if over:
        session.delete(job)
    session.flush()
    return 1


def going_on(session: Session, slug: str) -> list[Upload | None]:
    """What is still being done to a list, the oldest first: the import whose people go on it, None where everybody goes off."""
    wanted = select(Upload).select_from(ListJob).outerjoin(Upload, Upload.id == ListJob.upload_id).join(List, List.id == ListJob.list_id)
    return list(session.scalars(wanted.where(List.slug == slug).order_by(ListJob.id)))


def _part(session: Session, job: ListJob, row: List, upload: Upload | None, now: dt.datetime) -> tuple[int, bool]:
    """No more people than whose locks one transaction may hold; returns how many changed, and whether those were the last."""
    if upload is None:  # who was put on it since this was asked stays
        ids = [one for one, _since in lists.members(session, row.slug, after=None, limit=lists.AT_ONCE, until=job.asked_at)]
        count = lists.remove(session, row.slug, ids, now=now)
        return count, count == 0 or len(ids) < lists.AT_ONCE
    ids = imported.people(session, upload, after=job.after, limit=lists.AT_ONCE)
    over = len(ids) < lists.AT_ONCE
    if not over:
        job.after = ids[-1]
    elif moved := changed_hands(session, job.asked_at):  # a join may have led somebody back to where this has been already
        ids += imported.people(session, upload, after=None, limit=lists.AT_ONCE, among=moved)
    return lists.add(session, row.slug, ids, now=now, since=job.asked_at), over
