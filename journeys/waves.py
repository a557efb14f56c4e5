"""Waves: a variant that came back, or got cheaper, is said in the log to the people it concerns, a few at a time, as long as it holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.commerce.product import card
from crm.commerce.product_models import Variant
from crm.commerce.products import Change
from crm.core.clock import scaled
from crm.core.config import Config
from crm.core.json import dumps
from crm.events.inbox import MAX_HOPS, NewRow, append, system_event
from journeys import board as boards
from journeys import wave_people
from journeys.board import Board, Standing
from journeys.goods_trigger import FRESH, GoodsTrigger, Plan

OCCASIONS = 50  # looked at in one step
AT_ONCE = 2_000  # people told in one step
AGAIN = dt.timedelta(minutes=1)  # a paused journey is looked at again


@dataclass(frozen=True, slots=True)
class Due:
    """An occasion whose next wave may go out."""

    row: Row[Any]
    journey: Standing
    plan: Plan
    trigger: GoodsTrigger[Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How many people to tell now, of how many in this wave; or why nobody is told any more."""

    now: int = 0
    of: int = 0
    ended: str | None = None


def begin(session: Session, changes: Sequence[Change], now: dt.datetime) -> None:
    """Open an occasion for every journey that a change concerns; who is told is looked up later, outside the batch. One that is paused waits."""
    if not changes:
        return
    journeys = [(each, found[1]) for each in boards.read(session).journeys.values() if each.takes and (found := plan_of(each))]
    rows = [_row(change, journey) for change in changes for journey, plan in journeys if concerns(plan, change, now)]
    if rows:
        session.execute(text(_BEGIN), {"rows": dumps(rows), "now": now})


def concerns(plan: Plan, change: Change, now: dt.datetime) -> bool:
    """Whether a journey with this plan begins by this change."""
    if plan.change != change.kind or now - change.event.occurred_at > FRESH or change.event.hops >= MAX_HOPS:
        return False
    if change.kind == "stock" or not change.before or change.after is None:
        return change.kind == "stock"
    return (change.before - change.after) / change.before * 100 >= plan.least


def plan_of(journey: Standing) -> tuple[GoodsTrigger[Any], Plan] | None:
    """The trigger and its plan, of journeys that are about goods."""
    graph = journey.graph
    if graph is None or not isinstance(graph.trigger, GoodsTrigger):
        return None
    return graph.trigger, graph.trigger.plan(graph.trigger_settings)


def sweep(session: Session, now: dt.datetime, config: Config) -> int:
    """Send the next waves that are due out; returns how many occasions were looked at. A doubled call finds nothing to do."""
    rows = session.execute(text(_DUE), {"now": now, "limit": OCCASIONS}).all()
    due = _standing(session, boards.read(session), rows, now)
    if not due:
        return len(rows)
    fresh = [each for each in due if not each.row.gathered]
    wave_people.gather(session, [(each.row, each.plan) for each in fresh])
    wave_people.pass_over(session, [each.row.id for each in due])
    variants = {row.id: row for row in session.query(Variant).filter(Variant.id.in_({each.row.variant_id for each in due}))}
    sizes = {each.row.id: size(each, variants.get(each.row.variant_id)) for each in due}
    told, left = wave_people.take(session, {key: wanted.now for key, wanted in sizes.items() if wanted.now}, now)
    append(session, [_said(each, variants[each.row.variant_id], person) for each in due for person in told.get(each.row.id, ())], now)
    _go_on(session, [_after(each, sizes[each.row.id], len(told.get(each.row.id, ())), left.get(each.row.id, 0), now, config) for each in due])
    return len(rows)


def close(session: Session, journey_id: int, reason: str) -> None:
    """End the occasions of a journey."""
    said = {"journey": journey_id, "reason": reason}
    session.execute(text("UPDATE waves SET next_at = NULL, ended = :reason WHERE journey_id = :journey AND next_at IS NOT NULL"), said)


def size(each: Due, variant: Variant | None) -> Size:
    """How many are told now: a wave of a restock is so many people for each piece there is at its beginning."""
    row, plan = each.row, each.plan
    if variant is None or variant.archived or variant.stock == 0:
        return Size(ended="sold_out")
    if row.kind == "price" and (variant.price is None or variant.currency != row.currency or variant.price > row.after):
        return Size(ended="price_rose")
    wave = row.to_tell or (AT_ONCE if plan.per_unit is None or variant.stock is None else plan.per_unit * variant.stock)
    return Size(min(wave, AT_ONCE), wave)


