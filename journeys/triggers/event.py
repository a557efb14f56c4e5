"""An event starts a run."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.events.spec import Happened
from journeys.node import Duration, RunEvent, Sentence, Settings
from journeys.rules import Condition, dig
from journeys.trigger import Trigger

FRESH = dt.timedelta(hours=24)
FRESH_CART = dt.timedelta(hours=6)


class EventSettings(Settings):
    """`where` looks at the event's own properties."""

    event: str = Field(min_length=1, max_length=200, title=_l("Event"), json_schema_extra={"x-suggest": "event"})
    where: list[Condition] = Field(default=[], max_length=20, title=_l("Where all of these hold"))
    key: Literal["profile", "cart", "event", "property"] = Field(default="event", title=_l("One run for each"))
    key_property: str = Field(default="", max_length=200, title=_l("Property that tells runs apart"), description=_l("For example order_id."))
    fresh_for: Duration | None = Field(default=None, title=_l("Starts nothing when older than"), description=_l("Unless set: 24 hours; carts 6 hours."))

    @model_validator(mode="after")
    def _complete(self) -> EventSettings:
        if (self.key == "property") != bool(self.key_property):
            raise SaidError(_l("a key property is needed for the key `property`, and only there"))
        return self


class EventTrigger(Trigger[EventSettings]):
    """Matches by name and properties."""

    kind = "event"
    title = _l("Event")
    settings_type = EventSettings

    def names(self, settings: EventSettings) -> frozenset[str]:
        """The one name."""
        return frozenset({settings.event})

    def matches(self, settings: EventSettings, event: Happened, journey: str = "") -> bool:
        """Name and every condition."""
        if event.name != settings.event:
            return False
        seen = RunEvent(event.name, event.occurred_at, event.accepted, event.source_id, event.properties)
        return all(each.holds(seen, {}, "", None) for each in settings.where)

    def keyed_by(self, settings: EventSettings) -> str:
        """As set."""
        return settings.key

    def about(self, settings: EventSettings, event: RunEvent) -> str | None:
        """The value of the key property, where that is the key."""
        if settings.key != "property":
            return super().about(settings, event)
        value = dig(event.properties, settings.key_property)
        return str(value) if isinstance(value, str | int) and value != "" else None

    def fresh_for(self, settings: EventSettings) -> dt.timedelta:
        """As set, else by the key."""
        return settings.fresh_for or (FRESH_CART if settings.key == "cart" else FRESH)

    def summary(self, settings: EventSettings) -> Sentence:
        """What, once for what."""
        words = {
            "profile": _l("one run per profile"),
            "cart": _l("one run per cart"),
            "event": _l("a run each time"),
            "property": _l("one run for each %(name)s"),
        }
        return Sentence(words[settings.key], {"name": settings.key_property})


plugin = EventTrigger()
