"""People: find them, and everything about one of them."""

from __future__ import annotations

import uuid
from itertools import groupby
from typing import Any

from flask import Blueprint, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select
from werkzeug.wrappers import Response

from crm.analytics.profile_view import profile as profile_view
from crm.commerce import computed
from crm.consent.models import Topic
from crm.core import clock
from crm.core.crypto import Keys
from crm.core.errors import NotFoundError
from crm.messages.log import Filters, messages
from crm.profiles import accounts
from crm.profiles.search import Who, search
from crm.profiles.timeline import KINDS, timeline
from crm.web.auth import requires
from crm.web.db import db, settings
from crm.web.navigation import is_built
from crm.web.show import local
from crm.web.titles import as_told

bp = Blueprint("people", __name__)
PAGE = 50
EVENTS = 25
WHO: dict[str, Who] = {"known": "known", "anonymous": "anonymous", "all": "all"}


@bp.get("/people")
@requires()
def index() -> str:
    """The list: search, who, keyset pages; all in the URL."""
    words, after = request.args.get("q", "").strip()[:200], request.args.get("after")
    who = WHO.get(request.args.get("who", ""), "known")
    found = search(db(), words, after=after, limit=PAGE, who=who)
    template = "people-rows.html" if request.headers.get("HX-Target") == "rows" else "people.html"
    return render_template(template, page=found, words=words, who=who, after=after)


@bp.get("/people/<uuid:profile_id>")
@requires()
def profile(profile_id: uuid.UUID) -> str | Response:
    """One person; an old id of somebody joined since leads to who they are now."""
    person = profile_view(db(), profile_id, keys=Keys(settings().secret_key), now=clock.now())
    if person is None:
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    if person.id != profile_id:
        return redirect(f"/people/{person.id}")
    sent = messages(db(), Filters(profile_id=person.id), limit=10)
    topics = {row.name: row.title for row in db().execute(select(Topic.name, Topic.title))}
    return render_template(
        "profile.html",
        profile=person,
        person=person,
        sent=sent,
        topics=topics,
        journeys_of=is_built("/journeys/of/"),
        **_counted(person.id),
        **_timeline(person.id),
    )


@bp.get("/people/<uuid:profile_id>/timeline")
@requires()
def older(profile_id: uuid.UUID) -> str:
    """More of the timeline: older than the cursor, or of one kind."""
    return render_template("profile-timeline.html", **{**_timeline(profile_id), "onward": "before" in request.args})


def _counted(profile_id: uuid.UUID) -> dict[str, Any]:
    return {"counted": computed.of(db(), profile_id), "titles": computed.titles(db()), "companies": accounts.of_profile(db(), profile_id)}


def _timeline(profile_id: uuid.UUID) -> dict[str, Any]:
    kind = request.args.get("kind", "")
    kinds = (kind,) if kind in KINDS else ()
    entries = timeline(db(), profile_id, before=request.args.get("before"), limit=EVENTS + 1, kinds=kinds, now=clock.now(), echoes=False)
    shown = [as_told(entry) for entry in entries[:EVENTS]]
    days = [(day, list(rows)) for day, rows in groupby(shown, key=lambda entry: local(entry.occurred_at).date())]
    more = shown[-1].cursor if len(entries) > EVENTS else ""
    return {"profile_id": profile_id, "days": days, "more": more, "kind": kinds[0] if kinds else "", "kinds": KINDS, "onward": False}
