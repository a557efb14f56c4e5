"""Messages: the log, and every decision about one of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from flask import Blueprint, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select

from crm.core import clock
from crm.core.errors import NotFoundError
from crm.core.ids import read_id
from crm.messages.log import DecisionRow, Filters, MessageRow, by_status, decisions, message, messages
from crm.messages.models import STATUSES, Message, Template
from crm.profiles.models import Profile
from crm.web import looks
from crm.web.auth import requires
from crm.web.db import db
from crm.web.navigation import is_built
from crm.web.show import midnight

bp = Blueprint("messages", __name__)
PAGE = 50
DAYS = {"today": 0, "7": 6, "30": 29}


@bp.get("/messages")
@requires()
def index() -> str:
    """The log: status, journey, template, person, period; all in the URL."""
    now = clock.now()
    asked = {key: request.args.get(key, "") for key in ("status", "journey", "template", "days", "profile", "run", "reason")}
    page = messages(db(), _filters(asked, now), after=request.args.get("after"), limit=PAGE)
    who = db().get(Profile, one) if (one := read_id(asked["profile"])) else None
    return render_template(
        "messages.html",
        page=page,
        asked=asked,
        after=request.args.get("after"),
        today=by_status(db(), since=midnight(now)),
        statuses=STATUSES,
        templates=db().scalars(select(Template.name).order_by(Template.name)).all(),
        journeys=_journeys(),
        who=who,
    )


@bp.get("/messages/<uuid:message_id>")
@requires()
def show(message_id: uuid.UUID) -> str:
    """One message with all decisions, as a drawer beside the log or as a page."""
    found = message(db(), message_id)
    if found is None:
        raise NotFoundError(_("There is no such message. It may have been erased with its person."))
    looks.at(found.profile_id)
    drawer = request.headers.get("HX-Target") == "drawer" and "HX-History-Restore-Request" not in request.headers
    template = "message-drawer.html" if drawer else "message.html"
    decided = decisions(db(), message_id)
    return render_template(template, x=found, decisions=decided, runs=is_built("/runs/"), drawer=drawer, again=_again(found, decided))


def _again(row: MessageRow, decided: Sequence[DecisionRow]) -> dt.datetime | None:
    """When a message that the gate holds comes before it again."""
    until = decided[-1].detail.get("until") if row.status == "held" and decided else None
    return dt.datetime.fromisoformat(until) if until else None


def _journeys() -> list[str]:
    """The journeys of the latest 2,000 messages."""
    latest = select(Message.journey).order_by(Message.created_at.desc()).limit(2000).subquery()
    return sorted(slug for slug in db().scalars(select(latest.c.journey).distinct()) if slug)


def _filters(asked: dict[str, str], now: dt.datetime) -> Filters:
    since = midnight(now) - dt.timedelta(days=DAYS[asked["days"]]) if asked["days"] in DAYS else None
    return Filters(
        status=asked["status"] if asked["status"] in STATUSES else None,
        journey=asked["journey"] or None,
        template=asked["template"] or None,
        reason=asked["reason"] or None,
        profile_id=read_id(asked["profile"]),
        run_id=read_id(asked["run"]),
        since=since,
    )
