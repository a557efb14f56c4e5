"""People who sell, leads that come, and the work of a worker run by hand."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from crm.events import inbox
from crm.events.read import read
from crm.sales import settings, work
from crm.sales.models import Lead, Seller
from tests import makers
from workers import pipeline

ALWAYS = {"weekdays": [0, 1, 2, 3, 4, 5, 6], "starts": 0, "ends": 1440}
CONFIG = makers.config()


class Sales:
    """A company that sells: what comes in goes through the whole pipeline."""

    def __init__(self, session: Session, now: dt.datetime) -> None:
        self.session, self.now = session, now

    def seller(self, user_id: int, **values: Any) -> int:
        made = {"user_id": user_id, "name": f"Seller {user_id}", "email": f"s{user_id}@shop.example", **ALWAYS} | values
        self.session.execute(insert(Seller).values(**made))
        return user_id

    def settings(self, **values: Any) -> None:
        settings.save(self.session, {"weekdays": ALWAYS["weekdays"], "starts": 0, "ends": 1440, **values}, self.now)

    def happens(self, *calls: Any, trusted: bool = True, origin: str = "live", now: dt.datetime | None = None) -> None:
        batch = [makers.accepted(call, now or self.now, trusted=trusted, origin=origin) for call in calls]
        pipeline.run(self.session, batch, now or self.now, CONFIG)

    def lead(self, email: str = "dana@example.com", *, origin: str = "live", at: dt.datetime | None = None, **properties: Any) -> Lead:
        at = at or self.now
        self.happens(makers.track("Lead Created", properties, at=at, user_id=email, email=email), origin=origin, now=max(at, self.now))
        return self.of(email)

    def of(self, email: str) -> Lead:
        self.session.expire_all()
        return self.session.scalars(select(Lead).where(Lead.profile_id == self.who(email))).one()

    def who(self, email: str) -> uuid.UUID:
        return self.session.scalars(text("SELECT profile_id FROM identities WHERE kind = 'email' AND value = :email"), {"email": email}).one()

    def works(self, now: dt.datetime | None = None) -> None:
        """What the worker does, and what comes of it, until nothing is left."""
        for _ in range(20):
            if not work.step(self.session, CONFIG, now or self.now) + self.drains(now):
                return
        raise AssertionError("sales never came to rest")

    def drains(self, now: dt.datetime | None = None) -> int:
        rows = inbox.claim(self.session, 1000)
        pipeline.run(self.session, [read(row) for row in rows], now or self.now, CONFIG)
        inbox.mark(self.session, rows, now or self.now)
        return len(rows)

    def events(self, name: str) -> list[dict[str, Any]]:
        rows = self.session.execute(text("SELECT properties FROM events WHERE name = :name ORDER BY position"), {"name": name})
        return [row.properties for row in rows]


@pytest.fixture
def sales(session: Session, now: dt.datetime) -> Sales:
    made = Sales(session, now)
    made.settings()
    return made
