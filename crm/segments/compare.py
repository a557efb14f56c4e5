"""Typed comparisons of a JSON value: as settings, as SQL, in Python."""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.segments import values
from crm.segments.rule import Clause, Query, Sentence, Settings

Op = Literal[
    "is",
    "is_not",
    "contains",
    "more_than",
    "at_least",
    "less_than",
    "at_most",
    "before",
    "after",
    "within_last",
    "longer_ago",
    "within_next",
    "exists",
    "missing",
]


def _scalar(value: object) -> object:
    if value is not None and (not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value))):
        raise SaidError(_l("expected a text, a number, or true or false"))
    return value


Scalar = Annotated[bool | int | float | str | None, BeforeValidator(_scalar)]
WORDS = {
    "is": _l("%(name)s is %(value)s"),
    "is_not": _l("%(name)s is not %(value)s"),
    "contains": _l("%(name)s contains %(value)s"),
    "more_than": _l("%(name)s is more than %(value)s"),
    "at_least": _l("%(name)s is at least %(value)s"),
    "less_than": _l("%(name)s is less than %(value)s"),
    "at_most": _l("%(name)s is at most %(value)s"),
    "before": _l("%(name)s is before %(value)s"),
    "after": _l("%(name)s is after %(value)s"),
    "within_last": _l("%(name)s lies within the last %(value)s"),
    "longer_ago": _l("%(name)s lies longer ago than %(value)s"),
    "within_next": _l("%(name)s lies within the next %(value)s"),
    "exists": _l("%(name)s is known"),
    "missing": _l("%(name)s is not known"),
}
ORDERED: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "more_than": (">", operator.gt), "at_least": (">=", operator.ge), "less_than": ("<", operator.lt), "at_most": ("<=", operator.le),
    "before": ("<", operator.lt), "after": (">", operator.gt),
}  # fmt: skip
NUMBERS = frozenset({"more_than", "at_least", "less_than", "at_most"})
NO_DURATION = _l("%(value)s is not a duration; write for example 30d or 12h")
RELATIVE = frozenset({"within_last", "longer_ago", "within_next"})


class Comparison(Settings):
    """One named value compared; dots in the name go deeper where there is none of that very name."""

    name: str = Field(min_length=1, max_length=200, title=_l("Name"))
    op: Op = Field(default="is", title=_l("Comparison"))
    value: Scalar = Field(default=None, title=_l("Value"))

    @model_validator(mode="after")
    def _complete(self) -> Comparison:
        if self.op in NUMBERS and values.number(self.value) is None:
            raise SaidError(_l("this compares numbers; %(value)s is none"), value=repr(self.value))
        if self.op in {"before", "after"} and values.moment(self.value) is None:
            raise SaidError(_l("this compares dates; %(value)s is none, write for example 2026-01-31"), value=repr(self.value))
        if self.op in RELATIVE:
            _duration(self.value)
        if self.op == "contains" and (not isinstance(self.value, str) or not self.value):
            raise SaidError(_l("“contains” looks for text; %(value)s is none"), value=repr(self.value))
        if self.op in {"is", "is_not"} and self.value is None:
            raise SaidError(_l("a value to compare with is needed"))
        return self

    def clause(self, query: Query, column: str) -> Clause:
        """SQL over a jsonb column."""
        json = query.at(column, self.name)
        if self.op in {"exists", "missing"}:
            there = f"coalesce(jsonb_typeof({json}) <> 'null' AND {json} <> '\"\"'::jsonb, false)"
            return Clause(there if self.op == "exists" else f"NOT {there}")
        if self.op in {"is", "is_not"}:
            same = _same_sql(json, self.value, query)
            return Clause(same if self.op == "is" else f"({same}) IS NOT TRUE")
        if self.op == "contains":
            wanted = query.bind(values.fold(str(self.value)), "text")
            listed = f"EXISTS (SELECT FROM jsonb_array_elements(CASE WHEN jsonb_typeof({json}) = 'array' THEN {json} ELSE '[]' END) x WHERE {values.word_sql('x')} = {wanted})"  # noqa: E501  reads best as one line
            return Clause(f"(CASE WHEN jsonb_typeof({json}) = 'string' THEN strpos(lower({json} #>> '{{}}'), {wanted}) > 0 ELSE {listed} END)")
        if self.op in NUMBERS:
            return Clause(f"{values.number_sql(json)} {ORDERED[self.op][0]} {query.bind(values.number(self.value), 'numeric')}")
        found = f"({values.moment_sql(json)})"
        if self.op in RELATIVE:
            return relative(self.op, found, _duration(self.value), query)
        return Clause(f"{found} {ORDERED[self.op][0]} {query.bind(values.moment(self.value), 'timestamptz')}")

    def holds(self, found: Any, now: dt.datetime) -> bool:
        """The same in Python."""
        if self.op in {"exists", "missing"}:
            return (found is not None and found != "") == (self.op == "exists")
        if self.op in {"is", "is_not"}:
            return _same(found, self.value) == (self.op == "is")
        if self.op == "contains":
            wanted = values.fold(str(self.value))
            return any(values.word(x) == wanted for x in found) if isinstance(found, list) else isinstance(found, str) and wanted in values.fold(found)
        if self.op in RELATIVE:
            return read_relative(self.op, values.moment(found), _duration(self.value), now)
        left, right = (values.number(found), values.number(self.value)) if self.op in NUMBERS else (values.moment(found), values.moment(self.value))
        return left is not None and right is not None and ORDERED[self.op][1](left, right)

    def sentence(self) -> Sentence:
        return Sentence(WORDS[self.op], {"name": self.name, "value": "" if self.value is None else self.value})


