"""One file into the product: read, append in chunks while the inbox has room, wait until all of it is folded."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock
from crm.core.config import Config
from crm.events import inbox
from crm.events.importing import load, readers
from crm.events.importing.mapping import Mapping
from crm.events.importing.outcomes import Made, Outcome, Reading, Tally
from crm.events.importing.plan import compile_plan
from crm.events.importing.rejects import Rejects
from crm.events.models import HISTORY, Import, InboxRow, QuarantinedCall
from crm.events.spec import Call
from workers import pipeline

CHUNK = 2_000  # events a transaction
ROOM = 50_000  # rows that may wait in the inbox before an import helps to empty it
SAMPLES = 3
REPORT_EVERY = 1_000  # outcomes

Report = Callable[[str, int, int, str], None]  # stage (reading | folding), done, total, unit (bytes | rows)


@dataclass(frozen=True, slots=True)
class Job:
    """What to import. `rejects` is written anew on every reading."""

    path: Path
    source: str
    mapping: Mapping
    rejects: Path | None = None
    again: bool = False
    wait: bool = True


@dataclass(slots=True)
class Summary:
    """What came of it. `new`: events that were not there before; `held`: quarantined calls by reason."""

    tally: Tally
    seconds: float = 0.0
    new: int = 0
    resumed_at: int = 0  # events already in the inbox when this reading began
    finished_before: dt.datetime | None = None
    samples: list[Call] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    rejects: Path | None = None


def import_file(sessions: sessionmaker[Session], config: Config, job: Job, report: Report, now: Callable[[], dt.datetime] = clock.now) -> Summary:
    """Import one file; a file of which everything is in already is not read again unless the job says so."""
    began, digest = time.monotonic(), readers.digest(job.path)
    with sessions() as session:
        row, ours = _begin(session, job, digest, now())
        session.commit()
    if not ours:
        return Summary(_tally(row.counts), finished_before=row.finished_at)
    with _read(job, digest, report, row.started_at) as (calls, summary):
        summary.resumed_at, summary.new = row.done, _take(sessions, config, row, calls, now)
    summary.seconds = time.monotonic() - began
    with sessions() as session:
        load.finish(session, row=row, tally=summary.tally, now=now())
        session.commit()
    if job.wait:
        _settle(sessions, config, row, summary, report)
    return summary


def dry_run(job: Job, report: Report, now: Callable[[], dt.datetime] = clock.now) -> Summary:
    """Read and count; nothing is stored and no database is needed."""
    began = time.monotonic()
    with _read(job, readers.digest(job.path), report, now()) as (calls, summary):
        for call in calls:
            if len(summary.samples) < SAMPLES:
                summary.samples.append(call)
            summary.new += 1
    summary.seconds = time.monotonic() - began
    return summary


@contextmanager
def _read(job: Job, digest: bytes, report: Report, now: dt.datetime) -> Iterator[tuple[Iterator[Call], Summary]]:
    """The file's events one by one; the summary's tally and the file of rejects fill while they are taken."""
    reading = Reading(compile_plan(job.mapping), file_digest=digest, now=now)
    with ExitStack() as stack:
        file = readers.open_file(job.path, job.mapping)
        outcomes = reading.outcomes(file.lines)
        if job.rejects:
            outcomes = stack.enter_context(Rejects(job.rejects)).through(outcomes)
        yield _calls(outcomes, lambda: report("reading", file.position(), file.total, file.unit)), Summary(reading.tally, rejects=job.rejects)


def _begin(session: Session, job: Job, digest: bytes, now: dt.datetime) -> tuple[Import, bool]:
    """The import's row, and whether there is anything to do."""
    source_id = load.source(session, name=job.source)
    row = load.begin(session, source_id=source_id, file_name=job.path.name, digests=(digest, job.mapping.digest), now=now)
    if row.finished_at and job.again:
        load.again(session, row=row, now=now)
    return row, row.finished_at is None


def _calls(outcomes: Iterator[Outcome], tick: Callable[[], None]) -> Iterator[Call]:
    for number, outcome in enumerate(outcomes):
        if number % REPORT_EVERY == 0:
            tick()
        if isinstance(outcome, Made):
            yield outcome.call
    tick()


def _take(sessions: sessionmaker[Session], config: Config, row: Import, calls: Iterator[Call], now: Callable[[], dt.datetime]) -> int:
    """Append what is not in yet, chunk by chunk; returns how many events were new."""
    done, new = row.done, 0
    for _ in itertools.islice(calls, done):
        pass  # the same file and mapping give the same events in the same order: these are in already
    for chunk in _chunks(calls):
        _make_room(sessions, config)
        with sessions() as session:
            new += load.append(session, chunk, row=row, done=done, now=now())
            session.commit()
        done += len(chunk)
    return new


def _chunks(calls: Iterator[Call]) -> Iterator[list[Call]]:
    while chunk := list(itertools.islice(calls, CHUNK)):
        yield chunk


def _tally(counts: dict[str, Any]) -> Tally:
    tally = Tally(counts["read"], counts["accepted"], counts["outside"])
    for name in ("rejected", "left_out", "events", "noted"):
        getattr(tally, name).update(counts.get(name, {}))
    return tally


def _make_room(sessions: sessionmaker[Session], config: Config) -> None:
    while True:
        with sessions() as session:
            if inbox.waiting(session, ROOM + 1) <= ROOM:
                return
        _help(sessions, config)


def _help(sessions: sessionmaker[Session], config: Config) -> None:
    """Do a worker's work for one batch, so that an import needs no running workers; where they are at it, stand back."""
    try:
        if pipeline.drain(sessions, config):
            return
    except OperationalError:
        pass  # a deadlock with a worker: nothing was done, the rows still wait
    time.sleep(0.2)


def _settle(sessions: sessionmaker[Session], config: Config, row: Import, summary: Summary, report: Report) -> None:
    """Wait until nothing of this source's history waits, then look what the pipeline could not take."""
    with sessions() as session:
        total = not_folded(session, row.source_id)
    left = total
    while left:
        report("folding", total - left, total, "rows")
        _help(sessions, config)
        with sessions() as session:
            left = not_folded(session, row.source_id)
            total = max(total, left)
    report("folding", total, total, "rows")
    with sessions() as session:
        summary.held = held(session, row)


def held(session: Session, row: Import) -> dict[str, int]:
    """What the pipeline could not take since this import began, by reason."""
    found = select(QuarantinedCall.reason, func.count()).where(
        QuarantinedCall.source_id == row.source_id, QuarantinedCall.origin == HISTORY, QuarantinedCall.received_at >= row.started_at
    )
    return dict(session.execute(found.group_by(QuarantinedCall.reason)).all())


def not_folded(session: Session, source_id: int) -> int:
    """How many calls of this source's past still wait in the inbox."""
    ours = select(func.count()).where(InboxRow.processed_at.is_(None), InboxRow.source_id == source_id, InboxRow.origin == HISTORY)
    return session.scalar(ours) or 0
