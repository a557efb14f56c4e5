"""Journeys and runs as the API tells them."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.ids import new_id
from crm.web.app import create_app
from crm.web.tokens import create_token
from journeys.api import bp
from journeys.models import Journey, RunRow, RunStep, Version

GRAPH = {"nodes": {"a": {"kind": "stop"}}}


@pytest.fixture
def get(session: Session) -> Any:
    connection = session.connection()
    config = Config(home=Path("."), database_url="", redis_url="memory://", smtp_url="", secret_key="a secret of this test")
    client = create_app(config, lambda: Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint"), [bp]).test_client()
    headers = {"Authorization": f"Bearer {create_token(session, name='test', role='viewer')}"}
    return lambda path, **query: client.get(f"/api/v1{path}", query_string=query, headers=headers)


@pytest.fixture
def cart(session: Session, now: dt.datetime) -> int:
    journey = session.scalar(insert(Journey).values(slug="cart", name={"en": "Cart"}, status="live", version=2).returning(Journey.id))
    session.execute(insert(Version), [{"journey_id": journey, "number": number, "graph": {**GRAPH, "number": number}} for number in (1, 2)])
    assert journey is not None
    return journey


def run(session: Session, journey: int, at: dt.datetime, **more: Any) -> uuid.UUID:
    values = {
        "id": new_id(),
        "profile_id": new_id(),
        "journey_id": journey,
        "version": 2,
        "key": "",
        "node": "a",
        "status": "active",
        "started_at": at,
        "entered_at": at,
        "start": {"name": "x"},
        **more,
    }
    session.execute(insert(RunRow).values(values))
    return uuid.UUID(str(values["id"]))


def test_a_journey_tells_its_state_its_runs_and_its_graph(session: Session, get: Any, cart: int, now: dt.datetime) -> None:
    run(session, cart, now)
    run(session, cart, now, status="done")
    shown = get("/journeys").get_json()["items"]
    assert [(one["slug"], one["status"], one["version"], one["active_runs"]) for one in shown] == [("cart", "live", 2, 1)]
    assert get("/journeys/cart").get_json()["graph"]["number"] == 2
    assert get("/journeys/nothing").status_code == 404


def test_runs_are_listed_in_pages_and_narrowed(session: Session, get: Any, cart: int, now: dt.datetime) -> None:
    made = [run(session, cart, now - dt.timedelta(minutes=n)) for n in range(5)]
    dana = new_id()
    ended = run(session, cart, now - dt.timedelta(days=1), profile_id=dana, status="done", end_reason="exit:Order Completed")
    first = get("/runs", limit=3).get_json()
    second = get("/runs", limit=3, cursor=first["next"]).get_json()
    assert [one["id"] for one in first["items"] + second["items"]] == [str(one) for one in [*made, ended]]
    assert second["next"] is None
    for query in ({"profile_id": str(dana)}, {"status": "done"}):
        assert [one["end_reason"] for one in get("/runs", **query).get_json()["items"]] == ["exit:Order Completed"]
    assert get("/runs", journey="other").get_json()["items"] == []
    assert len(get("/runs", since=(now - dt.timedelta(hours=1)).isoformat()).get_json()["items"]) == 5


def test_a_run_tells_every_step(session: Session, get: Any, cart: int, now: dt.datetime) -> None:
    dana = new_id()
    one = run(session, cart, now, profile_id=dana)
    for number, node in enumerate(["wait", "mail"]):
        session.execute(insert(RunStep).values(profile_id=dana, run_id=one, node=node, round=0, number=number, exit="next", detail={"due": number}, at=now))
    whole = get(f"/runs/{one}").get_json()
    assert (whole["run"]["journey"], whole["start"], [step["node"] for step in whole["steps"]]) == ("cart", {"name": "x"}, ["wait", "mail"])
    assert get(f"/runs/{new_id()}").status_code == 404
