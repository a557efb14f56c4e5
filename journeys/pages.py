"""Journeys on the screen: the list, the graph as drawn, runs with their reasons, pause and resume."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import text
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.web import looks, users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db
from crm.web.i18n import language
from crm.web.isolates import duration
from journeys import (
    coupons,
    design,
    drawing,
    experiments,
    pages_backtest,
    pages_coupons,
    pages_designer,
    pages_stories,
    pages_surveys,
    pages_using,
    pages_versions,
    pages_waves,
    pages_webhooks,
    presets,
    publish,
    view,
)
from journeys import why as reasons
from journeys.graph import Graph, parse
from journeys.kinds import TRIGGERS
from journeys.view import JourneyRow, RunFilters, RunView
from journeys.words import CHOICES, REFUSED, ending, events_in_words, label, named, result, say, way, why

bp = Blueprint("journeys", __name__, template_folder="templates")
bp.register_blueprint(design.bp)
bp.register_blueprint(pages_designer.bp)
bp.register_blueprint(pages_backtest.bp)
bp.register_blueprint(pages_webhooks.bp)
bp.register_blueprint(pages_surveys.bp)
bp.register_blueprint(pages_coupons.bp)
bp.register_blueprint(pages_waves.bp)
bp.register_blueprint(pages_using.bp)
bp.register_blueprint(pages_versions.bp)
bp.register_blueprint(pages_stories.bp)
STATES = {  # status -> (words, tone, icon)
    "live": (_l("Active"), "ok", ""),
    "paused": (_l("Paused"), "warn", ""),
    "broken": (_l("Broken"), "bad", "alert-triangle"),
    "draft": (_l("Draft"), "line", ""),
    "stopped": (_l("Stopped"), "", ""),
}
_NAMES = text("SELECT slug, coalesce(name->>:language, name->>'en', slug) AS name FROM journeys")
RUN_STATES = {"active": (_l("Going on"), "acc"), "done": (_l("Over"), ""), "failed": (_l("Failed"), "bad")}
DONE = {
    "pause": _l("Paused. Every run is held where it is, and every message not yet on its way."),
    "resume": _l("Going on."),
    "stop": _l("Stopped. Its runs are over."),
    "retry": _l("Runs that go on: %(n)s, from where they stand."),
}
PAGE = 50


def names() -> dict[str, str]:
    """Every journey's name in the page's language, for pages that know a journey by its slug alone."""
    return {row.slug: row.name for row in db().execute(_NAMES, {"language": language()})}


bp.record_once(lambda state: state.app.extensions.update(kesher_journeys=names))


@bp.get("/journeys")
@requires()
def index() -> str:
    """All journeys."""
    low = [pool for pool in coupons.pools(db(), clock.now()) if pool.runs_low]
    return _page("list.html", rows=view.journeys(db(), now=clock.now()), now_running=view.active_runs(db())[0], low=low)


@bp.get("/journeys/<slug>")
@requires()
def journey(slug: str) -> str:
    """One journey: its graph with counts, and its latest runs."""
    row = _row(slug)
    graph = _graph(row.id, row.version)
    counts = view.passed(db(), row.id, row.version or 0, row.since)
    contests = experiments.standing(db(), row.id, graph) if graph else []
    return _page(
        "journey.html",
        row=row,
        graph=graph,
        picture=drawing.draw(graph, way) if graph else None,
        outline=drawing.outline(graph) if graph else [],
        here=view.standing(db(), row.id),
        failed=view.failed(db(), row.id),
        waits=presets.waits(graph) if graph else None,
        counts=counts,
        unsent=view.unsent(db(), slug, row.since),
        page=view.runs(db(), RunFilters(journey=slug), limit=10),
        refused=view.refusals(db(), journey_id=row.id, since=row.since),
        contests=contests,
        results={each.node: result(each) for each in contests if each.evidence},
    )


@bp.get("/journeys/<slug>/runs")
@requires()
def runs_of(slug: str) -> str:
    """The runs of a journey, by status or node, paged by keyset."""
    status, node, after = (request.args.get(name) or None for name in ("status", "node", "after"))
    status = status if status in RUN_STATES else None
    found = view.runs(db(), RunFilters(journey=slug, status=status, node=node), after=after, limit=PAGE)
    return _page("runs.html", row=_row(slug), page=found, status=status, node=node, after=after)


@bp.get("/runs/<uuid:run_id>")
@requires()
def run(run_id: uuid.UUID) -> str:
    """One run: its way, and why."""
    found = view.runs(db(), RunFilters(run_id=run_id), limit=1).rows
    if not found:
        raise NotFoundError(_("There is no such run."))
    looks.at(found[0].profile_id)
    graph = graph_for(found[0])
    picture = drawing.draw(graph, way) if graph else None
    return _page("run.html", run=found[0], row=_row(found[0].journey), picture=picture, walked=drawing.walked(graph, found[0].steps) if graph else None)


@bp.get("/journeys/of/<uuid:profile_id>")
@requires()
def of_profile(profile_id: uuid.UUID) -> str:
    """A fragment for the profile page: this person's runs, and what started none."""
    since = clock.now() - view.SINCE
    names = {row.slug: row.name for row in view.journeys(db(), now=clock.now())}
    found = view.runs(db(), RunFilters(profile_id=profile_id), limit=10)
    return _page("of.html", profile_id=profile_id, page=found, names=names, refused=view.refusals(db(), profile_id=profile_id, since=since, limit=5))


