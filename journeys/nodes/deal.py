"""Open a deal with the person, move the open one along, or close it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, ChangeDeal, Node, Run, Sentence, Settings, Step
from journeys.rules import dig

WORDS = {
    "open": _l("a deal is opened"),
    "move": _l("the open deal moves to “%(stage)s”"),
    "won": _l("the open deal is won"),
    "lost": _l("the open deal is lost: %(reason)s"),
}
LACKING = {
    "open": _l("to open a deal, say its name"),
    "move": _l("to move a deal, say its stage"),
    "lost": _l("to close a deal as lost, say its reason"),
}


class DealSettings(Settings):
    """`amount_of` names a property of the event that started the run, for example value."""

    act: Literal["open", "move", "won", "lost"] = Field(default="move", title=_l("What happens to it"))
    pipeline: str = Field(default="", max_length=100, title=_l("Pipeline"), description=_l("Its short name; empty: the first."))
    stage: str = Field(default="", max_length=100, title=_l("Stage"), description=_l("Its short name."))
    title: str = Field(default="", max_length=200, title=_l("Name of the deal"))
    amount_of: str = Field(default="", max_length=200, title=_l("Amount: a property of the event"))
    currency: str = Field(default="ILS", pattern="^[A-Z]{3}$", title=_l("Currency"))
    reason: str = Field(default="", max_length=200, title=_l("Why it is lost"))

    @model_validator(mode="after")
    def _complete(self) -> DealSettings:
        for act, name in (("open", "title"), ("move", "stage"), ("lost", "reason")):
            if self.act == act and not getattr(self, name):
                raise SaidError(LACKING[act])
        return self


class Deal(Node[DealSettings]):
    """Goes on at once. Opening does nothing where one is open; moving and closing do nothing where none is."""

    kind = "deal"
    title = _l("Deal")
    icon = "credit-card"
    group = _l("Sales")
    effects = True
    first = {"act": "move"}
    settings_type = DealSettings

    def exits(self, settings: DealSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: DealSettings, run: Run) -> Step:
        """Always."""
        found = dig(run.start.properties, settings.amount_of) if settings.amount_of else None
        amount = Decimal(str(found)) if isinstance(found, int | float) and not isinstance(found, bool) else None
        effect = ChangeDeal(settings.act, settings.pipeline, settings.stage, settings.title, amount, settings.currency, settings.reason)
        return Advance(effects=(effect,), why={"act": settings.act, "stage": settings.stage})

    def summary(self, settings: DealSettings) -> Sentence:
        """What happens."""
        return Sentence(WORDS[settings.act], {"stage": settings.stage, "reason": settings.reason})


plugin = Deal()
