"""Wait for a time, or until one of several events comes first, or the person comes into a segment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.events.models import SYSTEM_SOURCE
from crm.segments.refresh import ENTERED
from journeys.entry import SAME, SAME_HELP
from journeys.node import Advance, Duration, Node, Park, Run, RunEvent, Sentence, Settings, Step

_SEGMENTS = {  # with events beside them, counting from the cart -> words
    (False, False): _l("Until coming into %(segments)s, at most %(time)s"),
    (True, False): _l("Until %(events)s or coming into %(segments)s, at most %(time)s"),
    (False, True): _l("Until coming into %(segments)s, at most %(time)s after the last change of the cart"),
    (True, True): _l("Until %(events)s or coming into %(segments)s, at most %(time)s after the last change of the cart"),
}


class WaitSettings(Settings):
    """`counting_from: cart` starts the clock anew at each activity of the run's cart."""

    duration: Duration = Field(alias="for", title=_l("At most"), description=_l("So long, unless something below comes first."))
    until: list[str] = Field(
        default=[], max_length=10, title=_l("First of these wins"), description=_l("Events that end the wait early."), json_schema_extra={"x-suggest": "event"}
    )
    segments: list[str] = Field(
        default=[], max_length=10, title=_l("Or coming into one of these"), description=_l("Segments."), json_schema_extra={"x-suggest": "segment"}
    )
    counting_from: Literal["entry", "cart"] = Field(default="entry", title=_l("Counting from"))
    same_cart: bool = Field(default=True, title=_l("An event of another cart does not count"))
    same_key: bool = Field(default=False, title=SAME, description=SAME_HELP)

    @field_validator("duration")
    @classmethod
    def _sensible(cls, value: dt.timedelta) -> dt.timedelta:
        if not dt.timedelta(0) < value <= dt.timedelta(days=366):
            raise SaidError(_l("a wait lasts more than nothing and at most 366 days"))
        return value

    @property
    def hopes(self) -> bool:
        """Whether something may end it early."""
        return bool(self.until or self.segments)


class Wait(Node[WaitSettings]):
    """Exits: `next` for a plain wait; `happened` and `timed_out` where it waits for events or on a cart."""

    kind = "wait"
    title = _l("Wait")
    icon = "hourglass-empty"
    group = _l("Waiting")
    first = {"for": "1h"}
    reads = frozenset({"cart"})
    settings_type = WaitSettings

    def exits(self, settings: WaitSettings) -> Mapping[str, str]:
        """Two ways where something may happen first."""
        if settings.hopes or settings.counting_from == "cart":
            return {"timed_out": _l("time passed"), "happened": _l("it happened")}
        return {"next": ""}

    def listens(self, settings: WaitSettings) -> frozenset[str]:
        """The events that end the wait."""
        return frozenset(settings.until) | ({ENTERED} if settings.segments else set())

    def keyed(self, settings: WaitSettings) -> frozenset[str]:
        """As set."""
        return frozenset(key for key, same in (("cart", settings.same_cart), ("property", settings.same_key)) if same)

    def waits(self, settings: WaitSettings) -> bool:
        """Always."""
        return True

    def step(self, settings: WaitSettings, run: Run) -> Step:
        """The event, or the closed cart, wins over the clock.

        An emptied cart is judged when the time is up, so that one who swaps an article is not lost on the way.
        """
        if run.woken_by and run.woken_by.name in settings.until:
            return Advance("happened", why={"event": run.woken_by.name, "at": run.woken_by.occurred_at.isoformat()})
        if run.woken_by and (segment := self._entered(settings, run.woken_by)):
            return Advance("happened", why={"segment": segment, "at": run.woken_by.occurred_at.isoformat()})
        due = self._due(settings, run)
        if run.now < due:
            return Park(due)
        if settings.counting_from == "cart" and (run.cart is None or run.cart.status != "open"):
            return Advance("happened", why={"cart": run.cart.status if run.cart else "gone"})
        return Advance("timed_out" if "timed_out" in self.exits(settings) else "next", why={"due": due.isoformat()})

    def _entered(self, settings: WaitSettings, event: RunEvent) -> str | None:
        """Which of the segments this event brought the person into; only Kesher itself says so."""
        segment = str(event.properties.get("segment"))
        return segment if event.name == ENTERED and event.source_id == SYSTEM_SOURCE and segment in settings.segments else None

    def _due(self, settings: WaitSettings, run: Run) -> dt.datetime:
        since = run.entered_at
        if settings.counting_from == "cart" and run.cart is not None:
            since = max(since, run.cart.changed_at)
        return run.due(since, settings.duration)

    def summary(self, settings: WaitSettings) -> Sentence:
        """How long, for what."""
        values = {"time": settings.duration, "events": settings.until, "segments": settings.segments}
        if settings.segments:
            return Sentence(_SEGMENTS[bool(settings.until), settings.counting_from == "cart"], values)
        if settings.counting_from == "cart" and settings.until:
            return Sentence(_l("Until %(events)s, at most %(time)s after the last change of the cart"), values)
        if settings.counting_from == "cart":
            return Sentence(_l("Until %(time)s after the last change of the cart"), values)
        return Sentence(_l("Until %(events)s, at most %(time)s"), values) if settings.until else Sentence(_l("Wait %(time)s"), values)


plugin = Wait()
