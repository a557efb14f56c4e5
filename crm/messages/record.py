"""What became of messages, written in sets: statuses, the outbox, decisions with their reasons, events."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from crm.commerce.requests import TOLD
from crm.events.inbox import NewRow, append, system_event
from crm.messages.channel import Letter, registry
from crm.messages.facts import Draft
from crm.messages.models import Decision
from crm.messages.outbox import FAR, PAUSED

EVENTS = {"sent": "Sent", "failed": "Failed", "bounced": "Bounced", "unknown": "Outcome Unknown"}  # answer -> "Email Sent", …
_STATUS = {
    "drop": "dropped", "hold": "held", "sent": "sent", "failed": "failed", "bounced": "failed",
    "unknown": "unknown", "retry": "queued", "released": "queued",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about, or happened to, one message. `due_at` where it stays in the outbox."""

    draft: Draft
    stage: str  # cheap | final | channel
    answer: str  # send, or a key of `_STATUS`
    reason: str
    detail: dict[str, Any] = field(default_factory=dict)
    due_at: dt.datetime | None = None
    address: str | None = None
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """A message marked `sending`: its letter may be handed over until the lease ends."""

    draft: Draft
    letter: Letter
    version: int
    lease_until: dt.datetime


def mark_sending(session: Session, marked: Sequence[Marked], now: dt.datetime) -> None:
    """Write the mark and the lease; what commits after this commits the sending."""
    if not marked:
        return
    params = {
        "ids": [m.draft.id for m in marked],
        "addresses": [m.letter.address for m in marked],
        "subjects": [m.letter.subject for m in marked],
        "languages": [m.letter.language for m in marked],
        "versions": [m.version for m in marked],
        "leases": [m.lease_until for m in marked],
        "now": now,
    }
    session.execute(text(_MARK), params)
    session.execute(text(_LEASE), {"ids": params["ids"], "leases": params["leases"]})
    decisions = [Verdict(m.draft, "final", "send", "allowed") for m in marked]
    session.execute(insert(Decision), [_decision(verdict, now) for verdict in decisions])


def settle(session: Session, verdicts: Sequence[Verdict], now: dt.datetime) -> None:
    """Write verdicts on claimed rows. A lease that was taken away meanwhile stays `unknown` unless the provider's answer is certain.

    What would be tried again is dropped or held where that was decided while it was on its way.
    """
    kept = _still_ours(session, verdicts, now)
    if not kept:
        return
    params = {
        "ids": [v.draft.id for v in kept],
        "statuses": [_STATUS[v.answer] for v in kept],
        "reasons": [v.reason for v in kept],
        "providers": [v.provider_id for v in kept],
        "tries": [int(v.stage == "channel" and "released" not in {v.answer, v.detail.get("came_back")}) for v in kept],
        "now": now,
    }
    journeys = {row.id: row.journey for row in session.execute(text(_SETTLE), params)}
    waiting = [v for v in kept if v.due_at is not None]
    session.execute(text(_WAIT), {"ids": [v.draft.id for v in waiting], "due": [v.due_at for v in waiting]})
    session.execute(text("DELETE FROM outbox WHERE message_id = ANY(CAST(:ids AS uuid[]))"), {"ids": [v.draft.id for v in kept if v.due_at is None]})
    session.execute(insert(Decision), [_decision(v, now) for v in kept])
    append(session, [_event(v, journeys.get(v.draft.id)) for v in kept if v.answer in EVENTS] + [_told(v) for v in kept if _was_waited_for(v)], now)


def _still_ours(session: Session, verdicts: Sequence[Verdict], now: dt.datetime) -> list[Verdict]:
    wanted = [v.draft.id for v in verdicts]
    rows = session.execute(text("SELECT message_id, taken FROM outbox WHERE message_id = ANY(CAST(:ids AS uuid[])) FOR UPDATE"), {"ids": wanted})
    taken = {row.message_id: row.taken for row in rows}
    return [_taken(v, taken.get(v.draft.id), now) for v in verdicts if v.draft.id in taken or v.answer in {"sent", "failed", "bounced"}]


def _taken(verdict: Verdict, why: str | None, now: dt.datetime) -> Verdict:
    """The verdict on one that would wait, where it was taken back or its journey paused meanwhile."""
    if why is None or verdict.due_at is None:
        return verdict
    detail = {**verdict.detail, "came_back": verdict.reason}
    if why == PAUSED:
        return replace(verdict, answer="hold", reason=why, detail=detail, due_at=now + FAR)
    return replace(verdict, answer="drop", reason=why, detail=detail, due_at=None)


