"""The clock process: every second it hints at what is due, every minute it keeps house. Of several, one leads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import psycopg
import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.exc import SQLAlchemyError

from crm.core import clock
from crm.core.config import Config
from crm.events.importing import uploads
from crm.scores import jobs
from journeys import audiences, dates
from workers.due import due
from workers.housekeeping import CHORES
from workers.process import Tools, tools

LEADER_LOCK = 0x6C656164
KEEPALIVES = "keepalives=1 keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000"  # a dead host frees the lock

log = structlog.get_logger()


def sweep(ours: Tools) -> None:
    """Hint at whatever a lost hint would have left lying."""
    try:
        with ours.sessions() as session:
            names = due(session, clock.now())
    except SQLAlchemyError as error:
        log.warning("sweep_failed", error=str(error))
        return
    for name in names:
        ours.hints.hint(name)


def keep_house(ours: Tools) -> None:
    """Each chore in a transaction of its own; one that fails is logged and does not stop the others."""
    for chore in CHORES:
        try:
            with ours.sessions() as session:
                done = chore(session, clock.now())
                session.commit()
        except Exception:  # the next chore may matter more than this one's bug; it is logged with its trace
            log.warning("chore_failed", chore=chore.__name__, exc_info=True)
        else:
            if done:
                log.info("chore_done", chore=chore.__name__, rows=done)


def reach_dates(ours: Tools) -> None:
    """Birthdays and other dates that start journeys."""
    try:
        with ours.sessions() as session:
            said = dates.sweep(session, clock.now(), ours.config)
            session.commit()
    except SQLAlchemyError as error:
        log.warning("dates_failed", error=str(error))
        return
    if said:
        ours.hints.hint("drain")


def plan_scores(ours: Tools) -> None:
    """Ask for the trainings whose hour has come."""
    try:
        with ours.sessions() as session:
            jobs.schedule(session, clock.now(), ours.config.timezone)
            session.commit()
    except SQLAlchemyError as error:
        log.warning("scores_not_planned", error=str(error))


def reach_audiences(ours: Tools) -> None:
    """Schedules whose time has come, and people who were in a segment before: chunk by chunk, as far as the inbox has room."""
    try:
        with ours.sessions() as session:
            audiences.begin(session, clock.now(), ours.config)
            session.commit()
            while audiences.advance(session, clock.now()):
                session.commit()
                ours.hints.hint("drain")
            session.commit()
    except SQLAlchemyError as error:
        log.warning("audiences_failed", error=str(error))


def tidy_files(ours: Tools) -> None:
    """Remove uploaded files whose month is over."""
    with ours.sessions() as session:
        if done := uploads.tidy(session, ours.config.home, clock.now()):
            log.info("uploads_tidied", files=done)


def lead(config: Config, stop: threading.Event, on_lead: Callable[[], Callable[[], None]]) -> None:
    """Stand for election until `stop`; `on_lead` begins the leader's work and returns what ends it."""
    while not stop.is_set():
        try:
            with psycopg.connect(_with_keepalives(config.database_url), autocommit=True) as connection:
                _hold(connection, stop, on_lead)
        except psycopg.OperationalError as error:
            log.warning("clock_without_database", error=str(error))
            stop.wait(1)


def _with_keepalives(url: str) -> str:
    return make_conninfo(url, application_name="kesher-clock", **conninfo_to_dict(KEEPALIVES))


def _hold(connection: psycopg.Connection[tuple[bool]], stop: threading.Event, on_lead: Callable[[], Callable[[], None]]) -> None:
    while not _elected(connection):
        if stop.wait(1):
            return
    log.info("clock_leads", process=os.getpid())
    end = on_lead()
    try:
        while not stop.wait(1):
            connection.execute("SELECT 1")
    finally:
        end()


def _elected(connection: psycopg.Connection[tuple[bool]]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK]).fetchone()
    return row is not None and row[0]


def begin(ours: Tools) -> Callable[[], None]:
    """Start the leader's schedule; returns what stops it."""
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})
    scheduler.add_job(sweep, "interval", seconds=1, args=[ours])
    scheduler.add_job(keep_house, "interval", minutes=1, args=[ours], next_run_time=clock.now())
    scheduler.add_job(reach_dates, "cron", minute="*/15", args=[ours], next_run_time=clock.now())
    scheduler.add_job(plan_scores, "interval", minutes=1, args=[ours], next_run_time=clock.now())
    scheduler.add_job(reach_audiences, "interval", seconds=10, args=[ours])
    scheduler.add_job(tidy_files, "interval", hours=1, args=[ours], next_run_time=clock.now())
    scheduler.start()
    return lambda: scheduler.shutdown(wait=False)


def main() -> None:
    """Run until told to stop."""
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    ours = tools()
    lead(ours.config, stop, lambda: begin(ours))
