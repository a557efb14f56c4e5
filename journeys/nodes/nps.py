"""Ask how likely somebody is to recommend us, and go on by the answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, Ask, Duration, Node, Park, Run, SendMessage, Sentence, Settings, Step, Survey

ANSWERED = "NPS Answered"  # said by journeys/surveys.py


class NpsSettings(Settings):
    """The template gets `links.survey`, to which `?s=9` may be added; later steps read `<this step>.score` and `.comment` of the run."""

    survey: str = Field(default="nps", pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$", title=_l("Name of the survey"))
    channel: str = Field(default="email", min_length=1, max_length=40, title=_l("Channel"), json_schema_extra={"x-suggest": "channel"})
    template: str = Field(min_length=1, max_length=100, title=_l("Template"), json_schema_extra={"x-suggest": "template"})
    within: Duration = Field(default=dt.timedelta(days=7), title=_l("Wait for an answer"))
    not_again: Duration = Field(
        default=dt.timedelta(days=90), title=_l("Not asked again within"), description=_l("Counted per address, over all journeys and surveys.")
    )

    @field_validator("within", "not_again")
    @classmethod
    def _sensible(cls, value: dt.timedelta) -> dt.timedelta:
        if not dt.timedelta(0) < value <= dt.timedelta(days=732):
            raise SaidError(_l("this lasts more than nothing and at most two years"))
        return value


class Nps(Node[NpsSettings]):
    """Exits by the score: `promoter` (9, 10), `passive` (7, 8), `detractor` (0 to 6); `no_answer` also for who was asked lately."""

    kind = "nps"
    title = _l("Ask for a recommendation score")
    icon = "heart"
    group = _l("Messages")
    effects = True
    first = {"survey": "nps", "channel": "email", "template": "nps_survey", "within": "7d", "not_again": "90d"}
    settings_type = NpsSettings

    def exits(self, settings: NpsSettings) -> Mapping[str, str]:
        """Four."""
        return {"promoter": _l("9 or 10"), "passive": _l("7 or 8"), "detractor": _l("0 to 6"), "no_answer": _l("no answer")}

    def listens(self, settings: NpsSettings) -> frozenset[str]:
        """The answer."""
        return frozenset({ANSWERED})

    def keyed(self, settings: NpsSettings) -> frozenset[str]:
        """An answer names its run, not a cart."""
        return frozenset()

    def step(self, settings: NpsSettings, run: Run) -> Step:
        """Ask whether we may, send, wait, go on by the score."""
        event = run.answered(ANSWERED)
        if event is not None and isinstance(score := event.properties.get("score"), int):
            return Advance(band(score), why={"score": score}, brings={"score": score, "comment": event.properties.get("comment")})
        due = run.due(run.arrived, settings.within)
        if run.now >= due:
            return Advance("no_answer", why={"survey": settings.survey})
        if not run.asked:
            return Ask(Survey(settings.survey, settings.not_again))
        if isinstance(run.answer, dt.datetime):
            return Advance("no_answer", why={"not_asked": "asked_recently", "last": run.answer.isoformat()})
        return Park(due, (SendMessage(settings.channel, settings.template),))

    def summary(self, settings: NpsSettings) -> Sentence:
        """Which survey, and how long."""
        return Sentence(_l("“%(survey)s” by %(channel)s, for %(time)s"), {"survey": settings.survey, "channel": settings.channel, "time": settings.within})


def band(score: int) -> str:
    """Reichheld, "The One Number You Need to Grow", Harvard Business Review, December 2003."""
    return "promoter" if score >= 9 else "passive" if score >= 7 else "detractor"


plugin = Nps()
