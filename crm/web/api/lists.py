"""`/lists`: people put together by hand."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from pydantic import Field
from sqlalchemy.orm import Session

from crm.core.paging import Page
from crm.profiles.find import named
from crm.segments import lists
from crm.web.api.operation import ById, Items, Wanted, blueprint, items, operation
from crm.web.auth import MAKERS

bp = blueprint("lists")


class NewList(Wanted):
    slug: str = Field(min_length=1, max_length=100, description="Small letters, digits and hyphens; an existing list of this slug is renamed.")
    name: str = Field(min_length=1, max_length=200)


class Change(Wanted):
    people: list[str] = Field(max_length=1000, description="Each `kind:value`, for example `email:dana@example.com`, or a profile's id.")


@dataclass(frozen=True, slots=True)
class Changed:
    """How many the call put on the list or took off, and who is not known."""

    people: int
    unknown: list[str]


@dataclass(frozen=True, slots=True)
class OnList:
    """Who is on it, and since when."""

    profile_id: uuid.UUID
    since: dt.datetime


@operation(bp, "/lists", answer=Items[lists.ListView], summary="All lists by name")
def list_lists(session: Session, *, now: dt.datetime) -> Items[lists.ListView]:
    return items(Page(lists.all_lists(session), None))


@operation(bp, "/lists", answer=lists.ListView, body=NewList, roles=MAKERS, summary="Make a list, or name one anew")
def save_list(session: Session, *, body: NewList, now: dt.datetime) -> lists.ListView:
    made = lists.create(session, slug=body.slug, name=body.name, now=now)
    return next(one for one in lists.all_lists(session) if one.slug == made.slug)


@operation(bp, "/lists/<slug>/members", answer=Items[OnList], query=ById, finds=True, summary="Who is on a list")
def list_members(session: Session, *, slug: str, query: ById, now: dt.datetime) -> Items[OnList]:
    rows = [OnList(*row) for row in lists.members(session, slug, after=query.after, limit=query.limit + 1)]
    shown = rows[: query.limit]
    return items(Page(shown, str(shown[-1].profile_id) if len(rows) > query.limit else None))


@operation(bp, "/lists/<slug>/add", answer=Changed, body=Change, roles=MAKERS, finds=True, summary="Put people on a list; who is on it already stays")
def list_add(session: Session, *, slug: str, body: Change, now: dt.datetime) -> Changed:
    known, unknown = _known(session, body)
    return Changed(lists.add(session, slug, known, now=now), unknown)


@operation(bp, "/lists/<slug>/remove", answer=Changed, body=Change, roles=MAKERS, finds=True, summary="Take people off a list")
def list_remove(session: Session, *, slug: str, body: Change, now: dt.datetime) -> Changed:
    known, unknown = _known(session, body)
    return Changed(lists.remove(session, slug, known, now=now), unknown)


def _known(session: Session, body: Change) -> tuple[list[uuid.UUID], list[str]]:
    found = {said: named(session, said) for said in body.people}
    return [one for one in found.values() if one], [said for said, one in found.items() if one is None]
