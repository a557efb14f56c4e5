"""The ready journeys of a new installation."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from journeys import drafts, files, stories
from journeys.graph import Drawing
from journeys.publish import publish

LIVE = ("abandoned_cart",)  # the others are for somebody to begin from: nothing else goes out unasked
RECIPE = "recipe"  # who published, where it was us


def install(session: Session, now: dt.datetime) -> list[str]:
    """Publish the ready journeys that are missing, and new versions of those whose file changed; returns the slugs published.

    A version somebody else published over a recipe is left alone, and so is a paused or stopped state.
    """
    done = []
    for slug, drawing in files.recipes().items():
        if slug not in LIVE:
            continue
        current = session.execute(_PUBLISHED, {"slug": slug}).one_or_none()
        if current is not None and (current.published_by != RECIPE or current.graph == _plain(drawing)):
            continue
        publish(session, slug, drawing, now=now, by=RECIPE)
        stories.keep(session, drafts.find(session, slug).id, stories.of_recipe(slug))
        done.append(slug)
    return done


def _plain(drawing: object) -> dict[str, Any]:
    return Drawing.model_validate(drawing).model_dump(by_alias=True, exclude_defaults=True, mode="json")


_PUBLISHED = text("""
    SELECT v.graph, v.published_by FROM journeys j JOIN journey_versions v ON v.journey_id = j.id AND v.number = j.version WHERE j.slug = :slug
""")
