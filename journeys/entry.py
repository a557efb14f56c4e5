"""Who may enter a journey again, who is left out of it on purpose, and what ends a run: pure rules."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Duration, RunEvent, Settings
from journeys.rules import Condition

BUCKETS = 10_000
SAME = _l("An event about something else does not count")
SAME_HELP = _l("Where runs are told apart by a property, an event that names another value is passed over: the refund of another order, say.")


class Reentry(Settings):
    """Whether a profile may come again for the same thing, and how many of its runs may go on at once."""

    again: Literal["once", "after_exit", "after_interval", "every_time"] = Field(default="once", title=_l("Coming again"))
    interval: Duration | None = Field(default=None, title=_l("Not again within"), description=_l("Counted from the start of the latest run."))
    at_once: Literal["one_per_profile", "one_per_key", "unlimited"] = Field(default="one_per_key", title=_l("Runs at once"))

    @model_validator(mode="after")
    def _complete(self) -> Reentry:
        if (self.again == "after_interval") != (self.interval is not None):
            raise SaidError(_l("an interval is needed for `after_interval`, and only there"))
        return self


class Holdout(Settings):
    """A share of people left alone, so that the journey's effect can be measured; journeys with one salt leave out the same people."""

    percent: float = Field(gt=0, le=50, title=_l("Left out, per cent"))
    salt: str = Field(default="", max_length=60, title=_l("Group"), description=_l("Journeys with the same group leave out the same people."))


class Limit(Settings):
    """At most so many runs begin, ever or within any span of this length; who comes beyond them does not enter."""

    runs: int = Field(ge=1, le=100_000, title=_l("Runs that may begin, at most"))
    within: Duration | None = Field(default=None, title=_l("Within"), description=_l("Empty: ever."))

    @field_validator("within")
    @classmethod
    def _some_time(cls, value: dt.timedelta | None) -> dt.timedelta | None:
        if value is not None and value <= dt.timedelta(0):
            raise SaidError(_l("the span of a limit is longer than nothing"))
        return value


class ExitRule(Settings):
    """An event, with conditions on its properties, that ends a run at once; a goal is an end one hoped for."""

    event: str = Field(min_length=1, max_length=200, title=_l("Event"), json_schema_extra={"x-suggest": "event"})
    where: list[Condition] = Field(default=[], max_length=20, title=_l("Where all of these hold"))
    goal: bool = Field(default=False, title=_l("This is the goal"))
    same_key: bool = Field(default=False, title=SAME, description=SAME_HELP)

    @property
    def keyed(self) -> frozenset[str]:
        """The keys by which an event about something else is passed over."""
        return frozenset({"cart", "property"} if self.same_key else {"cart"})

    def fits(self, event: RunEvent) -> bool:
        """Whether this event is meant."""
        return event.name == self.event and all(each.holds(event, {}, "", None) for each in self.where)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run of the same profile and journey: its key without what tells repeated runs apart, since when, and whether it goes on."""

    key: str
    started_at: dt.datetime
    active: bool


def rule_for(key: str) -> Reentry:
    """What holds where nothing is said: once for each profile or cart; an event that is its own key starts each time."""
    return Reentry(again="every_time", at_once="unlimited") if key == "event" else Reentry()


def refusal(rule: Reentry, key: str, earlier: Sequence[Earlier], now: dt.datetime) -> str | None:
    """Why no run may start for this key now; None where one may."""
    if rule.at_once == "one_per_profile" and any(run.active for run in earlier):
        return "under_way" if any(run.active and run.key == key for run in earlier) else "one_at_a_time"
    same = [run for run in earlier if run.key == key]
    if not same:
        return None
    going = any(run.active for run in same)
    if going and (rule.again in {"once", "after_exit"} or rule.at_once != "unlimited"):
        return "under_way"
    if rule.again == "once":
        return "already_in"
    if rule.again == "after_interval" and rule.interval is not None and now - max(run.started_at for run in same) < rule.interval:
        return "too_soon"
    return None


def held_out(bucket: int, rule: Holdout, otherwise: str) -> bool:
    """Whether a profile with this bucket is left out; the same answer for ever, whatever the percentage was below."""
    return part(bucket, f"holdout:{rule.salt or otherwise}") < rule.percent * 100


def part(bucket: int, salt: str) -> int:
    """Where a bucket falls for this salt: 0..9999, evenly."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{bucket}".encode()).digest()[:8], "big") % BUCKETS
