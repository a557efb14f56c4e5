"""Computed traits: what is counted for everybody, and the company's own."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from crm.commerce import computed
from crm.commerce.computed_models import ComputedTrait
from crm.core.errors import InvalidError, NotFoundError
from crm.segments import seen
from crm.web import auth, users, words
from crm.web.auth import MAKERS, requires
from crm.web.db import db

bp = Blueprint("computed", __name__, url_prefix="/settings/traits")


@bp.get("")
@requires(*MAKERS)
def index() -> str:
    """The list, how many people have each, and the form."""
    return _page({})


@bp.post("")
@requires(*MAKERS)
def define() -> str | Response:
    """Add or change one of the company's own."""
    form = request.form
    days = form.get("days", "").strip()
    try:
        if days and not days.isdecimal():
            raise InvalidError("Days: from 1 to 3650, or empty for all time.")
        said = {"name": form.get("name", ""), "title": form.get("title", ""), "event": form.get("event", ""), "aggregate": form.get("aggregate", "")}
        computed.define(db(), **said, property_=form.get("property"), days=int(days[:9]) if days else None)
    except InvalidError as error:
        return _page(form.to_dict(), _(str(error)))
    users.audit(db(), user_id=auth.me().user_id, action="trait.created", subject=form["name"].strip())
    db().commit()
    flash(_("Saved. It is being computed for everybody who did this."), "ok")
    return redirect("/settings/traits")


@bp.post("/<name>/remove")
@requires(*MAKERS)
def remove(name: str) -> Response:
    """Take one of the company's own away."""
    if not computed.drop(db(), name):
        raise NotFoundError(_("There is no such computed trait."))
    users.audit(db(), user_id=auth.me().user_id, action="trait.removed", subject=name)
    db().commit()
    return redirect("/settings/traits")


def _page(form: dict[str, str], error: str = "") -> str:
    counts = db().execute(select(ComputedTrait.name, func.count()).group_by(ComputedTrait.name)).all()
    have = {name: count for name, count in counts}  # noqa: C416  dict() of rows would take their names for keys
    own = computed.definitions(db())
    return render_template(
        "computed.html", built_in=computed.BUILT_IN, own=own, have=have, titles=computed.titles(db()), aggregates=words.AGGREGATES, form=form, error=error,
        events=seen.event_names(db()),
    )  # fmt: skip
