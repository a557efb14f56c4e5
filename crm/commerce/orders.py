"""Orders in the database: folded in sets, each counted once by its source and number."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import order
from crm.commerce.cart import order_id
from crm.commerce.order import OrderState
from crm.core.json import array, dumps
from crm.events import inbox, store
from crm.events.models import HISTORY
from crm.events.spec import BROWSER, Happened
from crm.profiles.identify import StaleError

Keys = dict[tuple[int, str], OrderState]
Elsewhere = dict[uuid.UUID, Happened]
CHANGED = "Order Changed"


def fold(session: Session, events: Sequence[Happened], *, currency: str, anew: bool = False) -> Elsewhere:
    """Apply a batch's reports, refunds and cancellations. An order belongs to the first who told of it with trust, else to the first.

    With `anew` these orders become what the batch alone says of them. Returns whose orders events of others changed.
    """
    wanted = [(key, event) for event in events if (key := order.natural_key(event))]
    if not wanted:
        return {}
    states = _load(session, {key for key, _ in wanted})
    owners = {key: state.profile_id for key, state in states.items()}
    if anew:
        states.clear()
    for key, event in wanted:
        states[key] = order.apply(states.get(key), event, currency)
    _hand_over(session, {key: states[key].profile_id for key, owner in owners.items() if states[key].profile_id != owner}, set(owners.values()))
    _save(session, [states[key] for key in sorted(states)])
    live_last = sorted(wanted, key=lambda each: each[1].origin != HISTORY)
    return {owner: event for key, event in live_last for owner in (owners.get(key), states[key].profile_id) if owner and owner != event.profile_id}


def tell(session: Session, elsewhere: Elsewhere, now: dt.datetime) -> None:
    """Owners whose order somebody else's event changed hear of it by an event of their own, so that whatever reads their orders looks again."""
    rows = [
        replace(inbox.system_event(CHANGED, owner, {"order_id": order_id(event)}, cause=f"event:{event.accepted}", hops=event.hops + 1), origin=event.origin)
        for owner, event in elsewhere.items()
    ]
    inbox.append(session, rows, now)


def reown(session: Session, profile_ids: Collection[uuid.UUID]) -> None:
    """After an undone join: each order of these people belongs to whoever's event told of it first, with trust before without."""
    first: dict[tuple[int, str], uuid.UUID] = {}
    told = store.of_people(session, list(profile_ids), order.EVENTS, as_acted=True)
    for event in sorted(told, key=lambda event: event.trust == BROWSER):
        if key := order.natural_key(event):
            first.setdefault(key, event.profile_id)
    _hand_over(session, first, profile_ids)


def _hand_over(session: Session, owners: Mapping[tuple[int, str], uuid.UUID], former: Collection[uuid.UUID]) -> None:
    """Give orders of these former owners to others."""
    if owners:
        keys = sorted(owners)
        columns = {"sources": [s for s, _ in keys], "numbers": [n for _, n in keys], "owners": [owners[key] for key in keys], "ids": list(former)}
        session.execute(text(_REOWN), columns)


def _load(session: Session, keys: Collection[tuple[int, str]]) -> Keys:
    ordered = sorted(keys)
    rows = session.execute(text(_LOAD), {"sources": array([s for s, _ in ordered]), "numbers": array([n for _, n in ordered])}).all()
    return {
        (row.source_id, row.order_id): OrderState(
            row.source_id, row.order_id, row.profile_id, row.currency, (row.version_trust, row.version_at, row.version_accepted),
            row.revenue, row.total, row.refunds, row.items, row.ordered_at, row.cancelled_at, row.reported, row.ordered_trust, row.vouched,
        )
        for row in rows
    }  # fmt: skip


def _save(session: Session, orders: Sequence[OrderState]) -> None:
    """Write orders; StaleError where another worker, holding another person, was the first to tell of one meanwhile."""
    written = session.execute(
        text(_SAVE),
        {
            "sources": array([o.source_id for o in orders]),
            "numbers": array([o.order_id for o in orders]),
            "profiles": array([o.profile_id for o in orders]),
            "currencies": array([o.currency for o in orders]),
            "revenues": array([o.revenue for o in orders]),
            "totals": array([o.total for o in orders]),
            "refunded": array([o.refunded for o in orders]),
            "refunds": array([dumps(o.refunds) for o in orders]),
            "items": array([dumps(o.items) for o in orders]),
            "ordered": array([o.ordered_at for o in orders]),
            "cancelled": array([o.cancelled_at for o in orders]),
            "reported": array([o.reported for o in orders]),
            "versions": array([o.version[1] for o in orders]),
            "accepted": array([o.version[2] for o in orders]),
            "trusts": array([o.version[0] for o in orders]),
            "ordered_trusts": array([o.ordered_trust for o in orders]),
            "vouched": array([o.vouched for o in orders]),
        },
    )
    if len(written.all()) < len(orders):
        raise StaleError


_REOWN = """
UPDATE orders o SET profile_id = k.owner
FROM unnest(CAST(:sources AS integer[]), CAST(:numbers AS text[]), CAST(:owners AS uuid[])) k(source_id, order_id, owner)
WHERE (o.source_id, o.order_id) = (k.source_id, k.order_id) AND o.profile_id = ANY(CAST(:ids AS uuid[])) AND o.profile_id <> k.owner
"""
_LOAD = """
SELECT o.* FROM unnest(CAST(:sources AS integer[]), CAST(:numbers AS text[])) k(source_id, order_id) JOIN orders o USING (source_id, order_id)
ORDER BY source_id, order_id FOR UPDATE OF o
"""
_SAVE = """
INSERT INTO orders (source_id, order_id, profile_id, currency, revenue, total, refunded, refunds, items,
                    ordered_at, cancelled_at, reported, version_at, version_accepted, version_trust, ordered_trust, vouched)
SELECT s, n, p, c, r, t, rd, CAST(rs AS jsonb), CAST(i AS jsonb), o, ca, re, v, a, vt, ot, vo FROM unnest(
  CAST(:sources AS integer[]), CAST(:numbers AS text[]), CAST(:profiles AS uuid[]), CAST(:currencies AS text[]), CAST(:revenues AS numeric[]),
  CAST(:totals AS numeric[]), CAST(:refunded AS numeric[]), CAST(:refunds AS text[]), CAST(:items AS text[]), CAST(:ordered AS timestamptz[]),
  CAST(:cancelled AS timestamptz[]), CAST(:reported AS boolean[]), CAST(:versions AS timestamptz[]), CAST(:accepted AS bigint[]),
  CAST(:trusts AS smallint[]), CAST(:ordered_trusts AS smallint[]), CAST(:vouched AS boolean[])
) AS u(s, n, p, c, r, t, rd, rs, i, o, ca, re, v, a, vt, ot, vo)
ON CONFLICT (source_id, order_id) DO UPDATE SET
  (currency, revenue, total, refunded, refunds, items, ordered_at, cancelled_at, reported,
   version_at, version_accepted, version_trust, ordered_trust, vouched) =
  (excluded.currency, excluded.revenue, excluded.total, excluded.refunded, excluded.refunds, excluded.items, excluded.ordered_at,
   excluded.cancelled_at, excluded.reported, excluded.version_at, excluded.version_accepted,
   excluded.version_trust, excluded.ordered_trust, excluded.vouched)
WHERE orders.profile_id = excluded.profile_id RETURNING 1
"""
