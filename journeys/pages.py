"""Journeys on the screen: the list, the graph as drawn, runs with their reasons, pause and resume."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from babel.lists import format_list
from babel.units import format_unit
from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db
from crm.web.i18n import language, region
from crm.web.words import event_title
from journeys import drawing, publish, view
from journeys.graph import Graph, parse
from journeys.kinds import NODES, TRIGGERS
from journeys.node import Sentence, write_duration
from journeys.view import JourneyRow, RunFilters, RunView, StepRow

bp = Blueprint("journeys", __name__, template_folder="templates")
STATES = {  # status -> (words, tone, icon)
    "live": (_l("Active"), "ok", ""),
    "paused": (_l("Paused"), "warn", ""),
    "broken": (_l("Broken"), "bad", "alert-triangle"),
    "draft": (_l("Draft"), "line", ""),
    "stopped": (_l("Stopped"), "", ""),
}
RUN_STATES = {"active": (_l("Going on"), "acc"), "done": (_l("Over"), ""), "failed": (_l("Failed"), "bad")}
ENDINGS = {
    "finished": _l("came to its end"),
    "cart_closed": _l("the cart was ordered or emptied"),
    "merged": _l("went on in the run of another profile, now the same person"),
    "stopped": _l("somebody stopped the journey"),
    "too_many_steps": _l("went in circles and was stopped"),
}
REFUSED = {
    "too_late": _l("the event came too late to start anything"),
    "already_in": _l("there was already a run for the same thing"),
    "no_cart": _l("the event opened no cart"),
    "broken": _l("the journey is broken"),
    "too_many_hops": _l("a chain of causes was cut off"),
}
CARTS = {
    "ordered": _l("the cart was ordered"),
    "emptied": _l("the cart was empty"),
    "expired": _l("the cart had lapsed"),
    "gone": _l("there was no cart any more"),
}
UNITS = {"w": "duration-week", "d": "duration-day", "h": "duration-hour", "m": "duration-minute", "s": "duration-second"}
PAGE = 50


@bp.get("/journeys")
@requires()
def index() -> str:
    """All journeys."""
    return _page("list.html", rows=view.journeys(db(), now=clock.now()), now_running=view.active_runs(db())[0])


@bp.get("/journeys/<slug>")
@requires()
def journey(slug: str) -> str:
    """One journey: its graph with counts, and its latest runs."""
    row = _row(slug)
    graph = _graph(row.id, row.version)
    counts = view.passed(db(), row.id, row.version or 0, row.since)
    return _page(
        "journey.html",
        row=row,
        graph=graph,
        picture=drawing.draw(graph) if graph else None,
        outline=drawing.outline(graph) if graph else [],
        here=view.standing(db(), row.id),
        counts=counts,
        page=view.runs(db(), RunFilters(journey=slug), limit=10),
        refused=view.refusals(db(), journey_id=row.id, since=row.since),
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
    return _page("run.html", run=found[0], row=_row(found[0].journey))


@bp.get("/journeys/of/<uuid:profile_id>")
@requires()
def of_profile(profile_id: uuid.UUID) -> str:
    """A fragment for the profile page: this person's runs, and what started none."""
    since = clock.now() - view.SINCE
    names = {row.slug: row.name for row in view.journeys(db(), now=clock.now())}
    found = view.runs(db(), RunFilters(profile_id=profile_id), limit=10)
    return _page("of.html", page=found, names=names, refused=view.refusals(db(), profile_id=profile_id, since=since, limit=5))


@bp.get("/journeys/pulse")
@requires()
def pulse() -> str:
    """A fragment for Home: runs going on."""
    runs_now, in_journeys = view.active_runs(db())
    return _page("pulse.html", runs_now=runs_now, in_journeys=in_journeys)


@bp.get("/journeys/palette")
@requires()
def palette() -> list[dict[str, Any]]:
    """Every kind of node with the schema its form is drawn from."""
    return [{"kind": n.kind, "title": _(n.title), "icon": n.icon, "schema": n.settings_type.model_json_schema()} for n in NODES.values()]


@bp.post("/journeys/<slug>/<any(pause, resume, stop):action>")
@requires(*MAKERS)
def act(slug: str, action: str) -> Response:
    """Pause, resume or stop, and write down who did."""
    try:
        if action == "stop":
            publish.stop(db(), slug, now=clock.now())
        else:
            {"pause": publish.pause, "resume": publish.resume}[action](db(), slug)
    except InvalidError:
        db().rollback()
        flash(_("The journey has changed meanwhile; look at it again."), "bad")
    else:
        users.audit(db(), user_id=me().user_id, action=f"journey.{action}", subject=slug)
        db().commit()
        flash({"pause": _("Paused. Every run is held where it is."), "resume": _("Going on."), "stop": _("Stopped. Its runs are over.")}[action], "ok")
    return redirect(f"/journeys/{slug}")


def say(sentence: Sentence) -> str:
    """A node's sentence in the language of the page."""
    values = {name: _value(name, value) for name, value in sentence.values.items()}
    return str(_(sentence.text, **values))


def _value(name: str, value: object) -> object:
    if isinstance(value, dt.timedelta):
        amount = write_duration(value)
        return format_unit(int(amount[:-1]), UNITS[amount[-1]], locale=region())
    if isinstance(value, list):
        return events_in_words(value) if name == "events" else format_list([str(each) for each in value], locale=region())
    return value


def events_in_words(names: Sequence[str]) -> str:
    """`Order placed or Cart emptied`."""
    return format_list([event_title(name) for name in names], style="or", locale=region())


def named(names: Mapping[str, str], otherwise: str) -> str:
    """A name by language, in the page's, else in any."""
    return names.get(language()) or next(iter(names.values()), otherwise)


def label(graph: Graph, node: str) -> str:
    """A node by the name it was given, else by its kind."""
    spot = graph.nodes.get(node)
    return named(spot.label, _(spot.node.title)) if spot else node


def way(graph: Graph, node: str, exit_name: str) -> str:
    """The words on an edge."""
    spot = graph.nodes.get(node)
    words = spot.node.exits(spot.settings).get(exit_name, "") if spot else exit_name
    return str(_(words)) if words else ""


def why(step: StepRow) -> str:
    """What decided a step, as a short phrase; empty where there is nothing to add."""
    said = step.detail
    if "event" in said:
        return event_title(str(said["event"]))
    if "cart" in said:
        return str(_(CARTS.get(str(said["cart"]), str(said["cart"]))))
    return f"“{said['template']}”" if "template" in said else ""


def ending(reason: str | None) -> str:
    """Why a run is over."""
    head, _colon, event = (reason or "").partition(":")
    return str(_("%(event)s ended it", event=event_title(event)) if head == "exit" else _(ENDINGS.get(head, head)))


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
    words |= {"graph_for": graph_for, "events_in_words": events_in_words}
    return render_template(f"journeys/{template}", states=STATES, run_states=RUN_STATES, refused_words=REFUSED, triggers=TRIGGERS, **words, **values)
