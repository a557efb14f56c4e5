"""The pages' application over the test's own transaction, a browser signed in, and a server that webhooks call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.web import auth
from crm.web.app import create_app
from crm.web.models import User
from journeys.api import bp as api
from journeys.pages import bp
from tests.journeys.standin import WebServer, web_server


@pytest.fixture
def app(session: Session) -> Flask:
    settings = Config(home=Path("."), database_url="", redis_url="memory://", smtp_url="", secret_key="a secret of this test")
    connection = session.connection()
    made = create_app(settings, lambda: Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint"), blueprints=[bp, api])
    made.config["WTF_CSRF_ENABLED"] = False
    return made


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


@pytest.fixture
def signed_in(app: Flask, session: Session, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FlaskClient]:
    def as_role(role: str = "marketer", language: str = "en") -> FlaskClient:
        user = User(email=f"{role}@example.com", name=role, password_hash="x", role=role, language=language)
        session.add(user)
        session.flush()
        client = app.test_client()
        with client.session_transaction() as cookie:
            cookie["_user_id"], cookie["_fresh"] = auth.session_id(user), True
        return client

    monkeypatch.setattr("flask_login.login_manager.LoginManager._session_protection_failed", lambda *_: False)
    return as_role
