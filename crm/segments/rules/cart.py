"""A cart of theirs: what became of it, what it is worth, how long it has lain."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

from pydantic import Field

from crm.commerce.cart import EVENTS
from crm.core.i18n import _l
from crm.segments import values
from crm.segments.rule import CartFact, Clause, Person, Query, Reads, Rule, Sentence, Settings

WORDS = {
    "open": _l("has an open cart worth at least %(value)s %(currency)s, unchanged for %(lain)s"),
    "ordered": _l("has ordered a cart worth at least %(value)s %(currency)s, %(lain)s ago or longer"),
    "emptied": _l("has emptied a cart, %(lain)s ago or longer"),
    "expired": _l("has let a cart worth at least %(value)s %(currency)s expire, unchanged for %(lain)s"),
    "recovered": _l("has ordered an abandoned cart worth at least %(value)s %(currency)s, %(lain)s ago or longer"),
}


class CartSettings(Settings):
    state: Literal["open", "ordered", "emptied", "expired", "recovered"] = Field(default="open", title=_l("State"))
    value: float = Field(default=0, ge=0, le=10**12, title=_l("Worth at least"))
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", title=_l("Currency"))
    lain: values.Duration = Field(default=dt.timedelta(seconds=1), title=_l("Unchanged for"))


class Cart(Rule[CartSettings]):
    kind = "cart"
    title = _l("Their cart")
    settings_type = CartSettings

    def sql(self, settings: CartSettings, query: Query) -> Clause:
        state = "recovered" if settings.state == "recovered" else f"status = {query.bind(settings.state, 'text')}"
        which = f"{state} AND value >= {query.bind(Decimal(str(settings.value)), 'numeric')} {query.only('profile_id')}"
        if settings.currency:
            which += f" AND currency = {query.bind(settings.currency, 'text')}"
        now, lain = query.bind(query.now, "timestamptz"), query.bind(settings.lain, "interval")
        alias = query.join(
            f"SELECT profile_id, min(changed_at) AS t, min(changed_at) FILTER (WHERE changed_at + {lain} > {now}) AS young FROM carts WHERE {which} GROUP BY 1"
        )
        return Clause(f"{alias}.t <= {now} - {lain}", f"{alias}.young + {lain}")

    def read(self, settings: CartSettings, person: Person, now: dt.datetime) -> bool:
        return any(_fits(settings, cart) and cart.changed_at <= now - settings.lain for cart in person.carts)

    def reads(self, settings: CartSettings) -> Reads:
        return Reads(events=frozenset(EVENTS))

    def sentence(self, settings: CartSettings) -> Sentence:
        return Sentence(WORDS[settings.state], {"value": settings.value, "currency": settings.currency or "", "lain": settings.lain})


def _fits(settings: CartSettings, cart: CartFact) -> bool:
    state = cart.recovered if settings.state == "recovered" else cart.status == settings.state
    return state and cart.value >= Decimal(str(settings.value)) and settings.currency in {None, cart.currency}


plugin = Cart()
