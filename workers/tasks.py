"""The worker process: what the hints make it do, again and again until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from celery.signals import worker_process_init

from crm.commerce import computed
from crm.core import clock
from crm.core.config import from_environment
from crm.messages import deliver as delivery
from crm.messages import joining
from crm.sales import work as sales_work
from crm.segments import fill, list_jobs, refresh
from journeys import backtest as backtests
from journeys import engine, webhooks
from journeys import waves as occasions
from workers import leaving, pipeline, uploads
from workers.batches import uncollected
from workers.due import due
from workers.process import Tools, end_with_parent, tools
from workers.queue import Name, app, connect

TURN_S = 1.0  # a task gives way after this long and hints itself again, so that no kind of work starves another
BATCH = 2_000  # runs woken in one transaction
LAPSES = 5_000

log = structlog.get_logger()
_tools: list[Tools] = []


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _begin(**_: object) -> None:
    end_with_parent()
    _tools[:] = [tools()]


def _task(name: Name, *, tells: bool = False) -> Callable[[Callable[[Tools], int]], Callable[[Tools], int]]:
    """What a hint of this name has a worker do: the step below it until nothing is left, or its turn is over.

    `tells`: what a step made may be due at once, and is hinted at.
    """

    def registered(step: Callable[[Tools], int]) -> Callable[[Tools], int]:
        def work() -> None:
            ours, until = _tools[0], time.monotonic() + TURN_S
            ours.hints.taken(name)
            while step(ours):
                if tells:
                    _hint_what_became_due(ours)
                if time.monotonic() > until:
                    ours.hints.hint(name)
                    return

        app.task(work, name=f"kesher.{name}")
        return step

    return registered


@_task("drain", tells=True)
def drain(ours: Tools) -> int:
    """Take events out of the inbox, through the pipeline."""
    return pipeline.drain(ours.sessions, ours.config)


@_task("wake", tells=True)
def wake(ours: Tools) -> int:
    """Move the runs whose time has come."""
    with uncollected(), ours.sessions() as session:
        moved = engine.wake_due(session, clock.now(), BATCH, ours.config)
        session.commit()
    return moved


@_task("deliver")
def deliver(ours: Tools) -> int:
    """Send the messages that are due."""
    return delivery.deliver_due(ours.sessions, ours.config, clock.now)


@_task("erase")
def erase(ours: Tools) -> int:
    """Go on forgetting those who asked for it."""
    return leaving.work(ours.sessions, ours.config, clock.now)


@_task("import")
def import_(ours: Tools) -> int:
    """Go on with files that people uploaded: check, import, undo."""
    return uploads.work(ours.sessions, ours.config)


@_task("compute")
def compute(ours: Tools) -> int:
    """Count traits anew for whom events have changed, and by the hour for everybody."""
    return computed.work(ours.sessions, ours.config, clock.now)


@_task("join")
def join(ours: Tools) -> int:
    """Make two people one where there was too much to move in passing."""
    return joining.merge_later(ours.sessions, ours.config.currency, clock.now)


@_task("segments", tells=True)
def segments(ours: Tools) -> int:
    """Find the members of new segments, look again where a window has lapsed, and put everybody on a list."""
    with ours.sessions() as session:
        now = clock.now()
        done = fill.fill(session, now, ours.config) or refresh.lapse_due(session, now, LAPSES, ours.config) or list_jobs.work(session, now)
        session.commit()
    return done


@_task("call", tells=True)
def call(ours: Tools) -> int:
    """Call the webhooks that are due."""
    return webhooks.call_due(ours.sessions, ours.config, clock.now)


@_task("waves")
def waves(ours: Tools) -> int:
    """Tell the next people that a product is back, or cheaper."""
    with ours.sessions() as session:
        looked_at = occasions.sweep(session, clock.now(), ours.config)
        session.commit()
    return looked_at


@_task("sales", tells=True)
def sales(ours: Tools) -> int:
    """Find owners for leads, follow their ranks, send late tasks up, mail alerts."""
    with ours.sessions() as session:
        done = sales_work.step(session, ours.config, clock.now())
        session.commit()
    return done


@_task("backtest")
def backtest(ours: Tools) -> int:
    """Go on with what journeys would have done."""
    return backtests.work(ours.sessions, ours.config)


def _hint_what_became_due(ours: Tools) -> None:
    """What the last step made may be due at once: do not leave it to the clock's next second."""
    with ours.sessions() as session:
        names = due(session, clock.now())
    for name in names:
        ours.hints.hint(name)


def main() -> None:
    """Run until told to stop."""
    connect(from_environment())
    app.worker_main([
        "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ])  # fmt: skip
