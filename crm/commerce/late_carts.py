"""Carts after an event that came too late: folded again from where the carts of its time began, not from the beginning."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import cart
from crm.commerce.cart import CartState
from crm.core.json import array
from crm.events import store
from crm.events.spec import Happened

Carts = dict[uuid.UUID, list[CartState]]


def touchable(session: Session, events: Mapping[uuid.UUID, Iterable[Happened]]) -> Carts:
    """The carts these events of each person can change: open ones, and those they name."""
    keys = {key for mine in events.values() for event in mine if (key := cart.cart_id(event.properties))}
    return _by_person(session.execute(text(_TOUCHABLE), {"ids": array(list(events)), "keys": array(list(keys))}).all()) if events else {}


def refold(session: Session, late: Mapping[uuid.UUID, dt.datetime], currency: str) -> dict[uuid.UUID, tuple[list[CartState], Happened]]:
    """For people with an event that late, which is in the log: the carts to save, and the last event folded into them. Stale ones are gone."""
    if not late:
        return {}
    lives = _by_person(session.execute(text(_LIVES), {"ids": list(late)}).all())
    since = {person: cart.anew_from(lives.get(person, ()), at) for person, at in late.items()}
    session.execute(text(_DROP), {"ids": list(since), "since": list(since.values())})
    by_person: dict[uuid.UUID, list[Happened]] = {}
    for event in store.since(session, since, cart.EVENTS):
        by_person.setdefault(event.profile_id, []).append(event)
    carts = touchable(session, by_person)
    for person, mine in by_person.items():
        for event in mine:
            cart.apply(carts.setdefault(person, []), event, currency)
    return {person: (carts[person], mine[-1]) for person, mine in by_person.items()}


def _by_person(found: Iterable[Any]) -> Carts:
    carts: Carts = {}
    for row in found:
        carts.setdefault(row.profile_id, []).append(cart.state_of(row))
    return carts


_TOUCHABLE = """
SELECT * FROM carts WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND (status = 'open' OR key = ANY(CAST(:keys AS text[]))) ORDER BY profile_id, opened_at, key
"""
_LIVES = """
SELECT profile_id, source_id, key, currency, opened_at, changed_at, CAST('[]' AS jsonb) AS items, status, closed_at, order_id, recovered
FROM carts WHERE profile_id = ANY(CAST(:ids AS uuid[]))
"""
_DROP = """
DELETE FROM carts c USING unnest(CAST(:ids AS uuid[]), CAST(:since AS timestamptz[])) AS l(id, since) WHERE c.profile_id = l.id AND c.opened_at >= l.since
"""
