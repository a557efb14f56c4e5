"""A database from before trust was kept gets it from its log."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config as Alembic
from sqlalchemy import text
from sqlalchemy.orm import Session

import crm.migrations
from crm.commerce import rebuild as commerce_rebuild
from crm.core.db import Base, engine_for
from crm.core.json import dumps
from crm.profiles import rebuild
from workers.migrate import ensure_partitions
from workers.servers import Postgres

DANA = uuid.UUID(int=1)


def test_orders_and_traits_learn_who_told_them(postgres: Postgres, now: dt.datetime) -> None:
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(postgres.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    engine = engine_for(postgres.url_for(name))
    settings = Alembic()
    settings.set_main_option("script_location", str(Path(crm.migrations.__file__).parent))
    settings.set_main_option("path_separator", "os")
    settings.attributes["metadata"] = Base.metadata
    with engine.connect() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        connection.commit()
    with Session(engine) as session:
        ensure_partitions(session, now)
        _as_before(session, now)
        session.commit()
    with engine.connect() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0002")
        connection.commit()
    with Session(engine) as session:
        assert session.scalar(text("SELECT traits FROM profiles")) == {"name": "Dana", "size": "M"}
        assert rebuild.differences(session, [DANA]) == []
        assert commerce_rebuild.differences(session, [DANA], currency="ILS") == []
        assert [tuple(row) for row in session.execute(text("SELECT version_trust, vouched, refunds->'r1'->>0, refunds->'r1'->>1 FROM orders"))] == [
            (2, True, "10", "2")
        ]
    engine.dispose()
    with psycopg.connect(postgres.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _as_before(session: Session, now: dt.datetime) -> None:
    """A person, a renaming by a public key, an order with a refund, as the first release wrote them."""
    stamp = int(now.timestamp() * 1000)
    told = {"name": "Mallory", "size": "M"}
    times = {"name": [stamp, 3], "size": [stamp, 3], "vip": [stamp, 2]}
    session.execute(
        text(
            "INSERT INTO profiles (id, bucket, known, name, traits, traits_at, first_seen, last_seen)"
            " VALUES (:id, 1, true, 'Mallory', CAST(:traits AS jsonb), CAST(:times AS jsonb), :now, :now)"
        ),
        {"id": DANA, "traits": dumps(told), "times": dumps(times), "now": now},
    )
    session.execute(
        text("INSERT INTO identities (kind, value, profile_id, verified, first_seen) VALUES ('user_id', '1', :id, true, :now)"), {"id": DANA, "now": now}
    )
    calls = [
        ("identify", "identify", True, {"name": "Dana", "vip": None}), ("identify", "identify", False, {"name": "Mallory", "size": "M"}),
        ("track", "Order Completed", True, {"order_id": "o1", "revenue": "50"}),
        ("track", "Order Refunded", True, {"order_id": "o1", "refund_id": "r1", "amount": "10"}),
    ]  # fmt: skip
    for number, (kind, name, trusted, properties) in enumerate(calls, 2):
        session.execute(
            text(
                "INSERT INTO events (profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted,"
                " identities, properties, context, hops)"
                " VALUES (:id, :now, :number, :now, 10, :message, :kind, :name, 'live', :trusted, '[]', CAST(:said AS jsonb), '{}', 0)"
            ),
            {"id": DANA, "now": now, "number": number, "message": f"m{number}", "kind": kind, "name": name, "trusted": trusted, "said": dumps(properties)},
        )
    session.execute(
        text(
            "INSERT INTO orders (source_id, order_id, profile_id, currency, revenue, refunded, refunds, items, ordered_at, reported,"
            " version_at, version_accepted) VALUES (10, 'o1', :id, 'ILS', 50, 10, '{\"r1\": \"10\"}', '[]', :now, true, :now, 4)"
        ),
        {"id": DANA, "now": now},
    )
