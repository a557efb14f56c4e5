"""`/leads`: tell of one, read the queue."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.paging import Page
from crm.sales import intake, queue
from crm.sales import settings as rules
from crm.sales.intake import NewLead
from crm.sales.queue import Filters, Row
from crm.web.api.operation import Items, Paged, Wanted, blueprint, items, operation
from crm.web.db import settings

bp = blueprint("leads")
WRITERS = ("admin", "marketer", "sales")


class LeadWanted(Wanted):
    user_id: str | None = Field(None, max_length=200, description="What your systems call the person.")
    email: str | None = Field(None, max_length=320)
    phone: str | None = Field(None, max_length=100)
    traits: dict[str, Any] = Field(default_factory=dict, max_length=100, description="What else the lead said or is known by.")
    source: str = Field("", max_length=200, description="Where the lead came from: `fair`, `facebook`, …")
    campaign: str = Field("", max_length=200)
    cost: Decimal | None = Field(None, ge=0, le=10**12, description="What this lead cost.")
    currency: str | None = Field(None, pattern="^[A-Z]{3}$", description="Of the cost.")
    owner: str | None = Field(None, max_length=320, description="E-mail address of the user who gets it; without one the rules choose.")
    message_id: str = Field("", max_length=100, description="The same number counts once; send it to be able to try again.")


class LeadsWanted(Paged):
    cursor_form: ClassVar[str] = queue.BY_RANK
    view: Literal["all", "nobody"] = Field("all", description="`nobody`: without owner or next action.")
    owner: str | None = Field(None, max_length=320, description="E-mail address of the user whose leads are wanted.")
    status: Literal["", "new", "working", "qualified"] = ""
    source: str = Field("", max_length=200)
    band: Literal["", "hot", "warm", "cool", "cold"] = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The lead is on its way through the pipeline, under this number."""

    message_id: str


@dataclass(frozen=True, slots=True)
class LeadView:
    """One open lead; `rank` orders the list."""

    profile_id: uuid.UUID
    name: str
    company: str | None
    status: str
    source: str
    worth: Decimal | None
    probability: float | None
    band: str | None
    owner_id: int | None
    next_at: dt.datetime | None
    answer_by: dt.datetime | None
    created_at: dt.datetime
    rank: float


@operation(bp, "/leads", answer=Accepted, body=LeadWanted, roles=WRITERS, summary="Tell of a lead; somebody known already is one lead more often")
def tell(session: Session, *, body: LeadWanted, now: dt.datetime) -> Accepted:
    owner = _user(session, body.owner) if body.owner else None
    new = NewLead(
        body.user_id, body.email, body.phone, body.traits, body.source, body.campaign, None if body.cost is None else str(body.cost), body.currency, owner,
        body.message_id,
    )  # fmt: skip
    return Accepted(intake.from_api(session, new, now))


@operation(bp, "/leads", answer=Items[LeadView], query=LeadsWanted, summary="Open leads, best first")
def leads(session: Session, *, query: LeadsWanted, now: dt.datetime) -> Items[LeadView]:
    owner = _user(session, query.owner) if query.owner else None
    asked = Filters("mine" if query.owner else query.view, owner, query.status, query.source, query.band)
    score = rules.read(session).score
    found = queue.page(session, asked, shop=settings().currency, now=now, after=query.cursor, limit=query.limit, score=score)
    return items(Page([_view(row) for row in found.rows], found.next))


def _user(session: Session, email: str) -> int:
    found: int | None = session.scalar(text("SELECT user_id FROM sellers WHERE email = :email AND active"), {"email": email.strip().lower()})
    if found is None:
        raise InvalidError("owner: nobody who sells has this address; see the settings of sales.")
    return found


def _view(row: Row) -> LeadView:
    return LeadView(
        row.profile_id, row.name, row.company, row.status, row.source, row.worth, None if row.by_rules else row.chance, row.band, row.owner_id, row.next_at,
        row.answer_by, row.created_at, row.rank,
    )  # fmt: skip