def _after(each: Due, wanted: Size, told: int, left: int, now: dt.datetime, config: Config) -> dict[str, Any]:  # noqa: PLR0917  what one wave left behind
    """How the occasion goes on: the rest of a large wave at once, the next one after the pause, or not at all."""
    row = each.row
    rest = wanted.of - told if wanted.ended is None and left else 0
    ended = wanted.ended or (None if left else "everybody")
    due = None if ended else now if rest or each.plan.per_unit is None else now + scaled(each.plan.pause, config.time_scale)
    return {"id": row.id, "number": row.number + (0 if row.to_tell or not told else 1), "to_tell": rest, "next_at": due, "ended": ended, "gathered": True}


def _said(each: Due, variant: Variant, person: wave_people.Told) -> NewRow:
    row = each.row
    about = card(variant) | {"journey": each.journey.slug, "because": person.because, "since": person.since.isoformat(), "stock": variant.stock}
    if row.kind == "price":
        about |= {"was": str(row.before.normalize()), "percent": str(round((row.before - row.after) / row.before * 100))}
    else:
        about |= {"wave": row.number + (0 if row.to_tell else 1)}
    number = f"wave:{row.id}:{person.profile_id}"
    return system_event(each.trigger.event, person.profile_id, about, cause=f"event:{row.accepted}", hops=row.hops + 1, message_id=number)


def _standing(session: Session, board: Board, rows: Sequence[Row[Any]], now: dt.datetime) -> list[Due]:
    """The occasions that may go on. A paused journey's wait; one followed by a newer of its kind is over, as are those of a journey that stopped."""
    due, other = [], []
    for row in rows:
        journey = board.journeys.get(row.journey_id)
        found = plan_of(journey) if journey else None
        if journey and found and found[1].change == row.kind and journey.status == "live" and not row.again:
            due.append(Due(row, journey, found[1], found[0]))
            continue
        waits = journey is not None and journey.status in {"paused", "broken"} and not row.again
        next_at, ended = (now + AGAIN, None) if waits else (None, "again" if row.again else "stopped")
        other.append({"id": row.id, "number": row.number, "to_tell": row.to_tell, "next_at": next_at, "ended": ended, "gathered": False})
    _go_on(session, other)
    return due


def _go_on(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.execute(text(_GO_ON), {"rows": dumps(rows)})


def _row(change: Change, journey: Standing) -> dict[str, Any]:
    return {
        "journey_id": journey.id,
        "variant_id": change.variant_id,
        "kind": change.kind,
        "at": change.event.occurred_at,
        "accepted": change.event.accepted,
        "hops": change.event.hops,
        "before": change.before,
        "after": change.after,
        "currency": change.currency,
    }


def following(session: Session, variant_id: str, limit: int = 20) -> Sequence[Row[Any]]:
    """The latest occasions of a variant, newest first, with how many were told and wait."""
    return session.execute(text(_OF_VARIANT), {"variant": variant_id, "limit": limit}).all()


DUE = ",\n       EXISTS (SELECT FROM waves WHERE next_at <= :now)"  # whether any wave is, for whoever hands out work
_FIELDS = "journey_id int, variant_id text, kind text, at timestamptz, accepted bigint, hops smallint, before numeric, after numeric, currency text"
# What nobody counted before concerns only those who asked; the others had no time without it in which to look.
_BEGIN = f"""
INSERT INTO waves (journey_id, variant_id, kind, at, accepted, hops, before, after, currency, opened_at, next_at)
SELECT n.*, CAST(:now AS timestamptz), CAST(:now AS timestamptz) FROM json_to_recordset(CAST(:rows AS json)) AS n({_FIELDS})
WHERE n.before IS NOT NULL OR EXISTS (SELECT FROM stock_requests r WHERE r.variant_id = n.variant_id AND r.ended IS NULL)
ON CONFLICT DO NOTHING
"""  # noqa: S608  our own column names
_DUE = """
SELECT w.*, EXISTS (
  SELECT FROM waves n WHERE n.variant_id = w.variant_id AND n.journey_id = w.journey_id AND n.kind = w.kind AND n.id > w.id) AS again
FROM waves w WHERE w.next_at <= :now ORDER BY w.next_at, w.id LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_GO_ON = """
UPDATE waves w SET number = n.number, to_tell = n.to_tell, next_at = n.next_at, ended = n.ended, gathered = w.gathered OR n.gathered
FROM json_to_recordset(CAST(:rows AS json)) AS n(id bigint, number int, to_tell int, next_at timestamptz, ended text, gathered boolean)
WHERE w.id = n.id
"""
_OF_VARIANT = """
SELECT w.*, j.slug, j.name AS journey, count(p.number) AS told, count(*) FILTER (WHERE p.place IS NOT NULL AND p.number IS NULL AND p.passed IS NULL) AS left,
       count(p.passed) AS passed
FROM waves w JOIN journeys j ON j.id = w.journey_id LEFT JOIN wave_people p ON p.wave_id = w.id
WHERE w.variant_id = :variant GROUP BY w.id, j.slug, j.name ORDER BY w.opened_at DESC, w.id DESC LIMIT :limit
"""
