"""Choose a way: the first whose conditions all hold."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, Node, Run, Sentence, Settings, Step
from journeys.rules import Condition

OTHERWISE = "otherwise"


class Way(Settings):
    """One way out and what must hold for it."""

    exit: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", title=_l("Way"))
    when: list[Condition] = Field(min_length=1, max_length=20, title=_l("When all of these hold"))


class BranchSettings(Settings):
    """Ways in order; the first match wins."""

    ways: list[Way] = Field(min_length=1, max_length=20, title=_l("Ways"))

    @field_validator("ways")
    @classmethod
    def _distinct(cls, value: list[Way]) -> list[Way]:
        names = [way.exit for way in value]
        if len({*names, OTHERWISE}) != len(names) + 1:
            raise SaidError(_l("ways need different names, none of them %(other)s"), other=repr(OTHERWISE))
        return value


class Branch(Node[BranchSettings]):
    """Exits: each way by its name, and `otherwise`."""

    kind = "branch"
    title = _l("Branch")
    icon = "sitemap"
    first = {"ways": [{"exit": "yes", "when": [{"of": "cart", "name": "value", "op": "at_least", "value": "100"}]}]}
    reads = frozenset({"cart", "traits"})
    settings_type = BranchSettings

    def exits(self, settings: BranchSettings) -> Mapping[str, str]:
        """The ways, in order."""
        return {way.exit: way.exit for way in settings.ways} | {OTHERWISE: _l("otherwise")}

    def step(self, settings: BranchSettings, run: Run) -> Step:
        """First match."""
        for way in settings.ways:
            if all(each.holds(run.start, run.traits, run.language, run.cart, run.data) for each in way.when):
                return Advance(way.exit, why={"conditions": [each.model_dump() for each in way.when]})
        return Advance(OTHERWISE, why={"tried": [way.exit for way in settings.ways]})

    def summary(self, settings: BranchSettings) -> Sentence:
        """By what it chooses."""
        names = dict.fromkeys(each.name or each.of for way in settings.ways for each in way.when)
        return Sentence(_l("By %(names)s"), {"names": list(names)})


plugin = Branch()
