"""Say in the log that something happened to the profile: segments and other journeys hear it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, Node, Run, SendEvent, Sentence, Settings, Step


class SendEventSettings(Settings):
    """A name of one's own, and what it carries."""

    event: str = Field(min_length=1, max_length=200, title=_l("Event"), json_schema_extra={"x-suggest": "event"})
    properties: dict[str, str | bool | int | float] = Field(default={}, max_length=20, title=_l("Properties"))


class SayEvent(Node[SendEventSettings]):
    """At eight hops of cause and effect the log stops the chain."""

    kind = "send_event"
    title = _l("Send an event")
    icon = "bolt"
    group = _l("Changes")
    effects = True
    settings_type = SendEventSettings

    def exits(self, settings: SendEventSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: SendEventSettings, run: Run) -> Step:
        """Always."""
        return Advance(effects=(SendEvent(settings.event, settings.properties),), why={"said": settings.event})

    def summary(self, settings: SendEventSettings) -> Sentence:
        """Its name."""
        return Sentence(_l("“%(name)s” is written in the log"), {"name": settings.event})


plugin = SayEvent()
