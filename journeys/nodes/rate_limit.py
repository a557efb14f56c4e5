"""Let so many through in a stretch of time, over everybody in the journey; the others wait their turn."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, Ask, Duration, Node, Park, Run, Sentence, Settings, Slot, Step


class RateLimitSettings(Settings):
    """`limit` people in each stretch of `per`."""

    limit: int = Field(ge=1, le=1_000_000, title=_l("People"))
    per: Duration = Field(title=_l("In each"))

    @field_validator("per")
    @classmethod
    def _sensible(cls, value: dt.timedelta) -> dt.timedelta:
        if not dt.timedelta(seconds=1) <= value <= dt.timedelta(days=31):
            raise SaidError(_l("a stretch lasts from a second to 31 days"))
        return value


class RateLimit(Node[RateLimitSettings]):
    """A place is taken once, on coming here, and waited for."""

    kind = "rate_limit"
    title = _l("Limit the rate")
    icon = "filter"
    first = {"limit": 500, "per": "1h"}
    group = _l("Waiting")
    settings_type = RateLimitSettings

    def exits(self, settings: RateLimitSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: RateLimitSettings, run: Run) -> Step:
        """Ask for a place, wait for its time."""
        if run.asked and isinstance(run.answer, dt.datetime):
            return Park(run.answer) if run.answer > run.now else Advance(why={"place": run.answer.isoformat()})
        if run.due_at is not None and run.due_at > run.entered_at:
            return Advance(why={"place": run.due_at.isoformat()}) if run.now >= run.due_at else Park(run.due_at)
        return Ask(Slot(settings.limit, settings.per))

    def summary(self, settings: RateLimitSettings) -> Sentence:
        """How many, in what time."""
        said = _l("one person every %(time)s") if settings.limit == 1 else _l("%(limit)s people every %(time)s")
        return Sentence(said, {"limit": settings.limit, "time": settings.per})


plugin = RateLimit()
