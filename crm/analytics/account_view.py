"""Companies on a page: the list, one account whole, what its people did."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.ids import read_id
from crm.core.paging import Page
from crm.profiles.account_models import Account
from crm.profiles.called import CALLED

MEMBERS = 200  # shown, the latest seen
TERMS = ("price_list", "priceList", "terms", "payment_terms", "contract_end", "contractEnd")  # traits shown first


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account in a list."""

    id: uuid.UUID
    key: str
    name: str
    domain: str | None
    members: int
    last_seen: dt.datetime | None


@dataclass(frozen=True, slots=True)
class MemberView:
    """A person's part in an account."""

    profile_id: uuid.UUID
    name: str
    email: str | None
    role: str
    by_hand: bool
    since: dt.datetime
    last_seen: dt.datetime


@dataclass(frozen=True, slots=True)
class AccountSum:
    """What an account's people ordered, per currency, net of refunds."""

    currency: str
    orders: int
    net: Decimal


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account: who stands above and below, who belongs to it, what they ordered."""

    id: uuid.UUID
    key: str
    name: str
    domain: str | None
    owner_id: int | None
    traits: dict[str, Any]
    above: list[AccountRow]
    below: list[AccountRow]
    members: list[MemberView]
    orders: list[AccountSum]


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """One line of an account's timeline: what one of its people did."""

    occurred_at: dt.datetime
    accepted: int
    name: str
    properties: dict[str, Any]
    profile_id: uuid.UUID
    profile: str


def accounts(session: Session, words: str = "", *, after: str | None = None, limit: int = 50) -> Page[AccountRow]:
    """Accounts by name; `words` begin the name, the key or the domain, or a later word of the name. `after` is the `next` of the page before."""
    name, _dot, identifier = (after or "").rpartition(".")
    pattern = words.strip().lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    values = {"start": f"{pattern}%", "inner": f"% {pattern}%", "name": name, "id": read_id(identifier) or uuid.UUID(int=0), "limit": limit + 1}
    found = [AccountRow(*row) for row in session.execute(text(_LIST), values)]
    rows = found[:limit]
    return Page(rows, f"{rows[-1].name.lower()}.{rows[-1].id}" if len(found) > limit else None)


def account(session: Session, account_id: uuid.UUID) -> AccountView | None:
    """One account whole; None where there is none."""
    row = session.scalar(select(Account).where(Account.id == account_id).execution_options(populate_existing=True))
    if row is None:
        return None
    members = [MemberView(*each) for each in session.execute(text(_MEMBERS), {"id": account_id, "limit": MEMBERS})]
    over = [AccountRow(*each) for each in session.execute(text(_ABOVE), {"id": account_id})]
    under = [AccountRow(*each) for each in session.execute(text(_ROWS + " WHERE a.parent_id = :id ORDER BY a.name, a.id LIMIT 100"), {"id": account_id})]
    sums = [AccountSum(*each) for each in session.execute(text(_ORDERS), {"id": account_id})]
    traits = {name: row.traits[name] for name in sorted(row.traits, key=lambda one: (one not in TERMS, one))}
    return AccountView(row.id, row.key, row.name, row.domain, row.owner_id, traits, over, under, members, sums)


def account_timeline(session: Session, account_id: uuid.UUID, *, now: dt.datetime, limit: int = 30) -> list[AccountEvent]:
    """What its people did in the last year, newest first."""
    rows = session.execute(text(_TIMELINE), {"id": account_id, "since": now - dt.timedelta(days=365), "until": now + dt.timedelta(days=1), "limit": limit})
    return [AccountEvent(*row) for row in rows]


_ROWS = """
SELECT a.id, a.key, a.name, a.domain, m.count, m.last_seen FROM accounts a
CROSS JOIN LATERAL (
    SELECT count(*) AS count, max(p.last_seen) AS last_seen FROM account_members m JOIN profiles p ON p.id = m.profile_id WHERE m.account_id = a.id
) m
"""
_LIST = f"""{_ROWS}
WHERE (lower(a.name) LIKE :start OR lower(a.name) LIKE :inner OR lower(a.key) LIKE :start OR a.domain LIKE :start) AND (lower(a.name), a.id) > (:name, :id)
ORDER BY lower(a.name), a.id LIMIT :limit
"""  # constants of this module
_ABOVE = f"""
WITH RECURSIVE way AS (
    SELECT parent_id AS id, 0 AS steps FROM accounts WHERE id = :id
    UNION ALL
    SELECT a.parent_id, way.steps + 1 FROM way JOIN accounts a ON a.id = way.id WHERE way.steps < 100
)
SELECT r.* FROM way JOIN ({_ROWS}) r ON r.id = way.id ORDER BY way.steps DESC
"""  # noqa: S608  constants of this module
_MEMBERS = """
SELECT m.profile_id, p.name, (SELECT min(value) FROM identities i WHERE i.profile_id = p.id AND i.kind = 'email'), m.role, m.by_hand, m.since, p.last_seen
FROM account_members m JOIN profiles p ON p.id = m.profile_id WHERE m.account_id = :id ORDER BY p.last_seen DESC, p.id LIMIT :limit
"""
_ORDERS = """
SELECT o.currency, count(*) FILTER (WHERE o.ordered_at IS NOT NULL AND o.cancelled_at IS NULL), sum(o.revenue - o.refunded)
FROM account_members m JOIN orders o ON o.profile_id = m.profile_id WHERE m.account_id = :id GROUP BY o.currency ORDER BY 3 DESC
"""
_TIMELINE = f"""
SELECT e.occurred_at, e.accepted, e.name, e.properties, e.profile_id, {CALLED}
FROM (SELECT profile_id FROM account_members WHERE account_id = :id LIMIT 1000) m
CROSS JOIN LATERAL (
    SELECT * FROM events e WHERE e.profile_id = m.profile_id AND e.occurred_at > :since AND e.occurred_at < :until
    ORDER BY e.occurred_at DESC, e.accepted DESC LIMIT :limit
) e JOIN profiles p ON p.id = e.profile_id ORDER BY e.occurred_at DESC, e.accepted DESC LIMIT :limit
"""  # noqa: S608  our own fragment
