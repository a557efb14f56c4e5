"""Everything known about one person, on one page: who they are, what they bought, what they agreed to."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from crm.commerce.models import Cart, Order
from crm.consent.models import ConsentEntry, ConsentState, Suppression
from crm.core.crypto import Keys
from crm.profiles.models import Identity, Profile
from crm.profiles.timeline import follow

ADDRESSES = ("email", "phone", "wa_id")
SHOWN = 20  # carts and orders, the latest ones
MOST = 200  # identities and links


@dataclass(frozen=True, slots=True)
class IdentityView:
    """One identifier."""

    kind: str
    value: str
    verified: bool
    first_seen: dt.datetime


@dataclass(frozen=True, slots=True)
class TraitView:
    """A value and since when we know it (None where that was never told)."""

    name: str
    value: Any
    since: dt.datetime | None


@dataclass(frozen=True, slots=True)
class CartView:
    """A cart; `abandoned` is an open one left alone for an hour."""

    source_id: int
    key: str
    status: str
    items: list[Any]
    value: Decimal
    currency: str
    opened_at: dt.datetime
    changed_at: dt.datetime
    closed_at: dt.datetime | None
    order_id: str | None
    recovered: bool
    abandoned: bool


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as last reported."""

    source_id: int
    order_id: str
    currency: str
    revenue: Decimal
    refunded: Decimal
    total: Decimal | None
    items: list[Any]
    ordered_at: dt.datetime | None
    cancelled_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Revenue:
    """What one person brought in one currency: after discount, without shipping and tax; `net` is after refunds and cancellations."""

    currency: str
    orders: int
    gross: Decimal
    refunded: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class ConsentView:
    """What one address said about one channel and topic, when and where."""

    kind: str
    address: str
    channel: str
    topic: str
    action: str
    at: dt.datetime
    source: str
    wording: str | None


@dataclass(frozen=True, slots=True)
class StopView:
    """An address nothing (or, for `unsubscribed`, no marketing) may be sent to on a channel."""

    kind: str
    address: str
    channel: str
    reason: str
    detail: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class LinkView:
    """Another profile that became this one."""

    from_id: uuid.UUID
    reason: str
    detail: dict[str, Any]
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ProfileView:
    """One person. `asked` differs from `id` where the profile asked for was joined into this one."""

    id: uuid.UUID
    asked: uuid.UUID
    name: str
    known: bool
    first_seen: dt.datetime
    last_seen: dt.datetime
    identities: list[IdentityView]
    traits: list[TraitView]
    carts: list[CartView]
    orders: list[OrderView]
    revenue: list[Revenue]
    consents: list[ConsentView]
    stops: list[StopView]
    links: list[LinkView]


def profile(  # each narrows what is read
    session: Session,
    profile_id: uuid.UUID,
    *,
    keys: Keys,
    now: dt.datetime,
    abandoned_after: dt.timedelta = dt.timedelta(hours=1),
    past: bool = True,
) -> ProfileView | None:
    """The person with this id, or the one they were joined into; None where there is none. Without `past` orders, revenue and links are not asked for."""
    owner = session.scalar(select(Profile).where(Profile.id == follow(session, profile_id)).execution_options(populate_existing=True))
    if owner is None:
        return None
    identities = _identities(session, owner.id)
    addresses = {keys.address_hash(one.kind, one.value): one for one in identities if one.kind in ADDRESSES}
    return ProfileView(
        id=owner.id,
        asked=profile_id,
        name=owner.name,
        known=owner.known,
        first_seen=owner.first_seen,
        last_seen=owner.last_seen,
        identities=identities,
        traits=[TraitView(name, value, _since(owner.traits_at.get(name))) for name, value in sorted(owner.traits.items())],
        carts=_carts(session, owner.id, before=now - abandoned_after),
        orders=_orders(session, owner.id) if past else [],
        revenue=revenue(session, owner.id) if past else [],
        consents=consents(session, addresses),
        stops=stops(session, addresses),
        links=_links(session, owner.id) if past else [],
    )


def revenue(session: Session, profile_id: uuid.UUID) -> list[Revenue]:
    """Per currency, the largest first. A refund whose order was never reported counts against the net."""
    return [Revenue(*row) for row in session.execute(text(_REVENUE), {"id": profile_id})]


