"""The scoring process: the only one that trains and scores. What that needs (scikit-learn) is loaded with the first task, not before."""

from __future__ import annotations

import importlib
import time
from typing import Any

from crm.core import clock
from crm.core.config import from_environment
from workers.process import Tools, end_with_parent, tools
from workers.queue import app, connect

TURN_S = 20.0  # a task gives way after this long and hints itself again
QUEUE = "scores"

_tools: list[Tools] = []


@app.task(name="kesher.score")  # type: ignore[untyped-decorator]
def score() -> None:
    """Go on with whatever there is to score or to train."""
    ours, work = _tools[0], _work()
    ours.hints.taken("score")
    until = time.monotonic() + TURN_S
    while work.step(ours.sessions, ours.config, clock.now):
        if time.monotonic() > until:
            ours.hints.hint("score")
            return


def _work() -> Any:
    """An installation that never scores stays small, and so does its forking parent."""
    return importlib.import_module("crm.scores.work")


def main() -> None:
    """Run until told to stop."""
    end_with_parent()
    connect(from_environment())
    _tools[:] = [tools()]
    app.worker_main([
        "worker", "--pool", "solo", "--queues", QUEUE, "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ])  # fmt: skip
