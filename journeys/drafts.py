"""Drafts: saved as they are drawn, never over somebody else's work, published when they are whole."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, KesherError, NotFoundError
from crm.core.i18n import _l
from journeys import files, stories
from journeys.changes import plain
from journeys.draft_models import Draft
from journeys.models import Journey, Version

EMPTY: Mapping[str, Any] = {"name": {}, "trigger": {"kind": "event", "settings": {}}, "entry": "", "nodes": {}}
RESERVED = {"new", "recipes", "check", "simulate", "palette", "of", "pulse"}  # addresses beside the journeys'


class ConflictError(KesherError):
    """Somebody else saved meanwhile; `draft` is what is there now."""

    status = 409

    def __init__(self, draft: Draft) -> None:
        super().__init__(_l("Somebody else has saved this journey meanwhile. Look at their version before you go on."))
        self.draft = draft


def find(session: Session, slug: str) -> Journey:
    """The journey of this slug. Raises NotFoundError."""
    found = session.scalars(select(Journey).where(Journey.slug == slug.replace("\x00", ""))).one_or_none()
    if found is None:
        raise NotFoundError(_l("There is no such journey."))
    return found


def published(session: Session, journey: Journey) -> dict[str, Any] | None:
    """The graph new runs follow."""
    wanted = select(Version.graph).where(Version.journey_id == journey.id, Version.number == journey.version)
    return session.scalars(wanted).one_or_none()


def load(session: Session, journey: Journey, now: dt.datetime) -> Draft:
    """What is being drawn; where nobody drew yet, the published graph as revision 0."""
    return session.get(Draft, journey.id) or _fresh(session, journey, now)


def _fresh(session: Session, journey: Journey, now: dt.datetime) -> Draft:
    """The same as published since; not yet a row."""
    return Draft(journey_id=journey.id, revision=0, graph=published(session, journey) or dict(EMPTY), layout={}, saved_at=now, saved_by=None)


def save(session: Session, journey: Journey, drawn: tuple[dict[str, Any], dict[str, Any]], *, revision: int, now: dt.datetime, by: str | None) -> Draft:
    """Keep graph and layout as the next revision. Raises ConflictError where `revision` is not the latest."""
    draft = _mine(session, journey, revision, now)
    draft.graph, draft.layout = drawn
    _saved(draft, now, by)
    session.flush()
    return draft


def discard(session: Session, journey: Journey, *, revision: int, now: dt.datetime, by: str | None) -> Draft:
    """Back to the published version, the layout kept. A journey never published becomes empty."""
    draft = _mine(session, journey, revision, now)
    draft.graph = published(session, journey) or dict(EMPTY) | {"name": journey.name}
    _saved(draft, now, by)
    session.flush()
    return draft


def changed(session: Session, journey: Journey, draft: Draft) -> bool:
    """Whether the draft says something the published version does not."""
    return plain(draft.graph) != plain(published(session, journey) or {})


def create(session: Session, *, recipe: str | None, name: Mapping[str, str], now: dt.datetime, by: str | None) -> Journey:
    """A journey that only exists as a draft, from a recipe or empty. Raises InvalidError where there is no such recipe."""
    ready = files.recipes()
    if recipe is not None and recipe not in ready:
        raise InvalidError(_l("There is no such recipe. Choose one of the list, or begin empty."))
    graph = dict(ready[recipe]) if recipe else dict(EMPTY)
    graph["name"] = _apart(session, dict(name) or graph["name"] or {"en": "New journey", "he": "מסע חדש"})
    journey = Journey(slug=_slug(session, recipe or name.get("en") or "journey"), name=graph["name"], status="draft", created_at=now)
    session.add(journey)
    session.flush()
    session.add(Draft(journey_id=journey.id, revision=1, graph=graph, layout={}, saved_at=now, saved_by=by))
    session.flush()
    stories.keep(session, journey.id, stories.of_recipe(recipe) if recipe else [])
    return journey


def _mine(session: Session, journey: Journey, revision: int, now: dt.datetime) -> Draft:
    """The draft, locked, if `revision` is its latest."""
    session.execute(text("SELECT 1 FROM journeys WHERE id = :id FOR UPDATE"), {"id": journey.id})
    draft = session.get(Draft, journey.id, populate_existing=True)
    if draft is None:
        draft = _fresh(session, journey, now)
        if revision == 0:
            session.add(draft)
    if draft.revision != revision:
        raise ConflictError(draft)
    return draft


def _saved(draft: Draft, now: dt.datetime, by: str | None) -> None:
    draft.revision, draft.saved_at, draft.saved_by = draft.revision + 1, now, by


def _apart(session: Session, wanted: Mapping[str, str]) -> dict[str, str]:
    """These names, with a number where a journey is called so already: two of one name cannot be told apart in a list."""
    taken = {each for names in session.scalars(select(Journey.name)) for each in names.values()}
    tries = (dict(wanted), *({language: f"{each} {n}" for language, each in wanted.items()} for n in range(2, 10_000)))
    return next(names for names in tries if not taken & set(names.values()))


def _slug(session: Session, wanted: str) -> str:
    """A free slug that looks like the words."""
    stem = re.sub(r"[^a-z0-9]+", "_", wanted.lower()).strip("_")[:60] or "journey"
    taken = RESERVED | set(session.scalars(select(Journey.slug).where(func.starts_with(Journey.slug, stem))))
    return next(slug for slug in (stem, *(f"{stem}_{n}" for n in range(2, 10_000))) if slug not in taken)
