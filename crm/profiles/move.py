"""A change of owner: one function over every table that declares itself with `info={"moves": …}`.

A table that has `given_id` too keeps there whose a row was before, so that an undone join can give it back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, text
from sqlalchemy.orm import Session

from crm.core.db import Base
from crm.core.json import dumps

Pairs = Sequence[tuple[uuid.UUID, uuid.UUID]]
on_move: list[Callable[[Session, Pairs, dt.datetime], None]] = []  # upper parts whose rows need more than a new owner
on_part: list[Callable[[Session, uuid.UUID, uuid.UUID, Collection[uuid.UUID], dt.datetime], None]] = []  # after an undone join: from whom, to whom, whose rows


@dataclass(frozen=True, slots=True)
class Join:
    """One profile goes into another, and why: `detail` is the identity that showed it, `accepted` the call (None: a person decided)."""

    from_id: uuid.UUID
    into_id: uuid.UUID
    reason: str
    accepted: int | None
    detail: dict[str, str]


def join(session: Session, joins: Sequence[Join], now: dt.datetime) -> None:
    """Move all rows of each `from_id` to where its joins lead, leave a link and a pointer. The caller holds the locks and refolds."""
    if not joins:
        return
    pairs = _settled(joins)
    params = {"from": [a for a, _ in pairs], "into": [b for _, b in pairs]}
    session.execute(
        text("INSERT INTO links (from_id, into_id, reason, accepted, detail, at) VALUES (:from_id, :into_id, :reason, :accepted, CAST(:detail AS jsonb), :at)"),
        [{"from_id": j.from_id, "into_id": j.into_id, "reason": j.reason, "accepted": j.accepted, "detail": dumps(j.detail), "at": now} for j in joins],
    )
    for table in moving():
        given = ", given_id = coalesce(t.given_id, t.profile_id)" if "given_id" in table.columns else ""
        session.execute(text(f"UPDATE {table.name} t SET profile_id = m.into_id{given} FROM {_PAIRS} WHERE t.profile_id = m.from_id"), params)  # noqa: S608  our own fragments
    session.execute(text(f"UPDATE orders t SET profile_id = m.into_id FROM {_PAIRS} WHERE t.profile_id = m.from_id"), params)  # noqa: S608  our own fragments
    session.execute(text(f"DELETE FROM carts t USING {_PAIRS} WHERE t.profile_id = m.from_id"), params)  # noqa: S608  our own fragments
    session.execute(text(f"UPDATE profiles t SET merged_into = m.into_id FROM {_PAIRS} WHERE t.id = m.from_id"), params)  # noqa: S608  our own fragments
    session.execute(text(f"UPDATE profiles t SET merged_into = m.into_id FROM {_PAIRS} WHERE t.merged_into = m.from_id"), params)  # noqa: S608  our own fragments


def give_back(session: Session, *, owner: uuid.UUID, to: uuid.UUID, given: Collection[uuid.UUID]) -> None:
    """Move the rows that first were of the profiles `given` from `owner` to `to`; tables that do not remember keep theirs."""
    params = {"owner": owner, "to": to, "given": list(given)}
    for table in moving():
        if "given_id" in table.columns:
            session.execute(text(_BACK.format(table=table.name)), params)
    session.execute(text("UPDATE profiles SET merged_into = NULLIF(CAST(:to AS uuid), id) WHERE id = ANY(CAST(:given AS uuid[]))"), params)


def moved(session: Session, joins: Sequence[Join], now: dt.datetime) -> None:
    """Tell the upper parts, once carts and orders stand refolded under their new owners."""
    if not joins:
        return
    pairs = _settled(joins)
    settle(session, {into for _, into in pairs})
    for hook in on_move:
        hook(session, pairs, now)


def changed_hands(session: Session, since: dt.datetime) -> list[uuid.UUID]:
    """Who was joined with somebody, or parted from them, since then; a little more, for what was under way."""
    return list(session.scalars(text(_CHANGED_HANDS), {"since": since - dt.timedelta(minutes=10)}))


def settle(session: Session, owners: Collection[uuid.UUID]) -> None:
    """Whose bucket counts among the joined, and from whom they were taken apart: both follow from who is joined into them."""
    session.execute(text(_SETTLE), {"ids": sorted(owners)})


def moving() -> list[Table]:
    """The tables whose rows follow their profile."""
    tables = Base.metadata.sorted_tables
    return [t for t in tables for c in t.columns if c.name == "profile_id" and c.info.get("moves") is True]


def _settled(joins: Sequence[Join]) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Each joined profile and where the chain ends."""
    into = {j.from_id: j.into_id for j in joins}

    def end(profile_id: uuid.UUID) -> uuid.UUID:
        while profile_id in into:
            profile_id = into[profile_id]
        return profile_id

    return [(j.from_id, end(j.into_id)) for j in joins]


_PAIRS = "unnest(CAST(:from AS uuid[]), CAST(:into AS uuid[])) AS m(from_id, into_id)"
_BACK = """
UPDATE {table} SET profile_id = CAST(:to AS uuid), given_id = NULLIF(given_id, CAST(:to AS uuid))
WHERE profile_id = :owner AND given_id = ANY(CAST(:given AS uuid[]))
"""
_CHANGED_HANDS = "SELECT from_id FROM links WHERE at >= :since UNION SELECT into_id FROM links WHERE at >= :since"
_SETTLE = """
WITH member AS (
    SELECT id AS owner, id, coalesce(own_bucket, bucket) AS bucket FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION ALL
    SELECT merged_into, id, coalesce(own_bucket, bucket) FROM profiles WHERE merged_into = ANY(CAST(:ids AS uuid[]))
), oldest AS (
    SELECT DISTINCT ON (owner) owner, id, bucket FROM member ORDER BY owner, id
), side AS (
    SELECT m.owner, array_agg(DISTINCT l.id ORDER BY l.id) AS apart FROM member m JOIN links l ON l.undoes IS NOT NULL AND m.id IN (l.from_id, l.into_id)
    GROUP BY m.owner
)
UPDATE profiles p SET bucket = o.bucket, own_bucket = CASE WHEN o.id <> p.id THEN coalesce(p.own_bucket, p.bucket) END, apart = s.apart
FROM oldest o LEFT JOIN side s USING (owner) WHERE p.id = o.owner
"""
