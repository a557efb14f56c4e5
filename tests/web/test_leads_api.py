"""Leads by API: told once, read best first."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, text

from crm.core import clock
from crm.events import inbox
from crm.events.read import read
from crm.sales.models import Lead, Seller
from crm.web.tokens import create_token
from tests import makers
from tests.web.shop import open_shop
from workers import pipeline


@pytest.fixture
def call(app, session):
    """A program with a token of this role."""
    client = app.test_client()

    def make(path, body=None, role="sales"):
        secret = create_token(session, name="test", role=role)
        session.commit()
        headers = {"Authorization": f"Bearer {secret}"}
        return client.post(path, json=body, headers=headers) if body is not None else client.get(path, headers=headers)

    return make


def test_a_lead_told_twice_under_one_number_is_one(call, session):
    session.execute(insert(Seller).values(user_id=7, name="Yossi", email="yossi@shop.example"))
    body = {
        "email": "Noa@example.com",
        "source": "fair",
        "cost": "12.50",
        "currency": "ILS",
        "owner": "yossi@shop.example",
        "message_id": "l-1",
        "traits": {"name": "Noa"},
    }
    assert [call("/api/v1/leads", body).json for _ in range(2)] == [{"message_id": "l-1"}] * 2
    now = clock.now()
    pipeline.run(session, [read(row) for row in inbox.claim(session, 100)], now, makers.config())
    [lead] = session.execute(text("SELECT l.source, l.cost, l.owner_id, l.intakes, p.name FROM leads l JOIN profiles p ON p.id = l.profile_id")).all()
    assert tuple(lead) == ("fair", 12.5, 7, 1, "Noa")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"source": "fair"}, "who it is"),
        ({"email": "a@b.example", "owner": "gone@shop.example"}, "nobody who sells"),
        ({"email": "a@b.example", "price": 1}, "price"),
    ],
)
def test_what_is_wrong_is_said(call, body, said):
    answer = call("/api/v1/leads", body)
    assert answer.status_code == 400
    assert said in answer.json["error"]


def test_leads_are_read_best_first(call, session):
    now = clock.now()
    shop = open_shop(session, now)
    session.execute(insert(Lead).values(profile_id=shop.dana, status_at=now, created_at=now, source="fair", rank=5))
    session.commit()
    [row] = call("/api/v1/leads?view=nobody&source=fair").json["items"]
    assert (row["profile_id"], row["status"], row["rank"]) == (str(shop.dana), "new", 5)
    assert call("/api/v1/leads?band=hot").json["items"] == []


def test_a_viewer_may_read_and_not_tell(call):
    assert call("/api/v1/leads", role="viewer").status_code == 200
    assert call("/api/v1/leads", {"email": "a@b.example"}, role="viewer").status_code == 403
