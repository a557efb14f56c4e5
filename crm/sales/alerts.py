"""Alerts: what a salesperson should know at once, shown in the page and sent by e-mail. The same thing is said once, by its key."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select, text, update
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.spec import Call, Happened
from crm.messages import outbox
from crm.sales import settings
from crm.sales.models import Alert
from crm.sales.settings import SalesSettings
from crm.scores.score_models import BANDS

TITLES = {
    "assigned": _l("A new lead for you"),
    "hot_page": _l("Looks at a page that matters"),
    "score_jump": _l("Much more likely to buy than before"),
    "late": _l("Late: a task is past its time"),
    "escalated": _l("Somebody's lead is late"),
}
BAND = "Score Band Changed"
RISING = BANDS[::-1]
TEMPLATE = "sales_alert"
AGAIN_AFTER = dt.timedelta(days=1)  # of telling the log about a seller's address that led nowhere
TOO_LATE = dt.timedelta(days=1)  # for an e-mail nobody could be found for
FRESH = dt.timedelta(hours=1)  # what is older is no news
AGAIN = "%Y-%m-%d"  # a hot page is news once a day
_VIEWS = frozenset({"Page Viewed", "Product Viewed"})


@dataclass(frozen=True, slots=True)
class NewAlert:
    """One to make; `user_id` None means the lead's owner."""

    kind: str
    profile_id: uuid.UUID
    key: str
    user_id: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def hear(session: Session, events: Sequence[Happened], now: dt.datetime) -> None:
    """Hot pages and jumps of the score, of leads that have an owner."""
    near = [event for event in events if (event.name in _VIEWS or event.name == BAND) and event.origin == LIVE and now - event.occurred_at < FRESH]
    if near:
        rules = settings.read(session)
        raise_(session, list(_news(near, rules)), rules=rules, now=now)


def _news(events: Sequence[Happened], rules: SalesSettings) -> Iterator[NewAlert]:
    for event in events:
        if event.name == BAND:
            if event.trusted and _jumped(event.properties, rules):
                detail = {"band": event.properties.get("band"), "was": event.properties.get("was")}
                yield NewAlert("score_jump", event.profile_id, f"score:{event.accepted}", detail=detail)
        elif page := hot(event, rules):
            yield NewAlert("hot_page", event.profile_id, f"page:{event.profile_id}:{page}:{event.occurred_at:{AGAIN}}", detail={"page": page})


def _jumped(said: Mapping[str, Any], rules: SalesSettings) -> bool:
    """The band of the score that orders the queue rose to hot, or by two."""
    band, was = said.get("band"), said.get("was")
    if said.get("kind") != rules.score or band not in BANDS:
        return False
    before = RISING.index(was) if was in RISING else 0
    return RISING.index(band) > before and (band == "hot" or RISING.index(band) - before > 1)


def hot(event: Happened, rules: SalesSettings) -> str:
    """The address of a page that matters, where this event is a view of one."""
    page = event.context.get("page")
    said = event.properties.get("path") or event.properties.get("url") or (page.get("path") if isinstance(page, Mapping) else None)
    path = str(said or "")[:300]
    return next((one for one in rules.hot_pages if one in path), "") if path else ""


def raise_(session: Session, new: Sequence[NewAlert], *, rules: SalesSettings, now: dt.datetime) -> list[int]:
    """Keep alerts; returns the ids of those that are new. One for nobody is not kept."""
    if not new:
        return []
    rows = [{"kind": one.kind, "profile": one.profile_id, "key": one.key, "user": one.user_id, "detail": dict(one.detail)} for one in new]
    made = list(session.scalars(text(_RAISE), {"rows": dumps(rows), "now": now, "mail": rules.alert_mail}))
    if made and rules.alert_mail:
        hint(session, "sales")
    return made


def latest(session: Session, user_id: int, *, limit: int = 20) -> list[Alert]:
    """The newest of one user."""
    return list(session.scalars(select(Alert).where(Alert.user_id == user_id).order_by(Alert.id.desc()).limit(limit)))


def unseen(session: Session, user_id: int) -> int:
    """How many of the latest hundred nobody looked at."""
    return session.scalar(text(_UNSEEN), {"user": user_id}) or 0


