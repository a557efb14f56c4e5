"""Put the person on a list, or take them off: segments that name the list follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, ChangeList, Node, Run, Sentence, Settings, Step


class ListSettings(Settings):
    """Which list, and which way."""

    list: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$", title=_l("List"), json_schema_extra={"x-suggest": "list"})
    act: Literal["add", "remove"] = Field(default="add", title=_l("What becomes of it"))


class OnList(Node[ListSettings]):
    """Goes on at once; somebody who is on the list already stays on it."""

    kind = "list"
    title = _l("Add to or remove from a list")
    icon = "list"
    group = _l("Changes")
    effects = True
    first = {"act": "add"}
    settings_type = ListSettings

    def exits(self, settings: ListSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: ListSettings, run: Run) -> Step:
        """Always."""
        return Advance(effects=(ChangeList(settings.list, settings.act == "add"),), why={"list": settings.list, "act": settings.act})

    def summary(self, settings: ListSettings) -> Sentence:
        """Which, and which way."""
        said = _l("Onto the list “%(list)s”") if settings.act == "add" else _l("Off the list “%(list)s”")
        return Sentence(said, {"list": settings.list})


plugin = OnList()
