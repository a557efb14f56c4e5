"""Stories a team keeps beside its journeys: given what happens, these messages at these times. Run by the same steps as live."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.mistakes import Mistake
from journeys.files import RECIPES
from journeys.graph import Graph
from journeys.node import Duration, MakeTask, write_duration
from journeys.simulate import Said, Somebody, Trial, tell

START = dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC)
STORIES = RECIPES / "tests"


class Strict(BaseModel):
    """Anything unknown is an error."""

    model_config = ConfigDict(extra="forbid")


class Happening(Strict):
    """An event, so long after the start."""

    name: str
    after: Duration = dt.timedelta(0)
    properties: dict[str, Any] | None = None


class Expected(Strict):
    """A message, so long after the start."""

    after: Duration
    template: str
    channel: str = "email"


class ExpectedTask(Strict):
    """What a person is asked to do, so long after the start."""

    after: Duration
    title: str


class Story(Strict):
    """What happens and what is expected. `ends` is how the last run ended; `tasks`, where it is there, names every one."""

    name: str = Field(min_length=1, max_length=120)
    start: AwareDatetime = START
    traits: dict[str, Any] = {}
    segments: list[str] = []  # in which they are when it begins
    events: list[Happening] = Field(min_length=1, max_length=200)
    expect: list[Expected]
    tasks: list[ExpectedTask] | None = None
    ends: str | None = None


def read(file: Path) -> list[Story]:
    """The stories of a YAML file. Raises InvalidError with the place that cannot be read."""
    try:
        return TypeAdapter(list[Story]).validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError, OSError) as error:
        raise InvalidError(f"{file.name} cannot be read as stories: {error}") from error


def run(graph: Graph, story: Story, slug: str = "simulation") -> list[str]:
    """What came out otherwise than told, as English sentences; empty where the story holds."""
    return [str(each) for each in judge(graph, story, slug)]


def told(graph: Graph, story: Story, slug: str) -> Trial:
    """What the journey does when this happens; `slug` is what it is called, should it name itself."""
    said: list[Said] = [(story.start + each.after, each.name, each.properties) for each in story.events]
    return tell(graph, story.start, said, Somebody(story.traits, segments=frozenset(story.segments)), slug)


def recorded(graph: Graph, story: Story, slug: str) -> Story:
    """The story with what happens today as what is expected."""
    trial = told(graph, story, slug)
    expect = [Expected(after=each.at - story.start, template=each.template, channel=each.channel) for each in trial.sent]
    return story.model_copy(update={"expect": expect, "ends": trial.runs[-1].end_reason if trial.runs else None})


def judge(graph: Graph, story: Story, slug: str) -> list[Mistake]:
    """What came out otherwise than told; empty where the story holds."""
    trial = told(graph, story, slug)
    sent = Counter((each.at - story.start, each.template, each.channel) for each in trial.sent)
    wanted = Counter((each.after, each.template, each.channel) for each in story.expect)
    problems = [_message(_l("“%(template)s” by %(channel)s after %(after)s was not sent"), each) for each in sorted((wanted - sent).elements())]
    problems += [_message(_l("“%(template)s” by %(channel)s after %(after)s was sent and not told"), each) for each in sorted((sent - wanted).elements())]
    if story.tasks is not None:
        asked = sorted({(each.due_at, at - story.start, each.title) for at, each in trial.said if isinstance(each, MakeTask)})
        if [each[1:] for each in asked] != [(each.after, each.title) for each in story.tasks]:
            said = ", ".join(f"“{title}” ({write_duration(after)})" for _, after, title in asked) or "–"
            problems.append(Mistake(_l("people were asked to do: %(tasks)s"), {"tasks": said}))
    ended = trial.runs[-1].end_reason if trial.runs else None
    if story.ends is not None and ended != story.ends:
        problems.append(Mistake(_l("the run ended otherwise: %(ended)s, not %(wanted)s"), {"ended": ended or "–", "wanted": story.ends}))
    return problems


def _message(said: str, sent: tuple[dt.timedelta, str, str]) -> Mistake:
    after, template, channel = sent
    return Mistake(said, {"template": template, "channel": channel, "after": after})
