"""Dates that have come: looks for them and says so in the log, once for a person and occasion whatever happens."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.crypto import Keys
from crm.events.inbox import append, system_event
from crm.segments.anniversaries import turns
from journeys import board
from journeys.board import Standing
from journeys.node import DATE_REACHED
from journeys.triggers.date import DateSettings, DateTrigger, days_near
from journeys.zones import day_in, zone_of

Came = tuple[uuid.UUID, bytes, str]  # profile, who it is, occasion


def sweep(session: Session, now: dt.datetime, config: Config) -> int:
    """Say which dates came within the last day; returns how many were new. One that a crash kept back is found by the next look."""
    said = 0
    for journey in board.read(session).journeys.values():
        graph = journey.graph
        if journey.takes and graph and isinstance(graph.trigger, DateTrigger) and isinstance(graph.trigger_settings, DateSettings):
            said += _look(session, journey, graph.trigger_settings, now, config)
    return said


def _look(session: Session, journey: Standing, settings: DateSettings, now: dt.datetime, config: Config) -> int:
    came = list(_came(session, settings, now, config))
    if not came:
        return 0
    columns = {"who": [who for _, who, _ in came], "occasions": [occasion for _, _, occasion in came]}
    new = {(bytes(row[0]), row[1]) for row in session.execute(_MARK, {"journey": journey.id, **columns, "now": now})}
    rows = {(who, occasion): profile for profile, who, occasion in came if (who, occasion) in new}
    said = [
        system_event(
            DATE_REACHED,
            profile,
            {"journey": journey.slug, "trait": settings.trait, "occasion": occasion},
            cause=None,
            hops=0,
            message_id=f"date:{journey.id}:{who.hex()}:{occasion}",
        )
        for (who, occasion), profile in rows.items()
    ]
    return append(session, said, now)


def _came(session: Session, settings: DateSettings, now: dt.datetime, config: Config) -> Iterator[Came]:
    keys = Keys(config.secret_key)
    start = 6 if settings.yearly and not settings.by_hebrew else 1
    for row in session.execute(_PEOPLE, {"trait": settings.trait, "days": _days(session, settings, now), "start": start}):
        day = day_in(row.traits.get(settings.trait))
        occasion = DATE.due(settings, day, zone_of(row.traits, config.timezone), now) if day else None
        if occasion:
            yield row.id, keys.address_hash("email", row.email) if row.email else row.id.bytes, occasion


def _days(session: Session, settings: DateSettings, now: dt.datetime) -> Sequence[str]:
    """How the dates in question begin or end as they are written: `03-14`, or `1985-03-14` where they come once or by the Hebrew calendar."""
    around = days_near(now, settings.days)
    if settings.by_hebrew:
        keys = {key for target in around for key, turn in turns(settings.kept, target).items() if turn.day == target}
        return list(session.scalars(text("SELECT CAST(day AS text) FROM hebrew_days WHERE key = ANY(:keys)"), {"keys": sorted(keys)}))
    found = [day.isoformat()[5 if settings.yearly else 0 :] for day in around]
    return [*found, "02-29"] if {"02-28", "03-01"} & set(found) else found


DATE = DateTrigger()
_PEOPLE = text("""
    SELECT p.id, p.traits, (SELECT value FROM identities i WHERE i.profile_id = p.id AND i.kind = 'email' ORDER BY verified DESC, first_seen LIMIT 1) AS email
    FROM profiles p
    WHERE p.merged_into IS NULL AND substring(p.traits->>:trait FROM CAST(:start AS int) FOR 11 - CAST(:start AS int)) = ANY(:days)
""")
_MARK = text("""
    INSERT INTO journey_dates (journey_id, who, occasion, at)
    SELECT :journey, w, o, CAST(:now AS timestamptz) FROM unnest(CAST(:who AS bytea[]), CAST(:occasions AS text[])) AS n(w, o)
    ON CONFLICT DO NOTHING RETURNING who, occasion
""")
