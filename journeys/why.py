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
from journeys.goods_trigger import GoodsTrigger
from journeys.graph import Graph
from journeys.node import RunEvent, Sentence
from journeys.past import EVERY
from journeys.rules import Condition, dig
from journeys.triggers.date import DateSettings
from journeys.triggers.ended import EndedSettings
from journeys.triggers.event import EventSettings
from journeys.triggers.schedule import ScheduleSettings
from journeys.triggers.segment import SegmentSettings
from journeys.why_waves import places
from journeys.zones import day_in

LATEST = 5  # events looked at
_RUNS = {
    "active": _l("A run is under way."),
    "failed": _l("A run failed and stands where it was; on the journey’s page somebody can let it go on."),
    "done": _l("There was a run that is over."),
}
_CUT = {  # why an audience ended -> what that means for whom it did not come to
    "late": _l("It ended before it came to the profile: it could not go on for a day."),
    "dropped": _l("It ended before it came to the profile: when the journey was resumed, what had come due was to end."),
    "stopped": _l("It ended before it came to the profile: the journey was stopped."),
}


def why_not(session: Session, slug: str, profile_id: uuid.UUID, now: dt.datetime) -> list[Sentence]:
    """Reasons, the most telling first; that somebody is or was in it is one, too. Empty where there is no such journey."""
    journey = next((each for each in board.read(session).journeys.values() if each.slug == slug), None)
    return list(_reasons(session, journey, profile_id, now)) if journey else []


def _reasons(session: Session, journey: Standing, profile_id: uuid.UUID, now: dt.datetime) -> Iterator[Sentence]:
    if journey.status != "live":
        yield Sentence(_l("The journey is not live, so nobody enters it now."))
    run = session.execute(_RUN, {"journey": journey.id, "profile": profile_id}).one_or_none()
    if run is not None:
        yield Sentence(_RUNS[run.status])
    if journey.graph is None:
        return
    if session.scalar(_HELD_OUT, {"journey": journey.id, "profile": profile_id}):
        yield Sentence(_l("The profile is in the share left out, to measure the effect."))
    yield from _own(session, journey, journey.graph, profile_id, now)
    names = sorted(journey.graph.trigger.names(journey.graph.trigger_settings))
    events = session.execute(_EVENTS, {"profile": profile_id, "names": names, "since": now - view.SINCE, "limit": LATEST}).all()
    if not events:
        yield Sentence(_l("In the last 30 days none of these happened to the profile: %(events)s."), {"events": names})
    for event in events:
        yield from _about(session, journey, journey.graph, event)


def _own(session: Session, journey: Standing, graph: Graph, profile_id: uuid.UUID, now: dt.datetime) -> Iterator[Sentence]:
    """What this kind of start needs and does not find, beyond its event."""
    match graph.trigger_settings:
        case SegmentSettings() as settings:
            yield from _of_segment(session, settings.segment, settings.way, profile_id)
        case ScheduleSettings() as settings:
            yield from _of_segment(session, settings.segment, "schedule", profile_id)
            if came := session.execute(_OCCASIONS, {"journey": journey.id}).one_or_none():
                yield Sentence(_l("The last occasion began on %(day)s."), {"day": came.at.date().isoformat()})
                if came.end_reason in _CUT and (came.after is None or came.after < profile_id):
                    yield Sentence(_CUT[came.end_reason])
            else:
                yield Sentence(_l("The schedule has not come round yet since it was published."))
        case DateSettings() as settings:
            yield from _of_date(session, journey, settings, profile_id, now)
        case EndedSettings() as settings:
            yield from _of_ended(session, settings, profile_id)
        case _ if isinstance(graph.trigger, GoodsTrigger):
            yield from places(session, journey.id, profile_id)
        case _:
            return


