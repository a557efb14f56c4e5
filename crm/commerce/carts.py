"""Carts in the database: folded in sets, and looked up by the ones who ask about one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import cart, late_carts
from crm.commerce.cart import CartState
from crm.core.clock import parse_time
from crm.core.json import array, dumps
from crm.events import store
from crm.events.spec import Happened
from crm.profiles.people import Person

Carts = dict[uuid.UUID, list[CartState]]


def fold(session: Session, events: Sequence[Happened], people: Mapping[uuid.UUID, Person], *, currency: str) -> None:
    """Bring the carts of a batch's people up to date; events are in the log already, people are locked.

    An event later than all folded before is applied to what is there; an earlier one folds that person anew from where the carts of then
    began, a join from the beginning.
    """
    by_person: dict[uuid.UUID, list[Happened]] = {}
    for event in events:
        if event.name in cart.EVENTS:
            by_person.setdefault(event.profile_id, []).append(event)
    anew = {p.id for p in people.values() if p.refold}
    late = {p.id: min(e.occurred_at for e in by_person[p.id]) for p in people.values() if p.id not in anew and _late(p, by_person.get(p.id, ()))}
    _refold(session, anew, people, currency)
    _refold_late(session, late, people, currency)
    onward = {person: sorted(mine, key=lambda e: e.order) for person, mine in by_person.items() if person not in anew | late.keys()}
    carts = late_carts.touchable(session, onward)
    for person, mine in onward.items():
        for event in mine:
            cart.apply(carts.setdefault(person, []), event, currency)
        _remember(people[person], mine[-1])
    _save(session, [c for person in onward for c in carts[person]])


def of_people(session: Session, profile_ids: Collection[uuid.UUID]) -> Carts:
    """All carts of these people, oldest first."""
    found: Carts = {}
    if profile_ids:
        for row in session.execute(text(_LOAD), {"ids": array(list(profile_ids))}).all():
            found.setdefault(row.profile_id, []).append(cart.state_of(row))
    return found


def look_up(carts: Iterable[CartState], wanted: Mapping[str, Any]) -> CartState | None:
    """The cart a reference means, among one person's carts."""
    at = parse_time(wanted["at"])
    return None if at is None else cart.find(carts, wanted["source_id"], wanted["key"], at)


def carts_at(session: Session, refs: Sequence[tuple[uuid.UUID, Mapping[str, Any]]]) -> list[CartState | None]:
    """For each (profile, reference) the cart it means now, or None; in the same order."""
    carts = of_people(session, {profile_id for profile_id, _ in refs})
    return [look_up(carts.get(profile_id, ()), wanted) for profile_id, wanted in refs]


def is_open(found: CartState | None) -> bool:
    """There is something left to remind of."""
    return found is not None and found.status == "open" and bool(found.items)


def _late(person: Person, mine: Iterable[Happened]) -> bool:
    if person.commerce_at is None:
        return False
    return any(event.order <= (person.commerce_at, person.commerce_accepted or 0) for event in mine)


def _remember(person: Person, last: Happened) -> None:
    person.commerce_at, person.commerce_accepted, person.touched = last.occurred_at, last.accepted, True


def _refold(session: Session, anew: set[uuid.UUID], people: Mapping[uuid.UUID, Person], currency: str) -> None:
    if not anew:
        return
    by_person: dict[uuid.UUID, list[Happened]] = {}
    for event in store.of_people(session, list(anew), cart.EVENTS):
        by_person.setdefault(event.profile_id, []).append(event)
    for person, mine in by_person.items():
        _remember(people[person], max(mine, key=lambda e: e.order))
    session.execute(text("DELETE FROM carts WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(anew)})
    _save(session, [c for person, mine in by_person.items() for c in cart.fold(person, mine, currency)])


def _refold_late(session: Session, late: Mapping[uuid.UUID, dt.datetime], people: Mapping[uuid.UUID, Person], currency: str) -> None:
    for person, (carts, last) in late_carts.refold(session, late, currency).items():
        _remember(people[person], last)
        _save(session, carts)


def _save(session: Session, carts: Sequence[CartState]) -> None:
    if not carts:
        return
    session.execute(
        text(_SAVE),
        {
            "profiles": array([c.profile_id for c in carts]),
            "sources": array([c.source_id for c in carts]),
            "keys": array([c.key for c in carts]),
            "statuses": array([c.status for c in carts]),
            "items": array([dumps(list(c.items.values())) for c in carts]),
            "values": array([c.value for c in carts]),
            "currencies": array([c.currency for c in carts]),
            "opened": array([c.opened_at for c in carts]),
            "changed": array([c.changed_at for c in carts]),
            "closed": array([c.closed_at for c in carts]),
            "orders": array([c.order_id for c in carts]),
            "recovered": array([c.recovered for c in carts]),
        },
    )


_LOAD = "SELECT * FROM carts WHERE profile_id = ANY(CAST(:ids AS uuid[])) ORDER BY profile_id, opened_at, key"
_SAVE = """
INSERT INTO carts (profile_id, source_id, key, status, items, value, currency, opened_at, changed_at, closed_at, order_id, recovered)
SELECT p, s, k, st, CAST(i AS jsonb), v, c, o, ch, cl, oi, r FROM unnest(
  CAST(:profiles AS uuid[]), CAST(:sources AS integer[]), CAST(:keys AS text[]), CAST(:statuses AS text[]), CAST(:items AS text[]),
  CAST(:values AS numeric[]), CAST(:currencies AS text[]), CAST(:opened AS timestamptz[]), CAST(:changed AS timestamptz[]),
  CAST(:closed AS timestamptz[]), CAST(:orders AS text[]), CAST(:recovered AS boolean[])) AS u(p, s, k, st, i, v, c, o, ch, cl, oi, r)
ON CONFLICT (profile_id, source_id, key) DO UPDATE SET (status, items, value, currency, opened_at, changed_at, closed_at, order_id, recovered) =
  (excluded.status, excluded.items, excluded.value, excluded.currency, excluded.opened_at, excluded.changed_at,
   excluded.closed_at, excluded.order_id, excluded.recovered)
"""
