"""Deals: opened, moved along their pipeline, won or lost. Each move is a row of the stage log and an event."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.commerce import money
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.ids import new_id
from crm.events import inbox
from crm.sales.deal_models import Deal, DealMove, Pipeline, Stage

MOVED, WON, LOST = "Deal Stage Changed", "Deal Won", "Deal Lost"
LONGEST = 200
STAGE_WORDS = (_l("New"), _l("Need is clear"), _l("Quote sent"), _l("Terms agreed"), _l("Sales"))
GOAL_WORDS = (
    _l("They were spoken to once."),
    _l("We know what, how many and by when."),
    _l("They hold a quote with a price."),
    _l("Whoever approves has said yes."),
)


@dataclass(frozen=True, slots=True)
class NewDeal:
    """A deal to open. Without amount it is the sum of its items; without stage it begins in the first."""

    profile_id: uuid.UUID
    title: str
    currency: str
    amount: Decimal | None = None
    items: Sequence[Mapping[str, Any]] = ()
    pipeline: str = ""
    stage: str = ""
    owner_id: int | None = None
    closes_on: dt.date | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class By:
    """Who moves it: a user, or what else caused it."""

    user_id: int | None = None
    cause: str = "sales"
    hops: int = 0

    @property
    def said(self) -> str:
        return f"user:{self.user_id}" if self.user_id else self.cause


def stages(session: Session, pipeline: str = "") -> list[Stage]:
    """The stages of a pipeline (empty: the first there is) in order; NotFoundError where there is none."""
    first = select(Pipeline.id).where(Pipeline.slug == pipeline) if pipeline else select(Pipeline.id).order_by(Pipeline.id).limit(1)
    found = session.scalars(select(Stage).where(Stage.pipeline_id == first.scalar_subquery()).order_by(Stage.position, Stage.id)).all()
    if not found:
        raise NotFoundError(_l("There is no such pipeline."))
    return list(found)


def stage(session: Session, slug: str, pipeline: str = "") -> Stage:
    """A stage by its slug; the first where none is named."""
    there = stages(session, pipeline)
    found = next((one for one in there if one.slug == slug), None) if slug else there[0]
    if found is None:
        raise NotFoundError(_l("There is no such stage."))
    return found


def open_deal(session: Session, new: NewDeal, *, by: By, now: dt.datetime) -> Deal | None:
    """Open a deal; None where one of the same key is there. The caller holds the person's lock."""
    begins = stage(session, new.stage, new.pipeline)
    if new.key and session.scalar(select(Deal.id).where(Deal.key == new.key)):
        return None
    items = [dict(item) for item in new.items]
    about = session.execute(text(_ABOUT), {"id": new.profile_id}).first()
    deal = Deal(
        id=new_id(),
        profile_id=new.profile_id,
        account_id=about.account_id if about else None,
        title=new.title.strip().replace("\x00", "")[:LONGEST] or "—",
        pipeline_id=begins.pipeline_id,
        stage_id=begins.id,
        amount=new.amount if new.amount is not None else total(items),
        currency=new.currency,
        items=items,
        owner_id=new.owner_id if new.owner_id is not None else (about.owner_id if about else None),
        status="open",
        source=(about.source or "") if about else "",
        campaign=(about.campaign or "") if about else "",
        closes_on=new.closes_on,
        key=new.key,
        created_at=now,
        stage_at=now,
    )
    session.add(deal)
    session.flush()
    _note(session, deal, None, by, now)
    _say(session, deal, begins, None, by, now)
    return deal


def move(session: Session, deal_id: uuid.UUID, *, to: str, by: By, now: dt.datetime) -> Deal:
    """Another stage of its pipeline; one that was closed is open again. The caller holds the person's lock."""
    deal = find(session, deal_id)
    pipeline = session.get_one(Pipeline, deal.pipeline_id)
    goal, was = stage(session, to, pipeline.slug), session.get_one(Stage, deal.stage_id)
    if goal.id == was.id and deal.status == "open":
        return deal
    deal.stage_id, deal.stage_at, deal.status, deal.closed_at, deal.lost_reason = goal.id, now, "open", None, None
    session.flush()
    _note(session, deal, was.id, by, now)
    _say(session, deal, goal, was, by, now)
    return deal


def close(  # noqa: PLR0913  each is said in the event
    session: Session, deal_id: uuid.UUID, *, won: bool, by: By, now: dt.datetime, reason: str = ""
) -> Deal:
    """Won, or lost for a reason. Doing it twice changes nothing. The caller holds the person's lock."""
    deal = find(session, deal_id)
    if not won and not reason.strip():
        raise InvalidError(_l("Say why it was lost; the reasons are counted."))
    status = "won" if won else "lost"
    if deal.status == status:
        return deal
    deal.status, deal.closed_at, deal.lost_reason = status, now, None if won else reason.strip()[:LONGEST]
    session.flush()
    _note(session, deal, deal.stage_id, by, now)
    _say(session, deal, session.get_one(Stage, deal.stage_id), None, by, now)
    return deal


