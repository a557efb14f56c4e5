"""What a shop sets about identities: how many of a kind one person may have, and which identifiers lead to nobody."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.events.address import normalise
from crm.profiles.guards import LIMITS
from crm.profiles.models import KINDS, BlockedIdentity, IdentityLimit

HIGHEST = 10_000
MOST_BLOCKED = 5_000  # rows; each pattern costs every batch a little
SHORTEST = 3  # letters besides `*`


def limits(session: Session) -> dict[str, int]:
    """For each kind the number that counts."""
    own = {row.kind: row.most for row in session.scalars(select(IdentityLimit))}
    return {kind: own.get(kind, LIMITS[kind]) for kind in LIMITS}


def set_limit(session: Session, *, kind: str, most: int) -> None:
    """Another number for a kind; ours again removes the row."""
    if kind not in LIMITS or not 1 <= most <= HIGHEST:
        raise InvalidError(_l("A limit is a whole number from 1 to 10,000."), field=kind)
    session.execute(delete(IdentityLimit).where(IdentityLimit.kind == kind))
    if most != LIMITS[kind]:
        session.add(IdentityLimit(kind=kind, most=most))
        session.flush()


def blocked(session: Session) -> list[BlockedIdentity]:
    """The whole list, the latest first."""
    return list(session.scalars(select(BlockedIdentity).order_by(BlockedIdentity.at.desc(), BlockedIdentity.kind, BlockedIdentity.value)))


def block(session: Session, *, kind: str, value: str, note: str, by: str, now: dt.datetime) -> str:
    """From now on this identifier, or all that match where it holds a `*`, leads to nobody; returns how it is stored."""
    stored = _pattern(kind, value) if "*" in value else normalise(kind, value)
    if kind not in KINDS or stored is None:
        raise InvalidError(_l("This is no identifier of that kind. Write it whole, or with * for anything, for example test@*."), field="value")
    if (session.scalar(text("SELECT count(*) FROM blocked_identities")) or 0) >= MOST_BLOCKED:
        raise InvalidError(_l("The list is full. Put several into one with *."), field="value")
    row = {"kind": kind, "value": stored, "note": note[:500], "by": by, "at": now}
    session.execute(insert(BlockedIdentity).values(row).on_conflict_do_nothing())
    return stored


def unblock(session: Session, *, kind: str, value: str) -> bool:
    """It may lead to people again; what it already belongs to was never changed."""
    return (
        session.execute(delete(BlockedIdentity).where(BlockedIdentity.kind == kind, BlockedIdentity.value == value).returning(BlockedIdentity.kind)).first()
        is not None
    )


def _pattern(kind: str, value: str) -> str | None:
    plain = value.strip().lower() if kind == "email" else value.strip()
    return plain[:320] if len(plain.replace("*", "")) >= SHORTEST else None
