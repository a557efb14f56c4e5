"""What the builder offers while one types: names of events, their properties, traits and values that were seen; gathered by the clock, never on a keystroke."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.segments.models import SeenWord

MOST = 200
FRESH = dt.timedelta(minutes=10)
TRAITS, COMPUTED, ACCOUNTS = "", "*computed", "*account"  # stand where an event's name would


def gather(session: Session, now: dt.datetime) -> int:
    """Look through the newest events of each name and the people seen last, where that was not done lately; returns how many words are offered.

    A value is offered where at least three people have it: what only one person has (an address, a number) stays theirs.
    """
    last = session.scalar(select(SeenWord.at).order_by(SeenWord.at.desc()).limit(1))
    if last is not None and last > now - FRESH:
        return 0
    count = session.execute(text(_GATHER), {"now": now, "most": MOST}).scalar_one()
    session.execute(text("DELETE FROM seen_words WHERE at < :now"), {"now": now})
    return int(count)


def event_names(session: Session) -> list[str]:
    """The names in the log."""
    wanted = select(SeenWord.event).where(SeenWord.event.not_in((TRAITS, COMPUTED, ACCOUNTS)), SeenWord.property == "", SeenWord.word == "")
    return list(session.scalars(wanted.order_by(SeenWord.event).limit(MOST)))


def properties(session: Session, of: str) -> list[str]:
    """The properties of an event, or the names of traits."""
    wanted = select(SeenWord.property).where(SeenWord.event == of, SeenWord.property != "", SeenWord.word == "")
    return list(session.scalars(wanted.order_by(SeenWord.property).limit(MOST)))


def values(session: Session, of: str, name: str) -> list[str]:
    """Values of one of them, those of most people first."""
    wanted = select(SeenWord.word).where(SeenWord.event == of, SeenWord.property == name, SeenWord.word != "")
    return list(session.scalars(wanted.order_by(SeenWord.people.desc(), SeenWord.word).limit(MOST)))


_GATHER = """
WITH RECURSIVE hop AS (
    (SELECT name FROM events ORDER BY name LIMIT 1)
    UNION ALL SELECT (SELECT e.name FROM events e WHERE e.name > hop.name ORDER BY e.name LIMIT 1) FROM hop WHERE hop.name IS NOT NULL
), names AS (SELECT name FROM hop WHERE name IS NOT NULL LIMIT :most),
lately AS (SELECT id, traits FROM profiles WHERE merged_into IS NULL AND known ORDER BY last_seen DESC LIMIT 1000),
told AS (
    SELECT n.name AS event, e.profile_id, e.properties AS said FROM names n
    CROSS JOIN LATERAL (SELECT profile_id, properties FROM events WHERE name = n.name ORDER BY occurred_at DESC LIMIT 200) e
    UNION ALL SELECT '', id, traits FROM lately
    UNION ALL SELECT '*computed', c.profile_id, jsonb_build_object(c.name, c.value) FROM computed_traits c JOIN lately ON lately.id = c.profile_id
    UNION ALL SELECT '*account', id, traits FROM (SELECT id, traits FROM accounts ORDER BY created_at DESC LIMIT 500) a
), parts AS (
    SELECT event, profile_id, key, CASE jsonb_typeof(value) WHEN 'object' THEN NULL WHEN 'array' THEN NULL ELSE value #>> '{}' END AS word
    FROM told CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(said) WHEN 'object' THEN said ELSE '{}' END) WHERE length(key) <= 100
), found AS (
    SELECT name AS event, '' AS property, '' AS word, 1 AS people FROM names
    UNION ALL SELECT event, key, '', count(DISTINCT profile_id) FROM parts WHERE key <> '' GROUP BY 1, 2
    UNION ALL SELECT event, key, word, people FROM (
        SELECT event, key, word, count(DISTINCT profile_id) AS people, row_number() OVER (PARTITION BY event, key ORDER BY count(DISTINCT profile_id) DESC, word) AS place
        FROM parts WHERE key <> '' AND word <> '' AND length(word) <= 60 GROUP BY 1, 2, 3 HAVING count(DISTINCT profile_id) >= 3) v WHERE place <= 30
), kept AS (
    INSERT INTO seen_words (event, property, word, people, at) SELECT event, property, word, people, :now FROM found
    ON CONFLICT (event, property, word) DO UPDATE SET (people, at) = (excluded.people, excluded.at) RETURNING 1
) SELECT count(*) FROM kept
"""  # noqa: E501  reads best as one line
