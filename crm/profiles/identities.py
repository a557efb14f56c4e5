"""Identities written in sets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import array
from crm.profiles.people import Owned

Row = tuple[tuple[str, str], Owned]


def insert(session: Session, rows: Sequence[Row], first_seen: Sequence[dt.datetime]) -> int:
    """New identities, in (kind, value) order; returns how many were new indeed."""
    return len(session.execute(text(_INSERT), {**_columns(rows), "first": array(first_seen)}).all()) if rows else 0


def update(session: Session, rows: Sequence[Row]) -> None:
    """Whose they are, whether proved, and who identified on a device."""
    if rows:
        session.execute(text(_UPDATE), _columns(rows))


def _columns(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "kinds": array([key[0] for key, _ in rows]),
        "values": array([key[1] for key, _ in rows]),
        "owners": array([owned.owner for _, owned in rows]),
        "given": array([None if owned.given == owned.owner else owned.given for _, owned in rows]),
        "verified": array([owned.verified for _, owned in rows]),
        "people": [f"{{{','.join(map(str, owned.people))}}}" if owned.people else None for _, owned in rows],
        "shared": array([owned.shared for _, owned in rows]),
    }


_ROWS = """
CAST(:kinds AS text[]), CAST(:values AS text[]), CAST(:owners AS uuid[]), CAST(:given AS uuid[]), CAST(:verified AS boolean[]), CAST(:people AS text[]),
CAST(:shared AS boolean[])
"""
_INSERT = f"""
INSERT INTO identities (kind, value, profile_id, given_id, verified, people, shared, first_seen)
SELECT kind, value, owner, given, verified, CAST(people AS uuid[]), shared, first
FROM unnest({_ROWS}, CAST(:first AS timestamptz[])) AS k(kind, value, owner, given, verified, people, shared, first)
ON CONFLICT DO NOTHING RETURNING 1
"""  # noqa: S608  our own words
_UPDATE = f"""
UPDATE identities i SET (profile_id, given_id, verified, people, shared) = (k.owner, k.given, k.verified, CAST(k.people AS uuid[]), k.shared)
FROM unnest({_ROWS}) AS k(kind, value, owner, given, verified, people, shared) WHERE (i.kind, i.value) = (k.kind, k.value)
"""  # noqa: S608  our own words
