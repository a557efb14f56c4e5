"""Deals: opened, moved along their pipeline, won or lost. Each move is a row of the stage log and an event."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from crm.commerce import money
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.ids import new_id
from crm.events import inbox
from crm.events.inbox import NewRow
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
    deal = _made(new, begins, session.execute(text(_ABOUT), {"ids": [new.profile_id]}).first(), now)
    session.add(deal)
    _record(session, [_Change(deal, begins, None, None, by)], now)
    return deal


def move(session: Session, deal_id: uuid.UUID, *, to: str, by: By, now: dt.datetime) -> Deal:
    """Another stage of its pipeline; one that was closed is open again. The caller holds the person's lock."""
    deal = find(session, deal_id)
    pipeline = session.get_one(Pipeline, deal.pipeline_id)
    goal, was = stage(session, to, pipeline.slug), session.get_one(Stage, deal.stage_id)
    if goal.id == was.id and deal.status == "open":
        return deal
    _shift(deal, goal, now)
    _record(session, [_Change(deal, goal, was, was.id, by)], now)
    return deal


def close(  # each is said in the event
    session: Session, deal_id: uuid.UUID, *, won: bool, by: By, now: dt.datetime, reason: str = ""
) -> Deal:
    """Won, or lost for a reason. Doing it twice changes nothing. The caller holds the person's lock."""
    deal = find(session, deal_id)
    if not won and not reason.strip():
        raise InvalidError(_l("Say why it was lost; the reasons are counted."))
    status = "won" if won else "lost"
    if deal.status == status:
        return deal
    _end(deal, won=won, reason=reason, now=now)
    _record(session, [_Change(deal, session.get_one(Stage, deal.stage_id), None, deal.stage_id, by)], now)
    return deal


