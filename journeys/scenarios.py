"""Stories a team keeps beside its journeys: given what happens, these messages at these times. Run by the same steps as live."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crm.core.errors import InvalidError
from journeys.files import RECIPES
from journeys.graph import Graph
from journeys.node import Duration, MakeTask
from journeys.simulate import Said, Somebody, tell

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


class Scenario(Strict):
    """One story. `ends` is how the last run ended; `tasks`, where it is there, names every one."""

    name: str
    start: AwareDatetime = START
    traits: dict[str, Any] = {}
    events: list[Happening] = Field(min_length=1)
    expect: list[Expected]
    tasks: list[ExpectedTask] | None = None
    ends: str | None = None


def read(file: Path) -> list[Scenario]:
    """The stories of a YAML file. Raises InvalidError with the place that cannot be read."""
    try:
        return TypeAdapter(list[Scenario]).validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError, OSError) as error:
        raise InvalidError(f"{file.name} cannot be read as scenarios: {error}") from error


def run(graph: Graph, scenario: Scenario) -> list[str]:
    """What came out otherwise than told, as sentences; empty where the story holds."""
    said: list[Said] = [(scenario.start + each.after, each.name, each.properties) for each in scenario.events]
    story = tell(graph, scenario.start, said, Somebody(scenario.traits))
    sent = sorted((each.at - scenario.start, each.template, each.channel) for each in story.sent)
    wanted = sorted((each.after, each.template, each.channel) for each in scenario.expect)
    problems = [f"“{template}” by {channel} after {after} was not sent" for after, template, channel in wanted if (after, template, channel) not in sent]
    problems += [
        f"“{template}” by {channel} after {after} was sent and not told" for after, template, channel in sent if (after, template, channel) not in wanted
    ]
    if scenario.tasks is not None:
        asked = sorted({(each.due_at, at - scenario.start, each.title) for at, each in story.said if isinstance(each, MakeTask)})
        told = [(each.after, each.title) for each in scenario.tasks]
        if [each[1:] for each in asked] != told:
            problems.append(f"people were asked {', '.join(f'“{title}” after {after}' for _, after, title in asked) or 'nothing'}")
    ended = story.runs[-1].end_reason if story.runs else None
    if scenario.ends is not None and ended != scenario.ends:
        problems.append(f"the run ended by {ended}, not by {scenario.ends}")
    return problems
