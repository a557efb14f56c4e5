"""Variants in the database: their events told apart from people's, folded in sets, and what that changed."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import product
from crm.commerce.product import VariantState, about
from crm.core.json import dumps
from crm.events import store
from crm.events.goods import NAMES, log_id, variant_of
from crm.events.models import LIVE
from crm.events.spec import Accepted, Happened, event_name


@dataclass(frozen=True, slots=True)
class Change:
    """A variant came into stock (`before` is 0, or None where nobody had counted), or its price fell; `event` is the live one that told it last."""

    kind: Literal["stock", "price"]
    variant_id: str
    event: Happened
    currency: str
    before: Decimal | None = None
    after: Decimal | None = None


def part(batch: Sequence[Accepted]) -> tuple[list[Happened], Sequence[Accepted]]:
    """What a batch says about goods, each event under its variant; and the calls about people."""
    goods = [(call, key) for call in batch if call.trusted and (key := variant_of(event_name(call.call), call.call.properties))]
    if not goods:
        return [], batch
    taken = {call.id for call, _ in goods}
    return [_happened(call, key) for call, key in goods], [call for call in batch if call.id not in taken]


def fold(session: Session, events: Sequence[Happened], *, currency: str) -> list[Change]:
    """Bring variants up to date with a batch whose events are in the log; returns what came back and what got cheaper.

    An event earlier than one folded before folds its variant anew from the log.
    """
    told: dict[str, list[Happened]] = {}
    for event in sorted(events, key=lambda e: e.order):
        if key := about(event):
            told.setdefault(key, []).append(event)
    if not told:
        return []
    states = _lock(session, told.keys(), currency)
    before = {key: (state.order is not None, state.stock, state.price, state.currency) for key, state in states.items()}
    late = [key for key, mine in told.items() if (order := states[key].order) and mine[0].order <= order]
    for key, mine in told.items():
        if key not in late:
            for event in mine:
                product.apply(states[key], event)
    states |= from_log(session, late, currency=currency)
    _forget(session, late)
    _save(session, [states[key] for key in sorted(states)])
    return [change for key in sorted(states) for change in _changes(before[key], states[key], told[key])]


def from_log(session: Session, variant_ids: Collection[str], *, currency: str) -> dict[str, VariantState]:
    """These variants by the log alone, with their whole histories."""
    ids = {log_id(each): each for each in variant_ids}
    mine: dict[str, list[Happened]] = {each: [] for each in variant_ids}
    for event in store.of_people(session, list(ids), sorted(NAMES)) if ids else ():
        mine[ids[event.profile_id]].append(event)
    return {each: product.fold(each, events, currency) for each, events in mine.items()}


def differences(session: Session, variant_ids: Collection[str], *, currency: str) -> list[str]:
    """Where variants and their histories are not what the log says, each as a sentence; empty is well."""
    said = from_log(session, variant_ids, currency=currency)
    live = _load(session, variant_ids, "")
    found = []
    for key in sorted(said):
        for name in ("stock", "price", "currency", "texts", "pictures", "archived", "version", "order", "stocks", "prices"):
            is_, was = getattr(live.get(key), name, None), getattr(said[key], name)
            if name == "texts":
                is_, was = {k: v for k, v in (is_ or {}).items() if v}, {k: v for k, v in was.items() if v}
            if is_ != was:
                found.append(f"variant {key}: {name} is {is_!r}, the log says {was!r}")
    return found


def _happened(call: Accepted, key: str) -> Happened:
    said = call.call
    return Happened(
        log_id(key), call.occurred_at, call.id, call.source_id, said.type, event_name(said), call.origin, call.trusted, (), said.properties or {}, {}, {},
        call.received_at, call.claimed_at, said.message_id, call.hops, call.cause,
    )  # fmt: skip


def _changes(before: tuple[bool, int | None, Decimal | None, str], state: VariantState, events: Sequence[Happened]) -> Iterable[Change]:
    """What the batch brought about as a whole. The first word about a variant changes no price, but it may bring what somebody waits for."""
    live = [event for event in events if event.origin == LIVE]
    known, stock, price, money = before
    if not live or state.archived:
        return
    if state.stock and not stock:
        yield Change("stock", state.id, live[-1], state.currency, None if stock is None else Decimal(stock), Decimal(state.stock))
    if known and price is not None and state.price is not None and money == state.currency and state.price < price:
        yield Change("price", state.id, live[-1], state.currency, price, state.price)


def _lock(session: Session, ids: Iterable[str], currency: str) -> dict[str, VariantState]:
    """The variants, made where they are missing, locked in the order of their ids."""
    ordered = sorted(ids)
    session.execute(text(_MAKE), {"ids": ordered, "currency": currency})
    return _load(session, ordered, "FOR UPDATE", histories=False)


def _load(session: Session, ids: Collection[str], lock: str, *, histories: bool = True) -> dict[str, VariantState]:
    found = {}
    for row in session.execute(text(_LOAD + lock), {"ids": list(ids)}):
        texts = {name: getattr(row, name) for name in product.TEXTS}
        order = None if row.changed_at is None else (row.changed_at, row.changed_accepted)
        state = VariantState(row.id, row.currency, row.product_id, texts, row.pictures, row.price, row.stock, row.archived, row.version, order)
        found[row.id] = state
    if histories:
        for row in session.execute(text(_STOCKS), {"ids": list(ids)}):
            found[row.variant_id].stocks.append(((row.at, row.accepted), row.stock))
        for row in session.execute(text(_PRICES), {"ids": list(ids)}):
            found[row.variant_id].prices.append(((row.at, row.accepted), row.price, row.currency))
    return found


def _forget(session: Session, ids: Collection[str]) -> None:
    if ids:
        for table in ("stock_history", "price_history"):
            session.execute(text(f"DELETE FROM {table} WHERE variant_id = ANY(CAST(:ids AS text[]))"), {"ids": list(ids)})  # noqa: S608  our own table names


def _save(session: Session, states: Sequence[VariantState]) -> None:
    session.execute(text(_SAVE), {"rows": dumps([_row(state) for state in states])})
    stocks: list[Any] = [{"v": s.id, "t": at, "n": number, "x": stock} for s in states for (at, number), stock in s.stocks]
    prices: list[Any] = [{"v": s.id, "t": at, "n": number, "x": price, "c": money} for s in states for (at, number), price, money in s.prices]
    if stocks:
        session.execute(text(_SAVE_STOCKS), {"rows": dumps(stocks)})
    if prices:
        session.execute(text(_SAVE_PRICES), {"rows": dumps(prices)})


def _row(state: VariantState) -> dict[str, Any]:
    at, accepted = state.order or (None, None)
    return {name: state.texts.get(name, "") for name in product.TEXTS} | {
        "id": state.id,
        "product_id": state.product_id or state.id,
        "pictures": state.pictures,
        "price": state.price,
        "currency": state.currency,
        "stock": state.stock,
        "archived": state.archived,
        "version": state.version,
        "changed_at": at,
        "changed_accepted": accepted,
    }


def bought_since(session: Session, wanted: Sequence[tuple[uuid.UUID, str, Any]]) -> set[int]:
    """Which of these (profile, variant, since) were bought by their profile from then on, by their number in the list."""
    params = {"profiles": [p for p, _, _ in wanted], "variants": [v for _, v, _ in wanted], "since": [s for _, _, s in wanted]}
    return {number - 1 for number in session.scalars(text(_BOUGHT), params)} if wanted else set()


_MAKE = """
INSERT INTO variants (id, product_id, currency) SELECT i, i, :currency FROM unnest(CAST(:ids AS text[])) AS i ON CONFLICT DO NOTHING
"""
_LOAD = "SELECT * FROM variants WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id "
_STOCKS = "SELECT * FROM stock_history WHERE variant_id = ANY(CAST(:ids AS text[])) ORDER BY variant_id, at, accepted"
_PRICES = "SELECT * FROM price_history WHERE variant_id = ANY(CAST(:ids AS text[])) ORDER BY variant_id, at, accepted"
_SAVE = """
UPDATE variants v SET (product_id, name, variety, category, brand, url, pictures, price, currency, stock, archived, version, changed_at, changed_accepted) =
  (n.product_id, n.name, n.variety, n.category, n.brand, n.url, n.pictures, n.price, n.currency, n.stock, n.archived, n.version, n.changed_at,
   n.changed_accepted)
