"""One's own account: name, language, password."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError
from crm.core.i18n import LANGUAGES, _l
from crm.web import auth, users
from crm.web.auth import requires
from crm.web.db import db
from crm.web.models import User
from crm.web.security import limiter

bp = Blueprint("account", __name__)


def _own() -> User:
    return db().get_one(User, auth.me().user_id)


@bp.get("/account")
@requires()
def page() -> str:
    """The forms."""
    return render_template("account.html", user=_own())


@bp.post("/account")
@requires()
def save() -> Response:
    """Name and language."""
    user, language = _own(), request.form.get("language", "")
    user.name = request.form.get("name", "").strip()[:200] or user.email
    user.language = language if language in LANGUAGES else None
    db().commit()
    flash(_("Saved."), "ok")
    return redirect("/account")


@bp.post("/account/password")
@limiter.limit("10 per 5 minutes")
@requires()
def password() -> Response:
    """A new password; other sessions end, this one goes on."""
    user = _own()
    try:
        if users.authenticate(db(), email=user.email, password=request.form.get("old", "")) is None:
            raise InvalidError(_l("The present password is not right."))
        users.set_password(user, request.form.get("new", ""), clock.now())
    except InvalidError as error:
        flash(_(str(error)), "bad")
        return redirect("/account")
    users.audit(db(), user_id=user.id, action="user.password", subject=user.email)
    db().commit()
    auth.sign_in(user)
    flash(_("The password is changed. Other browsers are signed out."), "ok")
    return redirect("/account")
