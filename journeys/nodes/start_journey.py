"""Ask another journey to begin for the same profile."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import REQUESTED, Advance, Node, Run, SendEvent, Sentence, Settings, Step


class StartJourneySettings(Settings):
    """Which one; it must begin by hand."""

    journey: str = Field(min_length=1, max_length=100, title=_l("Journey"), json_schema_extra={"x-suggest": "journey"})


class StartJourney(Node[StartJourneySettings]):
    """Its own rules of entry decide there; this run goes on."""

    kind = "start_journey"
    title = _l("Start a journey")
    icon = "route"
    group = _l("Changes")
    effects = True
    settings_type = StartJourneySettings

    def exits(self, settings: StartJourneySettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: StartJourneySettings, run: Run) -> Step:
        """Always."""
        return Advance(effects=(SendEvent(REQUESTED, {"journey": settings.journey, "run_id": str(run.id)}),), why={"journey": settings.journey})

    def summary(self, settings: StartJourneySettings) -> Sentence:
        """Which."""
        return Sentence(_l("“%(journey)s” begins"), {"journey": settings.journey})


plugin = StartJourney()
