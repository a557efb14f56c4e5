"""Pools of coupon codes on the screen: how many are left, given and used; new codes from a file or a list."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db
from journeys import coupons

bp = Blueprint("coupons", __name__, template_folder="templates")


@bp.get("/coupons")
@requires()
def index() -> str:
    """Every pool."""
    return _page()


def _page(wrong: InvalidError | None = None) -> str:
    told = {"typed": request.form, "wrong": {wrong.field: _(str(wrong))}} if wrong else {"typed": {}, "wrong": {}}
    return render_template("journeys/coupons.html", pools=coupons.pools(db(), clock.now()), **told)


@bp.post("/coupons")
@requires(*MAKERS)
def save() -> Response | tuple[str, int]:
    """Make a pool or change it, and put codes in. What is refused stays in the form."""
    form, name = request.form, request.form.get("pool", "").strip()
    try:
        if low := form.get("low", "").strip():
            coupons.keep(db(), name, low=int(low) if low.isascii() and low.isdigit() and len(low) <= 9 else -1)
        added = coupons.add(db(), name, _said())
    except InvalidError as error:
        db().rollback()
        return _page(error), error.status
    users.audit(db(), user_id=me().user_id, action="coupons.added", subject=name, detail={"codes": added, "low": low})
    db().commit()
    flash(_("Codes added to “%(pool)s”: %(n)s. Those there already stay as they are.", pool=name, n=added), "ok")
    return redirect("/coupons")


def _said() -> list[str]:
    """What was typed, and what the file holds."""
    file = request.files.get("file")
    try:
        return coupons.read(request.form.get("codes", "")) + coupons.read(file.read().decode("utf-8-sig") if file else "")
    except UnicodeDecodeError as error:
        raise InvalidError(_l("This file is no text in UTF-8. Save it as CSV (UTF-8) and try again.")) from error
