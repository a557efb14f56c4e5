"""A worker killed between commits and in the middle of a transaction: no run stands still, no step, call, message or word to the log comes twice."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm.consent.ledger import Change, record
from crm.core.clock import now as clock_now
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.core.json import dumps
from crm.messages.deliver import deliver_due, expire_leases
from crm.messages.templates import About, Source
from crm.messages.templates import publish as publish_words
from journeys import endpoints, publish, webhooks
from journeys.engine import wake_due
from tests.journeys.standin import web_server
from tests.killing import killed
from tests.makers import accepted, identify, track
from tests.messages.people import shop
from tests.messages.standin import mail_server
from workers import pipeline

PEOPLE, FEW = 8, 3
MINUTES = dt.timedelta(minutes=1)
LONG: dict[str, Any] = {
    "name": {"en": "Long"},
    "trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "profile"}},
    "entry": "hook",
    "nodes": {
        "hook": {"kind": "webhook", "settings": {"endpoint": "crm", "within": "2d"}, "exits": {"answered": "mark", "failed": "end", "timed_out": "end"}},
        "mark": {"kind": "set_trait", "settings": {"trait": "known", "value": True}, "exits": {"next": "wait"}},
        "wait": {"kind": "wait", "settings": {"for": "10m"}, "exits": {"next": "mail"}},
        "mail": {"kind": "send", "settings": {"template": "hello"}, "exits": {"next": "say"}},
        "say": {"kind": "send_event", "settings": {"event": "Was Greeted"}, "exits": {"next": "end"}},
        "end": {"kind": "stop"},
    },
}
AFTER: dict[str, Any] = {
    "name": {"en": "After"},
    "trigger": {"kind": "event", "settings": {"event": "Was Greeted", "key": "event"}},
    "entry": "rest",
    "nodes": {"rest": {"kind": "wait", "settings": {"for": "1m"}, "exits": {"next": "end"}}, "end": {"kind": "stop"}},
}


def work(url: str, config: Config, now: Callable[[], dt.datetime]) -> None:
    """What workers and the clock do, a few at a time, until nothing is left."""
    engine = engine_for(url)
    make = sessions(engine)
    done = 1
    while done:
        with make() as session:
            done = wake_due(session, now(), FEW, config) + expire_leases(session, now())
            session.commit()
        done += pipeline.drain(make, config, now, FEW) + webhooks.call_due(make, config, now, FEW) + deliver_due(make, config, now, FEW)
    engine.dispose()


def begin(session: Session, config: Config, server: str, now: dt.datetime) -> None:
    endpoints.save(session, "crm", url=server, headers="", private=True, now=now)
    about = About(channel="email", topic="offers", purpose="marketing", subject={"en": "Hello"})
    publish_words(session, Source("hello", about, {"en": {"subject": "Hello", "html": "<p>Hello</p>", "text": "Hello"}}, {}), now)
    publish.publish(session, "long", LONG, now=now)
    publish.publish(session, "after", AFTER, now=now)
    addresses = [f"p{number}@example.com" for number in range(PEOPLE)]
    changes = [Change("email", each, "email", "offers", "marketing", "granted", "form", explicit=True, proof={"form": "x"}) for each in addresses]
    record(session, changes, Keys(config.secret_key), now)
    calls = [identify({"email": each}, at=now, user_id=each) for each in addresses] + [track("Signed Up", at=now, user_id=each) for each in addresses]
    pipeline.run(session, [accepted(each, now) for each in calls], now, config)
    session.commit()


@pytest.mark.parametrize(
    ("moments", "pace"),
    [([(Session, "before_commit"), (Session, "after_commit")], 1), ([(Engine, "after_cursor_execute")], 5)],
    ids=["at each commit", "in the middle"],
)
def test_a_worker_killed_anywhere_loses_nothing_and_doubles_nothing(fresh_url: str, moments: list[tuple[type[Any], str]], pace: int) -> None:
    began = clock_now()
    with mail_server() as mails, web_server() as web:
        web.answers = [(200, {}, dumps({"credit": 1}))]
        config = shop(mails.url)
        engine = engine_for(fresh_url)
        with Session(engine) as session:
            begin(session, config, web.url, began)
        engine.dispose()
        deaths, now = 0, began
        for number in itertools.count(1, pace):
            dead = 0
            for on in moments:
                now += 2 * MINUTES  # what the dead one leased is free again
                dead += killed(fresh_url, lambda at=now: work(fresh_url, config, lambda: at), on, number)
            deaths += dead
            if not dead and now > began + 30 * MINUTES:
                break
        for later in (1, 2):
            work(fresh_url, config, lambda after=later: now + after * 60 * MINUTES)
        received, calls = Counter(mails.recipients()), [(headers["idempotency-key"], body) for _, headers, body in web.received]
    with Session(engine) as session:
        counted = told(session)
    engine.dispose()
    assert deaths > 12
    assert counted["runs"] == {("long", "done", "finished"): PEOPLE, ("after", "done", "finished"): PEOPLE}
    assert counted["steps"] == dict.fromkeys(["hook", "mark", "wait", "mail", "say", "end"], PEOPLE) | {"rest": PEOPLE, "end": 2 * PEOPLE}
    assert counted["said"] == {"Was Greeted": PEOPLE, "Journey Started": 2 * PEOPLE, "Journey Ended": 2 * PEOPLE, "Webhook Answered": PEOPLE}
    assert counted["left"] == {"wakeups": 0, "outbox": 0, "calls": 0, "quarantine": 0, "known": PEOPLE}
    assert len({key for key, _ in calls}) == len(set(calls)) == PEOPLE
    assert set(counted["messages"]) <= {"sent", "unknown"}
    assert sum(counted["messages"].values()) == PEOPLE
    assert max(received.values()) == 1
    assert counted["messages"]["sent"] <= len(received)


def told(session: Session) -> dict[str, Any]:
    """What the rows say happened, counted."""
    left = """
        SELECT (SELECT count(*) FROM wakeups) AS wakeups, (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM quarantine) AS quarantine,
               (SELECT count(*) FROM webhook_calls WHERE status <> 'answered') AS calls,
               (SELECT count(*) FROM profiles WHERE traits->>'known' = 'true') AS known
    """
    runs = session.execute(text("SELECT j.slug, r.status, r.end_reason, count(*) FROM runs r JOIN journeys j ON j.id = r.journey_id GROUP BY 1, 2, 3"))
    said = "SELECT name, count(*) AS n FROM events WHERE name IN ('Was Greeted', 'Journey Started', 'Journey Ended', 'Webhook Answered') GROUP BY 1"
    return {
        "runs": {tuple(row[:3]): row[3] for row in runs},
        "steps": {row.node: row.n for row in session.execute(text("SELECT node, count(*) AS n FROM run_steps GROUP BY 1"))},
        "said": {row.name: row.n for row in session.execute(text(said))},
        "left": dict(session.execute(text(left)).mappings().one()),
        "messages": Counter(session.scalars(text("SELECT status FROM messages"))),
    }
