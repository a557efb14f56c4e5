"""Forms that stand on other sites, or here by themselves: a filled-in one becomes a lead. Nobody signs in here; the address is signed."""

from __future__ import annotations

import re

from flask import Blueprint, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.crypto import Keys
from crm.core.errors import InvalidError
from crm.messages.sandbox import web_address
from crm.sales import intake
from crm.web.db import db, settings
from crm.web.security import POLICY, csrf, limiter

bp = Blueprint("forms", __name__, url_prefix="/forms")
HEADERS = {"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer"}
ASKED = frozenset({"name", "email", "phone", "message", intake.TRAP})


@bp.route("/<token>", methods=["GET", "POST"])
@csrf.exempt  # type: ignore[untyped-decorator]  # flask-wtf has no types
@limiter.limit("20 per minute")
def take(token: str) -> Response:
    """A form was sent off; the browser goes where the form's maker said, else reads a thank-you. What was refused, and a link to it, shows the form."""
    form = intake.read(Keys(settings().secret_key), token)
    goes_to = web_address(form.goes_to)
    if request.method == "GET":
        return _form(goes_to)
    try:
        intake.from_form(db(), form, request.form.to_dict(), clock.now())
    except InvalidError as mistake:
        return _form(goes_to, _(str(mistake)))
    db().commit()
    return redirect(goes_to, code=303) if goes_to else Response(render_template("form-thanks.html"), headers=HEADERS, mimetype="text/html")


def _form(goes_to: str, wrong: str = "") -> Response:
    """The form with what was typed; the browser may follow it to where it goes on."""
    typed = request.form.to_dict()
    kept = {name: value for name, value in list(typed.items())[: intake.MOST] if name not in ASKED}
    page = render_template("form.html", typed=typed, kept=kept, wrong=wrong, trap=intake.TRAP)
    origin = re.match(r"https?://[\w.:-]+", goes_to or "", re.ASCII)
    policy = POLICY.replace("form-action 'self'", f"form-action 'self' {origin[0]}") if origin else POLICY
    return Response(page, InvalidError.status if wrong else 200, {**HEADERS, "Content-Security-Policy": policy}, mimetype="text/html")
