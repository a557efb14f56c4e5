"""Run once at every start, in a process of its own: migrate, publish what ships with the product, make the first user."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core import clock
from crm.messages import templates
from crm.web.models import User
from crm.web.users import create_user
from journeys import install
from workers import leaving
from workers.install import write_secret
from workers.migrate import migrate
from workers.process import Tools, tools

FIRST_USER = "admin@kesher.localhost"
FIRST_LOGIN = "first-login"  # a file that `kesher up` prints and removes


def first_user(session: Session) -> str | None:
    """A password for the first administrator, where there is nobody yet."""
    if session.scalar(select(User.id).limit(1)):
        return None
    password = secrets.token_urlsafe(12)
    create_user(session, email=FIRST_USER, name="Admin", role="admin", password=password)
    return password


def prepare(ours: Tools) -> None:
    """Bring database and shipped content to this version; leaves the first login in a file only we can read."""
    now = clock.now()
    migrate(ours.engine, now)
    leaving.restore(ours.sessions, ours.config, now)
    with ours.sessions() as session:
        templates.install(session, templates.shipped_templates(), now)
        install.install(session, now)
        password = first_user(session)
        if password:
            write_secret(ours.config.home / FIRST_LOGIN, f"{FIRST_USER}\n{password}\n")
        session.commit()


def main() -> None:
    """Do it and end."""
    ours = tools()
    prepare(ours)
    ours.engine.dispose()
