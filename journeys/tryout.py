"""Try it: one person's way through a graph, told as lines of time. The same steps as live; nothing is written."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.core.i18n import _l
from crm.core.ids import read_id
from crm.events.models import LIVE
from crm.events.spec import Happened
from crm.profiles.find import find
from journeys.graph import Graph
from journeys.looking import criteria
from journeys.simulate import Said, Somebody, Trial, tell

LONGEST = 500  # lines shown


def known_as(session: Session, said: str) -> uuid.UUID:
    """The profile of an e-mail address, a phone number, an id of the shop's or of ours. Raises NotFoundError."""
    words = said.strip()
    found = read_id(words) or next((who for kind in ("email", "phone", "user_id") if (who := find(session, kind, words))), None)
    if found is None:
        raise NotFoundError(_l("Nobody is known by that. Write an e-mail address, a phone number or an id."))
    return found


def somebody(session: Session, profile_id: uuid.UUID | None, traits: Mapping[str, Any], language: str, timezone: str, *,
             graph: Graph, start: dt.datetime, segments: Collection[str] = ()) -> Somebody:  # fmt: skip
    """A real profile's traits under the invented ones, or only those; with the segments it is in and what it did that the graph asks about."""
    real: Mapping[str, Any] = {}
    bucket = 0
    if profile_id is not None:
        row = session.execute(text("SELECT traits, bucket FROM profiles WHERE id = :id"), {"id": profile_id}).one_or_none()
        if row is None:
            raise NotFoundError(_l("There is no such profile."))
        real, bucket = row.traits, row.bucket
    inside, past = _asked_of(session, profile_id, graph, start) if profile_id is not None else (frozenset[str](), [])
    return Somebody({**real, **traits}, language, timezone, bucket, inside | frozenset(segments), past)


def _asked_of(session: Session, profile_id: uuid.UUID, graph: Graph, start: dt.datetime) -> tuple[frozenset[str], list[Happened]]:
    """Segments they are in now, and what they did in the windows that are looked at."""
    asked = criteria(graph)
    slugs = {each.name for each in asked if each.of == "segment"}
    inside = frozenset(session.scalars(_INSIDE, {"profile": profile_id, "slugs": sorted(slugs)})) if slugs else frozenset[str]()
    back = [(each.name, each.within) for each in asked if each.of == "did" and each.within is not None]
    wanted = {
        "profile": profile_id,
        "names": [name for name, _ in back],
        "since": start - max((span for _, span in back), default=dt.timedelta(0)),
        "start": start,
    }
    rows = session.execute(_DONE, wanted) if back else ()
    return inside, [Happened(profile_id, at, accepted, source, "track", name, LIVE, True, (), said, {}, {}, at) for at, accepted, source, name, said in rows]


def timeline(graph: Graph, start: dt.datetime, events: Sequence[Said], who: Somebody, words: Mapping[str, Callable[[str], str]], *,
             slug: str = "") -> dict[str, Any]:  # fmt: skip
    """What happens, in order of time: events, starts, steps, messages, ends, and starts refused."""
    trial = tell(graph, start, events, who, slug or "simulation")
    lines = sorted([*_events(events, words["event"]), *_trial(trial, words)], key=lambda line: line["at"])
    return {
        "start": start.isoformat(),
        "timeline": lines[:LONGEST],
        "sent": [{"at": each.at.isoformat(), "channel": each.channel, "template": each.template} for each in trial.sent],
        "runs": [_run(run) for run in trial.runs],
    }


def _events(events: Sequence[Said], title: Callable[[str], str]) -> list[dict[str, Any]]:
    return [{"at": said[0].isoformat(), "kind": "event", "text": title(said[1]), "name": said[1]} for said in events]


def _trial(trial: Trial, words: Mapping[str, Callable[[str], str]]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"at": at.isoformat(), "kind": "refused", "text": words["refused"](reason)} for at, reason in trial.refused]
    lines += [{"at": each.at.isoformat(), "kind": "message", "text": words["template"](each.template), "channel": each.channel} for each in trial.sent]
    for run in trial.runs:
        lines.append({"at": run.started_at.isoformat(), "kind": "start", "run": run.key, "text": run.start.name})
        for step in run.passed:
            lines.append(
                {"at": step.at.isoformat(), "kind": "step", "run": run.key, "node": step.node, "exit": step.exit, "text": step.node, "why": dict(step.why)}
            )
        if run.ended_at:
            lines.append({"at": run.ended_at.isoformat(), "kind": "end", "run": run.key, "text": words["ended"](run.end_reason or ""), "node": run.node})
    return lines


def _run(run: Any) -> dict[str, Any]:
    path = [[step.node, step.exit] for step in run.passed]
    due = run.due_at.isoformat() if run.due_at else None
    return {"key": run.key, "status": run.status, "node": run.node, "end_reason": run.end_reason, "path": path, "due_at": due}


_INSIDE = text("SELECT s.slug FROM memberships m JOIN segments s ON s.id = m.segment_id WHERE m.profile_id = :profile AND s.slug = ANY(:slugs)")
_DONE = text("""
    SELECT occurred_at, accepted, source_id, name, properties FROM events
    WHERE profile_id = :profile AND occurred_at >= :since AND occurred_at < :start AND name = ANY(:names) ORDER BY occurred_at, accepted
""")
