"""`/sources` and `/quarantine`: where events come from, and the calls that could not be taken."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.paging import Page
from crm.events import quarantine
from crm.events.models import Source, WriteKey
from crm.events.source import detail_of
from crm.web.api.operation import Items, Wanted, blueprint, items, operation
from crm.web.auth import MAKERS

bp = blueprint("sources")
HIGHEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class KeyView:
    """A write key; `hint` is its last four characters, the key itself is never shown again."""

    id: int
    kind: str
    hint: str
    created_at: dt.datetime
    revoked_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class SourceView:
    """Where events come from."""

    id: int
    name: str
    created_at: dt.datetime
    keys: list[KeyView]


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call that could not be taken, why, and its text as it came."""

    id: int
    received_at: dt.datetime
    source_id: int
    origin: str
    reason: str
    detail: str
    body: str


class HeldWanted(Wanted):
    limit: int = Field(50, ge=1, le=quarantine.MAX_PAGE, description="How many items at most.")
    cursor: int | None = Field(None, ge=1, le=HIGHEST, description="The `next` of the page before.")
    source_id: int | None = Field(None, ge=1, le=2**31 - 1)


class Replay(Wanted):
    ids: list[int] = Field(min_length=1, max_length=1000, description="Ids of held calls.")


@dataclass(frozen=True, slots=True)
class ReplayView:
    """How many calls are in the inbox again, and by id why others would only be held again."""

    replayed: int
    refused: dict[int, str]


@operation(bp, "/sources", answer=Items[SourceView], roles=MAKERS, summary="The sources and their write keys, without the keys themselves")
def sources(session: Session, *, now: dt.datetime) -> Items[SourceView]:
    keys: dict[int, list[KeyView]] = {}
    for key in session.scalars(select(WriteKey).order_by(WriteKey.id)):
        keys.setdefault(key.source_id, []).append(KeyView(key.id, key.kind, key.hint, key.created_at, key.revoked_at))
    found = session.scalars(select(Source).order_by(Source.id))
    return items(Page([SourceView(one.id, one.name, one.created_at, keys.get(one.id, [])) for one in found], None))


@operation(bp, "/quarantine", answer=Items[HeldCall], query=HeldWanted, roles=MAKERS, summary="Calls held back, newest first, with the reason of each")
def held(session: Session, *, query: HeldWanted, now: dt.datetime) -> Items[HeldCall]:
    found = quarantine.page(session, before=query.cursor, size=query.limit, source_id=query.source_id)
    rows = [HeldCall(one.id, one.received_at, one.source_id, one.origin, one.reason, _plain(one.detail), one.body) for one in found]
    return items(Page(rows, str(rows[-1].id) if len(rows) == query.limit else None))


@operation(bp, "/quarantine/replay", answer=ReplayView, body=Replay, roles=MAKERS, summary="Send held calls through the inbox again")
def replay(session: Session, *, body: Replay, now: dt.datetime) -> ReplayView:
    done = quarantine.replay(session, ids=[number for number in body.ids if 0 < number <= HIGHEST], now=now)
    return ReplayView(done.count, {number: str(error) for number, error in done.refused.items()})


def _plain(detail: str) -> str:
    said, slots = detail_of(detail)
    return str(said % slots)
