"""Bring a database to this version: Alembic under a lock, then the partitions of now."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from alembic import command
from alembic.config import Config as Alembic
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import crm.commerce.computed_models
import crm.commerce.models
import crm.commerce.product_models
import crm.consent.models
import crm.events.importing.models
import crm.events.models
import crm.messages.models
import crm.migrations
import crm.profiles.account_models
import crm.profiles.models
import crm.profiles.privacy_models
import crm.sales.deal_models
import crm.sales.models
import crm.scores.score_models
import crm.segments.models
import crm.web.models
import journeys.backtest_models
import journeys.draft_models
import journeys.models
import journeys.node_models
import journeys.past_models
import journeys.wave_models  # noqa: F401  as below
import workers.models  # noqa: F401  all tables register with the metadata
from crm.core import partitions
from crm.core.db import Base

_LOCK = 0x6D696772


def migrate(engine: Engine, now: dt.datetime) -> None:
    """Run what is missing; two processes at once wait for each other."""
    settings = Alembic()
    settings.set_main_option("script_location", str(Path(crm.migrations.__file__).parent))
    settings.set_main_option("path_separator", "os")
    with engine.connect() as lock:
        lock.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        with engine.connect() as connection:
            connection.execute(text("SET lock_timeout = '10s'; SET statement_timeout = '300s'"))
            connection.commit()
            settings.attributes["connection"] = connection
            settings.attributes["metadata"] = Base.metadata
            command.upgrade(settings, "heads")
            connection.commit()
        with Session(engine) as session:
            ensure_partitions(session, now)
            session.commit()
        lock.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})


def ensure_partitions(session: Session, now: dt.datetime) -> None:
    """Inbox: yesterday to three days ahead; log: the last four months and the next."""
    days = [partitions.day_bounds(now + dt.timedelta(days=n)) for n in range(-1, 4)]
    middle = now.replace(day=15)  # thirty days from the 31st may lie in the month after the next
    months = [partitions.month_bounds(middle + dt.timedelta(days=30 * n)) for n in range(-4, 2)]
    partitions.ensure(session, "event_inbox", days)
    partitions.ensure(session, "events", months)
