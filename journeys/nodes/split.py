"""Spread people over ways by percentages: the same person always takes the same way, until one way has won."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.entry import BUCKETS, part
from journeys.node import Advance, Ask, Duration, Exposed, Node, Run, Sentence, Settings, Step, Winner

WHOLE = 100


class Share(Settings):
    """A way out and how many in a hundred take it."""

    exit: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", title=_l("Way"))
    percent: float = Field(gt=0, lt=100, title=_l("Per cent"))


class Contest(Settings):
    """What decides, once: the first `people` of each way, each watched for `within`."""

    by: Literal["goal", "opened", "clicked", "ordered"] = Field(default="goal", title=_l("What counts"))
    within: Duration = Field(default=dt.timedelta(days=3), title=_l("Each is watched for"))
    people: int = Field(default=1000, ge=100, le=1_000_000, title=_l("People on each way"), description=_l("Decided once, when so many were watched."))

    @field_validator("within")
    @classmethod
    def _sensible(cls, value: dt.timedelta) -> dt.timedelta:
        if not dt.timedelta(minutes=10) <= value <= dt.timedelta(days=60):
            raise SaidError(_l("people are watched from 10 minutes to 60 days"))
        return value


class SplitSettings(Settings):
    """Shares that make a hundred. Splits with one salt send a person the same way."""

    shares: list[Share] = Field(min_length=2, max_length=10, title=_l("Ways"))
    salt: str = Field(min_length=1, max_length=60, title=_l("Name of the split"), description=_l("Splits of the same name send a person the same way."))
    winner: Contest | None = Field(default=None, title=_l("Let the better way win"), description=_l("Afterwards everybody takes it."))

    @model_validator(mode="after")
    def _whole(self) -> SplitSettings:
        if len({share.exit for share in self.shares}) != len(self.shares):
            raise SaidError(_l("ways need different names"))
        total = sum(share.percent for share in self.shares)
        if abs(total - WHOLE) > 1 / BUCKETS:
            raise SaidError(_l("the ways together make %(total)s per cent; they must make 100"), total=f"{total:g}")
        return self


class Split(Node[SplitSettings]):
    """Exits: each way by its name. The way taken is stored with the step."""

    kind = "split"
    title = _l("Split by chance")
    icon = "arrows-shuffle"
    first = {"salt": "half", "shares": [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}]}
    reads = frozenset({"traits"})
    settings_type = SplitSettings

    def exits(self, settings: SplitSettings) -> Mapping[str, str]:
        """The ways, in order."""
        return {share.exit: f"{share.exit} {share.percent:g}%" for share in settings.shares}

    def step(self, settings: SplitSettings, run: Run) -> Step:
        """The way that has won, else where the person's bucket falls for this salt."""
        if settings.winner is None:
            way, place = drawn(settings, run.bucket)
            return Advance(way, why={"place": place})
        if not run.asked:
            return Ask(Winner(settings.salt))
        if isinstance(run.answer, str) and run.answer in {share.exit for share in settings.shares}:
            return Advance(run.answer, why={"won": run.answer})
        way, place = drawn(settings, run.bucket)
        return Advance(way, (Exposed(settings.salt, way),), why={"place": place})

    def summary(self, settings: SplitSettings) -> Sentence:
        """The shares, and whether one may win."""
        names = [f"{share.exit} {share.percent:g}%" for share in settings.shares]
        return Sentence(_l("By chance, until one wins: %(names)s") if settings.winner else _l("By chance: %(names)s"), {"names": names})


def drawn(settings: SplitSettings, bucket: int) -> tuple[str, int]:
    """The way of a bucket, and where the bucket falls."""
    place, upto = part(bucket, f"split:{settings.salt}"), 0.0
    for share in settings.shares:
        upto += share.percent * BUCKETS / WHOLE
        if place < upto:
            return share.exit, place
    return settings.shares[-1].exit, place


plugin = Split()
