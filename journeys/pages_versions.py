"""The versions of a journey on the screen: who published what, what differs between any two, and back to one of them."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import NotFoundError
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db
from journeys import drafts, view
from journeys.differences import differences
from journeys.words import named

bp = Blueprint("versions", __name__, template_folder="templates")


@bp.get("/journeys/<slug>/history")
@requires()
def history(slug: str) -> str:
    """All versions, and what the chosen one says differently from another."""
    journey = drafts.find(db(), slug)
    there = view.versions(db(), journey.id)
    numbers = [each["number"] for each in there]
    after = _chosen("to", numbers, journey.version)
    before = _chosen("from", numbers, next((each for each in numbers if after and each < after), None))
    graphs = [view.graph_of(db(), journey.id, each) if each else None for each in (before, after)]
    return render_template(
        "journeys/versions.html",
        slug=slug,
        name=named(journey.name, slug),
        current=journey.version,
        versions=there,
        people=view.on_versions(db(), journey.id),
        before=before,
        after=after,
        differences=differences(*graphs),
        drawn=drafts.changed(db(), journey, drafts.load(db(), journey, clock.now())),
    )


def _chosen(name: str, numbers: list[int], otherwise: int | None) -> int | None:
    wanted = request.args.get(name, type=int)
    return wanted if wanted in numbers else otherwise


@bp.post("/journeys/<slug>/history/<int:number>/restore")
@requires(*MAKERS)
def restore(slug: str, number: int) -> Response:
    """An older version becomes the draft; publishing it asks, as always, what becomes of people on their way."""
    journey = drafts.find(db(), slug)
    graph = view.graph_of(db(), journey.id, number)
    if graph is None:
        raise NotFoundError(_("There is no such version of this journey."))
    now = clock.now()
    draft = drafts.load(db(), journey, now)
    drafts.save(db(), journey, (graph, draft.layout), revision=draft.revision, now=now, by=me().email)
    users.audit(db(), user_id=me().user_id, action="journey.restore", subject=f"{slug} {number}")
    db().commit()
    flash(_("Version %(n)s is the draft now. Publish it to make it live.", n=number), "ok")
    return redirect(f"/journeys/{slug}/edit")
