"""Why somebody is not in a journey: what was missing, from stored rows and the log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.i18n import _l
from journeys import board, view
from journeys.board import Standing
from journeys.graph import Graph
from journeys.node import RunEvent, Sentence
from journeys.rules import Condition, dig
from journeys.triggers.event import EventSettings

LATEST = 5  # events looked at


def why_not(session: Session, slug: str, profile_id: uuid.UUID, now: dt.datetime) -> list[Sentence]:
    """Reasons, the most telling first; that somebody is or was in it is one, too. Empty where there is no such journey."""
    journey = next((each for each in board.read(session).journeys.values() if each.slug == slug), None)
    return list(_reasons(session, journey, profile_id, now)) if journey else []


def _reasons(session: Session, journey: Standing, profile_id: uuid.UUID, now: dt.datetime) -> Iterator[Sentence]:
    if journey.status != "live":
        yield Sentence(_l("The journey is not live, so nobody enters it now."))
    run = session.execute(_RUN, {"journey": journey.id, "profile": profile_id}).one_or_none()
    if run is not None:
        said = _l("A run is under way.") if run.status == "active" else _l("There was a run that is over.")
        yield Sentence(said)
    if journey.graph is None:
        return
    names = sorted(journey.graph.trigger.names(journey.graph.trigger_settings))
    events = session.execute(_EVENTS, {"profile": profile_id, "names": names, "since": now - view.SINCE, "limit": LATEST}).all()
    if not events:
        yield Sentence(_l("In the last 30 days none of these happened to the profile: %(events)s."), {"events": names})
    for event in events:
        yield from _about(session, journey, journey.graph, event)


def _about(session: Session, journey: Standing, graph: Graph, event: Row[tuple[object, ...]]) -> Iterator[Sentence]:
    """Why one event of the right name started nothing."""
    published = session.scalar(_PUBLISHED, {"journey": journey.id})
    if event.origin != "live":
        yield Sentence(_l("It came from an import; the past starts nothing."))
    elif published is not None and event.received_at < published:
        yield Sentence(_l("It happened before the journey was first published."))
    if not isinstance(graph.trigger_settings, EventSettings):
        return
    seen = RunEvent(event.name, event.occurred_at, event.accepted, event.source_id, event.properties)
    for each in graph.trigger_settings.where:
        if not each.holds(seen, {}, "", None):
            yield Sentence(_l("A condition did not hold: “%(name)s” was “%(found)s”, wanted: %(op)s “%(value)s”."), _said(each, seen))


def _said(condition: Condition, seen: RunEvent) -> dict[str, object]:
    found = dig(seen.properties, condition.name)
    return {"name": condition.name, "found": "" if found is None else str(found), "op": condition.op.replace("_", " "), "value": str(condition.value)}


_RUN = text("SELECT status FROM runs WHERE journey_id = :journey AND profile_id = :profile ORDER BY status = 'active' DESC, started_at DESC LIMIT 1")
_EVENTS = text("""
    SELECT name, occurred_at, accepted, source_id, origin, properties, received_at FROM events
    WHERE profile_id = :profile AND name = ANY(:names) AND occurred_at >= :since ORDER BY occurred_at DESC LIMIT :limit
""")
_PUBLISHED = text("SELECT min(published_at) FROM journey_versions WHERE journey_id = :journey")
