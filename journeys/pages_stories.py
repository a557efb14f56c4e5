"""Stories in the designer: told again over the drawing as it is, kept from what was tried, taken away. JSON for the signed-in browser."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask_babel import gettext as _
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crm.core import clock
from crm.core.errors import InvalidError
from crm.core.mistakes import Mistake
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db
from journeys import drafts, stories
from journeys.graph import Graph, read
from journeys.models import Journey
from journeys.story import Happening, Story, recorded
from journeys.words import slot
from journeys.zones import Instant

bp = Blueprint("stories", __name__)
Answer = Response | tuple[Response, int]


class Tried(BaseModel):
    """An event of the try-out that is kept."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=200)
    at: Instant
    properties: dict[str, Any] | None = None


class Keeping(BaseModel):
    """What was tried, to be kept under a name."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=120)
    traits: dict[str, Any] = {}
    segments: list[str] = Field(default=[], max_length=20)
    events: list[Tried] = Field(min_length=1, max_length=200)


class Named(BaseModel):
    """Which story."""

    model_config = ConfigDict(extra="forbid")
    name: str


@bp.errorhandler(InvalidError)
def _invalid(error: InvalidError) -> Answer:
    return jsonify({"error": str(_(str(error)))}), error.status


@bp.errorhandler(ValidationError)
def _unreadable(_error: ValidationError) -> Answer:
    return jsonify({"error": str(_("A story needs a name and something that happens."))}), 400


@bp.get("/journeys/<slug>/stories")
@requires(*MAKERS)
def told(slug: str) -> Answer:
    """Every story, told over the draft."""
    journey = drafts.find(db(), slug)
    return jsonify(_told(journey))


@bp.post("/journeys/<slug>/stories")
@requires(*MAKERS)
def keep(slug: str) -> Answer:
    """Keep what was tried; what happens today is what is expected from now on."""
    asked = Keeping.model_validate(request.get_json())
    journey = drafts.find(db(), slug)
    graph = _graph(journey)
    if graph is None:
        raise InvalidError("This cannot run yet; mend what is marked.")
    start = min(each.at for each in asked.events)
    happens = [Happening(name=each.name, after=_whole(each.at - start), properties=each.properties) for each in asked.events]
    story = Story(name=asked.name, start=start, traits=asked.traits, segments=asked.segments, events=happens, expect=[])
    stories.keep(db(), journey.id, [recorded(graph, story, slug)])
    users.audit(db(), user_id=me().user_id, action="journey.story", subject=f"{slug} {asked.name}")
    db().commit()
    return jsonify(_told(journey))


@bp.delete("/journeys/<slug>/stories")
@requires(*MAKERS)
def drop(slug: str) -> Answer:
    """Take one away."""
    asked = Named.model_validate(request.get_json())
    journey = drafts.find(db(), slug)
    stories.drop(db(), journey.id, asked.name)
    users.audit(db(), user_id=me().user_id, action="journey.story_removed", subject=f"{slug} {asked.name}")
    db().commit()
    return jsonify(_told(journey))


def _graph(journey: Journey) -> Graph | None:
    """The draft, where it can run."""
    graph, problems = read(drafts.load(db(), journey, clock.now()).graph)
    return None if problems else graph


def _told(journey: Journey) -> dict[str, Any]:
    graph, kept = _graph(journey), stories.kept(db(), journey.id)
    if graph is None:
        return {"runs": False, "stories": [_story(each, []) for each in kept]}
    return {"runs": True, "stories": [_story(*each) for each in stories.verdicts(graph, kept, journey.slug)]}


def _story(story: Story, wrong: list[Mistake]) -> dict[str, Any]:
    events = [{"name": each.name, "at": (story.start + each.after).isoformat(), "properties": each.properties} for each in story.events]
    title = str(_(story.name)) if story.name in stories.shipped() else story.name
    return {
        "name": story.name,
        "title": title,
        "traits": story.traits,
        "segments": story.segments,
        "events": events,
        "problems": [_said(each) for each in wrong],
    }


def _said(wrong: Mistake) -> str:
    values = {name: slot(name, value) for name, value in wrong.values.items()}
    return str(_(wrong.text)) % values


def _whole(after: dt.timedelta) -> dt.timedelta:
    """Stories count in whole seconds."""
    return dt.timedelta(seconds=round(after.total_seconds()))
