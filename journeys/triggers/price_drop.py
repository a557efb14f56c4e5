"""A price fell: whoever asked for the variant, looked at it or put it into a cart before is told."""

from __future__ import annotations

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.goods_trigger import GoodsTrigger, Plan
from journeys.node import Sentence, Settings


class PriceDropSettings(Settings):
    """By how much, and who is meant."""

    percent: float = Field(default=10, ge=0.1, le=99, title=_l("Fell by at least, per cent"))
    asked: bool = Field(default=True, title=_l("Who asked to be told when it is back"), description=_l("As long as they wait for it."))
    viewed: bool = Field(default=True, title=_l("Who looked at it"))
    carted: bool = Field(default=True, title=_l("Who put it into a cart"))
    searched: bool = Field(default=False, title=_l("Who searched for it while there was none"))
    days: int = Field(default=30, ge=1, le=90, title=_l("Looked, searched or put into a cart within days"))

    @model_validator(mode="after")
    def _somebody(self) -> PriceDropSettings:
        if not self.whom:
            raise SaidError(_l("choose who is told: who asked for it, looked at it, searched for it or put it into a cart"))
        return self

    @property
    def whom(self) -> frozenset[str]:
        """Who is told."""
        return frozenset(each for each in ("asked", "viewed", "carted", "searched") if getattr(self, each))


class PriceDrop(GoodsTrigger[PriceDropSettings]):
    """A message whose price no longer holds when its turn comes is not sent."""

    kind = "price_drop"
    title = _l("Price drop")
    icon = "tag"
    settings_type = PriceDropSettings
    event = "Product Price Dropped"

    def plan(self, settings: PriceDropSettings) -> Plan:
        """Everybody at once."""
        return Plan("price", settings.whom, settings.days, least=settings.percent)

    def summary(self, settings: PriceDropSettings) -> Sentence:
        """By how much."""
        return Sentence(_l("a price fell by at least %(percent)s %%"), {"percent": f"{settings.percent:g}"})


plugin = PriceDrop()
