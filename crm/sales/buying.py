"""Who buys at a company: the roles a purchase needs, who of them is there and speaks to us, and what that makes of the company."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

NEEDED = ("buyer", "approver", "payer")
ENGAGED = dt.timedelta(days=30)  # whoever was seen within is engaged
MOST = 50


@dataclass(frozen=True, slots=True)
class Member:
    """One person of the group. `chance` is None where there is no score."""

    profile_id: uuid.UUID
    name: str
    role: str
    last_seen: dt.datetime
    engaged: bool
    chance: float | None
    lead: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A company's buying group: needed roles nobody fills, those whose people are silent, and the company's score."""

    account_id: uuid.UUID
    name: str
    members: Sequence[Member]
    missing: Sequence[str]
    silent: Sequence[str]
    chance: float | None
    owners: Sequence[int]

    @property
    def covered(self) -> int:
        """How many needed roles have somebody who is engaged."""
        return len(NEEDED) - len(self.missing) - len(self.silent)


def group(session: Session, account_id: uuid.UUID, *, now: dt.datetime, score: str = "lead") -> Group | None:
    """The group of one company; None where there is none. The fifty who were seen last."""
    name = session.scalar(text("SELECT name FROM accounts WHERE id = :id"), {"id": account_id})
    if name is None:
        return None
    rows = session.execute(text(_MEMBERS), {"id": account_id, "score": score, "most": MOST}).all()
    members = [Member(row.profile_id, row.name, row.role, row.last_seen, now - row.last_seen <= ENGAGED, row.probability, row.lead) for row in rows]
    owners = list(session.scalars(text(_OWNERS), {"id": account_id}))
    return made(account_id, name, members, owners)


def made(account_id: uuid.UUID, name: str, members: Sequence[Member], owners: Sequence[int]) -> Group:
    """The group as its members make it. Its chance is that of at least one of the engaged buying, less a quarter for each role uncovered."""
    there = {one.role for one in members}
    engaged = {one.role for one in members if one.engaged}
    missing = [role for role in NEEDED if role not in there]
    silent = [role for role in NEEDED if role in there - engaged]
    chances = [one.chance for one in members if one.engaged and one.chance is not None]
    whole = 1 - math.prod(1 - chance for chance in chances) if chances else None
    chance = None if whole is None else whole * 0.75 ** (len(missing) + len(silent))
    return Group(account_id, name, members, missing, silent, chance, owners)


def of_profile(session: Session, profile_id: uuid.UUID, *, now: dt.datetime, score: str = "lead") -> list[Group]:
    """The groups a person belongs to."""
    ids = session.scalars(text("SELECT account_id FROM account_members WHERE profile_id = :id ORDER BY since LIMIT 5"), {"id": profile_id}).all()
    return [found for one in ids if (found := group(session, one, now=now, score=score)) is not None]


def set_owners(session: Session, account_id: uuid.UUID, user_ids: Sequence[int]) -> None:
    """Exactly these look after the company; the first is the one it is said to be looked after by."""
    session.execute(text("DELETE FROM account_owners WHERE account_id = :id"), {"id": account_id})
    for user_id in dict.fromkeys(user_ids[1:]):
        session.execute(text("INSERT INTO account_owners (account_id, user_id) VALUES (:id, :user)"), {"id": account_id, "user": user_id})
    session.execute(text("UPDATE accounts SET owner_id = :user WHERE id = :id"), {"id": account_id, "user": user_ids[0] if user_ids else None})


_MEMBERS = """
SELECT m.profile_id, p.name, m.role, p.last_seen, s.probability, EXISTS (SELECT FROM leads l WHERE l.profile_id = m.profile_id AND l.open) AS lead
FROM account_members m JOIN profiles p ON p.id = m.profile_id LEFT JOIN scores s ON s.profile_id = m.profile_id AND s.kind = :score
WHERE m.account_id = :id AND p.merged_into IS NULL ORDER BY p.last_seen DESC LIMIT :most
"""
_OWNERS = """
SELECT user_id FROM (
    SELECT owner_id AS user_id, 0 AS turn FROM accounts WHERE id = :id AND owner_id IS NOT NULL
    UNION ALL SELECT user_id, 1 FROM account_owners WHERE account_id = :id
) o GROUP BY user_id ORDER BY min(turn), user_id
"""
