"""People who leave: what each part of the product does about it, put together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from sqlalchemy.orm import Session, sessionmaker

import crm.consent.forget
import crm.messages.forget
import crm.segments.forget
import journeys.forget
import workers.migrate  # noqa: F401  every table registers: what is not known cannot be cleared
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.profiles import erasure

FORGET = (journeys.forget.forget, crm.messages.forget.forget, crm.segments.forget.forget, crm.consent.forget.forget)


def work(sessions: sessionmaker[Session], config: Config, now: Callable[[], dt.datetime]) -> int:
    """One chunk of the oldest erasure; 0 where there is nothing to do."""
    return erasure.work(sessions, Keys(config.secret_key), config.home, now, FORGET)


def restore(sessions: sessionmaker[Session], config: Config, now: dt.datetime) -> int:
    """Before serving: forget again whoever an old backup brought back; returns how many that was. RuntimeError where somebody stays."""
    with sessions() as session:
        people = erasure.restore(session, Keys(config.secret_key), config.home, now)
        session.commit()
    if people:
        while work(sessions, config, lambda: now):
            pass
        with sessions() as session:
            if problem := erasure.stuck(session):
                raise RuntimeError(f"an erased person whom the backup brought back cannot be taken out: {problem}")
    return people
