"""The OpenAPI document is true: every path answers a documented status, whatever it is sent."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.web.app import create_app
from crm.web.tokens import create_token
from journeys.api import bp as journeys_api
from journeys.backtest_api import bp as backtests_api

WANTED = {
    ("get", "/api/v1/profiles"),
    ("get", "/api/v1/profiles/{profile_id}"),
    ("get", "/api/v1/profiles/{profile_id}/timeline"),
    ("get", "/api/v1/messages"),
    ("get", "/api/v1/messages/{message_id}"),
    ("get", "/api/v1/journeys"),
    ("get", "/api/v1/journeys/{slug}"),
    ("get", "/api/v1/runs"),
    ("get", "/api/v1/runs/{run_id}"),
    ("get", "/api/v1/consents"),
    ("post", "/api/v1/consents"),
    ("get", "/api/v1/sources"),
    ("get", "/api/v1/quarantine"),
    ("post", "/api/v1/quarantine/replay"),
    ("get", "/api/v1/templates"),
    ("get", "/api/v1/templates/{name}/preview"),
}
words = (
    st.text(max_size=30)
    | st.integers().map(str)
    | st.uuids().map(str)
    | st.sampled_from(["email:a@example.com", "1.1", "-1", "2026-01-01T00:00:00Z", "offers", "granted", "email", "known", "\x00", "é'\"\\"])
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def client(session: Session) -> FlaskClient:
    connection = session.connection()
    config = Config(home=Path("."), database_url="", redis_url="memory://", smtp_url="", secret_key="a secret of this test")
    app = create_app(config, lambda: Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint"), [journeys_api, backtests_api])
    return app.test_client()


def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/v1/openapi.json").get_json()
    return found


def operations(client: FlaskClient) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, described) for path, methods in document(client)["paths"].items() for method, described in methods.items()]


def test_every_path_is_described(client: FlaskClient) -> None:
    described = operations(client)
    assert {(method, path) for method, path, _ in described} >= WANTED
    assert len({one["operationId"] for _, _, one in described}) == len(described)


def test_every_reference_leads_somewhere(client: FlaskClient) -> None:
    found = document(client)
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(found)))
    assert names
    assert names <= set(found["components"]["schemas"])
    assert found["openapi"].startswith("3.1")


def test_every_operation_asks_for_a_token(client: FlaskClient) -> None:
    for method, path, described in operations(client):
        address = re.sub(r"\{\w+\}", str(uuid.UUID(int=0)), path)
        assert client.open(address, method=method, json={} if method == "post" else None).status_code == 401
        assert "401" in described["responses"]


def value_for(name: str, schema: dict[str, Any], body: dict[str, Any]) -> st.SearchStrategy[Any]:
    sensible = {
        "granted": st.just("granted"),
        "address": st.sampled_from(["a@example.com", "0545550142"]),
        "topic": st.sampled_from(["offers", "x"]),
        "ids": st.lists(st.integers(), max_size=3),
    }
    return sensible.get(name, st.sampled_from(schema["enum"]) if "enum" in schema else words) | anything


@settings(max_examples=60)
@given(data=st.data())
def test_every_path_answers_a_documented_status_to_anything(client: FlaskClient, session: Session, data: st.DataObject) -> None:
    token = create_token(session, name="test", role="admin")
    found = document(client)
    for path, methods in found["paths"].items():
        for method, described in methods.items():
            parts = {
                one["name"]: data.draw(st.uuids().map(str) if one["schema"].get("format") == "uuid" else words.filter(lambda text: text.strip("/.") != ""))
                for one in described["parameters"]
                if one["in"] == "path"
            }
            known = [one["name"] for one in described["parameters"] if one["in"] == "query"]
            query = data.draw(st.dictionaries(st.sampled_from(known) | words, words, max_size=3)) if known else {}
            body = None
            if "requestBody" in described:
                name = described["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
                fields = found["components"]["schemas"][name]["properties"]
                whole = st.fixed_dictionaries({}, optional={field: value_for(field, schema, fields) for field, schema in fields.items()})
                body = data.draw(whole | anything)
            address = re.sub(r"\{(\w+)\}", lambda match, parts=parts: quote(parts[match[1]].replace("/", "")) or "x", path)
            answer = client.open(
                address, method=method, query_string=query, json=body if "requestBody" in described else None, headers={"Authorization": f"Bearer {token}"}
            )
            assert str(answer.status_code) in described["responses"], (method, address, query, body, answer.get_data(as_text=True))
            if answer.status_code >= 400:
                assert answer.get_json()["error"]
