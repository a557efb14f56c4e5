"""A variant is back: whoever asked for it, or looked for it while there was none, is told in waves that follow the stock."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.goods_trigger import GoodsTrigger, Plan
from journeys.node import Duration, Sentence, Settings


class BackInStockSettings(Settings):
    """Who asked goes before who only looked."""

    viewed: bool = Field(default=True, title=_l("Also who looked at it while there was none"))
    searched: bool = Field(default=False, title=_l("Also who searched for it while there was none"))
    days: int = Field(default=30, ge=1, le=90, title=_l("Looked or searched within days"))
    order: Literal["first", "value"] = Field(default="first", title=_l("Order"))
    per_unit: int = Field(default=1, ge=1, le=1000, title=_l("People told for each piece in stock"))
    pause: Duration = Field(default=dt.timedelta(minutes=30), title=_l("Next wave after"), description=_l("Goes out only if there is stock left."))

    @field_validator("pause")
    @classmethod
    def _sensible(cls, value: dt.timedelta) -> dt.timedelta:
        if not dt.timedelta(minutes=1) <= value <= dt.timedelta(days=7):
            raise SaidError(_l("the next wave goes out after a minute to seven days"))
        return value


class BackInStock(GoodsTrigger[BackInStockSettings]):
    """Stock is looked at before each wave, and once more when each message goes out."""

    kind = "back_in_stock"
    title = _l("Back in stock")
    icon = "package"
    settings_type = BackInStockSettings
    event = "Product Back In Stock"

    def plan(self, settings: BackInStockSettings) -> Plan:
        """Waves."""
        whom = {"asked"} | ({"viewed"} if settings.viewed else set()) | ({"searched"} if settings.searched else set())
        return Plan("stock", frozenset(whom), settings.days, settings.order == "value", settings.per_unit, settings.pause)

    def summary(self, settings: BackInStockSettings) -> Sentence:
        """How many at a time."""
        return Sentence(
            _l("a product is back: for each piece %(people)s of those who wait, the next after %(time)s"), {"people": settings.per_unit, "time": settings.pause}
        )


plugin = BackInStock()
