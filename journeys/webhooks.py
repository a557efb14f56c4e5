"""Webhook calls: written with the run that asks, made by a worker under a lease, answered through the inbox."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core.clock import scaled
from crm.core.commit import hint
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.ids import new_id
from crm.core.json import dumps, keepable, loads
from crm.events.inbox import append, system_event
from journeys import calling
from journeys.node import CallWebhook
from journeys.nodes.webhook import ANSWERED
from journeys.passage import Passage

CLAIM = 16  # calls made side by side by one worker
TIMEOUT_S = 10.0  # of one call, from the first byte to the last
LEASE = dt.timedelta(seconds=60)
FIRST_RETRY, LAST_RETRY, ATTEMPTS = dt.timedelta(seconds=10), dt.timedelta(hours=1), 12
REST = dt.timedelta(seconds=10)  # an endpoint out of reach is left alone so long: slow ones must not hold the workers up
KEPT, AT_ONCE = dt.timedelta(days=90), 10_000  # of calls that are over, and how many of them go at once
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that say: try again

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A call to make, with the endpoint as it is set now; `url` is None where there is no such endpoint any more."""

    id: uuid.UUID
    profile_id: uuid.UUID
    journey: str
    run_id: uuid.UUID
    node: str
    round: int
    endpoint: str
    path: str
    body: Mapping[str, Any]
    attempts: int
    hops: int
    created_at: dt.datetime
    url: str | None
    headers: Mapping[str, str]
    private: bool
    generation: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call: `answered`, `failed`, or `later` with the time of the next try; `rest` keeps the whole endpoint waiting."""

    call: Claimed
    fate: str
    said: str | None = None
    status: int | None = None
    answer: Any = None
    due_at: dt.datetime | None = None
    rest: bool = False


def queue(session: Session, asked: Sequence[tuple[Passage, str, int, CallWebhook]], now: dt.datetime) -> None:
    """Write down calls to make; one stop of a run makes one, however often it is asked. One taken back and asked for again goes on under its key."""
    rows = [
        {"id": new_id(), "profile_id": p.profile_id, "journey_id": p.journey_id, "run_id": p.id, "node": node, "round": round_}
        | {"endpoint": call.endpoint, "path": call.path, "body": dict(call.body), "until": call.until, "hops": p.hops + 1}
        for p, node, round_, call in asked
    ]
    if rows and session.execute(_QUEUE, {"rows": dumps(rows), "now": now}).first():
        hint(session, "call")


def call_due(sessions: sessionmaker[Session], config: Config, now_fn: Callable[[], dt.datetime], limit: int = CLAIM) -> int:
    """Make what is due; returns how many calls. A worker that dies in between leaves a lease that ends: the call is made again, under its key."""
    with sessions() as session:
        claimed = claim(session, now_fn(), limit)
        session.commit()
    if not claimed:
        return 0
    with ThreadPoolExecutor(len(claimed)) as pool:
        outcomes = list(pool.map(lambda each: _tried(each, config, now_fn), claimed))
    with sessions() as session:
        settle(session, outcomes, now_fn())
        session.commit()
    return len(claimed)


def claim(session: Session, now: dt.datetime, limit: int) -> list[Claimed]:
    """Due calls of runs that still wait for them, leased; those whose run went on are taken back. Paused journeys and resting endpoints wait."""
    session.execute(_WITHDRAW, {"now": now})
    return [Claimed(*row) for row in session.execute(_CLAIM, {"now": now, "lease": now + LEASE, "limit": limit})]


def _tried(each: Claimed, config: Config, now_fn: Callable[[], dt.datetime]) -> Outcome:
    """One call, whatever comes of it: those beside it were made, and must be written down."""
    try:
        return _call(each, config, now_fn)
    except Exception as error:  # one call that breaks must not lose the answers beside it; it is shown and the log says more
        log.error("webhook_call_broke", call=str(each.id), endpoint=each.endpoint, exc_info=True)
        return Outcome(each, "failed", f"it could not be made: {type(error).__name__}")


def _call(each: Claimed, config: Config, now_fn: Callable[[], dt.datetime]) -> Outcome:
    """One call; what an endpoint may bring about is said, anything else is raised."""
    if each.url is None:
        return Outcome(each, "failed", "there is no endpoint of this name in the settings")
    body = dumps({"type": "journey.step", "timestamp": each.created_at.isoformat(), "data": _told(each)}).encode()
    url = f"{each.url.rstrip('/')}/{each.path}" if each.path else each.url
    try:
        reply = calling.post(url, body, signed(each, body, config, now_fn()), timeout_s=TIMEOUT_S, private=each.private)
    except calling.NotAllowedError as error:
        return Outcome(each, "failed", str(error))
    except calling.NoAnswerError as error:
        return _later(each, config, now_fn(), str(error), rest=True)
    return _judged(each, config, now_fn(), reply)


def _told(each: Claimed) -> dict[str, Any]:
    return {"journey": each.journey, "run_id": str(each.run_id), "node": each.node, "round": each.round, **each.body}


def signed(each: Claimed, body: bytes, config: Config, now: dt.datetime) -> dict[str, str]:
    """The headers of a call. Signature: Standard Webhooks 1.0 (standardwebhooks.com), HMAC-SHA256 over id, time and body."""
    stamp, key = str(int(now.timestamp())), signing_key(config, each.endpoint, each.generation)
    mac = hmac.digest(key, b".".join((str(each.id).encode(), stamp.encode(), body)), "sha256")
    ours = {
        "Content-Type": "application/json",
        "User-Agent": "Kesher-Webhook/1",
        "Idempotency-Key": str(each.id),
        "webhook-id": str(each.id),
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
    return dict(each.headers) | ours


def signing_key(config: Config, endpoint: str, generation: int) -> bytes:
    """The key an endpoint's calls are signed with; another generation is another key."""
    return Keys(config.secret_key).derive(f"webhook:{endpoint}:{generation}")


