"""Files that people upload, as the screens do it: stored, chosen, run, undone."""

from __future__ import annotations

import io

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

import workers.uploads
from crm.core import clock
from crm.core.config import Config
from crm.events import inbox
from crm.events.importing import guess, load, uploads
from crm.events.importing.models import WORKING, Upload
from crm.events.importing.wizard import Plan
from crm.events.inbox import NewRow
from crm.events.spec import Call
from workers import pipeline

CONSENT = {"channel": "email", "topic": "offers", "wording": "אני מסכימה לקבל מבצעים", "collected": "טופס בחנות, 2024"}


def upload(made: sessionmaker[Session], config: Config, data: bytes, *, kind: str = "people", consent: dict[str, str] | None = None, **more: object) -> int:
    """Store a file, take every guess as it is, and keep that as the choice."""
    with made() as session:
        row = uploads.keep(session, stream=io.BytesIO(data), name="people.csv", home=config.home, user_id=None, now=clock.now())
        found = uploads.look(row, config.home)
        choices = guess.guess(found.columns, found.sample, kind=kind)
        plan = Plan(kind=kind, choices=choices, as_of=clock.now(), zone="Asia/Jerusalem", currency="ILS", consent=consent, **more)
        source = load.source(session, name="Imports")
        uploads.choose(session, row, plan=plan, settings={"consent": consent}, source_id=source, now=clock.now())
        session.commit()
        return row.id


def act(made: sessionmaker[Session], config: Config, number: int, to: str, *, drain: bool = True) -> Upload:
    """Ask for a state and let the workers work until they rest."""
    with made() as session:
        uploads.move(session, session.get_one(Upload, number), to=to, now=clock.now())
        session.commit()
    return settle(made, config, number, drain=drain)


def settle(made: sessionmaker[Session], config: Config, number: int, *, drain: bool = True) -> Upload:
    for _ in range(1000):
        with made() as session:
            row = session.get_one(Upload, number)
        if row.status not in WORKING:
            return row
        workers.uploads.work(made, config, seconds=2.0)
        while drain and pipeline.drain(made, config):
            pass
    raise AssertionError(row.status)


def one(made: sessionmaker[Session], query: str) -> object:
    with made() as session:
        return session.scalar(text(query))


def everything(made: sessionmaker[Session]) -> dict[str, object]:
    """What the product knows, ids aside."""
    asked = {
        "people": "SELECT jsonb_agg(jsonb_build_array(name, traits, known, first_seen, last_seen) ORDER BY traits->>'email', name) FROM profiles",
        "identities": "SELECT jsonb_agg(jsonb_build_array(kind, value, verified) ORDER BY kind, value) FROM identities",
        "events": "SELECT count(*) FROM events",
        "orders": "SELECT jsonb_agg(jsonb_build_array(order_id, revenue, items) ORDER BY order_id) FROM orders",
        "carts": "SELECT jsonb_agg(jsonb_build_array(status, value) ORDER BY key) FROM carts",
    }
    return {name: one(made, query) for name, query in asked.items()}


PEOPLE = "email,phone,name,city,points\ndana@example.com,050-5550199,Dana,Haifa,12\nyossi@example.com,,Yossi,Yafo,3\n"
ORDERS = """order no,order date,email,sku,product,price,qty
7,01/02/2026 10:00,dana@example.com,A,Finjan,10.50,2
7,01/02/2026,dana@example.com,B,Cup,5,1
8,03/02/2026,new@example.com,A,Finjan,10.50,1
"""


def live(made: sessionmaker[Session], config: Config, *calls: dict[str, object], source: str = "Shop") -> None:
    """Calls of the present, by a server key."""
    with made() as session:
        number = load.source(session, name=source)
        inbox.append(session, [NewRow(number, trusted=True, origin="live", body=Call(**call)) for call in calls], clock.now())
        session.commit()
    while pipeline.drain(made, config):
        pass


def act_again(made: sessionmaker[Session], config: Config, number: int) -> Upload:
    assert upload(made, config, PEOPLE.encode()) == number, "the same bytes are the same upload"
    return act(made, config, number, "running")
