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
    return next(iter(_groups(session, [account_id], now=now, score=score)), None)


def _groups(session: Session, account_ids: Sequence[uuid.UUID], *, now: dt.datetime, score: str) -> list[Group]:
    """Those of these companies that there are, in their order."""
    values = {"ids": list(account_ids), "score": score, "most": MOST}
    names = {row.id: row.name for row in session.execute(text(_NAMES), values)}
    members: dict[uuid.UUID, list[Member]] = {}
    for row in session.execute(text(_MEMBERS), values) if names else ():
        one = Member(row.profile_id, row.name, row.role, row.last_seen, now - row.last_seen <= ENGAGED, row.probability, row.lead)
        members.setdefault(row.account_id, []).append(one)
    owners: dict[uuid.UUID, list[int]] = {}
    for row in session.execute(text(_OWNERS), values) if names else ():
        owners.setdefault(row.account_id, []).append(row.user_id)
    return [made(one, names[one], members.get(one, []), owners.get(one, [])) for one in account_ids if one in names]


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
    return _groups(session, ids, now=now, score=score) if ids else []


def set_owners(session: Session, account_id: uuid.UUID, user_ids: Sequence[int]) -> None:
    """Exactly these look after the company; the first is the one it is said to be looked after by."""
    session.execute(text("DELETE FROM account_owners WHERE account_id = :id"), {"id": account_id})
    for user_id in dict.fromkeys(user_ids[1:]):
        session.execute(text("INSERT INTO account_owners (account_id, user_id) VALUES (:id, :user)"), {"id": account_id, "user": user_id})
    session.execute(text("UPDATE accounts SET owner_id = :user WHERE id = :id"), {"id": account_id, "user": user_ids[0] if user_ids else None})


_NAMES = "SELECT id, name FROM accounts WHERE id = ANY(CAST(:ids AS uuid[]))"
_MEMBERS = """
SELECT c.id AS account_id, x.* FROM unnest(CAST(:ids AS uuid[])) AS c(id) CROSS JOIN LATERAL (
    SELECT m.profile_id, p.name, m.role, p.last_seen, s.probability, EXISTS (SELECT FROM leads l WHERE l.profile_id = m.profile_id AND l.open) AS lead
    FROM account_members m JOIN profiles p ON p.id = m.profile_id LEFT JOIN scores s ON s.profile_id = m.profile_id AND s.kind = :score
    WHERE m.account_id = c.id AND p.merged_into IS NULL ORDER BY p.last_seen DESC LIMIT :most
) x ORDER BY c.id, x.last_seen DESC
"""
_OWNERS = """
SELECT account_id, user_id FROM (
    SELECT id AS account_id, owner_id AS user_id, 0 AS turn FROM accounts WHERE id = ANY(CAST(:ids AS uuid[])) AND owner_id IS NOT NULL
    UNION ALL SELECT account_id, user_id, 1 FROM account_owners WHERE account_id = ANY(CAST(:ids AS uuid[]))
) o GROUP BY account_id, user_id ORDER BY account_id, min(turn), user_id
"""