def _judged(each: Claimed, config: Config, now: dt.datetime, reply: calling.Reply) -> Outcome:
    if reply.status in BUSY:
        return _later(each, config, now, f"it answered {reply.status}", wait=reply.wait(now), status=reply.status, rest=reply.status == 429)
    answer = _json(reply)
    if 200 <= reply.status < 300:
        return Outcome(each, "answered", None if reply.whole else "its answer was too long to keep", reply.status, answer)
    return Outcome(each, "failed", f"it answered {reply.status}", reply.status, answer)


def _json(reply: calling.Reply) -> Any:
    """What it said as JSON; None where that is not all of it or no JSON that can be kept."""
    try:
        found = loads(reply.text) if reply.whole and reply.text else None
        keepable(found)
    except (ValueError, TypeError):
        return None
    return found


def _later(
    each: Claimed, config: Config, now: dt.datetime, said: str, *, wait: dt.timedelta | None = None, status: int | None = None, rest: bool = False
) -> Outcome:
    """Again after a pause that doubles, or as long as we were asked to wait."""
    pause = min(FIRST_RETRY * 2 ** (each.attempts - 1), LAST_RETRY)
    due = now + max(scaled(pause, config.time_scale), wait or dt.timedelta(0))
    outcome = Outcome(each, "later", said, status, due_at=due, rest=rest)
    return _given_up(outcome) if each.attempts >= ATTEMPTS else outcome


def _given_up(outcome: Outcome) -> Outcome:
    return replace(outcome, fate="failed", said=f"{outcome.said}; tried {outcome.call.attempts} times")


def settle(session: Session, outcomes: Sequence[Outcome], now: dt.datetime) -> None:
    """Write what became of calls, and tell the log; one whose lease somebody else has settled meanwhile is told nothing.

    Failed is what would be tried again after its run has gone on; until when that waits may have changed while the call was under way.
    """
    ends = {row.id: row.until for row in session.execute(_UNTIL, {"ids": [o.call.id for o in outcomes]})}
    outcomes = [_given_up(o) if o.fate == "later" and o.due_at and o.due_at >= ends.get(o.call.id, o.due_at) else o for o in outcomes]
    rows = [
        {"id": o.call.id, "attempts": o.call.attempts, "fate": "waiting" if o.fate == "later" else o.fate}
        | {"said": o.said, "status": o.status, "answer": o.answer, "due": o.due_at}
        for o in outcomes
    ]
    written = set(session.scalars(_SETTLE, {"rows": dumps(rows), "now": now}))
    append(session, [_event(each) for each in outcomes if each.fate != "later" and each.call.id in written], now)
    for each in outcomes:
        if each.rest:
            until = max(now + REST, each.due_at or now) if each.status == 429 else now + REST
            session.execute(_REST, {"slug": each.call.endpoint, "until": until})


def _event(outcome: Outcome) -> Any:
    call = outcome.call
    said = {"journey": call.journey, "run_id": str(call.run_id), "node": call.node, "round": call.round, "endpoint": call.endpoint}
    said |= {"outcome": outcome.fate, "status": outcome.status, "body": outcome.answer, "said": outcome.said}
    return system_event(ANSWERED, call.profile_id, said, cause=f"run:{call.run_id}", hops=call.hops, message_id=f"webhook:{call.id}")


def shift(session: Session, journey_id: int) -> None:
    """Let the calls of a journey be made for as long as its runs wait, after their waits were made longer."""
    session.execute(_SHIFT, {"journey": journey_id})


def again(session: Session, call_id: uuid.UUID, now: dt.datetime) -> bool:
    """Let a waiting call be made at once; False where it waits no more."""
    found = session.execute(_AGAIN, {"id": call_id, "now": now}).one_or_none()
    if found:
        session.execute(text("UPDATE webhook_endpoints SET resting_until = NULL WHERE slug = :slug"), {"slug": found.endpoint})
        hint(session, "call")
    return found is not None