def expire_leases(session: Session, now: dt.datetime) -> int:
    """Messages whose sender stopped between mark and record: the outcome is `unknown`, and they are never sent again by themselves."""
    rows = session.execute(text(_EXPIRED), {"now": now}).all()
    settle(session, [Verdict(Draft(*row[:10]), "channel", "unknown", "lease_expired", address=row.address) for row in rows], now)
    return len(rows)


def _decision(verdict: Verdict, now: dt.datetime) -> dict[str, Any]:
    about = {"profile_id": verdict.draft.profile_id, "message_id": verdict.draft.id}
    return about | {"stage": verdict.stage, "answer": verdict.answer, "reason": verdict.reason, "detail": verdict.detail, "at": now}


def _event(verdict: Verdict, journey: str | None) -> NewRow:
    draft = verdict.draft
    channel = registry().get(draft.channel)
    prefix = channel.event_prefix if channel else draft.channel.title()
    return system_event(
        f"{prefix} {EVENTS[verdict.answer]}",
        draft.profile_id,
        {"message_id": str(draft.id), "template": draft.template, "topic": draft.topic, "journey": journey, "reason": verdict.reason} | _by(draft, journey),
        email=verdict.address if prefix == "Email" else None,
        cause=cause_of(draft.id),
        hops=draft.hops + 1,
        message_id=f"{draft.id}:{verdict.answer}",
    )


def _by(draft: Draft, journey: str | None) -> dict[str, Any]:
    """Who of those who work here asked for it, where nobody's journey did."""
    return {"by": draft.data["by"]} if journey is None and isinstance(draft.data.get("by"), int) else {}


def _was_waited_for(verdict: Verdict) -> bool:
    """Whether a message went out that says a product is back: whoever asked for it waits no more."""
    return verdict.answer == "sent" and ((verdict.draft.relevant_if or {}).get("product") or {}).get("change") == "stock"


def _told(verdict: Verdict) -> NewRow:
    draft = verdict.draft
    about = {"variant_id": (draft.relevant_if or {})["product"]["variant_id"], "message_id": str(draft.id)}
    return system_event(TOLD, draft.profile_id, about, cause=cause_of(draft.id), hops=draft.hops + 1, message_id=f"{draft.id}:told")


def cause_of(message_id: uuid.UUID) -> str:
    """How events name the message that made them."""
    return f"message:{message_id}"


_MARK = """
UPDATE messages m SET status = 'sending', reason = NULL, marked_at = :now, address = u.address, subject = u.subject, language = u.language, version = u.version
FROM unnest(CAST(:ids AS uuid[]), CAST(:addresses AS text[]), CAST(:subjects AS text[]), CAST(:languages AS text[]), CAST(:versions AS integer[]))
  u(id, address, subject, language, version) WHERE m.id = u.id
"""
_LEASE = """
UPDATE outbox o SET lease_until = u.lease FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS timestamptz[])) u(id, lease) WHERE o.message_id = u.id
"""
_SETTLE = """
UPDATE messages m SET status = u.status, reason = CASE u.status WHEN 'sent' THEN NULL ELSE u.reason END, attempts = m.attempts + u.tries,
  provider_id = coalesce(u.provider, m.provider_id), sent_at = CASE u.status WHEN 'sent' THEN :now ELSE m.sent_at END
FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]), CAST(:providers AS text[]), CAST(:tries AS smallint[]))
  u(id, status, reason, provider, tries) WHERE m.id = u.id
RETURNING m.id, m.journey
"""
_WAIT = """
UPDATE outbox o SET due_at = u.due, lease_until = NULL, taken = NULL
FROM unnest(CAST(:ids AS uuid[]), CAST(:due AS timestamptz[])) u(id, due) WHERE o.message_id = u.id
"""
_EXPIRED = """
SELECT m.id, m.profile_id, m.channel, m.template, m.topic, m.purpose, m.relevant_if, m.data, m.hops, m.attempts, m.address
FROM outbox o JOIN messages m ON m.id = o.message_id WHERE o.lease_until < :now ORDER BY o.message_id LIMIT 1000 FOR UPDATE OF o SKIP LOCKED
"""
