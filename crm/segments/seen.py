"""What the builder offers while one types: names of events, properties and traits that were seen."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

MOST = 200


def event_names(session: Session) -> list[str]:
    """The names in the log, read by hopping through the index."""
    return list(session.scalars(text(_NAMES), {"most": MOST}))


def traits(session: Session) -> list[str]:
    """Traits of the people seen last."""
    return list(session.scalars(text(_TRAITS), {"most": MOST}))


_NAMES = """
WITH RECURSIVE hop AS (
    (SELECT name FROM events ORDER BY name LIMIT 1)
    UNION ALL SELECT (SELECT e.name FROM events e WHERE e.name > hop.name ORDER BY e.name LIMIT 1) FROM hop WHERE hop.name IS NOT NULL
) SELECT name FROM hop WHERE name IS NOT NULL LIMIT :most
"""
_TRAITS = """
SELECT DISTINCT key FROM (SELECT traits FROM profiles WHERE merged_into IS NULL AND known ORDER BY last_seen DESC LIMIT 500) p, jsonb_object_keys(p.traits) key
ORDER BY key LIMIT :most
"""
