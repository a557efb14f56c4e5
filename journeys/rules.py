"""Small rules over one run or event: comparisons of a property, a trait, the language, the cart; of what a person did and is in."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from crm.core.clock import parse_time, scaled
from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.segments import events
from crm.segments.compare import NUMBERS, PropertyFilter
from crm.segments.rule import Sentence as Said
from crm.segments.values import moment, number
from journeys.node import CartFact, Count, Duration, Look, Looked, Run, RunEvent, Settings

Operator = Literal["is", "is_not", "more_than", "at_least", "less_than", "at_most", "contains", "exists", "missing", "before", "after"]
NOTHING: Mapping[str, Any] = {}
Scalar = str | bool | int | float | None
COUNTED, INSIDE = ("at_least", "more_than", "at_most", "less_than", "is", "is_not"), ("is", "is_not")
LONGEST = dt.timedelta(days=366)
OTHERWISE, NOT_ONCE = _l("any number of times but %(n)s"), _l("any number of times but once")
SINCE = _l("Empty: since this run began.")
# How a field is drawn by what `of` says; null: it is not needed there.
NAMES: JsonDict = {
    "trait": {"x-suggest": "trait"},
    "language": None,
    "did": {"title": _l("Event"), "x-suggest": "event"},
    "segment": {"title": _l("Segment"), "x-suggest": "segment"},
}
OPERATORS: JsonDict = {
    "did": {"enum": list(COUNTED), "default": "at_least"},
    "segment": {"enum": list(INSIDE), "x-words": {"is": _l("is in it"), "is_not": _l("is not in it")}},
}
VALUES: JsonDict = {"did": {"title": _l("How often"), "default": 1}, "segment": None}
_OPS: Mapping[str, events.Op] = {"at_least": "at_least", "more_than": "more_than", "at_most": "at_most", "less_than": "less_than", "is": "exactly"}
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "more_than": operator.gt,
    "at_least": operator.ge,
    "less_than": operator.lt,
    "at_most": operator.le,
    "before": operator.lt,
    "after": operator.gt,
}


class Comparison(Settings):
    """One comparison. `of` says where to look: `event` (a property, dots go deeper), `trait`, `language`, `cart` (`value`, `items`, `status`),
    `run` (what an earlier step brought: `node.status`)."""

    of: str
    name: str = Field(default="", max_length=200, title=_l("Name"))
    op: Operator = Field(default="is", title=_l("Comparison"))
    value: Scalar = Field(default=None, title=_l("Value"))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.of != "language" and not self.name:
            raise SaidError(_l("a condition needs the name of what it looks at"))
        if self.op in NUMBERS and _number(self.value) is None:
            raise SaidError(_l("this compares numbers; %(value)s is none"), value=repr(self.value))
        if self.op in {"before", "after"} and parse_time(self.value) is None:
            raise SaidError(_l("this compares times; %(value)s is none"), value=repr(self.value))
        return self

    def holds(self, event: RunEvent, traits: Mapping[str, Any], language: str, cart: CartFact | None, data: Mapping[str, Any] = NOTHING) -> bool:
        """Whether it is true; a value that is missing or of another type satisfies only `missing` and `is_not`."""
        if self.of == "run":
            return compare(self.op, dig(data, self.name), self.value)
        return compare(self.op, self._found(event, traits, language, cart), self.value)

    def _found(self, event: RunEvent, traits: Mapping[str, Any], language: str, cart: CartFact | None) -> object:
        if self.of == "language":
            return language
        if self.of == "cart":
            return getattr(cart, self.name, None) if self.name in {"value", "items", "status", "currency"} else None
        return dig(event.properties if self.of == "event" else traits, self.name)


class Condition(Comparison):
    """About the event itself: who it happened to, and what a run knows, is asked by branches."""

    of: Literal["event"] = Field(default="event", title=_l("Of"))


class Filter(PropertyFilter):
    """A comparison of an event's property, as segments know it."""

    op: Literal["is", "is_not", "contains", "more_than", "at_least", "less_than", "at_most", "before", "after", "exists", "missing"] = Field(
        default="is", title=_l("Comparison")
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """As the segments' own, said in the page's language."""
        if self.op in NUMBERS and number(self.value) is None:
            raise SaidError(_l("this compares numbers; %(value)s is none"), value=repr(self.value))
        if self.op in {"before", "after"} and moment(self.value) is None:
            raise SaidError(_l("this compares times; %(value)s is none"), value=repr(self.value))
        if self.op in {"is", "is_not", "contains"} and self.value in {None, ""}:
            raise SaidError(_l("this needs a value to compare with"))
        return self


class Criterion(Comparison):
    """Also: how often they `did` something, since the run began or in a window before now; whether they are in a `segment`."""

    of: Literal["event", "trait", "language", "cart", "run", "did", "segment"] = Field(default="event", title=_l("Of"))
    name: str = Field(default="", max_length=200, title=_l("Name"), json_schema_extra={"x-by": {"of": NAMES}})
    op: Operator = Field(default="is", title=_l("Comparison"), json_schema_extra={"x-by": {"of": OPERATORS}})
    value: Scalar = Field(default=None, title=_l("Value"), json_schema_extra={"x-by": {"of": VALUES}})
    within: Duration | None = Field(default=None, title=_l("In the last"), description=SINCE, json_schema_extra={"x-only": {"of": ["did"]}})
    where: list[Filter] = Field(default=[], max_length=20, title=_l("Where all of these hold"), json_schema_extra={"x-only": {"of": ["did"]}})

    @model_validator(mode="before")
    @classmethod
    def _at_least_once(cls, said: Any) -> Any:
        return {"op": "at_least", "value": 1, **said} if isinstance(said, Mapping) and said.get("of") == "did" else said

    @model_validator(mode="after")
    def _judgeable(self) -> Self:
        if self.of == "did" and self.op not in COUNTED:
            raise SaidError(_l("how often something was done is compared as a number"))
        if self.of == "did" and (_number(self.value) is None or Decimal(str(self.value)) < 0):
            raise SaidError(_l("this compares numbers; %(value)s is none"), value=repr(self.value))
        if self.of == "segment" and self.op not in INSIDE:
            raise SaidError(_l("somebody is in a segment or is not; choose one of the two"))
        if self.of != "did" and (self.within is not None or self.where):
            raise SaidError(_l("a window and its filters are for what somebody did"))
        if self.within is not None and not dt.timedelta(0) < self.within <= LONGEST:
            raise SaidError(_l("a window is longer than nothing and at most 366 days"))
        return self

    def count(self, run: Run) -> Count:
        """What to count for this run."""
        since = None if self.within is None else run.now - scaled(self.within, run.time_scale)
        return Count(self.name, tuple(self.where), since)

    def decide(self, run: Run, looked: Looked) -> bool:
        """Whether it holds for this run, with what was found."""
        if self.of == "did":
            return compare(self.op, looked.counts.get(self.count(run), 0), self.value)
        if self.of == "segment":
            return (self.name in looked.segments) == (self.op == "is")
        return self.holds(run.start, run.traits, run.language, run.cart, run.data)

    def sentence(self) -> Said:
        """What they did, or are in, in words."""
        if self.of == "segment":
            said = _l("is in the segment %(segment)s") if self.op == "is" else _l("is not in the segment %(segment)s")
            return Said(said, {"segment": self.name})
        slots: dict[str, Any] = {"event": self.name, "window": events.window_words(self.within) or Said(_l(" since the run began"))}
        slots["where"] = events.where_words(self.where)
        if self.op in {"at_most", "is"} and _same(0, self.value):
            return Said(_l("did not do %(event)s%(window)s%(where)s"), slots)
        if self.op == "at_least" and _same(1, self.value):
            return Said(_l("did %(event)s%(window)s%(where)s"), slots)
        return Said(_l("did %(event)s %(times)s%(window)s%(where)s"), slots | {"times": self._times()})

    def _times(self) -> Said:
        if self.op == "is_not":
            return Said(NOT_ONCE if _same(1, self.value) else OTHERWISE, {"n": self.value})
        return Said((events.ONCE if _same(1, self.value) else events.TIMES)[_OPS[self.op]], {"n": self.value})

    def told(self) -> dict[str, Any]:
        """As it is stored with a step."""
        return self.model_dump(mode="json", exclude=None if self.of == "did" else {"within", "where"})


def look(criteria: Iterable[Criterion], run: Run) -> Look | None:
    """What has to be found out before these can be judged; None where that is nothing."""
    many = list(criteria)
    counts = dict.fromkeys(each.count(run) for each in many if each.of == "did")
    segments = dict.fromkeys(each.name for each in many if each.of == "segment")
    return Look(tuple(counts), tuple(segments)) if counts or segments else None


def dig(values: Mapping[str, Any], path: str) -> object:
    """The value at `a.b.c`, None where there is none."""
    found: object = values
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def compare(op: str, found: object, wanted: object) -> bool:
    """Compare by type: numbers as Decimal, times as moments, texts without regard to case."""
    if op in {"exists", "missing"}:
        return (found is not None and found != "") == (op == "exists")
    if op in {"is", "is_not"}:
        return _same(found, wanted) == (op == "is")
    if op == "contains":
        return any(_same(each, wanted) for each in found) if isinstance(found, list) else str(wanted).casefold() in str(found or "").casefold()
    read = parse_time if op in {"before", "after"} else _number
    left, right = read(found), read(wanted)
    return left is not None and right is not None and _ORDERED[op](left, right)


def _same(found: object, wanted: object) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted or str(found).casefold() == str(wanted).casefold()
    left, right = _number(found), _number(wanted)
    if left is not None and right is not None:
        return left == right
    return found is not None and str(found).casefold() == str(wanted).casefold()


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
