"""The web process put together: what a page or the API commits, the workers hear of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import Client

from crm.core import db
from crm.web.tokens import create_token
from tests import makers
from workers import web
from workers.process import Tools

SAID = {"address": "dana@shop.example", "topic": "offers", "action": "granted", "wording": "w", "source": "checkout", "proof": {"ip": "192.0.2.1"}}


class Heard:
    """Stands in for Valkey: the hints as they come."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def hint(self, name: str) -> bool:
        self.names.append(name)
        return True


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def api(fresh_url: str, heard: Heard, home: Any) -> Iterator[Any]:
    engine = db.engine_for(fresh_url)
    sessions = db.sessions(engine)
    with sessions() as session:
        token = create_token(session, name="t", role="admin")
        session.execute(text("INSERT INTO profiles (id, bucket, known, first_seen, last_seen) VALUES (gen_random_uuid(), 1, true, now(), now())"))
        session.execute(text("INSERT INTO identities (kind, value, profile_id, first_seen) SELECT 'email', 'dana@shop.example', id, now() FROM profiles"))
        session.commit()
    config = makers.config(home=home, database_url=fresh_url, redis_url="memory://")
    client = Client(web.application(Tools(config, engine, sessions, heard)))
    yield lambda path, body: client.post(f"/api/v1/{path}", json=body, headers={"Authorization": f"Bearer {token}"})
    engine.dispose()


def test_a_consent_recorded_over_the_api_is_worked_on_at_once_and_the_same_again_is_no_work(api: Any, heard: Heard) -> None:
    assert api("consents", SAID).json["changed"] is True
    assert heard.names == ["drain"]
    assert api("consents", SAID).json["changed"] is False
    assert heard.names == ["drain"]


def test_what_is_refused_wakes_nobody(api: Any, heard: Heard) -> None:
    assert api("consents", SAID | {"topic": "none such"}).status_code == 400
    assert heard.names == []
