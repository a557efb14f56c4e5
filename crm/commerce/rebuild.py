"""Carts and orders by the log alone: what live state must equal."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import cart, carts, order
from crm.commerce.order import OrderState
from crm.events import store
from crm.events.spec import Happened


def differences(session: Session, profile_ids: Collection[uuid.UUID], *, currency: str) -> list[str]:
    """Where carts and orders of these people are not what the log says, each as a sentence; empty is well."""
    return [*_carts(session, profile_ids, currency), *_orders(session, profile_ids, currency)]


def _carts(session: Session, profile_ids: Collection[uuid.UUID], currency: str) -> Iterable[str]:
    by_person: dict[uuid.UUID, list[Happened]] = {}
    for event in store.of_people(session, list(profile_ids), cart.EVENTS):
        by_person.setdefault(event.profile_id, []).append(event)
    live = carts.of_people(session, profile_ids)
    for profile_id in profile_ids:
        said = {(c.source_id, c.key): _plain(c) for c in cart.fold(profile_id, by_person.get(profile_id, ()), currency)}
        is_ = {(c.source_id, c.key): _plain(c) for c in live.get(profile_id, ())}
        for key in sorted(said.keys() | is_.keys()):
            if said.get(key) != is_.get(key):
                yield f"cart {key[1]} of profile {profile_id} is {is_.get(key)}, the log says {said.get(key)}"


def _plain(found: cart.CartState) -> tuple[object, ...]:
    lines = sorted(str(sorted(line.items())) for line in found.items.values())
    return found.status, lines, found.value, found.currency, found.opened_at, found.changed_at, found.closed_at, found.order_id, found.recovered


def _orders(session: Session, profile_ids: Collection[uuid.UUID], currency: str) -> Iterable[str]:
    """An order other people's events speak of too cannot be told from these people's alone and is passed over."""
    ids = list(profile_ids)
    said: dict[tuple[int, str], OrderState] = {}
    for event in store.of_people(session, ids, order.EVENTS, as_acted=True):
        if key := order.natural_key(event):
            said[key] = order.apply(said.get(key), event, currency)
    theirs = {(row.source_id, row.order_id): row for row in session.execute(text(_THEIRS), {"ids": ids})}
    for key in sorted(said.keys() & theirs.keys()):
        row, want = theirs[key], said[key]
        live = (row.profile_id, row.revenue, row.refunded, row.currency, row.ordered_at, row.cancelled_at)
        if live != (want.profile_id, want.revenue, want.refunded, want.currency, want.ordered_at, want.cancelled_at):
            yield f"order {key[1]} of source {key[0]} is {live}, the log says another"
    for key in sorted(theirs.keys() - said.keys()):
        yield f"order {key[1]} of source {key[0]} is of profile {theirs[key].profile_id}, whose events do not speak of it"


_THEIRS = "SELECT * FROM orders WHERE profile_id = ANY(CAST(:ids AS uuid[]))"
