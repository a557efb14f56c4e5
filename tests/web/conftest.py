"""The pages' application over the test's own transaction, and browsers signed in as each role."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.web import users
from crm.web.app import create_app
from crm.web.models import ROLES, User
from hatch_build import _compile_translations
from tests.browsers import PASSWORD
from workers.mailbox_pages import bp as mailbox

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def translations() -> None:
    """The Hebrew words, compiled where they changed."""
    _compile_translations(ROOT / "crm/web/translations")


@pytest.fixture
def config(home: Path) -> Config:
    return Config(home=home, database_url="", redis_url="memory://", smtp_url="", secret_key="secret")


@pytest.fixture
def make_app(session: Session, config: Config) -> Callable[..., Flask]:
    """An application; settings may be changed by name."""

    connection = session.connection()

    def make(**changes: object) -> Flask:
        sessions = lambda: Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")  # noqa: E731  one name for one expression
        app = create_app(dataclasses.replace(config, **changes), sessions, [mailbox])
        app.testing = True
        app.config["PROPAGATE_EXCEPTIONS"] = False
        return app

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def people(session: Session) -> dict[str, User]:
    """One user of each role; the address is the role's name."""
    made = {role: users.create_user(session, email=f"{role}@shop.example", name=role.title(), role=role, password=PASSWORD) for role in ROLES}
    session.commit()
    return made


class Browser:
    """A client that keeps its cookies and sends the form token of the page it is on."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, language: str = "en", **headers: str):
        return self.client.get(path, headers={"Accept-Language": language, **headers})

    def post(self, path: str, page: str = "/account", **form: object):
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).text)
        return self.client.post(path, data={"csrf_token": token[1] if token else "", **form}, headers={"Accept-Language": "en"})

    def sign_in(self, email: str, password: str = PASSWORD, **form: object):
        return self.post("/sign-in", page="/sign-in", email=email, password=password, **form)


@pytest.fixture
def browser(app: Flask) -> Iterator[Browser]:
    with app.test_client() as client:
        yield Browser(client)


@pytest.fixture
def browser_as(app: Flask, people: dict[str, User]) -> Callable[[str], Browser]:
    """A browser in which somebody of this role is signed in."""

    def make(role: str) -> Browser:
        made = Browser(app.test_client())
        assert made.sign_in(people[role].email).status_code == 302
        return made

    return make
