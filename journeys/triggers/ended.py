"""The end of a run of another journey starts one here."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.events.spec import Happened
from journeys.node import ENDED, Sentence, Settings
from journeys.trigger import Trigger

FRESH = dt.timedelta(hours=24)
How = Literal["any", "finished", "goal", "exit"]


class EndedSettings(Settings):
    """Which journey, and how it ended."""

    journey: str = Field(min_length=1, max_length=100, title=_l("Journey"), json_schema_extra={"x-suggest": "journey"})
    how: How = Field(default="any", title=_l("How it ended"), description=_l("`goal` and `exit` are the events that end a run."))


class EndedTrigger(Trigger[EndedSettings]):
    """At eight journeys in a row the log stops the chain."""

    kind = "ended"
    title = _l("Another journey ended")
    icon = "route"
    settings_type = EndedSettings

    def names(self, settings: EndedSettings) -> frozenset[str]:
        """Kesher's own event."""
        return frozenset({ENDED})

    def matches(self, settings: EndedSettings, event: Happened, journey: str = "") -> bool:
        """That journey, ended that way."""
        if event.name != ENDED or not event.trusted or event.properties.get("journey") != settings.journey:
            return False
        return settings.how == "any" or str(event.properties.get("reason", "")).partition(":")[0] == settings.how

    def keyed_by(self, settings: EndedSettings) -> str:
        """The rules of entry decide."""
        return "profile"

    def fresh_for(self, settings: EndedSettings) -> dt.timedelta:
        """A day."""
        return FRESH

    def summary(self, settings: EndedSettings) -> Sentence:
        """Which."""
        return Sentence(_l("after “%(journey)s”"), {"journey": settings.journey})


plugin = EndedTrigger()
