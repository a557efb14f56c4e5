"""Find a profile by an identifier."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.events.address import normalise
from crm.profiles.models import Identity


def find(session: Session, kind: str, value: str) -> uuid.UUID | None:
    """The profile that owns this identifier, in any spelling; None where nobody does."""
    normal = normalise(kind, value)
    return None if normal is None else session.scalar(select(Identity.profile_id).where(Identity.kind == kind, Identity.value == normal))


def address_of(session: Session, profile_id: uuid.UUID, kind: str) -> str | None:
    """The person's address of this kind: a verified one first, then the oldest."""
    wanted = select(Identity.value).where(Identity.profile_id == profile_id, Identity.kind == kind)
    return session.scalar(wanted.order_by(Identity.verified.desc(), Identity.first_seen, Identity.value).limit(1))
