"""How long details are kept: only what no sum, score or rule is counted from. What happened stays, and so does every row that is counted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.profiles.privacy_models import Retention

AT_ONCE = 5_000  # rows of one transaction
REST = dt.timedelta(hours=24)  # between two rounds of a kind
BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """Something with an age: `days` unless the shop says otherwise (None: for ever), `least` at the least. `sql` empties what is older, oldest first."""

    title: str
    help: str
    days: int | None
    least: int
    most: int
    sql: str = ""  # takes :since, :before, :limit; answers for each row it came to with the time the next step may begin at, and whether it was emptied


@dataclass(frozen=True, slots=True)
class Swept:
    """What one step of a kind did."""

    kind: str
    days: int
    rows: int


def ages(session: Session) -> dict[str, int | None]:
    """For each kind the number of days that counts; None keeps for ever."""
    own = {row.kind: row.days for row in session.scalars(select(Retention))}
    return {kind: own[kind] if own.get(kind) else kept.days for kind, kept in KINDS.items()}


def keep(session: Session, wanted: Mapping[str, int | None]) -> None:
    """Other ages, from the next round on. InvalidError where one is out of bounds or would keep for ever what has to go."""
    for kind, days in wanted.items():
        kept = KINDS[kind]
        if (days is None and kept.days is not None) or (days is not None and not kept.least <= days <= kept.most):
            raise InvalidError(_l("Days are whole numbers within the bounds named beside each; only what says so may be kept for ever."), field=kind)
    for kind, days in wanted.items():
        fresh = {"days": days, "rest_until": None}
        session.execute(insert(Retention).values(kind=kind, **fresh).on_conflict_do_update(index_elements=["kind"], set_=fresh))


def sweep(session: Session, now: dt.datetime) -> list[Swept]:
    """One step of each kind that is due: the oldest details beyond its age go. A kind that has caught up rests for a day."""
    found = []
    for kind, days in ages(session).items():
        row = session.get(Retention, kind, with_for_update=True)
        if row is None or days is None or not KINDS[kind].sql or (row.rest_until is not None and row.rest_until > now):
            continue
        said = {"since": row.done_until or BEGINNING, "before": now - dt.timedelta(days=days), "limit": AT_ONCE}
        times = session.execute(text(KINDS[kind].sql), said).all()
        if times:
            row.done_until = max(each.at for each in times)
            found.append(Swept(kind, days, sum(each.emptied for each in times)))
        row.rest_until = now + REST if len(times) < AT_ONCE else None
    return [each for each in found if each.rows]


_PICKED = "ORDER BY at FETCH FIRST :limit ROWS WITH TIES"
_MESSAGES = f"""
WITH waiting AS (SELECT min(created_at) AS first FROM messages WHERE status IN ('queued', 'held', 'sending')),
picked AS (
  SELECT id, created_at AS at FROM messages
  WHERE created_at > :since AND created_at < :before AND status IN ('sent', 'dropped', 'failed', 'unknown')
    AND (subject IS NOT NULL OR data <> '{{}}') {_PICKED}
), gone AS (UPDATE messages m SET subject = NULL, data = '{{}}' FROM picked p WHERE m.id = p.id)
SELECT least(at, first - interval '1 microsecond') AS at, 1 AS emptied FROM picked CROSS JOIN waiting
"""  # noqa: S608  the address stays: by it a person can still unsubscribe from an old mail, and caps and duplicates are counted
_RUNS = f"""
WITH picked AS (
  SELECT id, profile_id, ended_at AS at
  FROM (SELECT id, profile_id, ended_at FROM runs WHERE status = 'done' UNION ALL SELECT id, profile_id, ended_at FROM past_runs) r
  WHERE ended_at > :since AND ended_at < :before {_PICKED}
),
past AS (UPDATE past_runs r SET start = r.start || '{{"properties": {{}}}}', why = '{{}}' FROM picked p WHERE r.id = p.id),
gone AS (UPDATE runs r SET start = r.start || '{{"properties": {{}}}}', data = NULL FROM picked p WHERE r.id = p.id),
steps AS (UPDATE run_steps s SET detail = '{{}}' FROM picked p WHERE s.profile_id = p.profile_id AND s.run_id = p.id AND s.detail <> '{{}}')
SELECT at, 1 AS emptied FROM picked
"""  # noqa: S608  which way a run went and why it ended stays; a failed one that may yet go on keeps all it needs
_QUARANTINE = f"""
WITH picked AS (SELECT id, received_at AS at FROM quarantine WHERE received_at > :since AND received_at < :before {_PICKED}),
gone AS (DELETE FROM quarantine q USING picked p WHERE q.id = p.id)
SELECT at, 1 AS emptied FROM picked
"""  # noqa: S608  our own fragments
KINDS: Mapping[str, Kept] = {
    "inbox": Kept(_l("Calls as they came"), _l("Whole days go once every call of them is in the log."), 14, 2, 90),
    "quarantine": Kept(_l("Quarantine"), _l("Calls nobody replayed go too."), None, 7, 3650, _QUARANTINE),
    "messages": Kept(
        _l("Contents of messages"), _l("Subject and what was filled in; that it was sent, to whom and what became of it stays."), None, 30, 3650, _MESSAGES
    ),
    "runs": Kept(_l("Details of ended runs"), _l("What each step looked at; the way a run took and why it ended stay."), None, 30, 3650, _RUNS),
}


def as_detail(wanted: Mapping[str, int | None]) -> dict[str, Any]:
    """For the log of changes."""
    return {kind: str(days or "") for kind, days in wanted.items()}
