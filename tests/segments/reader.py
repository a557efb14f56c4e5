"""One profile's facts as values: what the Python reader of rules is held against the SQL with."""

from __future__ import annotations

import uuid
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.consent.models import ConsentState
from crm.profiles.models import Identity
from crm.profiles.zones import zone_of
from crm.segments.rule import AccountFact, CartFact, OrderFact, Person, Place, Seen
from crm.segments.rules.account import DOC
from crm.segments.rules.consent import KINDS


def person(session: Session, profile_id: uuid.UUID, *, place: Place) -> Person | None:
    """Everything rules may read about one profile; None where there is none."""
    row = session.execute(text("SELECT bucket, traits FROM profiles WHERE id = :id AND merged_into IS NULL"), {"id": profile_id}).one_or_none()
    if row is None:
        return None
    mine = {"id": profile_id}
    log = session.execute(
        text("SELECT name, occurred_at, accepted, properties, trusted FROM events WHERE profile_id = :id ORDER BY occurred_at, accepted"), mine
    )
    orders = session.execute(
        text("SELECT ordered_at, revenue - refunded, currency FROM orders WHERE profile_id = :id AND ordered_at IS NOT NULL AND cancelled_at IS NULL"), mine
    )
    carts = session.execute(text("SELECT status, value, currency, changed_at, recovered, jsonb_array_length(items) FROM carts WHERE profile_id = :id"), mine)
    slugs = session.scalars(text("SELECT s.slug FROM memberships m JOIN segments s ON s.id = m.segment_id WHERE m.profile_id = :id"), mine)
    lists = session.scalars(text("SELECT l.slug FROM list_members m JOIN lists l ON l.id = m.list_id WHERE m.profile_id = :id"), mine)
    return Person(
        row[0], row[1], [Seen(*one) for one in log], [OrderFact(at, Decimal(net), money) for at, net, money in orders], [CartFact(*one) for one in carts],
        _consents(session, profile_id, place), frozenset(slugs), frozenset(lists), zone_of(row[1], place.timezone), place.timezone,
        {row[0]: row[1] for row in session.execute(text("SELECT name, value FROM computed_traits WHERE profile_id = :id"), mine)},
        [AccountFact(*one) for one in session.execute(text(_ACCOUNTS), mine)],
    )  # fmt: skip


_ACCOUNTS = f"""
SELECT m.role, {DOC},
       (SELECT count(*) FROM account_members o WHERE o.account_id = a.id),
       (SELECT coalesce(jsonb_object_agg(slug, n), '{{}}') FROM (
           SELECT s.slug, count(*) AS n FROM account_members o JOIN memberships b ON b.profile_id = o.profile_id JOIN segments s ON s.id = b.segment_id
           WHERE o.account_id = a.id GROUP BY 1) c)
FROM account_members m JOIN accounts a ON a.id = m.account_id WHERE m.profile_id = :id
"""  # our own words


def _consents(session: Session, profile_id: uuid.UUID, place: Place) -> frozenset[tuple[str, str, str]]:
    addresses = session.query(Identity.kind, Identity.value).filter(Identity.profile_id == profile_id, Identity.kind.in_(set(KINDS.values()))).all()
    kinds = {place.keys.address_hash(kind, value): kind for kind, value in addresses}
    states = session.query(ConsentState).filter(ConsentState.address_hash.in_(list(kinds))).all()
    return frozenset((s.channel, s.topic, s.action) for s in states if KINDS.get(s.channel) == kinds[bytes(s.address_hash)])
