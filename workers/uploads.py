"""Uploaded files at work: checked, imported, undone, a slice at a time; a killed worker's slice is taken up where its last commit left it."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select, text, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from crm.consent import ledger
from crm.consent.ledger import GRANTED, REFUSED, Change
from crm.consent.models import Topic
from crm.core import clock
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.errors import InvalidError, KesherError
from crm.core.i18n import _l
from crm.events import inbox
from crm.events.importing import load, readers, uploads
from crm.events.importing.models import WORKING, Upload
from crm.events.importing.outcomes import Made, Outcome, Reading
from crm.events.importing.plan import compile_plan
from crm.events.importing.rejects import Rejects
from crm.events.models import Import
from crm.events.spec import Call
from crm.profiles import census
from workers.importing import held, not_folded
from workers.takeback import take_back

CHUNK = 1_000  # events a transaction
ROOM = 4_000  # rows that may wait in the inbox: an import never puts more than about a second between the present and its processing
SLICE_S = 15.0  # a worker gives way after this long
REPORT_EVERY = 2_000  # lines
LOCK = 0x75706C64  # advisory, with the upload's number: one worker each

BROKEN = _l("Something broke while this file was worked on. Try again; if it stays, tell an admin: the log says more.")
CHANGED = _l("The file is not the same any more, because somebody in it was erased meanwhile. Undo this import and upload the file again.")

log = structlog.get_logger()
Now = Callable[[], dt.datetime]


@dataclass(frozen=True, slots=True)
class Work:
    """What a slice works with."""

    sessions: sessionmaker[Session]
    config: Config
    now: Now
    upload: Upload
    until: float  # on the monotonic clock


def work(sessions: sessionmaker[Session], config: Config, now: Now = clock.now, *, seconds: float = SLICE_S) -> int:
    """Take one upload that has something to do a slice further; 0 where there is none, or nothing can be done at the moment."""
    with sessions() as guard:
        found = _take(guard)
        if found is None:
            return 0
        job = Work(sessions, config, now, found, time.monotonic() + seconds)
        try:
            done = _STEPS[found.status](job)
        except (OperationalError, InterfaceError):
            raise  # the database is away or a deadlock: nothing is lost, a later slice goes on
        except Exception as error:  # noqa: BLE001  one bad file must not stop the others; it is shown with its reason
            log.warning("upload_failed", upload=found.id, error=f"{type(error).__name__}: {error}"[:500])
            said = str(error) if isinstance(error, KesherError) else BROKEN
            _set(job, found.status, status="failed", error=said, ended_at=now())
            done = 1
        guard.commit()
    return done


def _take(guard: Session) -> Upload | None:
    for row in guard.scalars(select(Upload).where(Upload.status.in_(WORKING)).order_by(Upload.started_at)):
        if guard.scalar(text("SELECT pg_try_advisory_xact_lock(:a, :b)"), {"a": LOCK, "b": row.id}):
            guard.refresh(row)
            if row.status in WORKING:
                return row
    return None


def _set(job: Work, while_: str, **values: Any) -> bool:
    """Write progress; False where somebody moved the upload out of that state meanwhile."""
    with job.sessions() as session:
        moved = session.scalar(update(Upload).where(Upload.id == job.upload.id, Upload.status == while_).values(**values).returning(Upload.id))
        session.commit()
    return moved is not None


def _check(job: Work) -> int:
    """Read the whole file and count; nothing is stored but the counts."""
    reading, file = _reading(job)
    people = census.Census()
    for number, outcome in enumerate(reading.outcomes(file.lines)):
        if isinstance(outcome, Made):
            people.add(outcome.call)
        if number % REPORT_EVERY == 0 and not _set(job, "checking", position=file.position(), total=file.total, unit=file.unit, progress_at=job.now()):
            return 1
    with job.sessions() as session:
        counts = reading.tally.as_dict() | people.counts(session)
    _set(job, "checking", status="checked", counts=counts, position=file.total, total=file.total, ended_at=job.now())
    return 1


def _run(job: Work) -> int:
    """Append chunks while the inbox has room, each with its consents and the progress in one transaction."""
    upload, (reading, file) = job.upload, _reading(job)
    row = _begin(job)
    if row.done and readers.digest(uploads.stored(job.config.home, upload)) != bytes(upload.file_digest):
        raise InvalidError(CHANGED)  # its lines would be counted from another place
    with Rejects(uploads.rejects(job.config.home, upload)) as rejects:
        times: dict[str, str] = {}
        calls = _calls(rejects.through(reading.outcomes(file.lines)), times)
        done = row.done
        for _ in itertools.islice(calls, done):
            pass  # the same file and mapping give the same events in the same order: these are in already
        while chunk := list(itertools.islice(calls, CHUNK)):
            if not _room(job):
                return 1
            counts = {**upload.counts, **reading.tally.as_dict(), **times, "events_in": done + len(chunk)}
            progress = {"position": file.position(), "total": file.total, "unit": file.unit, "counts": counts}
            if not _append(job, row, chunk, done, progress):
                return 1
            done += len(chunk)
            if time.monotonic() > job.until:
                return 1
    with job.sessions() as session:
        load.finish(session, row=row, tally=reading.tally, now=job.now())
        session.commit()
    counts = {**upload.counts, **reading.tally.as_dict(), **times, "events_in": done}
    _set(job, "running", status="folding", counts=counts, position=file.total, total=file.total, progress_at=job.now())
    return 1


def _reading(job: Work) -> tuple[Reading, readers.File]:
    mapping = uploads.mapping_of(job.upload)
    path: Path = uploads.stored(job.config.home, job.upload)
    reading = Reading(compile_plan(mapping), file_digest=bytes(job.upload.file_digest), now=job.upload.started_at or job.now())
    return reading, readers.open_file(path, mapping)


def _begin(job: Work) -> Import:
    mapping = uploads.mapping_of(job.upload)
    with job.sessions() as session:
        if job.upload.import_id and (known := session.get(Import, job.upload.import_id)):
            return known
        digests = (bytes(job.upload.file_digest), mapping.digest)
        row = load.begin(session, source_id=job.upload.source_id or 0, file_name=job.upload.file_name, digests=digests, now=job.now())
        session.execute(update(Upload).where(Upload.id == job.upload.id).values(import_id=row.id))
        session.commit()
        return row


def _calls(outcomes: Iterator[Outcome], times: dict[str, str]) -> Iterator[Call]:
    """The calls, and the earliest time among them, by which an undo finds their events."""
    for outcome in outcomes:
        if isinstance(outcome, Made):
            at = outcome.call.timestamp or ""
            times["first"] = min(times.get("first", at), at)
            yield outcome.call


def _room(job: Work) -> bool:
    """Wait until the workers have emptied the inbox far enough; False when this slice's time is over."""
    while time.monotonic() < job.until:
        with job.sessions() as session:
            if inbox.waiting(session, ROOM + 1) <= ROOM:
                return True
        time.sleep(0.1)
    return False


