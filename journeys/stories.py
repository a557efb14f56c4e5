"""Stories kept beside a journey in the database, as files keep them beside YAML: read, kept, taken away, told again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import yaml
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.core.mistakes import Mistake
from journeys.draft_models import StoryRow
from journeys.graph import Graph
from journeys.story import STORIES, Story, judge, read


def kept(session: Session, journey_id: int) -> list[Story]:
    """The stories of a journey, by name."""
    rows = session.scalars(select(StoryRow.story).where(StoryRow.journey_id == journey_id).order_by(StoryRow.name))
    return [Story.model_validate(each) for each in rows]


def keep(session: Session, journey_id: int, stories: Iterable[Story]) -> None:
    """Put stories beside a journey; one of the same name is replaced."""
    for story in stories:
        statement = insert(StoryRow).values(journey_id=journey_id, name=story.name, story=plain(story))
        session.execute(statement.on_conflict_do_update(index_elements=["journey_id", "name"], set_={"story": statement.excluded.story}))


def drop(session: Session, journey_id: int, name: str) -> None:
    """Take one away."""
    session.execute(delete(StoryRow).where(StoryRow.journey_id == journey_id, StoryRow.name == name))


def plain(story: Story) -> dict[str, Any]:
    """As a file says it, without what is only default; what is expected is always said."""
    return story.model_dump(mode="json", exclude_defaults=True) | {"expect": [each.model_dump(mode="json", exclude_defaults=True) for each in story.expect]}


def to_yaml(stories: Iterable[Story]) -> str:
    """As the file beside a journey's file."""
    return yaml.safe_dump([plain(each) for each in stories], allow_unicode=True, sort_keys=False, width=120)


def of_recipe(recipe: str) -> list[Story]:
    """The stories that come with a recipe."""
    return read(STORIES / f"{recipe}.yaml")


@cache
def shipped() -> frozenset[str]:
    """The names of all stories that come with recipes: these have words in every language, others are called as they are."""
    return frozenset(story.name for file in STORIES.glob("*.yaml") for story in read(file))


def verdicts(graph: Graph, stories: Iterable[Story], slug: str) -> list[tuple[Story, list[Mistake]]]:
    """Each story with what came out otherwise."""
    return [(story, judge(graph, story, slug)) for story in stories]