def seen(session: Session, user_id: int, *, up_to: int, now: dt.datetime) -> None:
    """They were looked at, this one and older ones."""
    session.execute(update(Alert).where(Alert.user_id == user_id, Alert.id <= up_to, Alert.seen_at.is_(None)).values(seen_at=now))


def mail(session: Session, *, base_url: str, now: dt.datetime, limit: int = 200) -> int:
    """Queue the e-mails of new alerts, to the profile introduced as the seller; one that is not there yet is asked for. Returns how many were queued.

    They go to the seller's own address and to no other, as anybody may tell a public key that it is theirs.
    """
    session.execute(text("UPDATE alerts SET mail = false WHERE mail AND at < :old"), {"old": now - TOO_LATE})
    rows = session.execute(text(_UNSENT), {"limit": limit}).all()
    strangers = [row.user_id for row in rows if row.seller_id is None]
    new = session.execute(text(_INTRODUCED), {"users": strangers, "now": now, "before": now - AGAIN_AFTER}).all() if strangers else []
    inbox.append(session, [_introduce(row.email, row.name, now) for row in new], now)
    ready = [row for row in rows if row.seller_id is not None]
    requests = [
        outbox.Request(
            row.seller_id,
            "email",
            TEMPLATE,
            data={"kind": row.kind, "lead": row.lead, "detail": row.detail, "reference": f"alert:{row.id}", "url": base_url + _page(row)},
            cause=f"alert:{row.id}",
            to=row.email,
        )
        for row in ready
    ]
    outbox.queue(session, requests, now)
    session.execute(text("UPDATE alerts SET mail = false WHERE id = ANY(CAST(:ids AS bigint[]))"), {"ids": [row.id for row in ready]})
    return len(ready)


def _page(alert: Row[Any]) -> str:
    """Where its mail leads: to the lead, or of several to all of mine."""
    return "/leads" if alert.detail.get("more") else f"/leads/{alert.profile_id}"


def _introduce(email: str, name: str, now: dt.datetime) -> NewRow:
    call = Call(
        type="identify", user_id=f"seller:{email}", message_id=f"seller:{email}:{now:%Y-%m-%d}", traits={"email": email, "name": name, "works_here": True}
    )
    return NewRow(SYSTEM_SOURCE, trusted=True, origin=LIVE, body=call, cause="sales")


_RAISE = """
INSERT INTO alerts (user_id, kind, profile_id, detail, key, at, mail)
SELECT coalesce(n.user, l.owner_id), n.kind, n.profile, n.detail, n.key || ':' || coalesce(n.user, l.owner_id), CAST(:now AS timestamptz),
       :mail AND s.user_id IS NOT NULL
FROM json_to_recordset(CAST(:rows AS json)) AS n(kind text, profile uuid, key text, "user" int, detail jsonb)
LEFT JOIN leads l ON l.profile_id = n.profile AND l.open LEFT JOIN sellers s ON s.user_id = coalesce(n.user, l.owner_id) AND s.active
WHERE coalesce(n.user, l.owner_id) IS NOT NULL
ON CONFLICT (key) DO NOTHING RETURNING id
"""
_UNSEEN = "SELECT count(*) FROM (SELECT seen_at FROM alerts WHERE user_id = :user ORDER BY id DESC LIMIT 100) a WHERE seen_at IS NULL"
_INTRODUCED = """
UPDATE sellers SET introduced_at = :now WHERE user_id = ANY(CAST(:users AS integer[])) AND (introduced_at IS NULL OR introduced_at < :before)
RETURNING email, name
"""
_UNSENT = """
SELECT a.id, a.kind, a.detail, a.profile_id, p.name AS lead, s.user_id, s.email, s.name, i.profile_id AS seller_id
FROM alerts a JOIN sellers s ON s.user_id = a.user_id JOIN profiles p ON p.id = a.profile_id
LEFT JOIN identities i ON i.kind = 'user_id' AND i.value = 'seller:' || s.email AND i.verified
WHERE a.mail ORDER BY i.profile_id IS NULL, a.id LIMIT :limit FOR UPDATE OF a SKIP LOCKED
"""
