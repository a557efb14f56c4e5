"""Endpoints that webhook nodes may call: set up by administrators, their secrets written and never read back."""

from __future__ import annotations

import base64
import datetime as dt
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.paging import Page, cursor, read_place
from crm.profiles.called import CALLED
from journeys import calling
from journeys.node_models import Endpoint
from journeys.webhooks import signing_key

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
PRINTED = re.compile(r"[!-~]+")
HEADER = re.compile(r"([A-Za-z0-9-]{1,60}):[ \t]*([\x21-\x7e][\x20-\x7e]{0,1999})")
OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent", "idempotency-key"})
STATES = ("waiting", "answered", "failed", "withdrawn")


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as the screen shows it."""

    id: uuid.UUID
    profile_id: uuid.UUID
    profile: str
    journey: str
    run_id: uuid.UUID
    node: str
    endpoint: str
    status: str
    attempts: int
    due_at: dt.datetime
    answer_status: int | None
    answer: Any
    said: str | None
    created_at: dt.datetime
    done_at: dt.datetime | None


def every(session: Session) -> Sequence[Endpoint]:
    """All endpoints."""
    return session.scalars(select(Endpoint).order_by(Endpoint.slug)).all()


def save(session: Session, slug: str, *, url: str, headers: str | None, private: bool, now: dt.datetime) -> Endpoint:
    """Set an endpoint up, or change it; `headers` are lines `Name: value`, None keeps those there are. Raises InvalidError."""
    if not SLUG.fullmatch(slug):
        raise InvalidError(_l("An endpoint is named with small letters, digits, - and _, for example stock-check."), field="slug")
    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment or not PRINTED.fullmatch(url):
        raise InvalidError(_l("The address begins with https:// or http:// and has no user, question mark or # in it."), field="url")
    if not private and calling.forbidden(parts.hostname):
        said = _l("This address lies in our own network, where nothing is called. Tick “It may lie in our own network”, if that is meant.")
        raise InvalidError(said, field="url")
    found = session.get(Endpoint, slug) or Endpoint(slug=slug, headers={}, generation=1, created_at=now)
    found.url, found.private, found.resting_until = url, private, None
    if headers is not None:
        found.headers = _headers(headers)
    session.add(found)
    session.flush()
    return found


def _split(url: str) -> SplitResult:
    """Its parts, all of which can be read: what cannot be called must not be kept."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidError(_l("This is no web address. Look at its host and at its port, which is a number up to 65535."), field="url") from error
    return parts


def _headers(lines: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in lines.splitlines())):
        fits = HEADER.fullmatch(line)
        if not fits or fits[1].lower() in OURS or fits[1].lower().startswith("webhook-"):
            raise InvalidError(_l("A header is a line like “Authorization: Bearer …”, and none that Kesher writes itself."), field="headers")
        found[fits[1]] = fits[2]
    return found


def rotate(session: Session, slug: str) -> Endpoint:
    """From now on another signing key."""
    found = _one(session, slug)
    found.generation += 1
    session.flush()
    return found


def remove(session: Session, slug: str) -> None:
    """Nodes that still name it fail from now on, visibly."""
    session.delete(_one(session, slug))
    session.flush()


def secret(config: Config, endpoint: Endpoint) -> str:
    """What the other side checks signatures with."""
    return "whsec_" + base64.b64encode(signing_key(config, endpoint.slug, endpoint.generation)).decode()


def calls(session: Session, *, endpoint: str | None, status: str | None, after: str | None, limit: int) -> Page[CallRow]:
    """Calls, newest first."""
    at, one = read_place(after) or (None, None)
    asked = {"endpoint": endpoint, "status": status if status in STATES else None, "limit": limit + 1, "before": at, "before_id": one}
    rows = [CallRow(*row) for row in session.execute(_CALLS, asked)]
    more = len(rows) > limit
    return Page(rows[:limit], cursor(rows[limit - 1].created_at, rows[limit - 1].id) if more else None)


def counts(session: Session, since: dt.datetime) -> dict[str, dict[str, int]]:
    """endpoint -> status -> calls since then."""
    found: dict[str, dict[str, int]] = {}
    for endpoint, status, count in session.execute(_COUNTS, {"since": since}):
        found.setdefault(endpoint, {})[status] = count
    return found


def _one(session: Session, slug: str) -> Endpoint:
    found = session.get(Endpoint, slug)
    if found is None:
        raise NotFoundError(_l("There is no such endpoint."))
    return found


_CALLS = text(f"""
    SELECT w.id, w.profile_id, {CALLED}, j.slug, w.run_id, w.node, w.endpoint, w.status, w.attempts, w.due_at, w.answer_status, w.answer,
           w.said, w.created_at, w.done_at
    FROM webhook_calls w JOIN journeys j ON j.id = w.journey_id LEFT JOIN profiles p ON p.id = w.profile_id
    WHERE (CAST(:endpoint AS text) IS NULL OR w.endpoint = :endpoint) AND (CAST(:status AS text) IS NULL OR w.status = :status)
      AND (CAST(:before AS timestamptz) IS NULL OR (w.created_at, w.id) < (CAST(:before AS timestamptz), CAST(:before_id AS uuid)))
    ORDER BY w.created_at DESC, w.id DESC LIMIT :limit
""")  # noqa: S608  our own fragment
_COUNTS = text("SELECT endpoint, status, count(*) FROM webhook_calls WHERE created_at >= :since GROUP BY endpoint, status")
