"""The outbox: messages asked for, and messages taken back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.messages.models import Template

FAR = dt.timedelta(days=36_500)  # until somebody resumes the journey
PAUSED = "journey_paused"


@dataclass(frozen=True, slots=True)
class Request:
    """One message somebody wants sent. The same (run, node, round) is one message for ever.

    `relevant_if` is checked again in the final gate, for example `{"cart": {"source_id": 10, "key": "c1", "at": "…"}}`;
    `data` is what the template gets besides the profile; `cause` and `hops` go on in the events the message makes. `to` is the one address it may go to,
    whoever has it, instead of the profile's best: for somebody who works here.
    """

    profile_id: uuid.UUID
    channel: str
    template: str
    run_id: uuid.UUID | None = None
    journey: str | None = None
    node: str | None = None
    round: int = 0
    relevant_if: Mapping[str, Any] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    hops: int = 0
    cause: str | None = None
    to: str | None = None


def queue(session: Session, requests: Sequence[Request], now: dt.datetime) -> list[uuid.UUID]:
    """Ask for messages; returns the ids of those that are new. One whose template does not exist fails at once, visibly."""
    if not requests:
        return []
    templates = {t.name: t for t in session.scalars(select(Template).where(Template.name.in_({r.template for r in requests})))}
    rows = [_row(request, templates.get(request.template)) for request in requests]
    new = set(session.scalars(text(_QUEUE), {"rows": dumps(rows), "now": now}))
    made = [row for row in rows if row["id"] in new]
    if any(row["status"] == "queued" for row in made):
        hint(session, "deliver")
    return [row["id"] for row in made]


def withdraw(session: Session, run_ids: Sequence[uuid.UUID], reason: str, now: dt.datetime) -> int:
    """Drop what ended runs still have waiting, and what comes back of that which is marked `sending`. Returns how many waited."""
    if not run_ids:
        return 0
    params = {"runs": list(run_ids), "reason": reason, "now": now}
    dropped = session.execute(text(_WITHDRAW), params).all()
    session.execute(text(_WITHDRAW_LATER), params)  # a statement of its own: what was marked while the first one waited for it is seen only now
    return len(dropped)


def hold(session: Session, journey: str, now: dt.datetime) -> int:
    """Keep what a journey has waiting until it is released, and what comes back of that which is marked `sending`. Returns how many waited."""
    held = session.execute(text(_HOLD), {"journey": journey, "far": now + FAR, "now": now}).all()
    session.execute(text(_HOLD_LATER), {"journey": journey})
    return len(held)


def release(session: Session, journey: str, now: dt.datetime) -> int:
    """Let what `hold` kept go on to the gate; returns how many."""
    session.execute(text(_HOLD_NO_MORE), {"journey": journey})
    count = len(session.execute(text(_RELEASE), {"journey": journey, "now": now}).all())
    if count:
        hint(session, "deliver")
    return count


def waiting_runs(session: Session, journey: str) -> list[uuid.UUID]:
    """Runs of a journey, over or not, with messages that wait."""
    return list(session.scalars(text(_WAITING), {"journey": journey}))


def _row(request: Request, template: Template | None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "profile_id": request.profile_id,
        "run_id": request.run_id,
        "journey": request.journey,
        "node": request.node,
        "round": request.round,
        "channel": request.channel,
        "template": request.template,
        "topic": template.topic if template else "",
        "purpose": template.purpose if template else "",
        "status": "queued" if template else "failed",
        "reason": None if template else "template_missing",
        "relevant_if": dict(request.relevant_if) if request.relevant_if is not None else None,
        "data": {**request.data, "to": request.to} if request.to else dict(request.data),
        "hops": request.hops,
        "detail": {"cause": request.cause} if request.cause else {},
    }


_QUEUE = """
WITH n AS (
  SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(
    id uuid, profile_id uuid, run_id uuid, journey text, node text, round smallint, channel text, template text, topic text, purpose text,
    status text, reason text, relevant_if jsonb, data jsonb, hops smallint, detail jsonb)
), new AS (
  INSERT INTO messages (id, profile_id, run_id, journey, node, round, channel, template, topic, purpose, status, reason, relevant_if, data, hops, created_at)
  SELECT id, profile_id, run_id, journey, node, round, channel, template, topic, purpose, status, reason,
         relevant_if, data, hops, CAST(:now AS timestamptz)
  FROM n ON CONFLICT (run_id, node, round) DO NOTHING RETURNING id
), due AS (
  INSERT INTO outbox (message_id, profile_id, due_at)
  SELECT n.id, n.profile_id, CAST(:now AS timestamptz) FROM n JOIN new ON new.id = n.id WHERE n.status = 'queued'
), said AS (
  INSERT INTO message_decisions (profile_id, message_id, stage, answer, reason, detail, at)
  SELECT n.profile_id, n.id, 'queued', n.status, coalesce(n.reason, 'queued'), n.detail, CAST(:now AS timestamptz)
  FROM n JOIN new ON new.id = n.id
)
SELECT id FROM new
"""
_HOLD = """
WITH kept AS (
  UPDATE outbox o SET due_at = :far FROM messages m
  WHERE m.journey = :journey AND o.message_id = m.id AND o.lease_until IS NULL RETURNING o.message_id, o.profile_id
), marked AS (
  UPDATE messages m SET status = 'held', reason = 'journey_paused' FROM kept WHERE m.id = kept.message_id
)
INSERT INTO message_decisions (profile_id, message_id, stage, answer, reason, at)
SELECT profile_id, message_id, 'queued', 'hold', 'journey_paused', CAST(:now AS timestamptz) FROM kept RETURNING message_id
"""
_RELEASE = """
WITH freed AS (
  UPDATE messages m SET status = 'queued', reason = NULL FROM outbox o
  WHERE m.journey = :journey AND m.reason = 'journey_paused' AND o.message_id = m.id AND o.lease_until IS NULL RETURNING m.id
)
UPDATE outbox o SET due_at = :now, freed_at = :now FROM freed WHERE o.message_id = freed.id RETURNING o.message_id
"""
_HOLD_LATER = f"""
UPDATE outbox o SET taken = '{PAUSED}' FROM messages m
WHERE m.journey = :journey AND o.message_id = m.id AND o.lease_until IS NOT NULL AND o.taken IS NULL
"""  # noqa: S608  our own word
_HOLD_NO_MORE = f"UPDATE outbox o SET taken = NULL FROM messages m WHERE m.journey = :journey AND o.message_id = m.id AND o.taken = '{PAUSED}'"  # noqa: S608  the same
_WITHDRAW_LATER = """
UPDATE outbox o SET taken = :reason FROM messages m
WHERE m.run_id = ANY(CAST(:runs AS uuid[])) AND o.message_id = m.id AND o.lease_until IS NOT NULL
"""
_WAITING = "SELECT DISTINCT m.run_id FROM outbox o JOIN messages m ON m.id = o.message_id WHERE m.journey = :journey AND m.run_id IS NOT NULL"
_WITHDRAW = """
WITH gone AS (
  DELETE FROM outbox o USING messages m
  WHERE m.run_id = ANY(CAST(:runs AS uuid[])) AND o.message_id = m.id AND o.lease_until IS NULL
  RETURNING o.message_id, o.profile_id
), dropped AS (
  UPDATE messages m SET status = 'dropped', reason = CAST(:reason AS text) FROM gone WHERE m.id = gone.message_id
)
INSERT INTO message_decisions (profile_id, message_id, stage, answer, reason, at)
SELECT profile_id, message_id, 'queued', 'drop', CAST(:reason AS text), :now FROM gone RETURNING message_id
"""
