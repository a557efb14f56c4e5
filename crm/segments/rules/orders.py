"""Orders that stand: how many, for how much, when the first or the last."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from crm.commerce.order import EVENTS
from crm.commerce.orders import CHANGED
from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.segments import values
from crm.segments.compare import read_relative, relative
from crm.segments.events import OPS, window_words
from crm.segments.rule import Clause, OrderFact, Person, Query, Reads, Rule, Sentence, Settings

FIGURES = {"count": "count(*)", "revenue": "sum(revenue - refunded)", "average": "avg(revenue - refunded)"}
WORDS = {
    "count": {"at_least": _l("ordered at least %(value)s times%(window)s"), "more_than": _l("ordered more than %(value)s times%(window)s"),
              "at_most": _l("ordered at most %(value)s times%(window)s"), "less_than": _l("ordered fewer than %(value)s times%(window)s"),
              "exactly": _l("ordered exactly %(value)s times%(window)s")},
    "revenue": {"at_least": _l("orders%(window)s came to at least %(value)s %(currency)s"), "more_than": _l("orders%(window)s came to more than %(value)s %(currency)s"),  # noqa: E501  reads best as one line
                "at_most": _l("orders%(window)s came to at most %(value)s %(currency)s"), "less_than": _l("orders%(window)s came to less than %(value)s %(currency)s"),  # noqa: E501  reads best as one line
                "exactly": _l("orders%(window)s came to exactly %(value)s %(currency)s")},
    "average": {"at_least": _l("the average order%(window)s is at least %(value)s %(currency)s"),
                "more_than": _l("the average order%(window)s is more than %(value)s %(currency)s"),
                "at_most": _l("the average order%(window)s is at most %(value)s %(currency)s"),
                "less_than": _l("the average order%(window)s is less than %(value)s %(currency)s"),
                "exactly": _l("the average order%(window)s is exactly %(value)s %(currency)s")},
    "first": {"within_last": _l("the first order lies within the last %(ago)s"), "longer_ago": _l("the first order lies longer ago than %(ago)s")},
    "last": {"within_last": _l("the last order lies within the last %(ago)s"), "longer_ago": _l("the last order lies longer ago than %(ago)s")},
}  # fmt: skip


class OrdersSettings(Settings):
    of: Literal["count", "revenue", "average", "first", "last"] = Field(default="count", title=_l("Of"))
    op: Literal["at_least", "more_than", "at_most", "less_than", "exactly", "within_last", "longer_ago"] = Field(default="at_least", title=_l("Comparison"))
    value: float = Field(default=1, ge=0, le=10**12, title=_l("Value"))
    ago: values.Duration | None = Field(default=None, title=_l("How long ago"))
    within: values.Duration | None = Field(default=None, title=_l("In the last"))
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", title=_l("Currency"))

    @model_validator(mode="after")
    def _complete(self) -> OrdersSettings:
        timed = self.op in {"within_last", "longer_ago"}
        if timed != (self.of in {"first", "last"}):
            raise SaidError(_l("a first or last order is compared by how long ago it was, and nothing else is"))
        if timed and self.ago is None:
            raise SaidError(_l("say how long ago, for example 30d"))
        if self.of in {"revenue", "average"} and self.currency is None:
            raise SaidError(_l("sums of money are counted per currency; name one, for example ILS"))
        return self


class Orders(Rule[OrdersSettings]):
    kind = "orders"
    title = _l("Their orders")
    settings_type = OrdersSettings

    def sql(self, settings: OrdersSettings, query: Query) -> Clause:
        standing = f"FROM orders WHERE ordered_at IS NOT NULL AND cancelled_at IS NULL {query.only('profile_id')}"
        which = [f"currency = {query.bind(settings.currency, 'text')}"] if settings.currency else []
        if settings.within is not None:
            which.append(f"ordered_at > {query.bind(query.now, 'timestamptz')} - {query.bind(settings.within, 'interval')}")
        only = " AND ".join(which)
        if settings.ago is not None and settings.of in {"first", "last"}:
            edge = query.figure(standing, f"{'min' if settings.of == 'first' else 'max'}(ordered_at)", only)
            clause = relative(settings.op, edge, settings.ago, query)
            return clause if settings.within is None else Clause(clause.holds, f"LEAST({clause.due}, {edge} + {query.bind(settings.within, 'interval')})")
        due = None
        if settings.within is not None and query.dues:
            due = f"({query.figure(standing, 'min(ordered_at)', only)} + {query.bind(settings.within, 'interval')})"
        found = query.figure(standing, FIGURES[settings.of], only)
        found = f"coalesce({found}, 0)" if _fits_nothing(settings) else found
        return Clause(f"{found} {OPS[settings.op][0]} {query.bind(Decimal(str(settings.value)), 'numeric')}", due)

    def read(self, settings: OrdersSettings, person: Person, now: dt.datetime) -> bool:
        mine = [o for o in person.orders if settings.currency in {None, o.currency} and (settings.within is None or o.ordered_at > now - settings.within)]
        if settings.ago is not None and settings.of in {"first", "last"}:
            edge = (min if settings.of == "first" else max)((o.ordered_at for o in mine), default=None)
            return read_relative(settings.op, edge, settings.ago, now)
        return OPS[settings.op][1](_figure(settings.of, mine), Decimal(str(settings.value))) if mine or _fits_nothing(settings) else False

    def reads(self, settings: OrdersSettings) -> Reads:
        return Reads(events=frozenset({*EVENTS, CHANGED}), birth=_fits_nothing(settings))

    def sentence(self, settings: OrdersSettings) -> Sentence:
        slots = {"value": settings.value, "window": window_words(settings.within), "currency": settings.currency or "", "ago": settings.ago}
        return Sentence(WORDS[settings.of][settings.op], slots)


def _fits_nothing(settings: OrdersSettings) -> bool:
    return settings.of in {"count", "revenue"} and OPS[settings.op][1](Decimal(0), Decimal(str(settings.value)))


def _figure(of: str, mine: list[OrderFact]) -> Decimal:
    if of == "count":
        return Decimal(len(mine))
    total = sum((o.net for o in mine), Decimal(0))
    return total if of == "revenue" or not mine else total / len(mine)


plugin = Orders()
