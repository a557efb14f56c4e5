"""A variant as a function of the events about it, and whether it may still be offered. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm.commerce.money import amount, currency, plain
from crm.events.goods import NAMES, PRICE, STOCK, UPDATED, key_of
from crm.events.spec import Happened

MAX_PICTURES, MAX_TEXT, MOST = 20, 2_000, 2_000_000_000
TEXTS = {"name": ("name", "title"), "variety": ("variant", "variety"), "category": ("category",), "brand": ("brand",), "url": ("url",)}
Stamp = tuple[dt.datetime, int]


@dataclass(slots=True)
class VariantState:
    """What is known of a variant; `stocks` and `prices` are what changed while it was folded, oldest first."""

    id: str
    currency: str
    product_id: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    price: Decimal | None = None
    stock: int | None = None
    archived: bool = False
    version: int | None = None
    order: Stamp | None = None
    stocks: list[tuple[Stamp, int | None]] = field(default_factory=list)
    prices: list[tuple[Stamp, Decimal | None, str]] = field(default_factory=list)


def apply(state: VariantState, event: Happened) -> None:
    """Fold one event; events of a variant must come in their order. One with a lower version than seen before changes nothing."""
    said = event.properties
    version = whole(said.get("version"))
    state.order = event.order
    if version is not None and state.version is not None and version < state.version:
        return
    state.version = state.version if version is None else version
    if event.name == UPDATED:
        _describe(state, said)
    if "stock" in said and event.name in {UPDATED, STOCK}:
        _count(state, said["stock"], event.order)
    if "price" in said and event.name in {UPDATED, PRICE}:
        _price(state, said, event.order)


def fold(variant_id: str, events: Iterable[Happened], default_currency: str) -> VariantState:
    """The variant by all its events."""
    state = VariantState(variant_id, default_currency)
    for event in sorted(events, key=lambda e: e.order):
        if about(event) == variant_id:
            apply(state, event)
    return state


def about(event: Happened) -> str | None:
    """The variant an event tells of; None where it is no such event, or only a browser says so."""
    return key_of(event.properties) if event.name in NAMES and event.trusted else None


def whole(value: Any) -> int | None:
    """A whole number that a column holds; None where it is none."""
    number = amount(value)
    return int(number) if number is not None and number == int(number) and abs(number) < 2**62 else None


def _describe(state: VariantState, said: Mapping[str, Any]) -> None:
    if isinstance(said.get("product_id"), str | int):
        state.product_id = str(said["product_id"])[:MAX_TEXT]
    for name, keys in TEXTS.items():
        value = next((said[key] for key in keys if isinstance(said.get(key), str)), None)
        if value is not None:
            state.texts[name] = value[:MAX_TEXT]
    pictures = said.get("pictures") or ([said["image_url"]] if said.get("image_url") else None)
    if isinstance(pictures, list):
        state.pictures = [each[:MAX_TEXT] for each in pictures[:MAX_PICTURES] if isinstance(each, str)]
    if isinstance(said.get("archived"), bool):
        state.archived = said["archived"]


def _count(state: VariantState, value: Any, order: Stamp) -> None:
    found = whole(value)
    if value is not None and found is None:
        return
    stock = None if found is None else max(0, min(found, MOST))
    if stock != state.stock:
        state.stocks.append((order, stock))
    state.stock = stock


def _price(state: VariantState, said: Mapping[str, Any], order: Stamp) -> None:
    price = amount(said["price"])
    if price is None or price < 0:
        return
    money = currency(said.get("currency"), state.currency)
    if (price, money) != (state.price, state.currency):
        state.prices.append((order, price, money))
    state.price, state.currency = price, money


@dataclass(frozen=True, slots=True)
class Now:
    """How a variant stands at the moment a message about it may go; None in the place of it where nobody told of such a variant."""

    stock: int | None
    price: Decimal | None
    currency: str
    archived: bool = False


def over(wanted: Mapping[str, Any], now: Now | None, *, bought: bool) -> str | None:
    """Why a message about a variant has lost its point (`sold_out`, `price_rose`, `bought`); None where it has not.

    `wanted`: `{"variant_id", "since", "price"?, "currency"?}`; a price there must not have risen since.
    """
    if bought:
        return "bought"
    if now is None or now.archived or now.stock == 0:
        return "sold_out"
    least = amount(wanted.get("price"))
    if least is not None and (now.price is None or now.currency != wanted.get("currency") or now.price > least):
        return "price_rose"
    return None


def card(state: Any) -> dict[str, Any]:
    """A variant's row as events and templates carry it."""
    return {
        "variant_id": state.id,
        "product_id": state.product_id,
        "name": state.name or state.id,
        "variant": state.variety,
        "category": state.category,
        "brand": state.brand,
        "price": None if state.price is None else plain(state.price.normalize()),
        "currency": state.currency,
        "image_url": next(iter(state.pictures), ""),
        "url": state.url,
    }


def over_by(wanted: Mapping[str, Any], start: Mapping[str, Any], events: Iterable[Happened]) -> str | None:
    """The same where only a story is known: what the start said of the variant, and the events told since."""
    key = str(wanted["variant_id"])
    state = VariantState(key, currency(start.get("currency"), "ILS"), price=amount(start.get("price")), stock=whole(start.get("stock")))
    bought = False
    for event in events:
        if about(event) == key:
            apply(state, event)
        elif event.name == "Order Completed":
            lines = event.properties.get("products")
            bought = bought or any(isinstance(line, dict) and key_of(line) == key for line in (lines if isinstance(lines, list) else ()))
    return over(wanted, Now(state.stock, state.price, state.currency, state.archived), bought=bought)
