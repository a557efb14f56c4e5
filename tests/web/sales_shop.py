"""A company that sells, made through the product's doors: calls through the pipeline, forms of the pages, the work of a worker."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.config import Config
from crm.events import inbox
from crm.events.read import read
from crm.events.spec import Call
from crm.sales import rank, work
from crm.sales.models import Lead
from crm.sales.models import Seller as SellerRow
from crm.web.models import User
from tests.makers import accepted, identify, product, track
from tests.web.shop import Shop, open_shop
from workers import pipeline

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
LEADS = [  # name, city, source, company, role
    ("דנה אברהמי", "תל אביב", "תערוכת המתנות", "מתנות אברהמי ובניו שיווק והפצה בע״מ", "buyer"),
    ("יוסי כהן־לוי", "חיפה", "google", "מתנות אברהמי ובניו שיווק והפצה בע״מ", "payer"),
    ("Jonathan Featherstonehaugh-Cholmondeley", "London", "partner", "Featherstone Gifts Ltd", "buyer"),
    ("מיכל בן־דוד", "באר שבע", "תערוכת המתנות", "", ""),
    ("أحمد منصور", "Nazareth", "facebook", "", ""),
    ("Anna Petrova", "Ashdod", "google", "", ""),
    ("נועם שלום", "ירושלים", "", "", ""),
    ("Rivka O’Neill", "Netanya", "google", "Netanya Offices", "approver"),
]
DEALS = [  # which lead, title, amount, currency, stage, days until it should close
    (0, "60 מארזי חג עם לוגו", "4300", "ILS", "quote", 9),
    (0, "מתנות לסוף שנה", "12800", "ILS", "new", 40),
    (2, "Corporate hampers, Q1", "8400", "USD", "terms", 20),
    (2, "Sample boxes", "350", "EUR", "new", 5),
    (3, "סלסלות פירות לצוות", "990", "ILS", "need", -3),
    (7, "Welcome kits for new employees", "2600", "ILS", "quote", 15),
]


class Seller:
    """Somebody signed in, who fills in forms."""

    def __init__(self, client: FlaskClient, email: str, password: str) -> None:
        self.client = client
        self.post("/sign-in", "/sign-in", email=email, password=password)

    def post(self, path: str, page: str = "/account", **form: Any) -> Any:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.client.get(page).text)
        answer = self.client.post(path, data={"csrf_token": token[1] if token else "", **form}, headers={"Accept-Language": "en"})
        assert answer.status_code < 400, (path, answer.status_code, answer.text[-600:])
        return answer


def open_lead(session: Session, seller: User) -> Shop:
    """A shop in which this user sells, with one lead, who is to be answered in eighteen minutes."""
    now = clock.now()
    made = open_shop(session, now)
    session.execute(insert(SellerRow).values(user_id=seller.id, name=seller.name, email=seller.email))
    values = {"status_at": now, "created_at": now, "owner_id": seller.id, "source": "fair", "answer_by": now + dt.timedelta(minutes=18)}
    session.execute(insert(Lead).values(profile_id=made.dana, **values))
    rank.refresh(session, profile_ids=[made.dana], shop="ILS", now=now)
    session.commit()
    return made


def open_sales(app: Flask, session: Session, config: Config, *, user_id: int, email: str, password: str) -> dict[str, uuid.UUID]:
    """Leads, calls, deals, tasks, alerts, a lost and a won deal of an earlier month; returns ids by name."""
    me = Seller(app.test_client(), email, password)
    whole = {"weekdays": [str(day) for day in range(7)], "starts": "00:00", "ends": "23:59"}
    me.post("/settings/sales/sellers", user=user_id, per_day="40", most_open="200", languages=["he", "en"], territories="חיפה, London", **whole)
    lines = {"hot_pages": "/pricing\n/quote", "lost_reasons": "Price\nNo answer", "rule-0": "territory", "rule-1": "round_robin"}
    numbers = {"answer_minutes": "60", "escalate_minutes": "30", "half_life_days": "14", "typical": "300"}
    me.post("/segments/ready", "/segments")
    agreed = dict(zip(("mql", "sql"), session.scalars(text("SELECT slug FROM segments ORDER BY slug LIMIT 2")), strict=True))
    me.post("/settings/sales", off_duty="give", order_wins="1", alert_mail="1", escalate_to=user_id, **whole, **lines, **numbers, **agreed)
    me.post("/settings/sales/rates", currency="USD", rate="3.7", day=str(clock.now().date() - 90 * DAY))
    who = _people(session, config)
    _work(session, config)
    people = [who[name] for name, *_ in LEADS]
    deals = [
        _deal(me, people[n], title=title, amount=amount, currency=unit, stage=stage, days=days, owner=str(user_id))
        for n, title, amount, unit, stage, days in DEALS
    ]
    me.post(f"/leads/{people[1]}/call", outcome="reached", note="רוצה הצעה עד יום חמישי", when="tomorrow", then="mail")
    me.post(f"/leads/{people[4]}/next", kind="meeting", when="1h", title="Show the new catalogue, bring samples of every box we have")
    me.post(f"/leads/{people[5]}/status", status="qualified")
    said = {"amount": "1500", "currency": "ILS", "stage": "terms", "owner": str(user_id)}
    won, lost = (_deal(me, people[n], title=title, days=2, **said) for n, title in ((5, "ארגזי יין"), (6, "Mugs")))
    me.post(f"/deals/{won}/stage", stage="won")
    me.post(f"/deals/{lost}/stage", stage="lost", reason="Price")
    _work(session, config)
    session.execute(text("UPDATE leads SET mql_at = created_at WHERE source <> ''"))
    session.execute(text("UPDATE leads SET owner_id = NULL WHERE profile_id = ANY(:ids)"), {"ids": people[4:7]})
    session.execute(text("UPDATE leads SET answer_by = answer_by - interval '2 hours' WHERE profile_id = :id"), {"id": people[3]})
    session.commit()
    account = session.execute(text("SELECT id FROM accounts ORDER BY name DESC LIMIT 1")).scalar_one()
    return {"lead": people[0], "deal": deals[0], "abroad": deals[2], "account": account}


def _deal(me: Seller, person: uuid.UUID, *, days: int, **said: str) -> uuid.UUID:
    answer = me.post("/deals/new", person=person, closes_on=str(clock.now().date() + days * DAY), **said)
    return uuid.UUID(answer.location.rsplit("/", 1)[-1])


def _people(session: Session, config: Config) -> dict[str, uuid.UUID]:
    now, calls = clock.now(), []
    for number, (name, city, source, company, role) in enumerate(LEADS):
        email, at = f"lead{number}@example.com", now - (number + 1) * HOUR
        calls.append(
            identify({"name": name, "email": email, "phone": f"+97250555010{number}", "city": city, "language": "he"}, at=at - 30 * DAY, user_id=email)
        )
        if company:
            calls.append(Call(type="group", user_id=email, group_id=company, traits={"name": company, "role": role}, timestamp=at.isoformat()))
        calls.append(track("Lead Created", {"source": source, "campaign": "חגים", "cost": "12.5", "currency": "ILS"}, at=at, user_id=email))
        calls.append(track("Page Viewed", {"path": "/pricing"}, at=now, user_id=email))
    cart = {"cart_id": "c1", "currency": "ILS", **product("box", "68", 60, name="מארז חג גדול")}
    calls.append(track("Product Added", cart, at=now - HOUR, user_id="lead0@example.com"))
    order = {"order_id": "o1", "revenue": 240, "currency": "ILS", "products": [product("mug")]}
    calls.append(track("Order Completed", order, at=now - 20 * DAY, user_id="lead0@example.com"))
    pipeline.run(session, [accepted(call, now) for call in calls], now, config)
    session.commit()
    return {row.name: row.id for row in session.execute(text("SELECT id, name FROM profiles WHERE known"))}


def _work(session: Session, config: Config) -> None:
    """What the workers do until nothing is left."""
    for _ in range(20):
        rows = inbox.claim(session, 1000)
        pipeline.run(session, [read(row) for row in rows], clock.now(), config)
        inbox.mark(session, rows, clock.now())
        done = work.step(session, config, clock.now())
        session.commit()
        if not rows and not done:
            return
    raise AssertionError("sales never came to rest")
