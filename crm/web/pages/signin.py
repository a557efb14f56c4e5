"""Signing in and out, and the choice of language."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, session
from flask_babel import gettext as _
from flask_limiter.util import get_remote_address
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from crm.core import clock
from crm.core.i18n import LANGUAGES
from crm.web import auth, users
from crm.web.db import db, settings
from crm.web.i18n import COOKIE
from crm.web.models import User
from crm.web.security import limiter

bp = Blueprint("signin", __name__)
FAILED = 401


def _who() -> str:
    return f"{get_remote_address()} {request.form.get('email', '').strip().lower()}"


def _failed(response: Response) -> bool:
    return response.status_code == FAILED


@bp.get("/sign-in")
def form() -> str | AnyResponse:
    """The form; who is signed in already goes on."""
    if current_user.is_authenticated:
        return redirect(auth.safe_next(request.args.get("next")))
    return render_template("sign-in.html", error="", email="", next=request.args.get("next", ""))


@bp.post("/sign-in")
@limiter.limit("8 per 5 minutes", key_func=_who, deduct_when=_failed)
@limiter.limit("40 per 5 minutes", deduct_when=_failed)
def submit() -> AnyResponse:
    """Check the password; failures count, per address and person and per address."""
    email = request.form.get("email", "")
    user = users.authenticate(db(), email=email, password=request.form.get("password", ""))
    if user is None:
        words = _("This e-mail and password do not match. After eight tries there is a pause of five minutes.")
        return make_response(render_template("sign-in.html", error=words, email=email, next=request.form.get("next", "")), FAILED)
    session.clear()
    session.permanent = True
    auth.sign_in(user)
    db().commit()
    return redirect(auth.safe_next(request.form.get("next")))


@bp.post("/sign-out")
def leave() -> AnyResponse:
    """End every session of this person: a cookie copied from this browser opens nothing any more."""
    if current_user.is_authenticated and (user := db().get(User, auth.me().user_id)):
        user.sessions_from = clock.now()
        db().commit()
    auth.sign_out()
    session.clear()
    return redirect("/sign-in")


@bp.post("/language")
def language() -> AnyResponse:
    """Switch the pages' language, for this browser and for the person."""
    asked = request.form.get("language", "")
    response = redirect(auth.safe_next(request.form.get("next")))
    if asked not in LANGUAGES:
        flash(_("There is no such language."), "bad")
        return response
    if current_user.is_authenticated and (user := db().get(User, auth.me().user_id)):
        user.language = asked
        db().commit()
    secure = settings().base_url.startswith("https://")
    response.set_cookie(COOKIE, asked, max_age=dt.timedelta(days=365), httponly=True, samesite="Lax", secure=secure)
    return response
