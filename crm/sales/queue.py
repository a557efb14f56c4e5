"""The queue: whose turn it is, best first or by due time, a page at a time by key; and the counts beside it."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.paging import UUID, Page
from crm.sales.models import SavedFilter

View = Literal["mine", "all", "nobody"]
BOUND = 1_000  # from here on a count says "at least"
MOST_FILTERS = 30
BY_RANK = rf"(-?\d{{1,6}}(?:\.\d{{1,20}})?(?:e-?\d{{1,3}})?)_({UUID})"  # positions in the two orders
BY_TIME = rf"(\d{{1,16}})_({UUID})"


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked of the queue; empty means any. `owner` is whose leads `mine` means."""

    view: View = "mine"
    owner: int | None = None
    status: str = ""
    source: str = ""
    band: str = ""
    sort: Literal["best", "due"] = "best"


@dataclass(frozen=True, slots=True)
class Row:
    """One lead of the list."""

    profile_id: uuid.UUID
    name: str
    company: str | None
    status: str
    source: str
    worth: Decimal | None  # in the shop's currency; None where only points stand behind it: they are no chance
    chance: float | None
    by_rules: bool
    band: str | None
    owner_id: int | None
    next_at: dt.datetime | None
    answer_by: dt.datetime | None
    answered_at: dt.datetime | None
    created_at: dt.datetime
    rank: float


@dataclass(frozen=True, slots=True)
class Day:
    """How a seller's day goes: leads touched since midnight, of how many a day; open ones, and those on the list of nobody (up to a bound)."""

    done: int
    per_day: int
    mine: int
    nobody: int
    sells: bool


def page(  # each narrows or names what is shown
    session: Session, filters: Filters, *, shop: str, now: dt.datetime, after: str | None = None, limit: int = 30, score: str = "lead"
) -> Page[Row]:
    """The leads of these filters from `after` on; one question by index, one for what is shown of them. `shop` is the currency of what they are worth."""
    values: dict[str, Any] = {"owner": filters.owner, "limit": limit + 1, "score": score, "shop": shop, "day": now.date()}
    conditions = ["l.open", *_narrowed(filters, values)]
    if filters.sort == "due":
        conditions += ["l.next_at IS NOT NULL", *_after_due(after, values)]
        order = "l.next_at, l.profile_id"
    else:
        conditions += _after_best(after, values)
        order = "l.rank DESC, l.profile_id"
    rows = session.execute(text(_PAGE.format(conditions=" AND ".join(conditions), order=order, outer=order.replace("l.", "x."))), values).all()
    shown = [Row(*row) for row in rows[:limit]]
    return Page(shown, _cursor(shown[-1], filters) if len(rows) > limit else None)


def ownerless(session: Session, filters: Filters, *, limit: int) -> list[uuid.UUID]:
    """Leads of these filters that nobody has, best first."""
    values: dict[str, Any] = {"owner": filters.owner, "limit": limit}
    conditions = " AND ".join(["l.open", "l.owner_id IS NULL", *_narrowed(filters, values)])
    return list(session.scalars(text(_OWNERLESS.format(conditions=conditions)), values))


def day(session: Session, user_id: int, *, since: dt.datetime) -> Day:
    """A seller's day since midnight."""
    row = session.execute(text(_DAY), {"user": user_id, "since": since, "bound": BOUND}).one()
    return Day(row.done, row.per_day or 0, row.mine, row.nobody, row.per_day is not None)


def sources(session: Session) -> list[str]:
    """The first hundred sources leads came from: each found by one step into the index."""
    return list(session.scalars(text(_SOURCES)))


def saved(session: Session, user_id: int, page: str) -> list[SavedFilter]:
    """The views somebody keeps of a page."""
    mine = select(SavedFilter).where(SavedFilter.user_id == user_id, SavedFilter.page == page)
    return list(session.scalars(mine.order_by(SavedFilter.name).limit(MOST_FILTERS)))


def save(session: Session, user_id: int, page: str, *, name: str, query: str) -> None:
    """Keep a view under a name; the same name again replaces it."""
    if not name.strip():
        raise InvalidError(_l("Give the view a name."))
    session.execute(text(_SAVE), {"user": user_id, "page": page, "name": name.strip()[:60], "query": query[:500]})


