"""`/profiles/…/joins`: why a profile is one person, join two by a person's decision, take a join back."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from flask import g
from pydantic import Field
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.messages import joining
from crm.profiles import large
from crm.profiles.graph import Graph, graph
from crm.web.api.operation import Wanted, blueprint, operation
from crm.web.auth import MAKERS
from crm.web.db import settings

bp = blueprint("identity")


class NewJoin(Wanted):
    other: uuid.UUID = Field(description="The id of the other profile.")
    reason: str = Field("", max_length=300, description="Why both are one person; kept with the join.")


class Undo(Wanted):
    reason: str = Field("", max_length=300, description="Why they are two; kept with the undoing.")


@dataclass(frozen=True, slots=True)
class Joined:
    """Who both are now; with `waits`, who they will be within minutes, since there is much to move."""

    id: uuid.UUID
    waits: bool = False


@dataclass(frozen=True, slots=True)
class PartedView:
    """The profile that stands alone again, and the one it was taken from; with `waits`, what they will be within minutes, since there is much to move."""

    id: uuid.UUID
    rest: uuid.UUID
    waits: bool = False


@operation(bp, "/profiles/<uuid:profile_id>/joins", answer=Graph, summary="Why a profile is one person: what was joined, by which call or whom")
def joins(session: Session, *, profile_id: uuid.UUID, now: dt.datetime) -> Graph:
    found = graph(session, profile_id)
    if found is None:
        raise NotFoundError("There is no profile with this id. Find its id with `GET /api/v1/profiles?identity=kind:value`.")
    return found


@operation(bp, "/profiles/<uuid:profile_id>/joins", answer=Joined, body=NewJoin, roles=MAKERS, summary="Join two profiles because a person says so")
def join(session: Session, *, profile_id: uuid.UUID, body: NewJoin, now: dt.datetime) -> Joined:
    by, currency = f"API: {g.token.name}", settings().currency
    kept = joining.again_if_stale(session, lambda: joining.merge(session, profile_id, body.other, by=by, said=body.reason, now=now, currency=currency))
    return Joined(kept, large.waits(session, kept))


@operation(bp, "/links/<link_id>/undo", answer=PartedView, body=Undo, roles=MAKERS, summary="Take a join back; each side keeps what was and came for it")
def undo(session: Session, *, link_id: str, body: Undo, now: dt.datetime) -> PartedView:
    if not link_id.isascii() or not link_id.isdigit() or len(link_id) > 18:
        raise NotFoundError("A link's id is a number: `id` of a `link` in `GET /api/v1/profiles/{profile_id}/joins`.")
    by, currency = f"API: {g.token.name}", settings().currency
    alone, rest = joining.again_if_stale(session, lambda: joining.unmerge(session, int(link_id), by=by, said=body.reason, now=now, currency=currency))
    return PartedView(alone, rest, large.waits(session, alone))
