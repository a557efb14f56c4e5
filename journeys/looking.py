"""What a person did and which segments they are in, for runs that ask: in the database for many at once, and purely over a log in hand."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.events.models import SYSTEM_SOURCE
from crm.events.spec import Happened
from crm.segments.events import event_filter, is_one
from crm.segments.refresh import ENTERED, LEFT
from crm.segments.rule import Place, Query, Seen
from journeys.graph import Graph
from journeys.node import Count, Look, Looked, RunEvent
from journeys.nodes.branch import BranchSettings
from journeys.passage import Passage
from journeys.rules import Criterion

LAST = 2**63 - 1  # accepted: after everything of a moment
Asked = Sequence[tuple[Passage, Look]]


def criteria(graph: Graph) -> list[Criterion]:
    """Every condition of its branches."""
    return [each for spot in graph.nodes.values() if isinstance(spot.settings, BranchSettings) for each in spot.settings.criteria]


def answers(session: Session, asked: Asked, keys: Keys, now: dt.datetime) -> dict[uuid.UUID, object]:
    """run -> what was found. A statement for each event and filter that is asked for, and one for all segments."""
    found: dict[uuid.UUID, dict[Count, int]] = {passage.id: dict.fromkeys(look.counts, 0) for passage, look in asked}
    alike: dict[tuple[object, ...], list[tuple[Passage, Count]]] = defaultdict(list)
    for passage, look in asked:
        for count in look.counts:
            alike[count.event, count.where].append((passage, count))
    for many in alike.values():
        for place, times in _counted(session, many, Query(now, Place(keys), restricted=False)):
            passage, count = many[place]
            found[passage.id][count] = times
    inside = _inside(session, asked)
    return {p.id: Looked(found[p.id], frozenset(look.segments) & inside.get(p.profile_id, frozenset())) for p, look in asked}


def _counted(session: Session, many: Sequence[tuple[Passage, Count]], query: Query) -> Iterable[tuple[int, int]]:
    """Place in `many`, and how many there are; nothing where there is none. The key of the log finds them: person, time, acceptance."""
    afters = [_after(count, passage.start) for passage, count in many]
    which = event_filter([many[0][1].event], many[0][1].where, query)
    asked = {
        "places": list(range(len(many))),
        "profiles": [passage.profile_id for passage, _ in many],
        "since": [since for since, _ in afters],
        "accepted": [accepted for _, accepted in afters],
        "earliest": min(since for since, _ in afters),
    }
    return [(place, times) for place, times in session.execute(text(_COUNT.replace("{which}", which)), asked | query.values)]


def _after(count: Count, start: RunEvent) -> tuple[dt.datetime, int]:
    """After which event of the person's order the counting begins."""
    return start.order if count.since is None else (count.since, LAST)


def _inside(session: Session, asked: Asked) -> Mapping[uuid.UUID, frozenset[str]]:
    slugs = {slug for _, look in asked for slug in look.segments}
    profiles = {passage.profile_id for passage, look in asked if look.segments}
    rows = session.execute(_MEMBERS, {"profiles": list(profiles), "slugs": sorted(slugs)}) if profiles else ()
    return {row.profile_id: frozenset(row.slugs) for row in rows}


def looked(look: Look, start: RunEvent, log: Iterable[Happened], inside: Collection[str], now: dt.datetime) -> Looked:
    """The same over events in hand: the twin of `answers` for try-outs and backtests."""
    counts = dict.fromkeys(look.counts, 0)
    for event in log:
        seen = Seen(event.name, event.occurred_at, event.accepted, event.properties)
        for count in look.counts:
            if (event.occurred_at, event.accepted) > _after(count, start) and is_one(seen, [count.event], count.where, now):
                counts[count] += 1
    return Looked(counts, frozenset(look.segments) & frozenset(inside))


def moved(event: Happened) -> tuple[str, bool] | None:
    """Into which segment, or out of which, this event tells that the person came; only Kesher itself says so."""
    if event.name not in {ENTERED, LEFT} or event.source_id != SYSTEM_SOURCE:
        return None
    return str(event.properties.get("segment")), event.name == ENTERED


def inside_after(before: Iterable[str], events: Iterable[Happened]) -> frozenset[str]:
    """Segments a person is in after these events."""
    inside = set(before)
    for slug, entered in filter(None, map(moved, events)):
        (inside.add if entered else inside.discard)(slug)
    return frozenset(inside)


_COUNT = """
    SELECT s.place, count(*) FROM unnest(CAST(:places AS int[]), CAST(:profiles AS uuid[]), CAST(:since AS timestamptz[]), CAST(:accepted AS bigint[]))
        AS s(place, profile_id, since, accepted)
    JOIN events e ON e.profile_id = s.profile_id AND (e.occurred_at, e.accepted) > (s.since, s.accepted)
    WHERE e.occurred_at >= :earliest AND {which} GROUP BY s.place
"""
_MEMBERS = text("""
    SELECT m.profile_id, array_agg(s.slug) AS slugs FROM memberships m JOIN segments s ON s.id = m.segment_id
    WHERE m.profile_id = ANY(CAST(:profiles AS uuid[])) AND s.slug = ANY(:slugs) GROUP BY 1
""")
