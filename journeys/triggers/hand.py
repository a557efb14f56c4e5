"""Somebody, a program or another journey starts a run by name."""

from __future__ import annotations

import datetime as dt

from crm.core.i18n import _l
from crm.events.spec import Happened
from journeys.node import REQUESTED, Sentence, Settings
from journeys.trigger import Trigger

FRESH = dt.timedelta(hours=24)


class HandSettings(Settings):
    """Nothing to set."""


class HandTrigger(Trigger[HandSettings]):
    """`POST /api/v1/journeys/<slug>/start`, or a node of another journey."""

    kind = "hand"
    title = _l("By hand or API")
    icon = "hand-click"
    settings_type = HandSettings

    def names(self, settings: HandSettings) -> frozenset[str]:
        """Kesher's own event."""
        return frozenset({REQUESTED})

    def matches(self, settings: HandSettings, event: Happened, journey: str = "") -> bool:
        """One that names this journey; a browser may not ask."""
        return event.name == REQUESTED and event.trusted and journey in ("", event.properties.get("journey"))

    def keyed_by(self, settings: HandSettings) -> str:
        """The rules of entry decide."""
        return "profile"

    def fresh_for(self, settings: HandSettings) -> dt.timedelta:
        """A day."""
        return FRESH

    def summary(self, settings: HandSettings) -> Sentence:
        """How."""
        return Sentence(_l("when somebody, the API or another journey asks"))


plugin = HandTrigger()