def _of_segment(session: Session, slug: str, way: str, profile_id: uuid.UUID) -> Iterator[Sentence]:
    row = session.execute(_SEGMENT, {"slug": slug, "profile": profile_id}).one_or_none()
    if row is None:
        yield Sentence(_l("There is no segment “%(segment)s” any more."), {"segment": slug})
    elif row.status != "live":
        yield Sentence(_l("The segment “%(segment)s” is being filled or is broken; nobody comes into it meanwhile."), {"segment": row.name})
    elif row.since is None and way != "left":
        yield Sentence(_l("The profile is not in the segment “%(segment)s”."), {"segment": row.name})
    elif row.since is not None and way == "entered":
        said = _l("The profile is in the segment “%(segment)s” since %(day)s; only who comes into it afterwards begins, or who was included when publishing.")
        yield Sentence(said, {"segment": row.name, "day": row.since.date().isoformat()})
    elif row.since is not None and way == "left":
        yield Sentence(_l("The profile is still in the segment “%(segment)s”."), {"segment": row.name})


def _of_date(session: Session, journey: Standing, settings: DateSettings, profile_id: uuid.UUID, now: dt.datetime) -> Iterator[Sentence]:
    traits = session.scalar(_TRAITS, {"profile": profile_id}) or {}
    found, day = traits.get(settings.trait), day_in(traits.get(settings.trait))
    if found is None:
        yield Sentence(_l("The profile has no trait “%(trait)s”."), {"trait": settings.trait})
    elif day is None:
        yield Sentence(_l("The trait “%(trait)s” is no date: “%(found)s”. Dates are written 1985-03-14."), {"trait": settings.trait, "found": str(found)})
    elif not settings.yearly and day + dt.timedelta(days=settings.days) < now.date():
        yield Sentence(_l("The date in “%(trait)s” is over: %(day)s."), {"trait": settings.trait, "day": day.isoformat()})
    else:
        yield Sentence(
            _l("“%(trait)s” is %(day)s; it was not the time for it yet, or it was kept this year already."), {"trait": settings.trait, "day": day.isoformat()}
        )


def _of_ended(session: Session, settings: EndedSettings, profile_id: uuid.UUID) -> Iterator[Sentence]:
    rows = session.execute(_OTHER, {"slug": settings.journey, "profile": profile_id}).all()
    values = {"journey": settings.journey}
    if not rows:
        yield Sentence(_l("The profile was never in “%(journey)s”."), values)
    elif any(row.status == "active" for row in rows):
        yield Sentence(_l("Its run of “%(journey)s” is still under way."), values)
    elif settings.how != "any" and all(str(row.end_reason).partition(":")[0] != settings.how for row in rows):
        yield Sentence(_l("“%(journey)s” ended for the profile, but in another way than wanted."), values)


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


_RUN = text(
    f"SELECT status FROM {EVERY} r WHERE journey_id = :journey AND profile_id = :profile ORDER BY status = 'active' DESC, started_at DESC LIMIT 1"  # noqa: S608  our own fragments
)
_EVENTS = text("""
    SELECT name, occurred_at, accepted, source_id, origin, properties, received_at FROM events
    WHERE profile_id = :profile AND name = ANY(:names) AND occurred_at >= :since ORDER BY occurred_at DESC LIMIT :limit
""")
_HELD_OUT = text("SELECT EXISTS (SELECT FROM journey_arms WHERE journey_id = :journey AND profile_id = :profile AND arm IN ('out', 'mixed'))")
_SEGMENT = text("""
    SELECT s.name, s.status, b.since FROM segments s LEFT JOIN memberships b ON b.segment_id = s.id AND b.profile_id = :profile WHERE s.slug = :slug
""")
_OCCASIONS = text("SELECT at, after, end_reason FROM journey_audiences WHERE journey_id = :journey ORDER BY at DESC LIMIT 1")
_TRAITS = text("SELECT traits FROM profiles WHERE id = :profile")
_OTHER = text(
    f"SELECT r.status, r.end_reason FROM {EVERY} r JOIN journeys j ON j.id = r.journey_id WHERE j.slug = :slug AND r.profile_id = :profile"  # noqa: S608  our own fragments
)
_PUBLISHED = text("SELECT min(published_at) FROM journey_versions WHERE journey_id = :journey")
