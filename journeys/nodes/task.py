"""A human step: somebody is asked to do something by a time, and the run waits for it or goes on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, Duration, MakeTask, Node, Park, Run, Sentence, Settings, Step

DONE = "Task Done"  # said by crm/sales/tasks.py


class TaskSettings(Settings):
    """What, by whom, by when. Without owner and role it is the lead's owner's."""

    title: str = Field(min_length=1, max_length=200, title=_l("What is to be done"))
    what: Literal["call", "mail", "meeting", "approve", "other"] = Field(default="call", title=_l("Kind of task"))
    due_in: Duration = Field(default=dt.timedelta(hours=1), title=_l("Due in"))
    role: Literal["", "sales", "agent", "marketer", "admin"] = Field(default="", title=_l("For anybody of this role"))
    owner: str = Field(default="", max_length=320, title=_l("Or for this person"), description=_l("The e-mail address of a user who takes leads."))
    late_after: Duration = Field(default=dt.timedelta(minutes=30), title=_l("Goes up when late by"))
    wait: bool = Field(default=True, title=_l("Wait for it"))

    @field_validator("due_in")
    @classmethod
    def _sensible(cls, value: dt.timedelta) -> dt.timedelta:
        if not dt.timedelta(minutes=1) <= value <= dt.timedelta(days=90):
            raise SaidError(_l("a task is due in a minute to 90 days"))
        return value


class Task(Node[TaskSettings]):
    """Exits: `done`, `late` where it waits; else `next`. A run that ends before takes its task back."""

    kind = "task"
    title = _l("Ask somebody")
    icon = "list-check"
    group = _l("Sales")
    effects = True
    first = {"title": "", "due_in": "1h"}
    settings_type = TaskSettings

    def exits(self, settings: TaskSettings) -> Mapping[str, str]:
        """Two where it waits."""
        return {"done": _l("it is done"), "late": _l("not in time")} if settings.wait else {"next": ""}

    def listens(self, settings: TaskSettings) -> frozenset[str]:
        """Its being done."""
        return frozenset({DONE}) if settings.wait else frozenset()

    def keyed(self, settings: TaskSettings) -> frozenset[str]:
        """A task names its run, not a cart."""
        return frozenset()

    def waits(self, settings: TaskSettings) -> bool:
        """As set."""
        return settings.wait

    def step(self, settings: TaskSettings, run: Run) -> Step:
        """Ask, wait, go on by what came."""
        due = run.due(run.arrived, settings.due_in)
        late = run.due(due, settings.late_after)
        made = MakeTask(settings.what, settings.title, due, settings.owner.strip().lower(), settings.role, late - due)
        if not settings.wait:
            return Advance(effects=(made,), why={"task": settings.title})
        if event := run.answered(DONE):
            return Advance("done", why={"outcome": event.properties.get("outcome")}, brings={"outcome": event.properties.get("outcome")})
        if run.now >= late:
            return Advance("late", why={"task": settings.title})
        return Park(late, (made,))

    def summary(self, settings: TaskSettings) -> Sentence:
        """What, and how long."""
        return Sentence(_l("“%(title)s”, within %(time)s"), {"title": settings.title, "time": settings.due_in})


plugin = Task()
