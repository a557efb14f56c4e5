"""A birthday is kept once a year: also when every process dies before and after each of its commits, and when the date is corrected."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.clock import now as clock_now
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.messages.deliver import LEASE, deliver_due, expire_leases
from crm.messages.templates import install, shipped_templates
from journeys import coupons, dates, files, publish
from tests.killing import killed
from tests.messages.people import person, shop
from tests.messages.standin import mail_server
from workers import pipeline

PEOPLE, CODES, FEW = 12, 8, 4
MOMENTS = ("before_commit", "after_commit")
AT = dt.timedelta(hours=9)  # of the recipe's day


def birth_date(now: dt.datetime) -> dt.date:
    """One whose day, from nine in the morning on, is now."""
    return (now.astimezone(ZoneInfo("Asia/Jerusalem")) - AT).date().replace(year=1984)


def work(url: str, config: Config, now: Callable[[], dt.datetime]) -> None:
    """What the clock, a pipeline worker and a sender do, a few at a time, until nothing is left."""
    engine = engine_for(url)
    make = sessions(engine)
    done = True
    while done:
        with make() as session:
            found = dates.sweep(session, now(), config)
            session.commit()
        done = bool(found + pipeline.drain(make, config, now, 32) + deliver_due(make, config, now, FEW))
    engine.dispose()


def test_a_birthday_comes_once_a_year_whatever_dies_meanwhile(fresh_url: str) -> None:
    engine, began = engine_for(fresh_url), clock_now()
    with Session(engine) as session:
        assert install(session, shipped_templates(), began).problems == {}
        publish.publish(session, "birthday", files.recipes()["birthday"], now=began)
        coupons.add(session, "birthday", [f"CODE-{n}" for n in range(CODES)])
        born = {"birthday": birth_date(began).isoformat(), "language": "en"}
        people = [person(session, began, cart=None, **born) for _ in range(PEOPLE)]
        session.commit()
    engine.dispose()
    with mail_server() as server:
        config, deaths, number = shop(server.url), 0, 1
        while dead := [when for when in MOMENTS if killed(fresh_url, lambda: work(fresh_url, config, lambda: began), (Session, when), number)]:
            deaths, number = deaths + len(dead), number + 1
        with Session(engine) as session:
            expire_leases(session, began + 2 * LEASE)
            corrected = {"day": (birth_date(began) + dt.timedelta(days=1)).isoformat()}
            session.execute(text("UPDATE profiles SET traits = traits || jsonb_build_object('birthday', CAST(:day AS text))"), corrected)
            session.commit()
        tomorrow = began + dt.timedelta(days=1)
        work(fresh_url, config, lambda: tomorrow)
        received = Counter(server.recipients())
    with Session(engine) as session:
        started = session.execute(text("SELECT profile_id, count(*) FROM runs WHERE status = 'done' GROUP BY 1")).all()
        fates = session.execute(text("SELECT template, status, address FROM messages")).all()
        given = session.scalar(text("SELECT count(*) FROM coupons WHERE given_at IS NOT NULL"))
    engine.dispose()
    assert deaths > 2 * PEOPLE // FEW
    assert sorted(map(tuple, started)) == sorted((each, 1) for each in people)
    assert Counter(fate.template for fate in fates) == {"birthday_gift": CODES, "birthday_wishes": PEOPLE - CODES}
    assert given == CODES
    assert max(received.values()) == 1
    assert {fate.status for fate in fates} == {"sent", "unknown"}
    assert {fate.address for fate in fates if fate.status == "sent"} <= received.keys()
