"""A score that came into a band starts a run."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.events.spec import Happened
from crm.scores.score_models import BANDS
from journeys.node import Sentence, Settings
from journeys.trigger import Trigger

CHANGED = "Score Band Changed"  # said by crm/scores
RISING = BANDS[::-1]
FRESH = dt.timedelta(hours=24)
Band = Literal["hot", "warm", "cool", "cold"]


class ScoreSettings(Settings):
    """Which score, into which band, and from where."""

    score: str = Field(default="lead", pattern=r"^[a-z0-9_-]{1,60}$", title=_l("Score"))
    band: Band = Field(default="hot", title=_l("Comes into"))
    way: Literal["up", "down", "any"] = Field(default="up", title=_l("Coming from"))


class ScoreTrigger(Trigger[ScoreSettings]):
    """Crossing more than one band at once counts for the band it ends in."""

    kind = "score"
    title = _l("Score crossed")
    icon = "chart-dots"
    settings_type = ScoreSettings

    def names(self, settings: ScoreSettings) -> frozenset[str]:
        """Kesher's own event."""
        return frozenset({CHANGED})

    def matches(self, settings: ScoreSettings, event: Happened, journey: str = "") -> bool:
        """That score, into that band, from below or above as set. Whoever had no band came from below."""
        said = event.properties
        if event.name != CHANGED or not event.trusted or said.get("kind") != settings.score or said.get("band") != settings.band:
            return False
        was = said.get("was")
        before = RISING.index(was) if was in RISING else -1
        return settings.way == "any" or (before < RISING.index(settings.band)) == (settings.way == "up")

    def keyed_by(self, settings: ScoreSettings) -> str:
        """The rules of entry decide."""
        return "profile"

    def fresh_for(self, settings: ScoreSettings) -> dt.timedelta:
        """A day."""
        return FRESH

    def summary(self, settings: ScoreSettings) -> Sentence:
        """Which, and where to."""
        words = {
            "up": _l("whose score “%(score)s” rises to %(band)s"),
            "down": _l("whose score “%(score)s” falls to %(band)s"),
            "any": _l("whose score “%(score)s” becomes %(band)s"),
        }
        return Sentence(words[settings.way], {"score": settings.score, "band": settings.band})


plugin = ScoreTrigger()
