"""A start that concerns many people at once: a variant came back, or its price fell. Who is told in which order is a value."""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from crm.events.goods import key_of
from crm.events.spec import Happened
from journeys.node import RunEvent, Settings
from journeys.trigger import Trigger

FRESH = dt.timedelta(hours=24)
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom an occasion concerns and in which order and numbers they are told.

    `whom`: some of asked, viewed, searched, carted; `days`: how far back. `per_unit`: people of one wave for each piece in stock, None:
    everybody at once. `least`: the smallest fall of a price that counts, in per cent.
    """

    change: Literal["stock", "price"]
    whom: frozenset[str]
    days: int
    by_value: bool = False
    per_unit: int | None = None
    pause: dt.timedelta = dt.timedelta(0)
    least: float = 0.0


class GoodsTrigger(Trigger[S]):
    """`journeys/waves.py` says `event` in the log for each person whose turn has come; a run is about the variant."""

    event: ClassVar[str]

    @abstractmethod
    def plan(self, settings: S) -> Plan:
        """What was set, as a value."""

    def names(self, settings: S) -> frozenset[str]:
        """Kesher's own event."""
        return frozenset({self.event})

    def matches(self, settings: S, event: Happened, journey: str = "") -> bool:
        """One said for this journey."""
        return event.name == self.event and event.trusted and journey in ("", event.properties.get("journey"))

    def keyed_by(self, settings: S) -> str:
        """The variant."""
        return "property"

    def about(self, settings: S, event: RunEvent) -> str | None:
        """Which."""
        return key_of(event.properties)

    def holds(self, settings: S, event: RunEvent) -> Mapping[str, Any] | None:
        """In stock, at no higher price than said, and not bought since they wanted it."""
        since = event.properties.get("since") or event.occurred_at.isoformat()
        wanted: dict[str, Any] = {"variant_id": key_of(event.properties), "since": since, "change": self.plan(settings).change}
        if wanted["change"] == "price":
            wanted |= {"price": event.properties.get("price"), "currency": event.properties.get("currency")}
        return {"product": wanted}

    def fresh_for(self, settings: S) -> dt.timedelta:
        """A day."""
        return FRESH
