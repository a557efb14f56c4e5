"""Waiting for what another thread does, never for ever."""

from __future__ import annotations

import time
from threading import Thread

from sqlalchemy import text
from sqlalchemy.orm import Session

PATIENCE = 180.0  # seconds; to start a program takes a minute where everybody works at once


def until_it_waits(session: Session, thread: Thread) -> None:
    """Until somebody waits for a lock, as this thread is to, or it is over."""
    until = time.monotonic() + PATIENCE
    while thread.is_alive() and not session.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")):
        assert time.monotonic() < until, "it neither waits nor ends"
        time.sleep(0.01)
