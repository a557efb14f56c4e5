"""What journeys ask of sales: a human step that answers its own run, owners, deals; and the score that starts one."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

from crm.events.spec import Happened
from crm.sales import acts
from crm.sales.deal_models import Deal, Stage
from crm.sales.models import Lead, Task
from journeys import lint, publish
from journeys.engine import wake_due
from journeys.triggers.score import plugin as score
from tests.makers import track
from tests.sales.conftest import CONFIG

HOUR = dt.timedelta(hours=1)


def journey(session, now, *nodes: tuple[str, dict[str, Any]], trigger: str = "Asked", slug: str = "nurture") -> None:
    """A journey that goes through these nodes, each way on to the next."""
    drawn = {}
    for place, (kind, settings) in enumerate(nodes):
        ways = settings.pop("ways", ["next"])
        after = f"n{place + 1}" if place + 1 < len(nodes) else "end"
        drawn[f"n{place}"] = {"kind": kind, "settings": settings, "exits": dict.fromkeys(ways, after)}
    drawing = {
        "name": {"en": "Nurture"},
        "trigger": {"kind": "event", "settings": {"event": trigger, "key": "event"}},
        "entry": "n0",
        "exit_on": [{"event": "Order Completed", "goal": True}],
        "nodes": drawn | {"end": {"kind": "stop"}},
    }
    publish.publish(session, slug, drawing, now=now)


def test_a_human_step_waits_for_its_own_task_and_brings_its_outcome(sales, session):
    journey(session, sales.now, ("task", {"title": "Call them", "due_in": "15m", "ways": ["done", "late"]}), ("send_event", {"event": "Reached Them"}))
    sales.seller(1)
    sales.lead()
    sales.happens(track("Asked", at=sales.now, user_id="dana@example.com"))
    sales.works()
    task = session.scalars(select(Task).where(Task.key.like("run:%"))).one()
    assert (task.title, task.owner_id, task.due_at) == ("Call them", 1, sales.now + dt.timedelta(minutes=15))
    acts.finish(session, task.id, by=1, now=sales.now + dt.timedelta(minutes=5))
    sales.works(sales.now + dt.timedelta(minutes=5))
    assert session.execute(text("SELECT exit FROM run_steps WHERE node = 'n0'")).scalar() == "done"
    assert sales.events("Reached Them") == [{}]


def test_a_task_nobody_does_goes_up_and_the_run_goes_on_by_late(sales, session):
    sales.settings(escalate_to=9)
    journey(session, sales.now, ("task", {"title": "Call them", "due_in": "15m", "late_after": "30m", "ways": ["done", "late"]}))
    sales.seller(1)
    sales.lead()
    sales.happens(track("Asked", at=sales.now, user_id="dana@example.com"))
    sales.works()
    task = session.scalars(select(Task).where(Task.key.like("run:%"))).one()
    for minutes, level in ((16, 1), (47, 2)):
        sales.works(sales.now + dt.timedelta(minutes=minutes))
        session.refresh(task)
        assert task.level == level
    told = session.execute(text("SELECT user_id, kind FROM alerts WHERE kind <> 'assigned' AND detail->>'title' = 'Call them' ORDER BY id")).all()
    assert [tuple(row) for row in told] == [(1, "late"), (9, "escalated")]
    wake_due(session, sales.now + HOUR, 10, CONFIG)
    assert session.execute(text("SELECT exit FROM run_steps WHERE node = 'n0'")).scalar() == "late"
    assert [said["level"] for said in sales.events("Task Late") if said.get("run_id")] == [1, 2]


def test_a_run_that_ends_takes_its_task_back(sales, session):
    journey(session, sales.now, ("task", {"title": "Call them", "ways": ["done", "late"]}))
    sales.happens(track("Asked", at=sales.now - HOUR / 2, user_id="dana@example.com", email="dana@example.com"))
    sales.happens(track("Order Completed", {"order_id": "o1"}, at=sales.now, user_id="dana@example.com"))
    assert session.scalars(select(Task.outcome)).one() == "withdrawn"


def test_a_journey_that_is_stopped_takes_the_tasks_of_its_runs_back(sales, session):
    journey(session, sales.now, ("task", {"title": "Call them", "ways": ["done", "late"]}))
    sales.happens(track("Asked", at=sales.now, user_id="dana@example.com", email="dana@example.com"))
    publish.stop(session, "nurture", now=sales.now)
    assert session.scalars(select(Task.outcome)).one() == "withdrawn"


def test_a_task_for_a_role_stands_with_nobody_until_somebody_takes_it(sales, session):
    journey(session, sales.now, ("task", {"title": "Ask why", "role": "agent", "due_in": "15m", "wait": False}))
    sales.happens(track("Asked", at=sales.now, user_id="noa"))
    task = session.scalars(select(Task)).one()
    assert (task.owner_id, task.role) == (None, "agent")


def test_a_doubled_step_makes_one_task(sales, session):
    journey(session, sales.now, ("task", {"title": "Call", "ways": ["done", "late"]}))
    sales.happens(track("Asked", at=sales.now, user_id="noa"))
    for _ in range(2):
        wake_due(session, sales.now + dt.timedelta(minutes=1), 10, CONFIG)
    assert session.scalar(text("SELECT count(*) FROM tasks")) == 1


def test_whoever_is_no_lead_becomes_one_of_the_person_named(sales, session):
    sales.seller(1)
    sales.seller(2)
    journey(session, sales.now, ("assign", {"owner": "s2@shop.example"}))
    sales.happens(track("Asked", at=sales.now, user_id="noa", email="noa@example.com"))
    sales.works()
    lead = sales.of("noa@example.com")
    assert (lead.owner_id, lead.source, lead.owner_by) == (2, "journey", "journey")
    assert [said["owner"] for said in sales.events("Lead Assigned")] == ["s2@shop.example"]


def test_the_rules_choose_somebody_else_where_asked_again(sales, session):
    sales.seller(1)
    sales.lead()
    sales.works()
    sales.seller(2)
    journey(session, sales.now, ("assign", {"again": True}))
    sales.happens(track("Asked", at=sales.now, user_id="dana@example.com"))
    sales.works()
    assert sales.of("dana@example.com").owner_id == 2


def test_an_owner_who_is_gone_breaks_the_journey_and_nothing_else(sales, session):
    journey(session, sales.now, ("assign", {"owner": "gone@shop.example"}))
    sales.happens(track("Asked", at=sales.now, user_id="noa"), track("Page Viewed", at=sales.now, user_id="dan"))
    assert session.execute(text("SELECT status, problem FROM journeys WHERE slug = 'nurture'")).one()[0] == "broken"
    assert session.scalar(text("SELECT count(*) FROM events WHERE name = 'Page Viewed'")) == 1


def test_a_deal_is_opened_moved_and_won_along_the_way(sales, session):
    open_ = ("deal", {"act": "open", "title": "Quote", "amount_of": "value"})
    journey(session, sales.now, open_, ("deal", {"act": "move", "stage": "quote"}), ("deal", {"act": "won"}))
    sales.happens(track("Asked", {"value": 4300}, at=sales.now, user_id="noa", email="noa@example.com"))
    sales.works()
    deal, stage = session.execute(select(Deal, Stage).join(Stage, Stage.id == Deal.stage_id)).one()
    assert (deal.amount, deal.status, stage.slug) == (4300, "won", "quote")
    assert [said["stage"] for said in sales.events("Deal Stage Changed")] == ["new", "quote"]
    assert sales.events("Deal Won")[0]["value"] == "4300"


def test_a_stage_that_is_gone_breaks_the_journey(sales, session):
    journey(session, sales.now, ("deal", {"act": "open", "title": "Quote"}), ("deal", {"act": "move", "stage": "nowhere"}))
    sales.happens(track("Asked", at=sales.now, user_id="noa"))
    assert session.execute(text("SELECT status FROM journeys WHERE slug = 'nurture'")).scalar() == "broken"


@pytest.mark.parametrize(
    ("settings", "said", "starts"),
    [
        ({}, {"kind": "lead", "band": "hot", "was": "warm"}, True),
        ({}, {"kind": "lead", "band": "hot", "was": None}, True),
        ({}, {"kind": "churn", "band": "hot", "was": "warm"}, False),
        ({"band": "warm", "way": "down"}, {"kind": "lead", "band": "warm", "was": "hot"}, True),
        ({"band": "warm", "way": "down"}, {"kind": "lead", "band": "warm", "was": "cold"}, False),
        ({"band": "warm", "way": "any"}, {"kind": "lead", "band": "warm", "was": "cold"}, True),
    ],
)
def test_a_score_starts_a_run_where_it_crosses(sales, settings, said, starts):
    seen = Happened(uuid.UUID(int=1), sales.now, 1, 1, "track", "Score Band Changed", "live", True, (), said, {}, {}, sales.now)
    assert score.matches(score.settings_type.model_validate(settings), seen) is starts
    assert not score.matches(score.settings_type.model_validate(settings), replace(seen, trusted=False))


def test_an_order_says_in_sales_own_words_that_the_lead_is_won(sales, session):
    sales.lead(at=sales.now - HOUR)
    sales.happens(track("Order Completed", {"order_id": "o1"}, at=sales.now, user_id="dana@example.com"))
    sales.works()
    assert [(said["status"], said["reason"]) for said in sales.events("Lead Status Changed")] == [("won", "Order Completed")]
    assert session.scalars(select(Lead.status)).one() == "won"


def test_one_who_left_costs_nobody_else_what_the_journey_asked_for(sales, session):
    sales.seller(1)
    mine = {"title": "Call them", "owner": "gone@shop.example", "wait": False}
    journey(session, sales.now, ("task", mine), ("deal", {"act": "open", "title": "Quote"}), ("assign", {"owner": "s1@shop.example"}))
    sales.happens(track("Asked", at=sales.now, user_id="noa", email="noa@example.com"))
    task = session.scalars(select(Task).where(Task.key.like("run:%"))).one()
    assert (task.title, task.owner_id) == ("Call them", None)
    assert session.scalar(text("SELECT count(*) FROM deals")) == 1
    assert "gone@shop.example" in session.scalar(text("SELECT problem FROM journeys WHERE slug = 'nurture' AND status = 'broken'"))
    sales.works()
    assert sales.of("noa@example.com").owner_id == 1


@pytest.mark.parametrize(("kind", "more"), [("task", {"title": "Call"}), ("assign", {})])
def test_somebody_who_takes_no_leads_is_found_before_publishing(sales, session, kind, more):
    sales.seller(1)
    drawing = {"name": {"en": "N"}, "trigger": {"kind": "event", "settings": {"event": "Asked", "key": "event"}}, "entry": "n"}
    ways = {"done": "end", "late": "end"} if kind == "task" else {"next": "end"}
    for owner, said in (("gone@shop.example", True), (" S1@shop.example", False), ("", False)):
        nodes = {"n": {"kind": kind, "settings": more | {"owner": owner}, "exits": ways}, "end": {"kind": "stop"}}
        found = [each.node for each in lint.review(session, drawing | {"nodes": nodes}) if each.level == "error"]
        assert found == (["n"] if said else [])
