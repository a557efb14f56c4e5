"""The pages' application: everything a browser of the people who work here meets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Flask
from flask.json.provider import DefaultJSONProvider
from jinja2 import StrictUndefined
from sqlalchemy.orm import Session
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.json import keepable, loads, without_nul
from crm.web import api, auth, db, failures, i18n, looks, pages, rights, security, show
from crm.web.folder import load_blueprints

LONGEST_FORM = 1024 * 1024


class Bodies(DefaultJSONProvider):
    """What is sent to us is read as calls are; fields of a form and ways out of a step keep their order."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """What could not be written again (half a character, numbers beyond 64 bits, hundreds of brackets) is no JSON to us: a ValueError."""
        found = loads(without_nul(s.encode() if isinstance(s, str) else s))
        try:
            keepable(found)
        except TypeError as error:
            raise ValueError(str(error)) from error
        return found


class Number(IntegerConverter):
    """A number in an address, as long as ids get; int() refuses thousands of digits with an error of its own."""

    regex = "[0-9]{1,18}"


def create_app(config: Config, sessions: Callable[[], Session], blueprints: Sequence[Blueprint] = ()) -> Flask:
    """An application over these settings and sessions; `blueprints` are the pages of packages above `crm`."""
    app = Flask("crm.web")
    app.config.update(
        SECRET_KEY=Keys(config.secret_key).derive("session"),
        SESSION_COOKIE_NAME="kesher",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=config.base_url.startswith("https://"),
        PERMANENT_SESSION_LIFETIME=dt.timedelta(days=14),
        MAX_CONTENT_LENGTH=LONGEST_FORM,
        SEND_FILE_MAX_AGE_DEFAULT=dt.timedelta(days=365),
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,
    )
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=config.trusted_proxies, x_proto=config.trusted_proxies)  # type: ignore[method-assign]  # Flask has it wrapped like this
    app.json = Bodies(app)
    app.url_map.converters["int"] = Number
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    db.install(app, config, sessions)
    auth.install(app)
    i18n.install(app, config.timezone)
    security.install(app, config)
    show.install(app)
    failures.install(app)
    rights.install(app)
    looks.install(app)
    for blueprint in (*load_blueprints(pages), *load_blueprints(api), *blueprints):
        if blueprint.name not in app.blueprints:
            app.register_blueprint(blueprint)
    app.extensions["kesher_paths"] = frozenset(rule.rule for rule in app.url_map.iter_rules())
    return app
