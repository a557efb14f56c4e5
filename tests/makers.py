"""Small makers: calls as the world sends them, and the pipeline run on them."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.events.inbox import Waiting
from crm.events.models import LIVE
from crm.events.read import read
from crm.events.spec import Accepted, Call

_numbers = itertools.count(1_000_000)
SHOP = 10


def config(**changes: Any) -> Config:
    """Settings of a shop in Israel that speaks Hebrew."""
    return Config(
        **{"home": Path("/nonexistent"), "database_url": "", "redis_url": "", "smtp_url": "smtp://127.0.0.1:1", "secret_key": "test-secret"} | changes
    )


def source(session: Session, name: str = "shop", **settings: Any) -> int:
    """A source of that name; its id."""
    from crm.core.json import dumps

    conflict = "ON CONFLICT (name) DO UPDATE SET settings = excluded.settings RETURNING id"
    statement = text(f"INSERT INTO sources (name, settings) VALUES (:name, CAST(:settings AS jsonb)) {conflict}")
    return int(session.scalar(statement, {"name": name, "settings": dumps(settings)}) or 0)


def accepted(call: Call, now: dt.datetime, *, source_id: int = SHOP, trusted: bool = True, origin: str = LIVE) -> Accepted:
    """A call as the pipeline gets it, accepted now, in the order of making."""
    from crm.events.inbox import as_text

    number = next(_numbers)
    call.message_id = call.message_id or f"m{number}"
    return read(Waiting(number, now, source_id, trusted, origin, None, 0, None, as_text(call)))


def track(event: str, properties: dict[str, Any] | None = None, *, at: dt.datetime, **who: Any) -> Call:
    """A track call; `who` is anonymous_id, user_id, email or phone."""
    traits = {key: who.pop(key) for key in ("email", "phone") if key in who}
    return Call(type="track", event=event, properties=properties or {}, timestamp=at.isoformat(), context={"traits": traits} if traits else None, **who)


def identify(traits: dict[str, Any] | None = None, *, at: dt.datetime, **who: Any) -> Call:
    """An identify call."""
    return Call(type="identify", traits=traits or {}, timestamp=at.isoformat(), **who)


def product(sku: str, price: str = "10", quantity: int = 1, **more: Any) -> dict[str, Any]:
    """A product as an event names it."""
    return {"product_id": sku, "name": sku.title(), "price": price, "quantity": quantity, "currency": "ILS"} | more


def profiles(session: Session) -> Sequence[Any]:
    """Everybody who was not joined into another."""
    return session.execute(text("SELECT * FROM profiles WHERE merged_into IS NULL ORDER BY id")).all()
