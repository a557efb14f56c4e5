"""Work that is killed: a process at a commit or statement of its own, an import in the middle of its file."""

from __future__ import annotations

import itertools
import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from crm.events.importing import load
from tests.waiting import PATIENCE


def killed(url: str, work: Callable[[], None], on: tuple[type[Any], str], number: int) -> bool:
    """Work in a process that is killed when this happens for the so-manieth time; False where it ended before."""
    child = os.fork()
    if child == 0:
        counted = itertools.count(1)
        event.listen(*on, lambda *_: os.kill(os.getpid(), signal.SIGKILL) if next(counted) == number else None)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in {0, signal.SIGKILL}
    _let_go(url)
    return status != 0


def _let_go(url: str) -> None:
    """Wait until the database has noticed: what the dead one held would make the next find nothing to do."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until = time.monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(others).fetchone() != (0,):
            assert time.monotonic() < until
            time.sleep(0.005)


def die_after(monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """An import is killed when it begins on a part more than these; the next goes on."""
    append, begun = load.append, itertools.count()

    def killed_once(*args: Any, **words: Any) -> int:
        if next(begun) == chunks:
            raise KeyboardInterrupt
        return append(*args, **words)

    monkeypatch.setattr(load, "append", killed_once)
