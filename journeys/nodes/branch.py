"""Choose a way: the first whose conditions all hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, Ask, Look, Looked, Node, Run, Sentence, Settings, Step
from journeys.rules import Criterion, look

OTHERWISE = "otherwise"


class Way(Settings):
    """One way out and what must hold for it."""

    exit: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", title=_l("Way"))
    when: list[Criterion] = Field(min_length=1, max_length=20, title=_l("When all of these hold"))


class BranchSettings(Settings):
    """Ways in order; the first match wins."""

    ways: list[Way] = Field(min_length=1, max_length=20, title=_l("Ways"))

    @property
    def criteria(self) -> list[Criterion]:
        """Every condition of every way."""
        return [each for way in self.ways for each in way.when]

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
        """First match; where a way asks what the person did or is in, that is found out before."""
        asked = look(settings.criteria, run)
        if asked is not None and not run.asked:
            return Ask(asked)
        looked = run.answer if isinstance(run.answer, Looked) else Looked()
        inputs = {"looked": _inputs(asked, looked)} if asked else {}
        for way in settings.ways:
            if all(each.decide(run, looked) for each in way.when):
                return Advance(way.exit, why={"conditions": [each.told() for each in way.when], **inputs})
        return Advance(OTHERWISE, why={"tried": [way.exit for way in settings.ways], **inputs})

    def summary(self, settings: BranchSettings) -> Sentence:
        """By what it chooses."""
        names = dict.fromkeys(each.name or each.of for each in settings.criteria)
        return Sentence(_l("By %(names)s"), {"names": list(names)})


def _inputs(asked: Look, looked: Looked) -> dict[str, Any]:
    """What was found, as it is stored with the step."""
    did = [{"event": count.event, "times": found} | ({"since": count.since.isoformat()} if count.since else {}) for count, found in looked.counts.items()]
    return {"did": did, "segments": {slug: slug in looked.segments for slug in asked.segments}}


plugin = Branch()
