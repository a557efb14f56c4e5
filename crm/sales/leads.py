"""Leads: folded from the log, and what people and rules decide about them. Every decision is also an event."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.events import inbox, store
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Happened
from crm.profiles.move import on_move, on_part
from crm.sales import alerts, settings, tasks
from crm.sales.alerts import NewAlert
from crm.sales.lead_state import ASSIGNED, CREATED, ENTERED, LISTENS, MAILED, STATUS, Definitions, State, hears, state
from crm.sales.models import OPEN, STATUSES
from crm.sales.settings import SalesSettings

MQL = "mql"  # the source of leads that marketing hands over by definition


def fold(session: Session, events: Sequence[Happened], now: dt.datetime) -> None:
    """Bring leads up to date with a batch; the people are locked and their events are in the log."""
    said: dict[uuid.UUID, set[str]] = {}
    for event in events:
        if hears(event):
            said.setdefault(event.profile_id, set()).add(event.name)
    if not said:
        return
    rules = settings.read(session)
    before = _standing(session, said)
    _hand_over(session, events, before.keys(), rules, now)
    touched = {one for one, names in said.items() if CREATED in names or one in before}
    _write(session, _states(session, touched, rules), now, hard=False)
    _tell(session, [event for event in events if hears(event) and event.profile_id in touched], before, now)
    for event in events:
        if event.name == MAILED and hears(event) and event.trusted:
            _written(session, event, now)


def touch(session: Session, profile_id: uuid.UUID, *, by: int, at: dt.datetime) -> str | None:
    """Somebody here answered this lead; returns its status, None where there is no lead."""
    status: str | None = session.scalar(text(_TOUCH), {"id": profile_id, "by": by, "now": at})
    return status


def refold(session: Session, profile_ids: Collection[uuid.UUID], now: dt.datetime) -> None:
    """These people's leads from the log anew, even where that takes back what is newer or leaves none."""
    states = _states(session, profile_ids, settings.read(session))
    session.execute(text("DELETE FROM leads WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": sorted(set(profile_ids) - states.keys())})
    _write(session, states, now, hard=True)