FROM json_to_recordset(CAST(:rows AS json)) AS n(
  id text, product_id text, name text, variety text, category text, brand text, url text, pictures jsonb, price numeric, currency text, stock integer,
  archived boolean, version bigint, changed_at timestamptz, changed_accepted bigint)
WHERE v.id = n.id
"""
_SAVE_STOCKS = """
INSERT INTO stock_history (variant_id, at, accepted, stock)
SELECT v, t, n, x FROM json_to_recordset(CAST(:rows AS json)) AS r(v text, t timestamptz, n bigint, x integer)
"""
_SAVE_PRICES = """
INSERT INTO price_history (variant_id, at, accepted, price, currency)
SELECT v, t, n, x, c FROM json_to_recordset(CAST(:rows AS json)) AS r(v text, t timestamptz, n bigint, x numeric, c text)
"""
_BOUGHT = """
SELECT w.number FROM unnest(CAST(:profiles AS uuid[]), CAST(:variants AS text[]), CAST(:since AS timestamptz[])) WITH ORDINALITY
  AS w(profile_id, variant_id, since, number)
WHERE EXISTS (
  SELECT FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.items) i
  WHERE o.profile_id = w.profile_id AND o.ordered_at >= w.since AND o.cancelled_at IS NULL
    AND w.variant_id = coalesce(i->>'variant_id', i->>'sku', i->>'product_id'))
"""
