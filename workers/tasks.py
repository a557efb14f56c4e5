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


@app.task(name="kesher.drain")  # type: ignore[untyped-decorator]  # Celery has no types
def drain() -> None:
    """Take events out of the inbox, through the pipeline."""
    ours = _tools[0]

    def step() -> int:
        taken = pipeline.drain(ours.sessions, ours.config)
        if taken:
            _hint_what_became_due(ours)
        return taken

    _repeat(ours, "drain", step)


@app.task(name="kesher.wake")  # type: ignore[untyped-decorator]  # Celery has no types
def wake() -> None:
    """Move the runs whose time has come."""
    ours = _tools[0]

    def step() -> int:
        with uncollected(), ours.sessions() as session:
            moved = engine.wake_due(session, clock.now(), BATCH, ours.config)
            session.commit()
        if moved:
            _hint_what_became_due(ours)
        return moved

    _repeat(ours, "wake", step)


@app.task(name="kesher.deliver")  # type: ignore[untyped-decorator]  # Celery has no types
def deliver() -> None:
    """Send the messages that are due."""
    ours = _tools[0]
    _repeat(ours, "deliver", lambda: delivery.deliver_due(ours.sessions, ours.config, clock.now))


@app.task(name="kesher.erase")  # type: ignore[untyped-decorator]  # Celery has no types
def erase() -> None:
    """Go on forgetting those who asked for it."""
    ours = _tools[0]
    _repeat(ours, "erase", lambda: leaving.work(ours.sessions, ours.config, clock.now))


@app.task(name="kesher.import")  # type: ignore[untyped-decorator]  # Celery has no types
def import_() -> None:
    """Go on with files that people uploaded: check, import, undo."""
    ours = _tools[0]
    _repeat(ours, "import", lambda: uploads.work(ours.sessions, ours.config))


@app.task(name="kesher.compute")  # type: ignore[untyped-decorator]  # Celery has no types
def compute() -> None:
    """Count traits anew for whom events have changed, and by the hour for everybody."""
    ours = _tools[0]
    _repeat(ours, "compute", lambda: computed.work(ours.sessions, ours.config, clock.now))


@app.task(name="kesher.join")  # type: ignore[untyped-decorator]  # Celery has no types
def join() -> None:
    """Make two people one where there was too much to move in passing."""
    ours = _tools[0]
    _repeat(ours, "join", lambda: joining.merge_later(ours.sessions, ours.config.currency, clock.now))


@app.task(name="kesher.segments")  # type: ignore[untyped-decorator]  # Celery has no types
def segments() -> None:
    """Find the members of new segments, look again where a window has lapsed, and put everybody on a list."""
    ours = _tools[0]

    def step() -> int:
        with ours.sessions() as session:
            now = clock.now()
            done = fill.fill(session, now, ours.config) or refresh.lapse_due(session, now, LAPSES, ours.config) or list_jobs.work(session, now)
            session.commit()
        if done:
            _hint_what_became_due(ours)
        return done

    _repeat(ours, "segments", step)


@app.task(name="kesher.call")  # type: ignore[untyped-decorator]  # Celery has no types
def call() -> None:
    """Call the webhooks that are due."""
    ours = _tools[0]

    def step() -> int:
        made = webhooks.call_due(ours.sessions, ours.config, clock.now)
        if made:
            _hint_what_became_due(ours)
        return made

    _repeat(ours, "call", step)


@app.task(name="kesher.waves")  # type: ignore[untyped-decorator]  # Celery has no types
def waves() -> None:
    """Tell the next people that a product is back, or cheaper."""
    ours = _tools[0]

    def step() -> int:
        with ours.sessions() as session:
            looked_at = occasions.sweep(session, clock.now(), ours.config)
            session.commit()
        return looked_at

    _repeat(ours, "waves", step)


@app.task(name="kesher.sales")  # type: ignore[untyped-decorator]  # Celery has no types
def sales() -> None:
    """Find owners for leads, follow their ranks, send late tasks up, mail alerts."""
    ours = _tools[0]

    def step() -> int:
        with ours.sessions() as session:
            done = sales_work.step(session, ours.config, clock.now())
            session.commit()
        if done:
            _hint_what_became_due(ours)
        return done

    _repeat(ours, "sales", step)


@app.task(name="kesher.backtest")  # type: ignore[untyped-decorator]  # Celery has no types
def backtest() -> None:
    """Go on with what journeys would have done."""
    ours = _tools[0]
    _repeat(ours, "backtest", lambda: backtests.work(ours.sessions, ours.config))


def _repeat(ours: Tools, name: Name, step: Callable[[], int]) -> None:
    ours.hints.taken(name)
    until = time.monotonic() + TURN_S
    while step():
        if time.monotonic() > until:
            ours.hints.hint(name)
            return


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
