"""Whether the inbox may take more: how much waits, and how much disk is left."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

MOST_WAITING = 1_000_000
LEAST_DISK = 0.05  # of the disk the home lies on
CHECK_EVERY, COUNT_EVERY = 1.0, 10.0  # seconds; the count is spared while it cannot have reached the limit
FASTEST = 50_000  # events a second hardly any installation accepts
SHARE = 10  # a count that takes long (0.6 s at a million) is made that many times its own length apart
STALE = 5.0  # seconds after which a request waits for the answer instead of taking the last one

log = structlog.get_logger()

_COUNT = text("SELECT count(*) FROM (SELECT FROM event_inbox WHERE processed_at IS NULL LIMIT :most) AS w")


class Pressure:
    """Looks at most once a second per process, beside the requests."""

    def __init__(self, home: Path, session_factory: sessionmaker[Session], *, most_waiting: int = MOST_WAITING, least_disk: float = LEAST_DISK) -> None:
        self._home, self._sessions = home, session_factory
        self._most_waiting, self._least_disk = most_waiting, least_disk
        self._checked = self._count_due = float("-inf")
        self._full, self._refusal = "", ""
        self._lock = threading.Lock()

    def refusal(self) -> str:
        """Why nothing more is taken, as a sentence; empty where all is well."""
        age = time.monotonic() - self._checked
        if age > STALE:
            with self._lock:
                if time.monotonic() - self._checked > STALE:
                    self._look()
        elif age > CHECK_EVERY and self._lock.acquire(blocking=False):
            self._checked = time.monotonic()
            threading.Thread(target=self._look_aside, name="inbox-pressure", daemon=True).start()
        return self._refusal

    def _look_aside(self) -> None:
        try:
            self._look()
        except SQLAlchemyError as error:  # the last answer stands; the writer meets the same trouble and says so to callers
            log.warning("inbox_not_counted", error=str(error))
        finally:
            self._lock.release()

    def _look(self) -> None:
        self._refusal = self._disk() or self._inbox()
        self._checked = time.monotonic()

    def _disk(self) -> str:
        try:
            usage = shutil.disk_usage(self._home)
        except OSError as error:  # a home that cannot be looked at says nothing about the database's disk
            log.warning("disk_not_seen", home=str(self._home), error=str(error))
            return ""
        free = usage.free / usage.total
        return "" if free >= self._least_disk else f"The disk is nearly full ({free:.1%} free); make room, or move the home to a larger one."

    def _inbox(self) -> str:
        if time.monotonic() < self._count_due:
            return self._full
        started = time.monotonic()
        waiting = self._count()
        left = max(0, self._most_waiting - waiting)
        took = time.monotonic() - started
        self._count_due = time.monotonic() + min(COUNT_EVERY, max(CHECK_EVERY / 2, left / FASTEST, took * SHARE))
        self._full = "" if left else f"{waiting:,} events wait to be processed; the workers are behind or stopped. Send again later."
        return self._full

    def _count(self) -> int:
        with self._sessions() as session:
            session.execute(text("SET LOCAL enable_seqscan = off"))  # the partial index knows; the table may be long
            return session.scalar(_COUNT, {"most": self._most_waiting}) or 0
