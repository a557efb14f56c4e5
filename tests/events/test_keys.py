"""Write keys: shown once, found by digest, gone when revoked."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from crm.core.errors import InvalidError, NotFoundError
from crm.events import keys
from crm.events.models import Source, WriteKey


def test_a_key_opens_the_source_it_was_made_for(session: Session) -> None:
    server, browser = (keys.create(session, source_name=" Shop ", kind=kind) for kind in ("server", "browser"))
    source_id = session.scalars(select(Source.id).where(Source.name == "Shop")).one()
    first, second = keys.find(session, secret=server), keys.find(session, secret=browser)
    assert first and second
    assert (first.source_id, first.trusted, second.source_id, second.trusted) == (source_id, True, source_id, False)


def test_the_secret_is_stored_nowhere(session: Session) -> None:
    secret = keys.create(session, source_name="shop", kind="server")
    row = session.scalars(select(WriteKey)).one()
    assert row.hint == secret[-4:]
    assert secret.encode() not in row.digest


@pytest.mark.parametrize(("name", "kind"), [("shop", "admin"), (" ", "server"), ("kesher", "server")])
def test_a_key_needs_a_kind_and_a_source_that_is_not_keshers_own(session: Session, name: str, kind: str) -> None:
    with pytest.raises(InvalidError):
        keys.create(session, source_name=name, kind=kind)


def test_a_revoked_key_opens_nothing(session: Session, now: dt.datetime) -> None:
    secret = keys.create(session, source_name="shop", kind="server")
    key = keys.find(session, secret=secret)
    assert key
    keys.revoke(session, key_id=key.key_id, now=now)
    assert keys.find(session, secret=secret) is None
    with pytest.raises(NotFoundError):
        keys.revoke(session, key_id=key.key_id, now=now)


def test_a_ring_believes_a_key_for_some_seconds(factory: sessionmaker[Session], now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    with factory() as session:
        secret = keys.create(session, source_name="shop", kind="server")
        session.commit()
    moment = [0.0]
    monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    ring = keys.KeyRing(factory)
    found = ring.find(secret)
    assert found
    with factory() as session:
        keys.revoke(session, key_id=found.key_id, now=now)
        session.commit()
    moment[0] = keys.REMEMBERED - 0.1
    assert ring.find(secret) == found
    moment[0] = keys.REMEMBERED
    assert ring.find(secret) is None


def test_a_ring_asks_once_for_a_key_nobody_knows(factory: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counting() -> Session:
        asked.append(1)
        return factory()

    ring = keys.KeyRing(counting)
    monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: 7.0))
    assert [ring.find("ks_nobody") for _ in range(5)] == [None] * 5
    assert len(asked) == 1
