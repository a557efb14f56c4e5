"""What runs ask of sales, in sets: tasks made, owners found, deals moved. What is gone breaks its journey, never the batch."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events import inbox
from crm.sales import deals, leads, tasks
from crm.sales.deals import Asked, By
from crm.sales.lead_state import CREATED
from crm.sales.tasks import NewTask
from journeys.node import ChangeDeal, GiveOwner, MakeTask
from journeys.passage import Passage

WITHDRAWN = ("exit:", "goal:")  # endings by an event after which nobody need do what the run asked for


def apply(session: Session, passages: Sequence[Passage], now: dt.datetime) -> dict[int, str]:
    """Do what these runs ask for; returns journey -> what is wrong with it. The people are locked."""
    made = [(p, node, round_, each) for p in passages for node, round_, each in p.effects if isinstance(each, MakeTask)]
    given = [(p, each) for p in passages for _, _, each in p.effects if isinstance(each, GiveOwner)]
    dealt = [(p, node, round_, each) for p in passages for node, round_, each in p.effects if isinstance(each, ChangeDeal)]
    named = [(p, each.owner) for p, _, _, each in made if each.owner] + [(p, each.owner) for p, each in given if each.owner]
    sellers = _sellers(session, {owner for _, owner in named})
    said = "nobody who takes leads has the address {}; see the settings of sales"
    problems = {p.journey_id: said.format(owner) for p, owner in named if owner not in sellers}
    tasks.create(session, [_task(*one, sellers.get(one[3].owner)) for one in made], now)  # whoever it is for, it is to be done
    _give(session, [(p, each) for p, each in given if not each.owner or each.owner in sellers], sellers, now)
    wishes = {_key(p, node, round_): (p, _deal(p, node, round_, each)) for p, node, round_, each in dealt}
    wrong = deals.apply(session, [asked for _, asked in wishes.values()], now=now)
    problems |= {wishes[key][0].journey_id: said for key, said in wrong.items()}
    _withdraw(session, passages, now)
    return problems


def _sellers(session: Session, emails: set[str]) -> dict[str, int]:
    rows = session.execute(text("SELECT email, user_id FROM sellers WHERE active AND email = ANY(:emails)"), {"emails": sorted(emails)}) if emails else ()
    return {row.email: row.user_id for row in rows}


def _key(passage: Passage, node: str, round_: int) -> str:
    return f"run:{passage.id}:{node}:{round_}"


def _task(passage: Passage, node: str, round_: int, each: MakeTask, owner: int | None) -> NewTask:
    return NewTask(
        passage.profile_id,
        each.kind,
        each.title,
        each.due_at,
        owner,
        each.role or None,
        each.late_after,
        key=_key(passage, node, round_),
        about={"run_id": str(passage.id), "node": node, "round": round_},
        hops=passage.hops + 1,
    )


def _give(session: Session, asked: Sequence[tuple[Passage, GiveOwner]], sellers: dict[str, int], now: dt.datetime) -> None:
    """Leads get their owner; whoever is none yet becomes one."""
    if not asked:
        return
    there = leads.known(session, {p.profile_id for p, _ in asked})
    mine = [(p, each) for p, each in asked if p.profile_id in there]
    session.execute(text(_HOPS), {"ids": [p.profile_id for p, _ in mine], "hops": [p.hops + 1 for p, _ in mine]})
    leads.assign(session, {p.profile_id: (sellers[each.owner], "journey") for p, each in mine if each.owner}, by=None, now=now)
    again = [p.profile_id for p, each in mine if not each.owner and each.again]
    session.execute(text("UPDATE leads SET reassign = open, check_at = :now WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": again, "now": now})
    said = [
        inbox.system_event(
            CREATED,
            p.profile_id,
            {"source": "journey", "campaign": p.slug} | ({"owner_id": sellers[each.owner], "by": "journey"} if each.owner else {}),
            cause=f"run:{p.id}",
            hops=p.hops + 1,
            message_id=f"run:{p.id}:lead",
        )
        for p, each in asked
        if p.profile_id not in there
    ]
    inbox.append(session, said, now)


def _deal(passage: Passage, node: str, round_: int, each: ChangeDeal) -> Asked:
    return Asked(
        passage.profile_id,
        each.act,
        _key(passage, node, round_),
        each.pipeline,
        each.stage,
        each.title,
        each.amount,
        each.currency,
        each.reason,
        By(cause=f"run:{passage.id}", hops=passage.hops + 1),
    )


def _withdraw(session: Session, passages: Sequence[Passage], now: dt.datetime) -> None:
    """An order ends the run: the call it asked for need not be made."""
    over = [p for p in passages if p.end_reason and p.end_reason.startswith(WITHDRAWN)]
    if over:
        _take_back(session, {p.profile_id for p in over}, [p.id for p in over], now)


def withdraw(session: Session, run_ids: Collection[uuid.UUID], now: dt.datetime) -> None:
    """What these runs asked people for need not be done any more: they were ended by a person or a join."""
    if run_ids:
        profiles = session.scalars(text("SELECT DISTINCT profile_id FROM runs WHERE id = ANY(CAST(:runs AS uuid[]))"), {"runs": list(run_ids)}).all()
        _take_back(session, profiles, run_ids, now)


def _take_back(session: Session, profiles: Collection[uuid.UUID], run_ids: Collection[uuid.UUID], now: dt.datetime) -> None:
    gone = session.execute(text(_OVER), {"profiles": list(profiles), "runs": [str(each) for each in run_ids], "now": now}).all()
    if gone:
        tasks.recount(session, {row.profile_id for row in gone}, now)


_HOPS = """
UPDATE leads l SET hops = n.hops FROM unnest(CAST(:ids AS uuid[]), CAST(:hops AS smallint[])) AS n(id, hops) WHERE l.profile_id = n.id
"""
_OVER = """
UPDATE tasks SET done_at = :now, outcome = 'withdrawn', check_at = NULL
WHERE profile_id = ANY(CAST(:profiles AS uuid[])) AND done_at IS NULL AND about->>'run_id' = ANY(CAST(:runs AS text[])) RETURNING profile_id
"""