def _append(job: Work, row: Import, chunk: Sequence[Call], done: int, progress: dict[str, Any]) -> bool:
    with job.sessions() as session:
        still = update(Upload).where(Upload.id == job.upload.id, Upload.status == "running").values(**progress, progress_at=job.now()).returning(Upload.id)
        if session.scalar(still) is None:
            return False
        load.append(session, chunk, row=row, done=done, now=job.now(), trusted=False)
        ledger.record(session, list(_consents(session, job.upload, chunk)), Keys(job.config.secret_key), job.now())
        session.commit()
    return True


def _consents(session: Session, upload: Upload, chunk: Sequence[Call]) -> Iterator[Change]:
    """What the file says people agreed to, with the words they agreed to; never explicit, so that no refusal is lifted."""
    said = upload.settings.get("consent")
    topic = session.get(Topic, said["topic"]) if said else None
    if not said or topic is None:
        return
    kind = "email" if said["channel"] == "email" else "phone"
    for call in chunk:
        context = call.context or {}
        answer, address = context.get("consent", {}).get("imported"), context.get("traits", {}).get(kind)
        if isinstance(answer, bool) and address:
            proof = {"import": upload.id, "file": upload.file_name, "message_id": call.message_id, "collected": said["collected"]}
            action = GRANTED if answer else REFUSED
            yield Change(kind, address, said["channel"], topic.name, topic.purpose, action, "import", explicit=False, wording=said["wording"], proof=proof)


def _fold(job: Work) -> int:
    """Wait until the pipeline has taken everything, then look what it could not take."""
    with job.sessions() as session:
        row = session.get(Import, job.upload.import_id) if job.upload.import_id else None
        if row is None or not_folded(session, row.source_id):
            return 0
        quarantined = held(session, row)
    _set(job, "folding", status="done", counts={**job.upload.counts, "held": quarantined}, ended_at=job.now())
    return 1


def _undo(job: Work) -> int:
    """Take back one batch of people after another, once nothing of the import waits any more."""
    with job.sessions() as session:
        if job.upload.source_id and not_folded(session, job.upload.source_id):
            return 0
    more = True
    while more and time.monotonic() < job.until:
        with job.sessions() as session:
            more = take_back(session, job.upload.id, config=job.config, now=job.now())
            session.commit()
    return 1


_STEPS: dict[str, Callable[[Work], int]] = {"checking": _check, "running": _run, "folding": _fold, "undoing": _undo}
