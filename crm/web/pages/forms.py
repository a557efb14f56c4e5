"""Forms that stand on other sites: a filled-in one becomes a lead. Nobody signs in here; the address is signed."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.crypto import Keys
from crm.messages.sandbox import web_address
from crm.sales import intake
from crm.web.db import db, settings
from crm.web.security import csrf, limiter

bp = Blueprint("forms", __name__, url_prefix="/forms")
HEADERS = {"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer"}


@bp.post("/<token>")
@csrf.exempt  # type: ignore[untyped-decorator]  # flask-wtf has no types
@limiter.limit("20 per minute")
def take(token: str) -> Response:
    """A form was sent off; the browser goes where the form's maker said, else reads a thank-you."""
    form = intake.read(Keys(settings().secret_key), token)
    intake.from_form(db(), form, request.form.to_dict(), clock.now())
    db().commit()
    if goes_to := web_address(form.goes_to):
        return redirect(goes_to, code=303)
    return Response(render_template("form-thanks.html"), headers=HEADERS)