def change(  # each is a field of the form
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
        session.add(_noted(deal, deal.stage_id, by, now))
    session.execute(text("UPDATE leads SET check_at = :now WHERE profile_id = :id"), {"now": now, "id": deal.profile_id})
    return deal


def find(session: Session, deal_id: uuid.UUID) -> Deal:
    """A deal, locked and as it stands then; NotFoundError where there is none."""
    deal = session.get(Deal, deal_id, with_for_update=True, populate_existing=True)
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


def apply(session: Session, asked: Sequence[Asked], *, now: dt.datetime) -> dict[str, str]:
    """Do what journeys ask, in sets; returns what is wrong, by key. The same key twice changes nothing. The caller holds the people's locks."""
    wrong: dict[str, str] = {}
    plan = _Plan(session)
    left = list(asked)
    while left:  # a person's second wish sees what the first one did
        first = {one.profile_id: one for one in reversed(left)}
        _once(session, list(first.values()), plan, wrong, now)
        left = [one for one in left if first[one.profile_id] is not one]
    return wrong


def _made(new: NewDeal, begins: Stage, about: Row[Any] | None, now: dt.datetime) -> Deal:
    items = [dict(item) for item in new.items]
    return Deal(
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


class _Plan:
    """Every pipeline with its stages, read once."""

    def __init__(self, session: Session) -> None:
        rows = session.execute(select(Pipeline, Stage).join(Stage, Stage.pipeline_id == Pipeline.id).order_by(Pipeline.id, Stage.position, Stage.id))
        self.stages: dict[str, list[Stage]] = {}
        self.slugs: dict[int, str] = {}
        for pipeline, one in rows:
            self.stages.setdefault(pipeline.slug, []).append(one)
            self.slugs[pipeline.id] = pipeline.slug

    def stage(self, slug: str, pipeline: str) -> Stage:
        there = self.stages.get(pipeline) if pipeline else next(iter(self.stages.values()), None)
        if not there:
            raise NotFoundError(_l("There is no such pipeline."))
        found = next((one for one in there if one.slug == slug), None) if slug else there[0]
        if found is None:
            raise NotFoundError(_l("There is no such stage."))
        return found


def _once(session: Session, asked: Sequence[Asked], plan: _Plan, wrong: dict[str, str], now: dt.datetime) -> None:
    """At most one wish of each person."""
    who = {"ids": [one.profile_id for one in asked], "pipelines": [one.pipeline for one in asked]}
    latest = {row.profile_id: row.deal_id for row in session.execute(text(_LATEST), who)}
    mine = select(Deal).where(Deal.id.in_(latest.values())).order_by(Deal.id).with_for_update().execution_options(populate_existing=True)
    there = {deal.id: deal for deal in session.scalars(mine)}
    abouts = {row.profile_id: row for row in session.execute(text(_ABOUT), {"ids": who["ids"]})}
    keys = set(session.scalars(select(Deal.key).where(Deal.key.in_([one.key for one in asked]))))
    changes: list[_Change] = []
    for one in asked:
        deal = there.get(latest[one.profile_id]) if one.profile_id in latest else None
        try:
            if one.act != "open":
                changes += _acted(deal, one, plan, now) if deal else ()
            elif deal is None and one.key not in keys:
                new = NewDeal(one.profile_id, one.title, one.currency, one.amount, (), one.pipeline, one.stage, key=one.key)
                begins = plan.stage(one.stage, one.pipeline)
                deal = _made(new, begins, abouts.get(one.profile_id), now)
                session.add(deal)
                changes.append(_Change(deal, begins, None, None, one.by))
        except NotFoundError as error:
            wrong[one.key] = str(error)
    _record(session, changes, now)


def _acted(deal: Deal, one: Asked, plan: _Plan, now: dt.datetime) -> list[_Change]:
    was = next(each for each in plan.stages[plan.slugs[deal.pipeline_id]] if each.id == deal.stage_id)
    if one.act != "move":
        _end(deal, won=one.act == "won", reason=one.reason, now=now)
        return [_Change(deal, was, None, was.id, one.by)]
    goal = plan.stage(one.stage, plan.slugs[deal.pipeline_id])
    if goal.id == was.id:
        return []
    _shift(deal, goal, now)
    return [_Change(deal, goal, was, was.id, one.by)]


@dataclass(frozen=True, slots=True)
class _Change:
    """What became of a deal: `was` is said, `noted` stands in the stage log."""

    deal: Deal
    goal: Stage
    was: Stage | None
    noted: int | None
    by: By


def _shift(deal: Deal, goal: Stage, now: dt.datetime) -> None:
    deal.stage_id, deal.stage_at, deal.status, deal.closed_at, deal.lost_reason = goal.id, now, "open", None, None


def _end(deal: Deal, *, won: bool, reason: str, now: dt.datetime) -> None:
    if not won and not reason.strip():
        raise InvalidError(_l("Say why it was lost; the reasons are counted."))
    deal.status, deal.closed_at, deal.lost_reason = "won" if won else "lost", now, None if won else reason.strip()[:LONGEST]


def _record(session: Session, changes: Sequence[_Change], now: dt.datetime) -> None:
    """Into the stage log, the event log and the queue, in sets."""
    if not changes:
        return
    session.flush()
    session.add_all(_noted(each.deal, each.noted, each.by, now) for each in changes)
    session.flush()
    named = select(Pipeline.id, Pipeline.slug).where(Pipeline.id.in_({each.deal.pipeline_id for each in changes}))
    slugs = {row.id: row.slug for row in session.execute(named)}
    inbox.append(session, [_event(each, slugs[each.deal.pipeline_id]) for each in changes], now)
    touched = {"now": now, "ids": [each.deal.profile_id for each in changes]}
    session.execute(text("UPDATE leads SET check_at = :now WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), touched)


def _noted(deal: Deal, was: int | None, by: By, now: dt.datetime) -> DealMove:
    return DealMove(
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


def _event(change: _Change, pipeline: str) -> NewRow:
    deal = change.deal
    said: dict[str, Any] = {
        "deal_id": str(deal.id),
        "pipeline": pipeline,
        "stage": change.goal.slug,
        "stage_name": change.goal.name,
        "was": change.was.slug if change.was else None,
        "status": deal.status,
        "value": money.plain(deal.amount.normalize()),
        "currency": deal.currency,
    }
    if deal.status == "lost":
        said["reason"] = deal.lost_reason
    name = {"open": MOVED, "won": WON, "lost": LOST}[deal.status]
    return inbox.system_event(name, deal.profile_id, said, cause=change.by.said, hops=change.by.hops)


_ABOUT = """
SELECT p.id AS profile_id, l.owner_id, l.source, l.campaign,
       (SELECT m.account_id FROM account_members m WHERE m.profile_id = p.id ORDER BY m.since LIMIT 1) AS account_id
FROM profiles p LEFT JOIN leads l ON l.profile_id = p.id WHERE p.id = ANY(CAST(:ids AS uuid[]))
"""
_LATEST = """
SELECT DISTINCT ON (n.id) n.id AS profile_id, d.id AS deal_id FROM unnest(CAST(:ids AS uuid[]), CAST(:pipelines AS text[])) AS n(id, pipeline)
JOIN deals d ON d.profile_id = n.id AND d.status = 'open' JOIN pipelines g ON g.id = d.pipeline_id
WHERE n.pipeline = '' OR g.slug = n.pipeline ORDER BY n.id, d.created_at DESC, d.id
"""
