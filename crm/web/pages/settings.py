"""Settings of the installation: users, API tokens, who changed what."""

from __future__ import annotations

import secrets

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.web import auth, users
from crm.web import tokens as api_tokens
from crm.web.auth import requires
from crm.web.db import db
from crm.web.models import ROLES, ApiToken, AuditEntry, User

bp = Blueprint("settings", __name__, url_prefix="/settings")
PAGE = 50


@bp.get("/users")
@requires("admin")
def people() -> str:
    """Who may sign in."""
    return _people()


def _people(secret: str | None = None, who: str = "", wrong: InvalidError | None = None) -> str:
    found = db().scalars(select(User).order_by(User.active.desc(), User.email)).all()
    typed = request.form if wrong else {}
    return render_template("users.html", users=found, roles=ROLES, secret=secret, who=who, typed=typed, wrong=_(str(wrong)) if wrong else "")


@bp.post("/users")
@requires("admin")
def create() -> str | tuple[str, int]:
    """Add somebody; the first password is shown once. What is refused stays in the form."""
    password = secrets.token_urlsafe(12)
    try:
        user = users.create_user(
            db(), email=request.form.get("email", ""), name=request.form.get("name", ""), role=request.form.get("role", ""), password=password
        )
    except InvalidError as error:
        return _people(wrong=error), error.status
    _note("user.created", user.email, {"role": user.role})
    db().commit()
    return _people(password, user.email)


@bp.post("/users/<int:user_id>")
@requires("admin")
def change(user_id: int) -> str | Response:
    """Another role, a new password, out or in again."""
    user = db().get(User, user_id)
    if user is None:
        raise NotFoundError(_("There is no such user."))
    act = request.form.get("act", "")
    try:
        password = _act(user, act)
    except InvalidError as error:
        flash(_(str(error)), "bad")
        return redirect("/settings/users")
    db().commit()
    if password:
        return _people(password, user.email)
    flash(_("Done. Sessions of %(email)s have ended.", email=user.email), "ok")
    return redirect("/settings/users")


def _act(user: User, act: str) -> str | None:
    now = clock.now()
    if act == "password":
        password = secrets.token_urlsafe(12)
        users.set_password(user, password, now)
        _note("user.password", user.email)
        return password
    if act == "role":
        users.set_role(db(), user, role=request.form.get("role", ""), now=now)
        _note("user.role", user.email, {"role": user.role})
    elif act in {"out", "in"}:
        users.set_active(db(), user, active=act == "in", now=now)
        _note("user.activated" if act == "in" else "user.deactivated", user.email)
    else:
        raise InvalidError(_l("There is no such action."))
    return None


@bp.get("/tokens")
@requires("admin")
def tokens() -> str:
    """Bearer tokens of the API."""
    return _tokens(None)


@bp.post("/tokens")
@requires("admin")
def create_token() -> str | Response:
    """A new token, shown once."""
    name, role = request.form.get("name", "").strip()[:200], request.form.get("role", "viewer")
    if not name or role not in ROLES:
        flash(_("A token needs a name and a role."), "bad")
        return redirect("/settings/tokens")
    secret = api_tokens.create_token(db(), name=name, role=role)
    _note("token.created", name, {"role": role})
    db().commit()
    return _tokens(secret)


@bp.post("/tokens/<int:token_id>/revoke")
@requires("admin")
def revoke_token(token_id: int) -> Response:
    """It opens nothing from now on."""
    token = db().get(ApiToken, token_id)
    if token is None or token.revoked_at:
        raise NotFoundError(_("There is no such token in use."))
    api_tokens.revoke_token(db(), token_id, clock.now())
    _note("token.revoked", token.name)
    db().commit()
    flash(_("The token is revoked."), "ok")
    return redirect("/settings/tokens")


@bp.get("/changes")
@requires("admin")
def changes() -> str:
    """Who changed what, or (`what=views`) who looked at whom, newest first; `subject` narrows to one of whom."""
    before, views, subject = request.args.get("before", type=int), request.args.get("what") == "views", request.args.get("subject", "")[:200]
    statement = select(AuditEntry, User).outerjoin(User, User.id == AuditEntry.user_id).order_by(AuditEntry.id.desc()).limit(PAGE + 1)
    statement = statement.where(AuditEntry.action.in_(users.LOOKS) if views else AuditEntry.action.not_in(users.LOOKS[:1]))
    statement = statement.where(AuditEntry.subject == subject) if subject else statement
    rows = db().execute(statement if before is None else statement.where(AuditEntry.id < before)).all()
    return render_template("changes.html", rows=rows[:PAGE], more=rows[PAGE - 1][0].id if len(rows) > PAGE else None, before=before, views=views, of=subject)


def _tokens(secret: str | None) -> str:
    return render_template("tokens.html", tokens=api_tokens.tokens(db()), roles=ROLES, secret=secret)


def _note(action: str, subject: str, detail: dict[str, str] | None = None) -> None:
    users.audit(db(), user_id=auth.me().user_id, action=action, subject=subject, detail=detail)
