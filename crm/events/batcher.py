"""Concurrent requests share one commit: a writer thread per process COPYs what waits, and answers only after the commit."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

import psycopg
import structlog
from sqlalchemy.orm import Session, sessionmaker

from crm.core import partitions
from crm.core.errors import BusyError

PATIENCE = 30.0  # seconds a request waits for its commit before it is told to come back
CROWD = 32  # with more requests than this waiting, a little delay makes the next commit fuller
DELAY = 0.001  # seconds
HINT_EVERY = 0.05  # seconds between two calls of on_accepted
LARGEST = 4 * 1024 * 1024  # bytes in one commit
OPTIONS = "-c timezone=UTC -c statement_timeout=20000"
INBOX = b"COPY event_inbox (received_at, source_id, trusted, origin, lane, sent_at, body) FROM STDIN"
QUARANTINE = b"COPY quarantine (received_at, source_id, trusted, origin, sent_at, reason, detail, body) FROM STDIN"

log = structlog.get_logger()


class UnavailableError(BusyError):
    """The database does not take events at the moment; send the call again."""


class Submission:
    """The lines of one request (COPY text format), and whether they are on disk."""

    __slots__ = ("_waiting", "error", "held", "rows")

    def __init__(self, rows: bytes, held: bytes) -> None:
        self.rows, self.held = rows, held
        self.error: Exception | None = None
        self._waiting = threading.Lock()
        self._waiting.acquire()

    def done(self, error: Exception | None = None) -> None:
        """Let the request answer; the first word counts."""
        if self._waiting.locked():
            self.error = error
            self._waiting.release()

    def wait(self, seconds: float) -> bool:
        """Whether `done` was called within this time."""
        return self._waiting.acquire(timeout=seconds)


class Batcher:
    """Threads start with the first submission, in the process that makes it, so that a fork before it is harmless."""

    def __init__(self, database_url: str, session_factory: sessionmaker[Session], on_accepted: Callable[[], object] | None = None) -> None:
        self._url, self._sessions, self._on_accepted = database_url, session_factory, on_accepted
        self._queue: SimpleQueue[Submission] = SimpleQueue()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._accepted = threading.Event()
        self._starting = threading.Lock()
        self._process = 0

    def submit(self, rows: bytes, held: bytes = b"") -> None:
        """Return once these lines are committed; UnavailableError where that is not certain."""
        if self._process != os.getpid():
            self._start()
        submission = Submission(rows, held)
        self._queue.put(submission)
        if not submission.wait(PATIENCE):
            raise UnavailableError(f"The events were not on disk within {PATIENCE:.0f} s; send them again.")
        if submission.error is not None:
            raise UnavailableError("The database does not take events at the moment; send them again.") from submission.error

    def _start(self) -> None:
        with self._starting:
            if self._process == os.getpid():
                return
            self._queue, self._connection, self._accepted = SimpleQueue(), None, threading.Event()
            threading.Thread(target=self._write_forever, name="inbox-writer", daemon=True).start()
            if self._on_accepted is not None:
                threading.Thread(target=self._hint_forever, args=(self._on_accepted,), name="inbox-hints", daemon=True).start()
            self._process = os.getpid()

    def _write_forever(self) -> None:
        crowd = 0
        while True:
            group = self._gather(crowd)
            crowd = len(group)
            try:
                self._write(group)
            except Exception:  # this thread must outlive whatever happens; every waiting request is answered
                log.exception("inbox_write_failed")
                for one in group:
                    one.done(RuntimeError("writing failed"))

    def _gather(self, crowd: int) -> list[Submission]:
        """Whatever waits, at least one; a crowd last time is given a moment to come together again."""
        group = [self._queue.get()]
        if crowd > CROWD and self._queue.qsize() < crowd // 2:
            time.sleep(DELAY)
        size = len(group[0].rows)
        while size < LARGEST:
            try:
                group.append(self._queue.get_nowait())
            except Empty:
                break
            size += len(group[-1].rows)
        return group

    def _write(self, group: Sequence[Submission]) -> None:
        error = self._try(group)
        if error is None:
            self._accepted.set()
        if error is not None and len(group) > 1 and not isinstance(error, psycopg.OperationalError):
            for one in group:  # lines PostgreSQL refuses must not stop their neighbours
                self._write([one])
            return
        for one in group:
            one.done(error)

    def _try(self, group: Sequence[Submission]) -> psycopg.Error | None:
        """Commit a group; None, or why not. After a restart of the database the first try meets a dead connection: try again."""
        error = self._commit(group)
        if isinstance(error, psycopg.errors.CheckViolation):
            error = self._make_today() or self._commit(group)
        if isinstance(error, psycopg.OperationalError):
            self._disconnect()
            error = self._commit(group)
        if error is not None:
            log.warning("inbox_commit_failed", error=str(error), requests=len(group))
        return error

    def _commit(self, group: Sequence[Submission]) -> psycopg.Error | None:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5, keepalives_idle=30, options=OPTIONS)
            held = b"".join(one.held for one in group)
            if not held:  # one statement is its own transaction
                _copy(self._connection, INBOX, (one.rows for one in group))
                return None
            with self._connection.transaction():
                _copy(self._connection, INBOX, (one.rows for one in group))
                _copy(self._connection, QUARANTINE, (held,))
        except psycopg.Error as error:
            return error
        return None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _make_today(self) -> psycopg.Error | None:
        """The clock makes each day's partition ahead of time; where it has not run, make it now."""
        with self._sessions() as session:
            now = dt.datetime.now(dt.UTC)
            partitions.ensure(session, "event_inbox", [partitions.day_bounds(now), partitions.day_bounds(now + dt.timedelta(days=1))])
            session.commit()
        return None

    def _hint_forever(self, on_accepted: Callable[[], object]) -> None:
        while True:
            self._accepted.wait()
            self._accepted.clear()
            try:
                on_accepted()
            except Exception:  # the rows are in; the sweep finds what a lost hint misses
                log.warning("inbox_hint_failed", exc_info=True)
            time.sleep(HINT_EVERY)


def escaped(text: bytes) -> bytes:
    """A value as PostgreSQL's COPY text format writes it."""
    return text.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")


def _copy(connection: psycopg.Connection[tuple[object, ...]], statement: bytes, lines: Iterable[bytes]) -> None:
    data = b"".join(lines)
    if data:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(data)
