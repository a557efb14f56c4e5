"""The end of the way."""

from __future__ import annotations

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Finish, Node, Run, Sentence, Settings, Step


class StopSettings(Settings):
    """`reason` is what the run's page says."""

    reason: str = Field(default="finished", pattern=r"^[a-z][a-z0-9_]{0,39}$", title=_l("Reason shown"))


class Stop(Node[StopSettings]):
    """Ends the run."""

    kind = "stop"
    title = _l("End")
    icon = "logout"
    settings_type = StopSettings

    def step(self, settings: StopSettings, run: Run) -> Step:
        """Over."""
        return Finish(settings.reason)

    def summary(self, settings: StopSettings) -> Sentence:
        """Why it ends."""
        return Sentence(_l("The run ends: %(reason)s"), {"reason": settings.reason})


plugin = Stop()
