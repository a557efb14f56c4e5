"""What the designer asks over HTTP: palette, draft, check, publish, counts, try it. JSON for the signed-in browser."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from flask import Blueprint, Response, jsonify, request
from flask_babel import gettext as _
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.web import looks, rights, users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db, settings
from crm.web.phrases import template_title
from crm.web.words import event_title
from journeys import audiences, changes, drafts, experiments, files, lint_audience, palette, publish, tryout, view
from journeys.differences import differences
from journeys.draft_models import Draft
from journeys.graph import NodePart, Problem, read, read_spot
from journeys.kinds import TRIGGERS
from journeys.lint import review
from journeys.models import Journey
from journeys.node import Duration
from journeys.triggers.segment import SegmentSettings
from journeys.words import ending, named, problem, refusal, result, say
from journeys.zones import Instant

bp = Blueprint("design", __name__)
Answer = Response | tuple[Response, int]


class Asked(BaseModel):
    """A body; anything unknown in it is an error."""

    model_config = ConfigDict(extra="forbid")


class Drawn(Asked):
    """What the designer saves."""

    revision: int
    graph: dict[str, Any]
    layout: dict[str, tuple[float, float]] = {}


class Revision(Asked):
    """Which revision the designer has seen."""

    revision: int


class Publishing(Asked):
    """What becomes of people on nodes that changed."""

    revision: int
    move: Literal["old", "same", "chosen", "exit"] = "old"
    to: dict[str, str] = {}
    include: bool = False  # also who is in the segment already


class Judged(Asked):
    """A graph to look at."""

    graph: dict[str, Any] | None = None


class Said(Asked):
    """An event in a try-out: at a time, or so long after its start."""

    name: str = Field(min_length=1, max_length=200)
    at: Instant | None = None
    after: Duration | None = None
    properties: dict[str, Any] | None = None


class Trying(Asked):
    """On whom to try a graph, and what happens to them."""

    graph: dict[str, Any]
    slug: str = Field(default="", max_length=100)  # how the journey is called, should it name itself
    start: Instant | None = None
    profile_id: uuid.UUID | None = None
    who: str = Field(default="", max_length=200)  # a real person, by any identifier
    traits: dict[str, Any] = {}
    segments: list[str] = Field(default=[], max_length=20)  # in which they are, beside those of the real person
    language: str | None = None
    events: list[Said] = Field(default=[], max_length=200)


class New(Asked):
    """A journey to begin."""

    recipe: str | None = None
    name: dict[str, str] = {}


@bp.errorhandler(drafts.ConflictError)
def _conflict(error: drafts.ConflictError) -> Answer:
    return jsonify({"error": str(_(str(error)))} | _stored(error.draft)), error.status


@bp.errorhandler(NotFoundError)
@bp.errorhandler(InvalidError)
def _invalid(error: InvalidError | NotFoundError) -> Answer:
    return jsonify({"error": str(_(str(error)))}), error.status


@bp.errorhandler(ValidationError)
def _unreadable(error: ValidationError) -> Answer:
    said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False, include_input=False)]
    return jsonify({"error": "; ".join(said)}), 400


@bp.get("/journeys/palette")
@requires()
def kinds() -> Answer:
    """Everything that can be drawn, with the schema its form comes from, and what to suggest in fields."""
    rights.unveiled()
    return jsonify(palette.palette(db(), _))


@bp.get("/journeys/<slug>/draft")
@requires(*MAKERS)
def draft(slug: str) -> Answer:
    """What is being drawn."""
    journey = drafts.find(db(), slug)
    return jsonify(_whole(journey, drafts.load(db(), journey, clock.now())))


@bp.put("/journeys/<slug>/draft")
@requires(*MAKERS)
def save(slug: str) -> Answer:
    """Autosave."""
    asked = Drawn.model_validate(request.get_json())
    if rights.VEIL in dumps(asked.graph):
        raise InvalidError(_l("A hidden address or number (•••) stands in this drawing. Load the page again, and write it out."))
    journey = drafts.find(db(), slug)
    layout = {name: list(place) for name, place in asked.layout.items()}
    kept = drafts.save(db(), journey, (asked.graph, layout), revision=asked.revision, now=clock.now(), by=me().email)
    answer = {"revision": kept.revision, "saved_at": kept.saved_at.isoformat(), "changed": drafts.changed(db(), journey, kept)} | _judged(kept.graph)
    db().commit()
    return jsonify(answer)


@bp.delete("/journeys/<slug>/draft")
@requires(*MAKERS)
def discard(slug: str) -> Answer:
    """Back to what is published."""
    asked = Revision.model_validate(request.get_json())
    journey = drafts.find(db(), slug)
    kept = drafts.discard(db(), journey, revision=asked.revision, now=clock.now(), by=me().email)
    answer = _whole(journey, kept)
    db().commit()
    return jsonify(answer)


@bp.post("/journeys/check")
@requires(*MAKERS)
def check() -> Answer:
    """What is wrong with a graph, and what each node says."""
    return jsonify(_judged(Judged.model_validate(request.get_json()).graph or {}))


@bp.get("/journeys/<slug>/check")
@requires(*MAKERS)
def check_people(slug: str) -> Answer:
    """What the draft would mean for those it would reach: looked at when asked for, since it takes reading them."""
    graph = drafts.load(db(), drafts.find(db(), slug), clock.now()).graph
    drawn, problems = read(graph)
    if drawn is None or problems:
        raise InvalidError(_l("This cannot run yet; mend what is marked."))
    people = len(lint_audience.sample(db(), drawn, clock.now()))
    return jsonify({"people": people, "problems": [problem(each, graph) for each in _among_people(slug, graph)]})


@bp.get("/journeys/<slug>/publish")
@requires(*MAKERS)
def publishing(slug: str) -> Answer:
    """What publishing the draft would change, and for how many."""
    journey = drafts.find(db(), slug)
    graph = drafts.load(db(), journey, clock.now()).graph
    found, people = changes.changes(db(), journey.id, graph)
    said = {
        "number": (journey.version or 0) + 1,
        "problems": [problem(each, graph) for each in [*review(db(), graph), *_among_people(slug, graph)]],
        "changes": [{"node": each.node, "change": each.change, "people": each.people} for each in found],
        "people": people,
        "diff": changes.diff(drafts.published(db(), journey) or {}, graph),
        "said": [each.text for each in differences(drafts.published(db(), journey) or {}, graph)],
        "choices": list(publish.CHOICES),
        "members": audiences.members(db(), segment) if (segment := _segment(graph)) else None,
    }
    return jsonify(said)


@bp.post("/journeys/<slug>/publish")
@requires(*MAKERS)
def do_publish(slug: str) -> Answer:
    """Make the draft the version new runs follow."""
    asked = Publishing.model_validate(request.get_json())
    journey = drafts.find(db(), slug)
    kept = drafts.load(db(), journey, clock.now())
    if kept.revision != asked.revision:
        raise drafts.ConflictError(kept)
    problems = review(db(), kept.graph)
    if any(each.level == "error" for each in problems):
        return jsonify({"error": _("The journey is not whole yet; mend what is marked."), "problems": [problem(each, kept.graph) for each in problems]}), 400
    choice = publish.Choice(asked.move, asked.to)
    done = publish.publish_moving(db(), slug, kept.graph, choice=choice, now=clock.now(), by=me().email)
    if asked.include and (segment := _segment(kept.graph)):
        audiences.include(db(), journey.id, f"version {done.version}", segment, clock.now())
    users.audit(db(), user_id=me().user_id, action="journey.publish", subject=f"{slug} {done.version}")
    db().commit()
    return jsonify({"version": done.version, "moved": done.moved, "ended": done.ended})


def _among_people(slug: str, drawn: object) -> list[Problem]:
    """What only the people who are there can show."""
    graph, problems = read(drawn)
    return lint_audience.review(db(), graph, settings(), clock.now(), slug=slug) if graph and not problems else []


def _segment(drawn: object) -> str | None:
    """The segment whose present members a journey may include."""
    graph = read(drawn)[0]
    settings = graph.trigger_settings if graph else None
    return settings.segment if isinstance(settings, SegmentSettings) and settings.way == "entered" else None


@bp.get("/journeys/<slug>/counts")
@requires()
def counts(slug: str) -> Answer:
    """Who stands where now, and how often each way was taken."""
    journey = drafts.find(db(), slug)
    since = clock.now() - view.SINCE
    version = request.args.get("version", type=int) or journey.version or 0
    edges = {f"{node}/{way}": count for (node, way), count in view.passed(db(), journey.id, version, since).items()}
    started = next((row.started for row in view.journeys(db(), now=clock.now(), slug=slug)), 0)
    said = {"since": since.isoformat(), "version": version, "status": journey.status, "started": started}
    return jsonify(said | {"nodes": view.standing(db(), journey.id), "edges": edges, "results": _results(journey)})


def _results(journey: Journey) -> dict[str, str]:
    """What experiments have shown, by node."""
    graph = read(drafts.published(db(), journey) or {})[0]
    return {each.node: result(each) for each in experiments.standing(db(), journey.id, graph) if each.evidence} if graph else {}


@bp.post("/journeys/simulate")
@requires(*MAKERS)
def simulate() -> Answer:
    """Try a graph on one person with a jumping clock; nothing is written."""
    asked = Trying.model_validate(request.get_json())
    graph, problems = read(asked.graph)
    if graph is None or problems:
        return jsonify({"error": _("This cannot run yet; mend what is marked."), "problems": [problem(each, asked.graph) for each in problems]}), 400
    start = asked.start or clock.now().replace(microsecond=0)
    real = tryout.known_as(db(), asked.who) if asked.who.strip() else asked.profile_id
    if real is not None:
        looks.at(real)
    who = tryout.somebody(
        db(),
        real,
        asked.traits,
        asked.language or settings().locale,
        settings().timezone,
        graph=graph,
        start=start,
        segments=asked.segments,
    )
    words = {"event": event_title, "refused": refusal, "template": template_title, "ended": ending}
    return jsonify(tryout.timeline(graph, start, [_event(each, start) for each in asked.events], who, words=words, slug=asked.slug))


@bp.get("/journeys/recipes")
@requires()
def recipes() -> Answer:
    """What a new journey may begin from."""
    there = {row.slug for row in view.journeys(db(), now=clock.now())}
    found = [
        {"recipe": slug, "name": named(graph["name"], slug), "about": named(graph.get("about", {}), ""), "exists": slug in there}
        for slug, graph in files.recipes().items()
    ]
    return jsonify(found)


@bp.post("/journeys/new")
@requires(*MAKERS)
def new() -> Answer:
    """Begin a journey as a draft."""
    asked = New.model_validate(request.get_json())
    journey = drafts.create(db(), recipe=asked.recipe, name=asked.name, now=clock.now(), by=me().email)
    users.audit(db(), user_id=me().user_id, action="journey.create", subject=journey.slug)
    db().commit()
    return jsonify({"slug": journey.slug, "url": f"/journeys/{journey.slug}/edit"})


@bp.get("/journeys/<slug>/versions")
@requires()
def versions(slug: str) -> Answer:
    """All versions, newest first."""
    journey = drafts.find(db(), slug)
    found = view.versions(db(), journey.id)
    said = [{"number": each["number"], "published_at": each["at"].isoformat(), "published_by": each["published_by"]} for each in found]
    return jsonify([each | {"current": each["number"] == journey.version} for each in said])


@bp.get("/journeys/<slug>/versions/<int:number>")
@requires()
def version(slug: str, number: int) -> Answer:
    """One version, and what the current one says differently."""
    journey = drafts.find(db(), slug)
    graph = view.graph_of(db(), journey.id, number)
    if graph is None:
        raise InvalidError("There is no such version of this journey.")
    rights.unveiled()
    return jsonify({"number": number, "graph": graph, "diff": changes.diff(graph, drafts.published(db(), journey) or {})})


@bp.post("/journeys/<slug>/versions/<int:number>/restore")
@requires(*MAKERS)
def restore(slug: str, number: int) -> Answer:
    """Take an older version as the draft; publishing it asks, as always, what becomes of people on their way."""
    asked = Revision.model_validate(request.get_json())
    journey = drafts.find(db(), slug)
    graph = view.graph_of(db(), journey.id, number)
    if graph is None:
        raise InvalidError("There is no such version of this journey.")
    layout = drafts.load(db(), journey, clock.now()).layout
    kept = drafts.save(db(), journey, (graph, layout), revision=asked.revision, now=clock.now(), by=me().email)
    answer = _whole(journey, kept)
    db().commit()
    return jsonify(answer)


def _event(said: Said, start: dt.datetime) -> tuple[dt.datetime, str, Mapping[str, Any] | None]:
    return said.at or start + (said.after or dt.timedelta(0)), said.name, said.properties


def _stored(kept: Draft) -> dict[str, Any]:
    rights.unveiled()
    return {"revision": kept.revision, "graph": kept.graph, "layout": kept.layout, "saved_at": kept.saved_at.isoformat(), "saved_by": kept.saved_by}


def _whole(journey: Journey, kept: Draft) -> dict[str, Any]:
    own = {"slug": journey.slug, "status": journey.status, "version": journey.version, "changed": drafts.changed(db(), journey, kept)}
    return own | _stored(kept) | _judged(kept.graph)


def _judged(graph: Mapping[str, Any]) -> dict[str, Any]:
    return {"problems": [problem(each, graph) for each in review(db(), graph)], "nodes": _facts(graph)}


def _facts(graph: Mapping[str, Any]) -> dict[str, Any]:
    """For each node whose settings are valid its words and ways; for the trigger its sentence."""
    found: dict[str, Any] = {}
    parts = graph.get("nodes")
    for name, stored in parts.items() if isinstance(parts, Mapping) else ():
        problems: Sequence[Problem] = []
        try:
            spot = read_spot(name, NodePart.model_validate(stored), list(problems))
        except ValidationError:
            continue
        if spot is not None:
            ways = {way: str(_(words)) if words else "" for way, words in spot.node.exits(spot.settings).items()}
            said = {"summary": say(spot.node.summary(spot.settings)), "title": str(_(spot.node.title)), "exits": ways}
            found[name] = said | {"waits": spot.node.waits(spot.settings)}
    return found | _trigger_facts(graph.get("trigger"))


def _trigger_facts(stored: object) -> dict[str, Any]:
    plugin = TRIGGERS.get(str(stored.get("kind"))) if isinstance(stored, Mapping) else None
    if plugin is None or not isinstance(stored, Mapping):
        return {}
    try:
        return {"trigger": {"title": str(_(plugin.title)), "summary": say(plugin.summary(plugin.settings_type.model_validate(stored.get("settings") or {})))}}
    except ValidationError:
        return {"trigger": {"title": str(_(plugin.title)), "summary": ""}}