def _identities(session: Session, profile_id: uuid.UUID) -> list[IdentityView]:
    columns = select(Identity.kind, Identity.value, Identity.verified, Identity.first_seen)
    rows = session.execute(
        columns.where(Identity.profile_id == profile_id)
        .order_by(Identity.kind == "anonymous_id", Identity.kind, Identity.first_seen, Identity.value)
        .limit(MOST)
    )
    return [IdentityView(*row) for row in rows]


def _since(said: Any) -> dt.datetime | None:
    """`traits_at` holds [epoch ms, accepted]."""
    if not (isinstance(said, Sequence) and said and isinstance(said[0], int | float)):
        return None
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=said[0])


def _carts(session: Session, profile_id: uuid.UUID, *, before: dt.datetime) -> list[CartView]:
    rows = session.scalars(select(Cart).where(Cart.profile_id == profile_id).order_by(Cart.changed_at.desc(), Cart.key).limit(SHOWN))
    return [
        CartView(
            cart.source_id,
            cart.key,
            cart.status,
            cart.items,
            cart.value,
            cart.currency,
            cart.opened_at,
            cart.changed_at,
            cart.closed_at,
            cart.order_id,
            cart.recovered,
            cart.status == "open" and cart.changed_at < before,
        )
        for cart in rows
    ]


def _orders(session: Session, profile_id: uuid.UUID) -> list[OrderView]:
    latest = func.coalesce(Order.ordered_at, Order.version_at).desc()
    rows = session.scalars(select(Order).where(Order.profile_id == profile_id).order_by(latest, Order.order_id).limit(SHOWN))
    return [
        OrderView(row.source_id, row.order_id, row.currency, row.revenue, row.refunded, row.total, row.items, row.ordered_at, row.cancelled_at) for row in rows
    ]


def consents(session: Session, addresses: Mapping[bytes, IdentityView]) -> list[ConsentView]:
    """What these addresses (by their hash) said last, per channel and topic."""
    columns = select(
        ConsentState.address_hash, ConsentState.channel, ConsentState.topic, ConsentState.action, ConsentState.at, ConsentEntry.source, ConsentEntry.wording
    )
    joined = columns.join(ConsentEntry, ConsentEntry.id == ConsentState.entry_id).where(ConsentState.address_hash.in_(list(addresses)))
    rows = session.execute(joined.order_by(ConsentState.channel, ConsentState.topic, ConsentState.at)) if addresses else ()
    return [ConsentView(addresses[bytes(row[0])].kind, addresses[bytes(row[0])].value, *row[1:]) for row in rows]


def stops(session: Session, addresses: Mapping[bytes, IdentityView]) -> list[StopView]:
    """What stops messages to these addresses (by their hash)."""
    columns = select(Suppression.address_hash, Suppression.channel, Suppression.reason, Suppression.detail, Suppression.at)
    rows = session.execute(columns.where(Suppression.address_hash.in_(list(addresses))).order_by(Suppression.at)) if addresses else ()
    return [StopView(addresses[bytes(row[0])].kind, addresses[bytes(row[0])].value, *row[1:]) for row in rows]


def _links(session: Session, profile_id: uuid.UUID) -> list[LinkView]:
    """Whoever came into this profile, directly or through others, the latest first."""
    return [LinkView(row.from_id, row.reason, row.detail, row.at) for row in session.execute(text(_LINKS), {"id": profile_id, "most": MOST})]


_REVENUE = """
SELECT currency, count(*) FILTER (WHERE ordered_at IS NOT NULL AND cancelled_at IS NULL), sum(revenue), sum(refunded), sum(revenue - refunded)
FROM orders WHERE profile_id = :id GROUP BY currency ORDER BY sum(revenue - refunded) DESC, currency
"""
_LINKS = """
WITH RECURSIVE came AS (
    SELECT l.id, l.from_id, l.reason, l.detail, l.at FROM links l WHERE l.into_id = :id
    UNION
    SELECT l.id, l.from_id, l.reason, l.detail, l.at FROM came JOIN links l ON l.into_id = came.from_id
)
SELECT from_id, reason, detail, at FROM came ORDER BY id DESC LIMIT :most
"""