@bp.get("/journeys/why/<uuid:profile_id>")
@requires()
def why_not(profile_id: uuid.UUID) -> str:
    """A fragment: why this person is not in a journey."""
    slug = request.args.get("journey", "")
    row = _row(slug)
    refused = view.refusals(db(), journey_id=row.id, profile_id=profile_id, since=row.since, limit=5)
    return _page("why.html", reasons=reasons.why_not(db(), slug, profile_id, clock.now()), refused=refused)


@bp.get("/journeys/pulse")
@requires()
def pulse() -> str:
    """A fragment for Home: runs going on."""
    runs_now, in_journeys = view.active_runs(db())
    return _page("pulse.html", runs_now=runs_now, in_journeys=in_journeys)


@bp.post("/journeys/<slug>/<any(pause, resume, stop, retry):action>")
@requires(*MAKERS)
def act(slug: str, action: str) -> Response:
    """Pause, resume, stop, or let failed runs go on, and write down who did."""
    now, how = clock.now(), request.form.get("how") or "catch_up"
    done: int | None = None
    try:
        if action == "resume":
            publish.resume(db(), slug, now=now, how=how)
        else:
            done = {"pause": publish.pause, "stop": publish.stop, "retry": publish.retry}[action](db(), slug, now=now)
    except InvalidError:
        db().rollback()
        flash(_("The journey has changed meanwhile; look at it again."), "bad")
    else:
        users.audit(db(), user_id=me().user_id, action=f"journey.{action}", subject=slug)
        db().commit()
        flash(str(_(DONE[action], n=done)), "ok")
    return redirect(f"/journeys/{slug}")


@bp.post("/journeys/<slug>/wait")
@requires(*MAKERS)
def change_wait(slug: str) -> Response:
    """Publish the journey with another waiting time for carts; whoever waits now waits by the new one."""
    row, wanted = _row(slug), request.form.get("for", "")
    graph = _graph(row.id, row.version)
    node = presets.cart_wait(graph) if graph else None
    if graph is None or node is None or wanted not in presets.WAITS:
        raise InvalidError(_("This journey has no wait that could be changed here; edit it."))
    changed = presets.with_wait(graph, node, wanted)
    done = publish.publish_moving(db(), slug, changed, choice=publish.Choice("same"), now=clock.now(), by=me().email)
    users.audit(db(), user_id=me().user_id, action="journey.publish", subject=f"{slug} {done.version}")
    db().commit()
    flash(_("Version %(n)s is live; runs that wait took it over: %(moved)s.", n=done.version, moved=done.moved), "ok")
    return redirect(f"/journeys/{slug}")


def _graph(journey_id: int, version: int | None) -> Graph | None:
    """A version that can be read; None where it cannot (the journey's problem says why)."""
    stored = view.graph_of(db(), journey_id, version) if version is not None else None
    try:
        return parse(stored) if stored else None
    except InvalidError:
        return None


def graph_for(found: RunView) -> Graph | None:
    """The graph a run follows."""
    return _graph(found.journey_id, found.version)


def _row(slug: str) -> JourneyRow:
    found = view.journeys(db(), now=clock.now(), slug=slug)
    if not found:
        raise NotFoundError(_("There is no such journey."))
    return found[0]


def _page(template: str, **values: Any) -> str:
    words: dict[str, Any] = {"say": say, "named": named, "label": label, "way": way, "why_of": why, "ending": ending}
    words |= {
        "choices": {name: str(_(said)) for name, said in CHOICES.items()},
        "graph_for": graph_for,
        "events_in_words": events_in_words,
        "duration": duration,
    }
    return render_template(f"journeys/{template}", states=STATES, run_states=RUN_STATES, refused_words=REFUSED, triggers=TRIGGERS, **words, **values)
