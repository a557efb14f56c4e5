"""Webhooks on the screen: the endpoints nodes may call, and every call with its fate."""

from __future__ import annotations

import datetime as dt
import uuid

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db, settings
from journeys import endpoints, webhooks

bp = Blueprint("webhooks", __name__, template_folder="templates")
PAGE = 50
SINCE = dt.timedelta(days=7)
LONGEST = 600  # characters of an answer shown
STATES = {  # status -> (words, tone, icon)
    "waiting": (_l("Waits"), "acc", "clock"),
    "answered": (_l("Answered"), "ok", "check"),
    "failed": (_l("Failed"), "bad", "alert-triangle"),
    "withdrawn": (_l("Taken back"), "line", ""),
}


@bp.get("/settings/webhooks")
@requires(*MAKERS)
def index() -> str:
    """Endpoints and the latest calls."""
    return _page()


def _page(shown: str = "", key: str = "", wrong: InvalidError | None = None) -> str:
    endpoint, status, after = (request.args.get(name) or None for name in ("endpoint", "status", "after"))
    status = status if status in STATES else None
    found = endpoints.calls(db(), endpoint=endpoint, status=status, after=after, limit=PAGE)
    now = clock.now()
    since = now - SINCE
    return render_template(
        "journeys/webhooks.html",
        endpoints=endpoints.every(db()),
        counts=endpoints.counts(db(), since),
        since=since,
        now=now,
        page=found,
        endpoint=endpoint,
        status=status,
        after=after,
        states=STATES,
        shown=shown,
        key=key,
        typed=request.form if wrong else {"change": "1"},
        wrong={wrong.field: _(str(wrong))} if wrong else {},
        answer=lambda each: dumps(each)[:LONGEST],
    )


@bp.post("/settings/webhooks")
@requires("admin")
def save() -> str | tuple[str, int]:
    """Set one up or change it; a new one's signing key is shown. What is refused stays in the form."""
    form = request.form
    slug, headers = form.get("slug", "").strip(), form.get("headers", "").strip()
    keeps = form.get("change") == "1" and not headers
    try:
        found = endpoints.save(
            db(), slug, url=form.get("url", "").strip(), headers=None if keeps else headers, private=bool(form.get("private")), now=clock.now()
        )
    except InvalidError as error:
        db().rollback()
        return _page(wrong=error), error.status
    users.audit(db(), user_id=me().user_id, action="webhook.saved", subject=slug, detail={"url": found.url, "private": found.private})
    db().commit()
    return _page(slug, endpoints.secret(settings(), found))


@bp.post("/settings/webhooks/<slug>/<any(key, rotate, remove):action>")
@requires("admin")
def act(slug: str, action: str) -> str | Response:
    """Show the signing key, make another, or take the endpoint away."""
    if action == "remove":
        endpoints.remove(db(), slug)
    found = endpoints.rotate(db(), slug) if action == "rotate" else next((each for each in endpoints.every(db()) if each.slug == slug), None)
    users.audit(db(), user_id=me().user_id, action=f"webhook.{action}", subject=slug)
    db().commit()
    if action == "remove" or found is None:
        flash(_("Removed. Steps that still call it fail from now on."), "ok")
        return redirect("/settings/webhooks")
    return _page(slug, endpoints.secret(settings(), found))


@bp.post("/settings/webhooks/calls/<uuid:call_id>/again")
@requires(*MAKERS)
def again(call_id: uuid.UUID) -> Response:
    """Do not wait for the next try."""
    if not webhooks.again(db(), call_id, clock.now()):
        raise NotFoundError(_("This call waits no more: it was answered, failed or taken back."))
    db().commit()
    flash(_("It is called now."), "ok")
    return redirect("/settings/webhooks")