def known(session: Session, profile_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Who of these is a lead already."""
    return set(session.scalars(text("SELECT profile_id FROM leads WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(profile_ids)}))


def set_status(  # each is said in the event
    session: Session, profile_id: uuid.UUID, status: str, *, by: int | None, now: dt.datetime, reason: str = ""
) -> None:
    """Say how it stands; the caller holds the person's lock. NotFoundError where there is no lead."""
    if status not in STATUSES:
        raise InvalidError(_l("There is no such status of a lead."))
    values = {"id": profile_id, "status": status, "open": status in OPEN, "now": now}
    was = session.scalar(text(_STATUS), values)
    if was is None:
        raise NotFoundError(_l("This person is no lead."))
    if was != status:
        said = {"status": status, "was": was, "reason": reason, "by": by}
        inbox.append(session, [inbox.system_event(STATUS, profile_id, said, cause=_who(by), hops=0)], now)
    hint(session, "sales")


def assign(session: Session, owners: Mapping[uuid.UUID, tuple[int | None, str]], *, by: int | None, now: dt.datetime) -> list[uuid.UUID]:
    """Give leads to owners (None: to nobody), each with the rule that chose; returns whose owner changed. The caller holds the people's locks.

    Their open tasks go along, and the new owner hears of it, but not of a lead from a file that a rule gives, nor of one they took themselves.
    Of many that a person gives at once they hear once.
    """
    if not owners:
        return []
    rows = [{"id": one, "owner": owner, "by": rule} for one, (owner, rule) in owners.items()]
    changed = session.execute(text(_ASSIGN), {"rows": dumps(rows), "now": now}).all()
    said = [
        inbox.system_event(ASSIGNED, row.profile_id, {"owner_id": row.owner_id, "by": row.owner_by, "owner": row.email or ""}, cause=_who(by), hops=row.hops)
        for row in changed
    ]
    inbox.append(session, said, now)
    _given(session, changed, by=by, now=now)
    hint(session, "sales")
    return [row.profile_id for row in changed]


def _given(session: Session, leads: Sequence[Row[Any]], *, by: int | None, now: dt.datetime) -> None:
    """What follows wherever a lead gets another owner."""
    if not leads:
        return
    tasks.hand_on(session, {lead.profile_id: lead.owner_id for lead in leads})
    hear = [lead for lead in leads if lead.owner_id is not None and lead.owner_id != by and (by is not None or not lead.imported)]
    many = Counter(lead.owner_id for lead in hear) if by is not None else Counter()
    told = hear if by is None else {lead.owner_id: lead for lead in hear}.values()
    news = [
        NewAlert(
            "assigned",
            one.profile_id,
            f"assigned:{one.profile_id}:{now.isoformat()}",
            one.owner_id,
            {"more": more} if (more := many[one.owner_id] - 1) > 0 else {},
        )
        for one in told
    ]
    alerts.raise_(session, news, rules=settings.read(session), now=now)


def _written(session: Session, mailed: Happened, now: dt.datetime) -> None:
    """A mail that somebody here asked for went out: only now they answered, and what was to be written is written."""
    by, profile_id = int(mailed.properties["by"]), mailed.profile_id
    touch(session, profile_id, by=by, at=mailed.occurred_at)
    for task in tasks.open_of(session, profile_id):
        if task.kind == "mail" and task.due_at <= now + tasks.SOON:
            tasks.done(session, task.id, by=by, now=now, outcome="sent")


def _standing(session: Session, profile_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Row[Any]]:
    rows = session.execute(text(_STANDING), {"ids": list(profile_ids)})
    return {row.profile_id: row for row in rows}


def _tell(session: Session, events: Sequence[Happened], before: Mapping[uuid.UUID, Row[Any]], now: dt.datetime) -> None:
    """What followed from events of another name (an order won the lead, an intake named its owner) is said in sales' own words, for rules and journeys."""
    if not events:
        return
    causes: dict[uuid.UUID, Happened] = {}
    said: set[tuple[uuid.UUID, str]] = set()
    for event in sorted(events, key=lambda one: (one.origin == LIVE, one.order)):
        causes[event.profile_id] = event
        said.add((event.profile_id, event.name))
    rows = []
    standing = _standing(session, causes)
    for one, lead in standing.items():
        was, cause = before.get(one), causes[one]
        if lead.status != (was.status if was else "new") and (one, STATUS) not in said:
            told = {"status": lead.status, "was": was.status if was else "new", "reason": cause.name}
            rows.append(_follows(STATUS, one, told, cause))
        if lead.owner_id != (was.owner_id if was else None) and (one, ASSIGNED) not in said:
            rows.append(_follows(ASSIGNED, one, {"owner_id": lead.owner_id, "by": lead.owner_by, "owner": lead.email or ""}, cause))
    inbox.append(session, rows, now)
    moved = [lead for one, lead in standing.items() if lead.owner_id != (before[one].owner_id if one in before else None)]
    _given(session, [lead for lead in moved if causes[lead.profile_id].origin == LIVE], by=None, now=now)


def _follows(name: str, profile_id: uuid.UUID, said: dict[str, Any], cause: Happened) -> NewRow:
    row = inbox.system_event(name, profile_id, said, cause=f"event:{cause.accepted}", hops=cause.hops + 1, message_id=f"lead:{cause.accepted}:{name}")
    return replace(row, origin=cause.origin)


def _who(user_id: int | None) -> str:
    return f"user:{user_id}" if user_id else "sales"


def _hand_over(session: Session, events: Sequence[Happened], there: Collection[uuid.UUID], rules: SalesSettings, now: dt.datetime) -> None:
    """Whoever comes into the segment that marketing hands over becomes a lead."""
    new: dict[uuid.UUID, NewRow] = {}
    came = [event for event in events if event.name == ENTERED and event.trusted and event.origin == LIVE and event.properties.get("segment") == rules.mql]
    for event in came if rules.mql else ():
        if event.profile_id not in there:
            said, number = {"source": MQL, "campaign": rules.mql}, f"mql:{event.accepted}"
            new[event.profile_id] = inbox.system_event(CREATED, event.profile_id, said, cause=f"event:{event.accepted}", hops=event.hops + 1, message_id=number)
    inbox.append(session, list(new.values()), now)


def _states(session: Session, profile_ids: Collection[uuid.UUID], rules: SalesSettings) -> dict[uuid.UUID, State]:
    mine: dict[uuid.UUID, list[Happened]] = {}
    for event in store.of_people(session, sorted(profile_ids), LISTENS) if profile_ids else ():
        mine.setdefault(event.profile_id, []).append(event)
    definitions = Definitions(rules.mql, rules.sql, rules.order_wins)
    return {one: found for one, events in mine.items() if (found := state(events, definitions)) is not None}


def _write(session: Session, states: Mapping[uuid.UUID, State], now: dt.datetime, *, hard: bool) -> None:
    if not states:
        return
    rows = [{"profile_id": one, "open": lead.open, **asdict(lead)} for one, lead in sorted(states.items())]
    session.execute(text(_UPSERT), {"rows": dumps(rows), "now": now, "hard": hard})
    if taken_back := [row for row in rows if row["unanswered"]]:
        session.execute(text(_UNANSWERED), {"rows": dumps(taken_back)})
    hint(session, "sales")


def _moved(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    params: dict[str, Any] = {"from": [old for old, _ in pairs], "into": [new for _, new in pairs]}
    session.execute(text(_COPY), params)
    session.execute(text("DELETE FROM leads WHERE profile_id = ANY(CAST(:from AS uuid[]))"), params)
    if mine := known(session, {new for _, new in pairs}):
        refold(session, mine, now)
        tasks.recount(session, mine, now)


def _parted(session: Session, owner: uuid.UUID, to: uuid.UUID, given: Collection[uuid.UUID], now: dt.datetime) -> None:
    if known(session, {owner}):
        session.execute(text(_COPY), {"from": [owner], "into": [to]})
        refold(session, {owner, to}, now)
        tasks.recount(session, {owner, to}, now)


on_move.append(_moved)
on_part.append(_parted)
_FIELDS = "status, status_at, open, owner_id, owner_at, owner_by, source, campaign, cost, currency, intakes, created_at, imported, mql_at, sql_at, answered_at"
_TYPES = """profile_id uuid, status text, status_at timestamptz, open boolean, owner_id int, owner_at timestamptz, owner_by text, source text, campaign text,
    cost numeric, currency text, intakes int, created_at timestamptz, imported boolean, mql_at timestamptz, sql_at timestamptz, answered_at timestamptz"""
_NEWER = "(:hard OR excluded.status_at >= l.status_at)"
_OWNED = "(:hard OR l.owner_at IS NULL OR excluded.owner_at >= l.owner_at)"
_AGAIN = "(excluded.status = 'new' AND excluded.status_at > l.status_at)"
_UPSERT = f"""
INSERT INTO leads AS l (profile_id, {_FIELDS}, check_at)
SELECT profile_id, {_FIELDS}, CAST(:now AS timestamptz) FROM json_to_recordset(CAST(:rows AS json)) AS n({_TYPES})
ON CONFLICT (profile_id) DO UPDATE SET
    source = excluded.source, campaign = excluded.campaign, cost = excluded.cost, currency = excluded.currency, intakes = excluded.intakes,
    created_at = excluded.created_at, mql_at = excluded.mql_at, sql_at = excluded.sql_at,
    status = CASE WHEN {_NEWER} THEN excluded.status ELSE l.status END,
    open = CASE WHEN {_NEWER} THEN excluded.open ELSE l.open END,
    imported = CASE WHEN {_NEWER} THEN excluded.imported ELSE l.imported END,
    answer_by = CASE WHEN {_AGAIN} THEN NULL ELSE l.answer_by END,
    answered_at = CASE WHEN {_AGAIN} THEN excluded.answered_at ELSE coalesce(l.answered_at, excluded.answered_at) END,
    status_at = CASE WHEN {_NEWER} THEN excluded.status_at ELSE l.status_at END,
    owner_id = CASE WHEN {_OWNED} THEN excluded.owner_id ELSE l.owner_id END,
    owner_by = CASE WHEN {_OWNED} THEN excluded.owner_by ELSE l.owner_by END,
    owner_at = CASE WHEN {_OWNED} THEN excluded.owner_at ELSE l.owner_at END,
    check_at = CAST(:now AS timestamptz)
"""  # noqa: S608  our own column names
_UNANSWERED = """
UPDATE leads l SET answered_at = n.answered_at
FROM json_to_recordset(CAST(:rows AS json)) AS n(profile_id uuid, answered_at timestamptz, unanswered timestamptz[])
WHERE l.profile_id = n.profile_id AND l.answered_at = ANY(n.unanswered)
"""
_STANDING = """
SELECT l.profile_id, l.status, l.owner_id, l.owner_by, l.imported, s.email FROM leads l LEFT JOIN sellers s ON s.user_id = l.owner_id
WHERE l.profile_id = ANY(CAST(:ids AS uuid[]))
"""
_STATUS = """
WITH was AS (SELECT profile_id, status FROM leads WHERE profile_id = :id)
UPDATE leads l SET status = CAST(:status AS text), open = :open, check_at = :now,
    status_at = CASE WHEN l.status <> CAST(:status AS text) THEN CAST(:now AS timestamptz) ELSE l.status_at END
FROM was WHERE l.profile_id = was.profile_id RETURNING was.status
"""
_TOUCH = """
UPDATE leads SET touched_at = greatest(touched_at, :now), touched_by = CASE WHEN touched_at > :now THEN touched_by ELSE CAST(:by AS integer) END,
    answered_at = coalesce(answered_at, :now), check_at = :now
WHERE profile_id = :id RETURNING status
"""
_ASSIGN = """
UPDATE leads l SET owner_id = n.owner, owner_by = n.by, owner_at = :now, check_at = :now, reassign = false
FROM json_to_recordset(CAST(:rows AS json)) AS n(id uuid, owner int, by text) LEFT JOIN sellers s ON s.user_id = n.owner
WHERE l.profile_id = n.id AND l.owner_id IS DISTINCT FROM n.owner RETURNING l.profile_id, l.owner_id, l.owner_by, l.imported, l.hops, s.email
"""
_KEPT = f"{_FIELDS}, answer_by, next_at, touched_at, touched_by, seen_at, worth, band, rank, check_at"
_COPY = f"""
INSERT INTO leads (profile_id, {_KEPT})
SELECT DISTINCT ON (m.into_id) m.into_id, {_KEPT}
FROM unnest(CAST(:from AS uuid[]), CAST(:into AS uuid[])) AS m(from_id, into_id) JOIN leads l ON l.profile_id = m.from_id
ORDER BY m.into_id, l.created_at ON CONFLICT (profile_id) DO NOTHING
"""  # noqa: S608  our own column names