def change(  # noqa: PLR0913  each is a field of the form
    session: Session,
    deal_id: uuid.UUID,
    *,
    title: str,
    amount: Decimal,
    currency: str,
    items: Sequence[Mapping[str, Any]],
    owner_id: int | None,
    closes_on: dt.date | None,
    by: By,
    now: dt.datetime,
) -> Deal:
    """Other words, products or sums. What a forecast is made of goes into the stage log."""
    deal = find(session, deal_id)
    counts = (deal.amount, deal.currency, deal.closes_on) != (amount, currency, closes_on)
    deal.title, deal.items, deal.owner_id = title.strip().replace("\x00", "")[:LONGEST] or deal.title, [dict(item) for item in items], owner_id
    deal.amount, deal.currency, deal.closes_on = amount, currency, closes_on
    session.flush()
    if counts:
        _note(session, deal, deal.stage_id, by, now)
    session.execute(text("UPDATE leads SET check_at = :now WHERE profile_id = :id"), {"now": now, "id": deal.profile_id})
    return deal


def find(session: Session, deal_id: uuid.UUID) -> Deal:
    """A deal, locked; NotFoundError where there is none."""
    deal = session.get(Deal, deal_id, with_for_update=True)
    if deal is None:
        raise NotFoundError(_l("There is no such deal."))
    return deal


def total(items: Sequence[Mapping[str, Any]]) -> Decimal:
    """What products add up to."""
    return sum((Decimal(str(item.get("price") or 0)) * Decimal(str(item.get("quantity") or 1)) for item in items), Decimal(0))


def of_profile(session: Session, profile_id: uuid.UUID) -> list[tuple[Deal, Stage]]:
    """A person's deals, open ones first."""
    rows = select(Deal, Stage).join(Stage, Stage.id == Deal.stage_id).where(Deal.profile_id == profile_id)
    return [(deal, where) for deal, where in session.execute(rows.order_by(Deal.status != "open", Deal.created_at.desc()).limit(20))]


def moves(session: Session, deal_id: uuid.UUID) -> list[DealMove]:
    """What became of it, in order."""
    return list(session.scalars(select(DealMove).where(DealMove.deal_id == deal_id).order_by(DealMove.id)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a journey wants of a person's deal: opened where none is open, moved, won or lost."""

    profile_id: uuid.UUID
    act: str  # open | move | won | lost
    key: str
    pipeline: str = ""
    stage: str = ""
    title: str = ""
    amount: Decimal | None = None
    currency: str = ""
    reason: str = ""
    by: By = field(default_factory=By)


def apply(session: Session, asked: Asked, *, now: dt.datetime) -> uuid.UUID | None:
    """Do what a journey asks; returns the deal, None where there is nothing to act on. Twice the same key changes nothing."""
    latest: uuid.UUID | None = session.scalar(text(_LATEST), {"id": asked.profile_id, "pipeline": asked.pipeline})
    if asked.act == "open":
        if latest is not None:
            return latest
        new = NewDeal(asked.profile_id, asked.title, asked.currency, asked.amount, (), asked.pipeline, asked.stage, key=asked.key)
        made = open_deal(session, new, by=asked.by, now=now)
        return made.id if made else None
    if latest is None:
        return None
    if asked.act == "move":
        move(session, latest, to=asked.stage, by=asked.by, now=now)
    else:
        close(session, latest, won=asked.act == "won", by=asked.by, now=now, reason=asked.reason)
    return latest


def _note(session: Session, deal: Deal, was: int | None, by: By, now: dt.datetime) -> None:
    session.add(
        DealMove(
            deal_id=deal.id,
            from_stage_id=was,
            stage_id=deal.stage_id,
            status=deal.status,
            amount=deal.amount,
            currency=deal.currency,
            closes_on=deal.closes_on,
            by=by.user_id,
            at=now,
        )
    )
    session.flush()


def _say(session: Session, deal: Deal, goal: Stage, was: Stage | None, by: By, now: dt.datetime) -> None:  # noqa: PLR0913, PLR0917  one event's parts
    pipeline = session.get_one(Pipeline, deal.pipeline_id)
    said: dict[str, Any] = {
        "deal_id": str(deal.id),
        "pipeline": pipeline.slug,
        "stage": goal.slug,
        "was": was.slug if was else None,
        "status": deal.status,
        "value": money.plain(deal.amount.normalize()),
        "currency": deal.currency,
    }
    name = {"open": MOVED, "won": WON, "lost": LOST}[deal.status]
    if deal.status == "lost":
        said["reason"] = deal.lost_reason
    inbox.append(session, [inbox.system_event(name, deal.profile_id, said, cause=by.said, hops=by.hops)], now)
    session.execute(text("UPDATE leads SET check_at = :now WHERE profile_id = :id"), {"now": now, "id": deal.profile_id})


_ABOUT = """
SELECT l.owner_id, l.source, l.campaign, (SELECT m.account_id FROM account_members m WHERE m.profile_id = p.id ORDER BY m.since LIMIT 1) AS account_id
FROM profiles p LEFT JOIN leads l ON l.profile_id = p.id WHERE p.id = :id
"""
_LATEST = """
SELECT d.id FROM deals d JOIN pipelines g ON g.id = d.pipeline_id
WHERE d.profile_id = :id AND d.status = 'open' AND (CAST(:pipeline AS text) = '' OR g.slug = :pipeline) ORDER BY d.created_at DESC, d.id LIMIT 1
"""
