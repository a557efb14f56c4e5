"""Quarantine: calls that could not be taken, why, and what to do with them."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import select
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.ids import read_number
from crm.events import quarantine
from crm.events.models import Source
from crm.web import auth, users
from crm.web.auth import MAKERS, requires
from crm.web.db import db
from crm.web.phrases import held_detail

bp = Blueprint("quarantine", __name__, url_prefix="/quarantine")
PAGE = 25
SHOWN = 3000  # characters of a call on the list


@bp.get("")
@requires(*MAKERS)
def index() -> str:
    """The list, newest first."""
    before, source_id = request.args.get("before", type=int), request.args.get("source", type=int)
    rows = quarantine.page(db(), before=before, size=PAGE + 1, source_id=source_id)
    names = {row.id: row.name for row in db().execute(select(Source.id, Source.name))}
    shown = rows[:PAGE]
    return render_template(
        "quarantine.html", rows=shown, more=shown[-1].id if len(rows) > PAGE else None, before=before, names=names, source_id=source_id, most=SHOWN
    )


@bp.post("")
@requires(*MAKERS)
def act() -> Response:
    """Replay or discard the chosen calls."""
    ids = [one for said in request.form.getlist("id")[:PAGE] if (one := read_number(said)) is not None]
    if not ids:
        flash(_("Choose at least one call first."), "bad")
    elif request.form.get("act") == "discard":
        count = quarantine.discard(db(), ids=ids)
        _note("quarantine.discarded", count)
        flash(ngettext("%(num)s call was discarded.", "%(num)s calls were discarded.", count), "ok")
    else:
        _replay(ids)
    db().commit()
    return redirect("/quarantine")


def _replay(ids: list[int]) -> None:
    done = quarantine.replay(db(), ids=ids, now=clock.now())
    if done.count:
        _note("quarantine.replayed", done.count)
        flash(ngettext("%(num)s call goes through the inbox again.", "%(num)s calls go through the inbox again.", done.count), "ok")
    if done.refused:
        words = {"why": "; ".join(dict.fromkeys(str(held_detail(error.detail).striptags()) for error in done.refused.values()))}
        flash(ngettext("%(num)s call stays: %(why)s", "%(num)s calls stay: %(why)s", len(done.refused), **words), "bad")


def _note(action: str, count: int) -> None:
    users.audit(db(), user_id=auth.me().user_id, action=action, subject=str(count))
