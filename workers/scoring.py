"""The scoring process: the only one that trains and scores. What that needs (scikit-learn) is loaded with the first task, not before."""

from __future__ import annotations

import datetime as dt
import importlib
import time
import uuid
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.config import from_environment
from crm.sales import rank
from workers.process import Tools, end_with_parent, tools
from workers.queue import app, connect

TURN_S = 20.0  # a task gives way after this long and hints itself again
QUEUE = "scores"

_tools: list[Tools] = []


@app.task(name="kesher.score")  # type: ignore[untyped-decorator]  # Celery has no types
def score() -> None:
    """Go on with whatever there is to score or to train."""
    ours, work = _tools[0], _work()
    ours.hints.taken("score")
    until = time.monotonic() + TURN_S
    while work.step(ours.sessions, ours.config, clock.now, ranking(ours.config.currency)):
        if time.monotonic() > until:
            ours.hints.hint("score")
            return


def ranking(currency: str) -> Callable[[Session, Collection[uuid.UUID], dt.datetime], None]:
    """Whose score moved has another place in the queue of leads, whose sums are in the shop's currency."""

    def again(session: Session, profile_ids: Collection[uuid.UUID], now: dt.datetime) -> None:
        rank.refresh(session, profile_ids=profile_ids, shop=currency, now=now)

    return again


def _work() -> Any:
    """An installation that never scores stays small, and so does its forking parent."""
    return importlib.import_module("crm.scores.work")


def main() -> None:
    """Run until told to stop."""
    end_with_parent()
    connect(from_environment())
    _tools[:] = [tools()]
    app.worker_main([
        "worker", "--pool", "solo", "--queues", QUEUE, "--hostname", "scoring@%h", "--loglevel", "WARNING",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ])  # fmt: skip
