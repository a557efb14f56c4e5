"""A change of owner: one function over every table that declares itself with `info={"moves": …}`."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.db import Base
from crm.core.json import dumps

Pairs = Sequence[tuple[uuid.UUID, uuid.UUID]]
on_move: list[Callable[[Session, Pairs, dt.datetime], None]] = []  # upper parts whose rows need more than a new owner


@dataclass(frozen=True, slots=True)
class Join:
    """One profile goes into another, and why: `detail` is the identity that showed it."""

    from_id: uuid.UUID
    into_id: uuid.UUID
    reason: str
    accepted: int
    detail: dict[str, str]


def join(session: Session, joins: Sequence[Join], now: dt.datetime) -> None:
    """Move all rows of each `from_id` to its `into_id`, leave a link and a pointer. The caller holds both locks and refolds.

    `into_id` must be where the chain ends: no `into_id` may be a `from_id` of the same call.
    """
    if not joins:
        return
    pairs = [(j.from_id, j.into_id) for j in joins]
    params = {"from": [a for a, _ in pairs], "into": [b for _, b in pairs]}
    session.execute(
        text("INSERT INTO links (from_id, into_id, reason, accepted, detail) VALUES (:from_id, :into_id, :reason, :accepted, CAST(:detail AS jsonb))"),
        [{"from_id": j.from_id, "into_id": j.into_id, "reason": j.reason, "accepted": j.accepted, "detail": dumps(j.detail)} for j in joins],
    )
    for table in _moving():
        session.execute(text(f"UPDATE {table} t SET profile_id = m.into_id FROM {_PAIRS} WHERE t.profile_id = m.from_id"), params)  # noqa: S608
    session.execute(text(f"UPDATE orders t SET profile_id = m.into_id FROM {_PAIRS} WHERE t.profile_id = m.from_id"), params)  # noqa: S608
    session.execute(text(f"DELETE FROM carts t USING {_PAIRS} WHERE t.profile_id = m.from_id"), params)  # noqa: S608
    session.execute(text(f"UPDATE profiles t SET merged_into = m.into_id FROM {_PAIRS} WHERE t.id = m.from_id OR t.merged_into = m.from_id"), params)  # noqa: S608


def moved(session: Session, joins: Sequence[Join], now: dt.datetime) -> None:
    """Tell the upper parts, once carts and orders stand refolded under their new owners."""
    for hook in on_move:
        if joins:
            hook(session, [(j.from_id, j.into_id) for j in joins], now)


def _moving() -> list[str]:
    tables = Base.metadata.sorted_tables
    return [t.name for t in tables for c in t.columns if c.name == "profile_id" and c.info.get("moves") is True]


_PAIRS = "unnest(CAST(:from AS uuid[]), CAST(:into AS uuid[])) AS m(from_id, into_id)"