def forget(session: Session, user_id: int, filter_id: int) -> None:
    """Do not keep it any more."""
    session.execute(text("DELETE FROM saved_filters WHERE id = :id AND user_id = :user"), {"id": filter_id, "user": user_id})


def _narrowed(filters: Filters, values: dict[str, Any]) -> list[str]:
    found = []
    if filters.view == "mine":
        found.append("l.owner_id = :owner")
    elif filters.view == "nobody":
        found.append("(l.owner_id IS NULL OR l.next_at IS NULL)")
    for name in ("status", "source", "band"):
        if value := getattr(filters, name):
            values[name] = value
            found.append(f"l.{name} = :{name}")
    return found


def _after_best(after: str | None, values: dict[str, Any]) -> Sequence[str]:
    found = re.fullmatch(BY_RANK, after or "", re.ASCII)
    if not found:
        return ()
    values.update(after=float(found[1]), after_id=found[2])
    return ("l.rank <= :after", "(l.rank < :after OR l.profile_id > CAST(:after_id AS uuid))")


def _after_due(after: str | None, values: dict[str, Any]) -> Sequence[str]:
    found = re.fullmatch(BY_TIME, after or "", re.ASCII)
    if not found:
        return ()
    values.update(after=dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=int(found[1])), after_id=found[2])
    return ("l.next_at >= :after", "(l.next_at > :after OR l.profile_id > CAST(:after_id AS uuid))")


def _cursor(row: Row, filters: Filters) -> str:
    if filters.sort == "due" and row.next_at:
        return f"{(row.next_at - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)}_{row.profile_id}"
    return f"{row.rank!r}_{row.profile_id}"


_RATED = "(d.currency = :shop OR EXISTS (SELECT FROM rates r WHERE r.currency = d.currency AND r.day <= :day))"
_PAGE = f"""
SELECT x.profile_id, p.name, c.name AS company, x.status, x.source,
       CASE WHEN s.profile_id IS NULL OR s.version_id IS NOT NULL
              OR EXISTS (SELECT FROM deals d WHERE d.profile_id = x.profile_id AND d.status = 'open' AND d.amount > 0 AND {_RATED}) THEN x.worth END AS worth,
       s.probability, s.version_id IS NULL, x.band, x.owner_id,
       x.next_at, x.answer_by, x.answered_at, x.created_at, x.rank
FROM (SELECT l.* FROM leads l WHERE {{conditions}} ORDER BY {{order}} LIMIT :limit) x
JOIN profiles p ON p.id = x.profile_id
LEFT JOIN scores s ON s.profile_id = x.profile_id AND s.kind = :score
LEFT JOIN LATERAL (SELECT a.name FROM account_members m JOIN accounts a ON a.id = m.account_id WHERE m.profile_id = x.profile_id ORDER BY a.name LIMIT 1) c
    ON true
ORDER BY {{outer}}
"""  # noqa: S608  our own condition
_OWNERLESS = "SELECT l.profile_id FROM leads l WHERE {conditions} ORDER BY l.rank DESC, l.profile_id LIMIT :limit"
_DAY = """
SELECT (SELECT count(*) FROM leads WHERE touched_by = :user AND touched_at >= :since) AS done,
       (SELECT per_day FROM sellers WHERE user_id = :user AND active) AS per_day,
       (SELECT count(*) FROM (SELECT FROM leads WHERE open AND owner_id = :user LIMIT :bound) m) AS mine,
       (SELECT count(*) FROM (SELECT FROM leads WHERE open AND (owner_id IS NULL OR next_at IS NULL) LIMIT :bound) n) AS nobody
"""
_SOURCES = """
WITH RECURSIVE one AS (
    (SELECT source FROM leads ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT l.source FROM leads l WHERE l.source > one.source ORDER BY l.source LIMIT 1) FROM one WHERE one.source IS NOT NULL
) SELECT source FROM one WHERE source IS NOT NULL LIMIT 100
"""
_SAVE = """
INSERT INTO saved_filters (user_id, page, name, query) VALUES (:user, :page, :name, :query)
ON CONFLICT (user_id, page, name) DO UPDATE SET query = excluded.query
"""
