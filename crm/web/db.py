"""The database session of one request."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, current_app, g
from sqlalchemy.orm import Session

from crm.core.config import Config


def install(app: Flask, config: Config, sessions: Callable[[], Session]) -> None:
    """Hand settings and sessions to the views of `app`."""
    app.extensions["kesher"] = (config, sessions)
    app.teardown_appcontext(_close)


def settings() -> Config:
    """What this installation was told from outside."""
    config: Config = current_app.extensions["kesher"][0]
    return config


def db() -> Session:
    """The request's session; what a view does not commit is rolled back."""
    if "session" not in g:
        g.session = current_app.extensions["kesher"][1]()
    session: Session = g.session
    return session


def _close(_error: BaseException | None) -> None:
    session: Session | None = g.pop("session", None)
    if session is not None:
        session.close()