class PropertyFilter(Comparison):
    """A comparison of an event's property; its answer never changes with time."""

    @model_validator(mode="after")
    def _fixed(self) -> PropertyFilter:
        if self.op in RELATIVE:
            raise SaidError(_l("a time measured from now is for traits; limit an event by its window instead"))
        return self


def relative(op: str, found: str, span: dt.timedelta, query: Query) -> Clause:
    """A time against the present; it changes when the window's edge passes."""
    now, length = query.bind(query.now, "timestamptz"), query.bind(span, "interval")
    if op == "within_next":
        holds = f"({found} >= {now} AND {found} <= {now} + {length})"
        return Clause(holds, f"CASE WHEN {found} - {length} > {now} THEN {found} - {length} WHEN {found} >= {now} THEN {found} + interval '1 microsecond' END")
    sign = ">" if op == "within_last" else "<="
    return Clause(f"{found} {sign} {now} - {length}", f"CASE WHEN {found} + {length} > {now} THEN {found} + {length} END")


def read_relative(op: str, found: dt.datetime | None, span: dt.timedelta, now: dt.datetime) -> bool:
    """The twin of `relative`."""
    if found is None:
        return False
    if op == "within_next":
        return now <= found <= now + span
    return found > now - span if op == "within_last" else found <= now - span


def _duration(value: Scalar) -> dt.timedelta:
    try:
        found = values._duration(value)
    except ValueError as error:
        raise SaidError(NO_DURATION, value=repr(value)) from error
    if not isinstance(found, dt.timedelta):
        raise SaidError(NO_DURATION, value=repr(value))
    return found


def _same_sql(json: str, wanted: Scalar, query: Query) -> str:
    texts = f"{values.word_sql(json)} = {query.bind(values.word(wanted), 'text')}" if values.word(wanted) is not None else ""
    figure: Decimal | None = values.number(wanted)
    numbers = f"{values.number_sql(json)} = {query.bind(figure, 'numeric')}" if figure is not None else ""
    return "(" + " OR ".join(filter(None, (texts, numbers))) + ")"


def _same(found: Any, wanted: Scalar) -> bool:
    left, right = values.number(found), values.number(wanted)
    if left is not None and right is not None and left == right:
        return True
    return values.word(wanted) is not None and values.word(found) == values.word(wanted)
