"""`/segments`: the rules, how large each is, who is in it."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.paging import Page
from crm.segments import store
from crm.segments.models import Membership, Segment
from crm.web.api.operation import ById, Items, Paged, Wanted, blueprint, items, operation
from crm.web.auth import MAKERS
from crm.web.rights import refuse_veiled

bp = blueprint("segments")


class NewSegment(Wanted):
    slug: str = Field(min_length=1, max_length=100, description="Small letters, digits and hyphens; an existing segment of this slug is changed.")
    name: str = Field(min_length=1, max_length=200)
    rule: dict[str, Any] = Field(description='`{"all": […]}`, `{"any": […]}`, `{"not": …}` or `{"kind": …}` with that rule\'s settings.')


class BySlug(Paged):
    cursor_form: ClassVar[str] = "[a-z0-9][a-z0-9_-]*"


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment; `size` is folded once a minute."""

    slug: str
    name: str
    status: str
    problem: str | None
    size: int
    version: int
    rule: dict[str, Any]
    changed_at: dt.datetime


@dataclass(frozen=True, slots=True)
class MemberView:
    """Who is in it, and since when."""

    profile_id: uuid.UUID
    since: dt.datetime


@operation(bp, "/segments", answer=Items[SegmentView], query=BySlug, summary="All segments by slug")
def segment_list(session: Session, *, query: BySlug, now: dt.datetime) -> Items[SegmentView]:
    rows = session.scalars(select(Segment).where(Segment.slug > (query.cursor or "")).order_by(Segment.slug).limit(query.limit + 1)).all()
    shown = [_view(row) for row in rows[: query.limit]]
    return items(Page(shown, shown[-1].slug if len(rows) > query.limit else None))


@operation(bp, "/segments", answer=SegmentView, body=NewSegment, roles=MAKERS, summary="Make a segment, or change the rule of one; it fills silently")
def save_segment(session: Session, *, body: NewSegment, now: dt.datetime) -> SegmentView:
    refuse_veiled(body.rule)
    return _view(store.save(session, slug=body.slug, name=body.name, rule=body.rule, now=now))


@operation(bp, "/segments/<slug>/members", answer=Items[MemberView], query=ById, finds=True, summary="Who is in a segment now")
def segment_members(session: Session, *, slug: str, query: ById, now: dt.datetime) -> Items[MemberView]:
    segment = store.find(session, slug)
    wanted = select(Membership.profile_id, Membership.since).where(Membership.segment_id == segment.id)
    if query.after is not None:
        wanted = wanted.where(Membership.profile_id > query.after)
    rows = [MemberView(*row) for row in session.execute(wanted.order_by(Membership.profile_id).limit(query.limit + 1))]
    shown = rows[: query.limit]
    return items(Page(shown, str(shown[-1].profile_id) if len(rows) > query.limit else None))


def _view(row: Segment) -> SegmentView:
    return SegmentView(row.slug, row.name, row.status, row.problem, row.size, row.version, row.rule, row.changed_at)