def forget_old(session: Session, now: dt.datetime) -> int:
    """Calls that came to their end long ago go, some at a time; what they answered stays with the runs and in the log."""
    return len(session.execute(_FORGET, {"before": now - KEPT, "limit": AT_ONCE}).all())


DUE = """
EXISTS (SELECT FROM webhook_calls w LEFT JOIN webhook_endpoints e ON e.slug = w.endpoint
        JOIN journeys j ON j.id = w.journey_id
        WHERE w.status = 'waiting' AND w.due_at <= :now AND (w.lease_until IS NULL OR w.lease_until <= :now)
          AND (e.resting_until IS NULL OR e.resting_until <= :now) AND j.paused_at IS NULL)
"""
_QUEUE = text("""
    INSERT INTO webhook_calls (id, profile_id, journey_id, run_id, node, round, endpoint, path, body, due_at, until, hops, created_at)
    SELECT id, profile_id, journey_id, run_id, node, round, endpoint, path, body, CAST(:now AS timestamptz), until, hops, CAST(:now AS timestamptz)
    FROM json_to_recordset(CAST(:rows AS json)) AS n(
        id uuid, profile_id uuid, journey_id int, run_id uuid, node text, round smallint, endpoint text, path text, body jsonb,
        until timestamptz, hops smallint)
    ON CONFLICT (run_id, node, round) DO UPDATE
    SET status = 'waiting', attempts = 0, due_at = excluded.due_at, until = excluded.until, done_at = NULL, said = NULL
    WHERE webhook_calls.status = 'withdrawn' RETURNING id
""")
_WITHDRAW = text("""
    UPDATE webhook_calls w SET status = 'withdrawn', done_at = :now, lease_until = NULL FROM journeys j
    WHERE j.id = w.journey_id AND j.paused_at IS NULL AND w.status = 'waiting' AND w.due_at <= :now AND (w.lease_until IS NULL OR w.lease_until <= :now)
      AND (w.until <= :now OR NOT EXISTS (SELECT FROM runs r WHERE r.id = w.run_id AND r.status = 'active' AND r.node = w.node AND r.round = w.round))
""")
_CLAIM = text("""
    WITH due AS (
        SELECT w.id, j.slug AS journey, e.url, e.headers, e.private, e.generation
        FROM webhook_calls w JOIN journeys j ON j.id = w.journey_id LEFT JOIN webhook_endpoints e ON e.slug = w.endpoint
        WHERE w.status = 'waiting' AND w.due_at <= :now AND (w.lease_until IS NULL OR w.lease_until <= :now)
          AND (e.resting_until IS NULL OR e.resting_until <= :now) AND j.paused_at IS NULL
        ORDER BY w.due_at LIMIT :limit FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE webhook_calls w SET lease_until = :lease, attempts = w.attempts + 1 FROM due WHERE due.id = w.id
    RETURNING w.id, w.profile_id, due.journey, w.run_id, w.node, w.round, w.endpoint, w.path, w.body, w.attempts, w.hops, w.created_at,
              due.url, coalesce(due.headers, '{}'), coalesce(due.private, false), coalesce(due.generation, 1)
""")
_UNTIL = text("SELECT id, until FROM webhook_calls WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")
_SETTLE = text("""
    UPDATE webhook_calls w
    SET status = n.fate, said = n.said, answer_status = n.status, answer = n.answer, due_at = coalesce(n.due, w.due_at), lease_until = NULL,
        done_at = CASE WHEN n.fate = 'waiting' THEN NULL ELSE CAST(:now AS timestamptz) END
    FROM json_to_recordset(CAST(:rows AS json)) AS n(id uuid, attempts smallint, fate text, said text, status smallint, answer jsonb, due timestamptz)
    WHERE w.id = n.id AND w.status = 'waiting' AND w.attempts = n.attempts RETURNING w.id
""")
_REST = text("UPDATE webhook_endpoints SET resting_until = greatest(resting_until, CAST(:until AS timestamptz)) WHERE slug = :slug")
_SHIFT = text("""
    UPDATE webhook_calls w SET until = r.due_at FROM runs r
    WHERE w.journey_id = :journey AND w.status = 'waiting' AND r.id = w.run_id AND r.status = 'active' AND r.node = w.node AND r.round = w.round
""")
_FORGET = text("""
    DELETE FROM webhook_calls WHERE id IN (SELECT id FROM webhook_calls WHERE created_at < :before AND status <> 'waiting' ORDER BY created_at LIMIT :limit)
    RETURNING id
""")
_AGAIN = text("""
    UPDATE webhook_calls SET due_at = :now WHERE id = :id AND status = 'waiting' AND (lease_until IS NULL OR lease_until <= :now) RETURNING endpoint
""")
