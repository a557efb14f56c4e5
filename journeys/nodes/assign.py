"""Give the lead to somebody: by the rules of sales, or to one person. Whoever is no lead yet becomes one."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, GiveOwner, Node, Run, Sentence, Settings, Step


class AssignSettings(Settings):
    """Without a person the rules of sales choose."""

    owner: str = Field(default="", max_length=320, title=_l("To this person"), description=_l("A user’s e-mail address; empty: the rules of sales choose."))
    again: bool = Field(default=False, title=_l("Also where somebody has it already"), description=_l("The rules then choose somebody else."))


class Assign(Node[AssignSettings]):
    """Goes on at once; the owner is found in the next second."""

    kind = "assign"
    title = _l("Give to somebody")
    icon = "user-plus"
    group = _l("Sales")
    effects = True
    settings_type = AssignSettings

    def exits(self, settings: AssignSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: AssignSettings, run: Run) -> Step:
        """Always."""
        return Advance(effects=(GiveOwner(settings.owner.strip().lower(), settings.again),), why={"owner": settings.owner or "rules"})

    def summary(self, settings: AssignSettings) -> Sentence:
        """To whom."""
        return Sentence(_l("to %(owner)s"), {"owner": settings.owner}) if settings.owner else Sentence(_l("by the rules of sales"))


plugin = Assign()
