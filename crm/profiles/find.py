"""Find a profile by an identifier."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.ids import read_id
from crm.events.address import normalise
from crm.profiles.models import Identity
from crm.profiles.timeline import follow


def find(session: Session, kind: str, value: str) -> uuid.UUID | None:
    """The profile that owns this identifier, in any spelling; None where nobody does."""
    normal = normalise(kind, value)
    return None if normal is None else session.scalar(select(Identity.profile_id).where(Identity.kind == kind, Identity.value == normal))


def named(session: Session, said: str) -> uuid.UUID | None:
    """The profile somebody means by `kind:value` (`external:shop:77` too) or by its id; None where nobody is meant."""
    kind, _colon, value = said.strip().partition(":")
    if not value:
        one = read_id(kind)
        return follow(session, one) if one else None
    if kind == "external":
        source, _colon, value = value.partition(":")
        kind = f"external:{source}"
    return find(session, kind, value)
