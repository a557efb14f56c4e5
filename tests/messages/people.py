"""Makers: a person with an address, a consent, an open cart, and a message about it."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from functools import cache
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from crm.commerce.models import Cart
from crm.consent.ledger import Change, record
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.ids import new_id
from crm.messages.models import Decision, Message
from crm.messages.outbox import Request, queue
from crm.messages.templates import Source, publish, read, shipped_templates
from crm.profiles.models import Identity, Profile
from tests import makers

_numbers = itertools.count(1)
ITEMS = [{"product_id": "finjan", "sku": "KM-1", "name": "פינג׳אן", "price": "189.90", "quantity": 1, "image_url": "https://shop.example/f.png"}]


def person(session: Session, now: dt.datetime, *, email: str | None = "", consent: str | None = "granted", cart: str | None = "c1", **traits: Any) -> uuid.UUID:
    """A known profile; `cart` None: no cart."""
    profile_id, number = new_id(), next(_numbers)
    address = f"p{number}@example.com" if email == "" else email
    values = {"id": profile_id, "bucket": 1, "known": True, "name": traits.get("name", ""), "traits": traits, "first_seen": now, "last_seen": now}
    session.execute(insert(Profile).values(**values))
    if address:
        session.execute(insert(Identity).values(kind="email", value=address, profile_id=profile_id, first_seen=now))
        if consent:
            say(session, now, address, consent)
    if cart:
        values = {"profile_id": profile_id, "source_id": makers.SHOP, "key": cart, "status": "open", "items": ITEMS, "value": "189.90", "currency": "ILS"}
        session.execute(insert(Cart).values(**values, opened_at=now, changed_at=now))
    return profile_id


def say(session: Session, now: dt.datetime, address: str, action: str) -> None:
    """This address grants or refuses offers by e-mail."""
    change = Change("email", address, "email", "offers", "marketing", action, "form", explicit=True, proof={"form": "checkout"})
    record(session, [change], Keys(makers.config().secret_key), now)


def about_cart(now: dt.datetime, key: str = "c1") -> dict[str, Any]:
    return {"cart": {"source_id": makers.SHOP, "key": key, "at": now.isoformat()}}


def message(session: Session, now: dt.datetime, profile_id: uuid.UUID, *, template: str = "abandoned_cart", **more: Any) -> uuid.UUID:
    """One queued message about the person's cart, from a run of its own."""
    publish(session, _words(), now)
    values: dict[str, Any] = {"run_id": new_id(), "journey": "abandoned_cart", "node": "mail", "relevant_if": about_cart(now)} | more
    [made] = queue(session, [Request(profile_id, "email", template, **values)], now)
    return made


@cache
def _words() -> Source:
    return read(shipped_templates() / "abandoned_cart")


def the(session: Session, message_id: uuid.UUID) -> Message:
    return session.scalars(select(Message).where(Message.id == message_id).execution_options(populate_existing=True)).one()


def fate(session: Session, message_id: uuid.UUID) -> tuple[str, str | None]:
    found = the(session, message_id)
    return found.status, found.reason


def why(session: Session, message_id: uuid.UUID) -> list[tuple[str, str, str]]:
    rows = session.scalars(select(Decision).where(Decision.message_id == message_id).order_by(Decision.id))
    return [(row.stage, row.answer, row.reason) for row in rows]


def shop(smtp_url: str = "smtp://127.0.0.1:1", **more: Any) -> Config:
    return makers.config(smtp_url=smtp_url, mail_from="קפה ומתנות <shop@kafe.example>", base_url="https://k.example", **more)
