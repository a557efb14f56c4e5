"""`/profiles`: find people, read one whole, read what happened to them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import ClassVar

from pydantic import Field
from sqlalchemy.orm import Session

from crm.analytics.profile_view import ProfileView, profile
from crm.commerce.computed import Computed, of
from crm.core.crypto import Keys
from crm.core.errors import InvalidError, NotFoundError
from crm.core.paging import Page
from crm.events.address import normalise
from crm.profiles.find import find
from crm.profiles.models import KINDS
from crm.profiles.search import ProfileRow, Who, by_ids, search
from crm.profiles.timeline import KINDS as ENTRY_KINDS
from crm.profiles.timeline import Entry, follow, timeline
from crm.web.api.operation import ByTime, Items, blueprint, items, operation
from crm.web.db import settings

bp = blueprint("profiles")
NOBODY = "There is no profile with this id. Find its id with `GET /api/v1/profiles?identity=kind:value`."


class ProfilesWanted(ByTime):
    identity: str | None = Field(
        None, max_length=400, description="`kind:value`, for example `email:dana@example.com`, `phone:0501234567` or `external:shop:77`."
    )
    search: str = Field("", max_length=200, description="Beginnings of words of name, traits or identities, or the end of a phone number.")
    who: Who = Field("known", description="Whether people known only by anonymous ids are wanted in a search.")


class TimelineWanted(ByTime):
    cursor_id: ClassVar[str] = "[0-9]{1,18}"
    kinds: str = Field("", max_length=200, description=f"Some of {', '.join(ENTRY_KINDS)}, separated by commas; empty means all.")


@operation(bp, "/profiles", answer=Items[ProfileRow], query=ProfilesWanted, summary="Find people by identity or by words, last seen first")
def profiles(session: Session, *, query: ProfilesWanted, now: dt.datetime) -> Items[ProfileRow]:
    if query.identity is not None:
        return items(Page(by_ids(session, _owners(session, query.identity)), None))
    return items(search(session, query.search, after=query.cursor, limit=query.limit, who=query.who))


@operation(bp, "/profiles/<uuid:profile_id>", answer=ProfileView, summary="One person whole; a joined profile answers as the one it became")
def one_profile(session: Session, *, profile_id: uuid.UUID, now: dt.datetime) -> ProfileView:
    found = profile(session, profile_id, keys=Keys(settings().secret_key), now=now)
    if found is None:
        raise NotFoundError(NOBODY)
    return found


@operation(bp, "/profiles/<uuid:profile_id>/timeline", answer=Items[Entry], query=TimelineWanted, summary="What happened to one person, newest first")
def profile_timeline(session: Session, *, profile_id: uuid.UUID, query: TimelineWanted, now: dt.datetime) -> Items[Entry]:
    owner = follow(session, profile_id)
    if owner is None:
        raise NotFoundError(NOBODY)
    entries = timeline(session, profile_id, before=query.cursor, limit=query.limit + 1, kinds=_kinds(query.kinds), now=now)
    shown = entries[: query.limit]
    return items(Page(shown, shown[-1].cursor if len(entries) > query.limit else None))


@operation(bp, "/profiles/<uuid:profile_id>/computed", answer=list[Computed], summary="Computed traits: each with since when and from how many events")
def profile_computed(session: Session, *, profile_id: uuid.UUID, now: dt.datetime) -> list[Computed]:
    owner = follow(session, profile_id)
    if owner is None:
        raise NotFoundError(NOBODY)
    return of(session, owner)


def _owners(session: Session, identity: str) -> list[uuid.UUID]:
    kind, _colon, value = identity.partition(":")
    if kind == "external":
        source, _colon, value = value.partition(":")
        kind = f"external:{source}"
    elif kind not in KINDS:
        raise InvalidError(f"identity: write it as kind:value, where the kind is one of {', '.join(KINDS)} or external:<source>.")
    if normalise(kind, value) is None:
        raise InvalidError(f"identity: this is no {kind.replace('_', ' ')}; write it as kind:value.")
    owner = find(session, kind, value)
    return [owner] if owner else []


def _kinds(said: str) -> list[str]:
    kinds = [kind for kind in said.split(",") if kind]
    if unknown := [kind for kind in kinds if kind not in ENTRY_KINDS]:
        raise InvalidError(f"kinds: there is no {unknown[0]!r}; choose from {', '.join(ENTRY_KINDS)}.")
    return kinds
