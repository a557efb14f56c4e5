"""Small rules over one run or event: typed comparisons of a property, a trait, the language or the cart."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from pydantic import Field, model_validator

from crm.core.clock import parse_time
from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import CartFact, RunEvent, Settings

Operator = Literal["is", "is_not", "more_than", "at_least", "less_than", "at_most", "contains", "exists", "missing", "before", "after"]
NOTHING: Mapping[str, Any] = {}
Scalar = str | bool | int | float | None
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "more_than": operator.gt,
    "at_least": operator.ge,
    "less_than": operator.lt,
    "at_most": operator.le,
    "before": operator.lt,
    "after": operator.gt,
}


class Condition(Settings):
    """One comparison. `of` says where to look: `event` (a property, dots go deeper), `trait`, `language`, `cart` (`value`, `items`, `status`),
    `run` (what an earlier step brought: `node.status`)."""

    of: Literal["event", "trait", "language", "cart", "run"] = Field(default="event", title=_l("Of"))
    name: str = Field(default="", max_length=200, title=_l("Name"))
    op: Operator = Field(default="is", title=_l("Comparison"))
    value: Scalar = Field(default=None, title=_l("Value"))

    @model_validator(mode="after")
    def _complete(self) -> Condition:
        if self.of != "language" and not self.name:
            raise SaidError(_l("a condition needs the name of what it looks at"))
        if self.op in {"more_than", "at_least", "less_than", "at_most"} and _number(self.value) is None:
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
