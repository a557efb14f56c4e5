"""Tasks: what is to be done by whom, late ones first; and the alerts beside the bell."""

from __future__ import annotations

import datetime as dt
import uuid

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import text
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.paging import cursor, read_place
from crm.sales import acts, alerts, tasks
from crm.web import sales_words as words
from crm.web import selling
from crm.web.auth import me, requires, safe_next
from crm.web.db import db, settings
from crm.web.show import midnight
from crm.web.users import SELLERS

bp = Blueprint("tasks", __name__)
DOERS = ("admin", "sales", "agent", "marketer")
PAGE = 50


@bp.get("/tasks")
@requires()
def index() -> str:
    """Mine, those of my role that nobody has, or everybody's; late, today, later; a page at a time by key."""
    view = request.args.get("view", "")
    view = view if view in {"mine", "role", "all", "done"} else "mine"
    now, user, after = clock.now(), me(), read_place(request.args.get("after"))
    at, one = after or (None, None)
    values = {"user": user.user_id, "role": user.role, "limit": PAGE + 1, "since": midnight(now), "at": at, "id": one}
    found = db().execute(text(_TASKS[view] % {"after": _AFTER[view == "done"] if after else "true"}), values).all()
    rows, last = found[:PAGE], found[PAGE - 1] if len(found) > PAGE else None
    more = cursor(last.done_at if view == "done" else last.due_at, last.id) if last else ""
    tonight = midnight(now) + dt.timedelta(days=1)
    parts = [
        (_("Late"), "bad", [row for row in rows if row.due_at <= now]),
        (_("Today"), "", [row for row in rows if now < row.due_at < tonight]),
        (_("Later"), "", [row for row in rows if row.due_at >= tonight]),
    ]
    if view == "done":
        parts = [(_("Done today"), "ok", list(rows))]
    may = user.may(*DOERS)
    known = {"kinds": tasks.KINDS, "sellers": selling.sellers(), "words": words}
    return render_template("tasks.html", view=view, parts=parts, now=now, may=may, more=more, after=after, **known)


@bp.post("/tasks/<uuid:task_id>/done")
@requires(*DOERS)
def done(task_id: uuid.UUID) -> Response:
    """It is done."""
    acts.finish(db(), task_id, by=me().user_id, now=clock.now(), outcome=request.form.get("outcome", "done") or "done")
    db().commit()
    flash(_("Done."), "ok")
    return redirect(safe_next(request.form.get("back") or "/tasks"))


@bp.post("/tasks/<uuid:task_id>/undo")
@requires(*DOERS)
def undo(task_id: uuid.UUID) -> Response:
    """It was not done after all."""
    acts.reopen(db(), task_id, now=clock.now())
    db().commit()
    return redirect(safe_next(request.form.get("back") or "/tasks"))


@bp.post("/tasks/<uuid:task_id>/move")
@requires(*DOERS)
def move(task_id: uuid.UUID) -> Response:
    """Another time, or mine from now on."""
    form, now = request.form, clock.now()
    due = words.moment(form.get("when", ""), form.get("at", ""), hours=selling.rules().hours(settings().timezone), now=now)
    acts.put_off(db(), task_id, due_at=due, take=me().user_id if form.get("take") else None, now=now)
    db().commit()
    return redirect(safe_next(form.get("back") or "/tasks"))


@bp.get("/alerts")
@requires(*SELLERS)
def bell() -> str:
    """The bell with what is new; asked for every few seconds."""
    mine = alerts.latest(db(), me().user_id)
    rows = db().execute(text("SELECT id, name FROM profiles WHERE id = ANY(:ids)"), {"ids": [one.profile_id for one in mine]})
    names = {row.id: row.name for row in rows}
    return render_template("alerts.html", alerts=mine, unseen=sum(one.seen_at is None for one in mine), titles=alerts.TITLES, names=names, words=words)


@bp.post("/alerts/seen")
@requires(*SELLERS)
def seen() -> str | Response:
    """They were looked at."""
    latest = alerts.latest(db(), me().user_id, limit=1)
    if latest:
        alerts.seen(db(), me().user_id, up_to=latest[0].id, now=clock.now())
        db().commit()
    return bell()


_SELECT = """
SELECT t.id, t.kind, t.title, t.note, t.due_at, t.done_at, t.outcome, t.owner_id, t.role, t.level, t.profile_id, t.deal_id, p.name AS person, d.title AS deal
FROM tasks t JOIN profiles p ON p.id = t.profile_id LEFT JOIN deals d ON d.id = t.deal_id
WHERE {which} AND %(after)s ORDER BY {order} LIMIT :limit
"""
_AFTER = ("(t.due_at, t.id) > (:at, CAST(:id AS uuid))", "(t.done_at, t.id) < (:at, CAST(:id AS uuid))")
_TASKS = {
    "mine": _SELECT.format(which="t.done_at IS NULL AND t.owner_id = :user", order="t.due_at, t.id"),
    "role": _SELECT.format(which="t.done_at IS NULL AND t.owner_id IS NULL AND t.role = :role", order="t.due_at, t.id"),
    "all": _SELECT.format(which="t.done_at IS NULL", order="t.due_at, t.id"),
    "done": _SELECT.format(which="t.done_by = :user AND t.done_at >= :since", order="t.done_at DESC, t.id DESC"),
}
