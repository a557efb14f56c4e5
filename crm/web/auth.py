"""Who is looking: sessions, roles, and views only some may open."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from flask import Flask, Response, current_app, g, redirect, request, url_for
from flask_babel import gettext as _
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from werkzeug.wrappers import Response as AnyResponse

from crm.core.errors import ForbiddenError, UnauthorizedError
from crm.web.db import db
from crm.web.models import ROLES, User

_OURS = re.compile(r"/(?!/)[^\x00-\x20\x7f\\]*")
ALL = ROLES
MAKERS = ("admin", "marketer")
P = ParamSpec("P")
R = TypeVar("R")


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """The user of this request. The id in the cookie carries `sessions_from`, so that a new password or role ends old sessions."""

    def __init__(self, user: User) -> None:
        self.user_id, self.email, self.name, self.role, self.language = user.id, user.email, user.name, user.role, user.language
        self.id = session_id(user)

    def may(self, *roles: str) -> bool:
        """Whether the role is one of these; none named means everybody."""
        return not roles or self.role in roles


def session_id(user: User) -> str:
    """What the cookie says: who, and since when sessions count."""
    return f"{user.id}:{int(user.sessions_from.timestamp() * 1_000_000)}"


def me() -> SignedIn:
    """The user of this request; call it in views behind `requires` only."""
    return cast(SignedIn, current_user)


def install(app: Flask) -> None:
    """Teach `app` to know its users."""
    manager = LoginManager(app)
    manager.session_protection = "basic"
    manager.user_loader(_load)


def sign_in(user: User) -> None:
    """Start a session for this user in the browser that asks."""
    login_user(SignedIn(user), remember=False)


def sign_out() -> None:
    """End the session of this browser."""
    logout_user()


def ask_nobody() -> None:
    """For the rest of this request nobody is signed in: the database cannot say who it is."""
    g._login_user = cast(Any, current_app).login_manager.anonymous_user()  # where Flask-Login keeps its answer
    g.pop("token", None)


def requires(*roles: str) -> Callable[[Callable[P, R]], Callable[P, R | AnyResponse]]:
    """Let only these roles open a view (none named: whoever is signed in); others are sent to sign in or get 403."""

    def wrap(view: Callable[P, R]) -> Callable[P, R | AnyResponse]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | AnyResponse:
            if not current_user.is_authenticated:
                return to_sign_in()
            if not me().may(*roles):
                raise ForbiddenError(_("Your role may not open this. Ask an admin of this installation."))
            return view(*args, **kwargs)

        cast(Any, guarded).roles = roles
        return guarded

    return wrap


def to_sign_in() -> AnyResponse:
    """Send a page to sign in and back; a fragment makes the whole page go there."""
    if request.path.startswith("/api/"):
        raise UnauthorizedError("Sign in, or send a bearer token.")
    if request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Redirect": url_for("signin.form")})
    here = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect(url_for("signin.form", next=here if here != "/" else None))


def safe_next(target: str | None) -> str:
    """A path on this site to go on to; anything else becomes Home. Browsers drop tabs and line ends, so `/<tab>/elsewhere` would lead elsewhere."""
    return target if target and _OURS.fullmatch(target) else "/"


def _load(text: str) -> SignedIn | None:
    number, _colon, _since = text.partition(":")
    user = db().get(User, int(number)) if number.isdigit() else None
    return SignedIn(user) if user and user.active and session_id(user) == text else None
