"""Carts and orders by the log alone: what live state must equal."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from typing import Any

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
    """What these people's events alone do not explain is asked of the whole log: others' events may speak of their orders too."""
    ids = list(profile_ids)
    theirs = {(row.source_id, row.order_id): _facts(row) for row in session.execute(text(_THEIRS), {"ids": ids})}
    said = _fold(store.of_people(session, ids, order.EVENTS, as_acted=True), currency)
    odd = [key for key in theirs if said.get(key) != theirs[key]]
    said = _fold(store.of_orders(session, [number for _, number in odd], order.EVENTS), currency) if odd else {}
    for key in sorted(odd):
        if said.get(key) != theirs[key]:
            yield f"order {key[1]} of source {key[0]} is {theirs[key]}, the log says {said.get(key)}"


def _fold(events: Iterable[Happened], currency: str) -> dict[tuple[int, str], tuple[object, ...]]:
    states: dict[tuple[int, str], OrderState] = {}
    for event in events:
        if key := order.natural_key(event):
            states[key] = order.apply(states.get(key), event, currency)
    return {key: _facts(state) for key, state in states.items()}


def _facts(found: Any) -> tuple[object, ...]:
    """What a row and a folded order have in common."""
    return found.profile_id, found.revenue, found.refunded, found.currency, found.ordered_at, found.cancelled_at


_THEIRS = "SELECT * FROM orders WHERE profile_id = ANY(CAST(:ids AS uuid[]))"
