"""Spread people over ways by percentages: the same person always takes the same way."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from crm.core.i18n import _l
from journeys.entry import BUCKETS, part
from journeys.node import Advance, Node, Run, Sentence, Settings, Step

WHOLE = 100


class Share(Settings):
    """A way out and how many in a hundred take it."""

    exit: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", title=_l("Way"))
    percent: float = Field(gt=0, lt=100, title=_l("Per cent"))


class SplitSettings(Settings):
    """Shares that make a hundred. Splits with one salt send a person the same way."""

    shares: list[Share] = Field(min_length=2, max_length=10, title=_l("Ways"))
    salt: str = Field(min_length=1, max_length=60, title=_l("Name of the split"), description=_l("Splits of the same name send a person the same way."))

    @model_validator(mode="after")
    def _whole(self) -> SplitSettings:
        if len({share.exit for share in self.shares}) != len(self.shares):
            raise ValueError("ways need different names")
        total = sum(share.percent for share in self.shares)
        if abs(total - WHOLE) > 1 / BUCKETS:
            raise ValueError(f"the ways together make {total:g} per cent; they must make 100")
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
        """Where the person's bucket falls for this salt."""
        place, upto = part(run.bucket, f"split:{settings.salt}"), 0.0
        for share in settings.shares:
            upto += share.percent * BUCKETS / WHOLE
            if place < upto:
                return Advance(share.exit, why={"place": place})
        return Advance(settings.shares[-1].exit, why={"place": place})

    def summary(self, settings: SplitSettings) -> Sentence:
        """The shares."""
        return Sentence(_l("By chance: %(names)s"), {"names": [f"{share.exit} {share.percent:g}%" for share in settings.shares]})


plugin = Split()
