"""Leads come from the log, whoever sends them, and belong to one person however often they come."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select, text

from crm.events import inbox
from crm.events.spec import Happened
from crm.messages import joining
from crm.profiles.privacy import places
from crm.sales import acts, leads, tasks
from crm.sales.lead_state import Definitions, state
from crm.sales.models import Alert, Lead, Task
from tests import makers
from tests.makers import track

HOUR = dt.timedelta(hours=1)


def test_an_event_makes_a_lead_with_where_it_came_from_and_what_it_cost(sales):
    lead = sales.lead(source="fair", campaign="spring", cost="12.50", currency="ILS")
    assert (lead.status, lead.source, lead.campaign, lead.cost, lead.currency, lead.open) == ("new", "fair", "spring", Decimal("12.5"), "ILS", True)


def test_the_same_person_coming_again_is_one_lead_that_cost_twice(sales):
    sales.lead(source="fair", cost=10, currency="ILS", at=sales.now - HOUR)
    lead = sales.lead(source="ads", cost=5, currency="ILS")
    assert (lead.intakes, lead.source, lead.cost) == (2, "fair", Decimal(15))


def test_a_public_key_may_make_a_lead_but_not_say_what_it_cost_or_whose_it_is(sales):
    sales.happens(track("Lead Created", {"source": "site", "cost": 99, "owner_id": 7}, at=sales.now, anonymous_id="a1"), trusted=False)
    lead = sales.session.scalars(select(Lead)).one()
    assert (lead.source, lead.cost, lead.owner_id) == ("site", None, None)


def test_a_lead_gets_an_owner_a_promise_and_a_first_task(sales):
    sales.seller(1)
    sales.lead()
    sales.works()
    lead = sales.of("dana@example.com")
    task = sales.session.scalars(select(Task)).one()
    assert (lead.owner_id, lead.owner_by) == (1, "round_robin")
    assert lead.answer_by == lead.next_at == task.due_at == sales.now + HOUR
    assert (task.owner_id, task.kind) == (1, "call")
    assert sales.events("Lead Assigned")[0]["owner_id"] == 1
    assert [alert.kind for alert in sales.session.scalars(select(Alert))] == ["assigned"]


def test_a_lead_without_anybody_to_take_it_stands_on_the_list_of_nobody_until_somebody_can(sales):
    sales.lead()
    sales.works()
    assert sales.of("dana@example.com").owner_id is None
    sales.seller(1)
    sales.works(sales.now + HOUR)
    assert sales.of("dana@example.com").owner_id == 1


def test_leads_from_a_file_get_owners_but_no_clock_runs_and_nobody_is_alarmed(sales):
    sales.seller(1)
    sales.lead(origin="history", at=sales.now - dt.timedelta(days=60))
    sales.works()
    lead = sales.of("dana@example.com")
    assert (lead.owner_id, lead.answer_by, lead.imported) == (1, None, True)
    assert sales.session.scalars(select(Task.check_at)).one() is None
    assert sales.session.scalars(select(Alert)).all() == []


def test_a_logged_call_answers_the_lead_and_names_what_comes_next(sales):
    sales.seller(1)
    sales.lead()
    sales.works()
    later = sales.now + dt.timedelta(minutes=10)
    acts.log_call(sales.session, sales.who("dana@example.com"), outcome="reached", note="wants 60", then=acts.Next("mail", later + HOUR), by=1, now=later)
    sales.works(later)
    lead = sales.of("dana@example.com")
    assert (lead.status, lead.answered_at, lead.touched_by, lead.next_at) == ("working", later, 1, later + HOUR)
    assert [said["outcome"] for said in sales.events("Call Logged")] == ["reached"]
    assert [said["outcome"] for said in sales.events("Task Done")] == ["reached"]


def test_an_order_wins_the_lead_and_a_new_intake_opens_it_again(sales):
    sales.lead(at=sales.now - 3 * HOUR)
    sales.happens(track("Order Completed", {"order_id": "o1", "revenue": 50}, at=sales.now - HOUR, user_id="dana@example.com"))
    assert (sales.of("dana@example.com").status, sales.of("dana@example.com").open) == ("won", False)
    assert (sales.lead().status, sales.of("dana@example.com").open) == ("new", True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Order Completed", {"order_id": "o1", "revenue": 50}),
        ("Deal Won", {"deal_id": "d1"}),
        ("Lead Status Changed", {"status": "won"}),
        ("Lead Assigned", {"owner_id": 7}),
    ],
)
def test_a_public_key_neither_wins_a_lead_nor_gives_it_away(sales, name, said):
    sales.happens(track("Lead Created", {}, at=sales.now - HOUR, anonymous_id="a1"), trusted=False)
    sales.happens(track(name, said, at=sales.now, anonymous_id="a1"), trusted=False)
    lead = sales.session.scalars(select(Lead)).one()
    assert (lead.status, lead.owner_id) == ("new", None)


def test_an_order_from_a_file_wins_the_lead(now):
    created = _happened(now - HOUR, 1, "Lead Created", {})
    ordered = replace(_happened(now, 2, "Order Completed", {}), trusted=False, origin="history", cause="import:4")
    found = state([created, ordered], Definitions())
    assert found is not None
    assert found.status == "won"


def test_marketing_hands_over_whoever_comes_into_its_segment(sales, session):
    sales.settings(mql="ready", sql="accepted")
    sales.happens(makers.identify({"email": "noa@example.com"}, at=sales.now, user_id="noa@example.com"))
    noa = sales.who("noa@example.com")
    _enter(sales, noa, "ready")
    lead = sales.of("noa@example.com")
    assert (lead.source, lead.status, lead.mql_at) == ("mql", "new", sales.now)
    _enter(sales, noa, "accepted")
    assert (sales.of("noa@example.com").status, sales.of("noa@example.com").sql_at) == ("qualified", sales.now)


def test_what_a_person_decides_stands_while_its_event_still_waits(sales):
    sales.seller(1)
    sales.lead()
    who = sales.who("dana@example.com")
    acts.hand_to(sales.session, who, 5, by=1, now=sales.now + HOUR)
    acts.set_status(sales.session, who, "qualified", by=1, now=sales.now + HOUR)
    sales.lead(source="again", at=sales.now)  # an older word comes through the pipeline before theirs
    lead = sales.of("dana@example.com")
    assert (lead.owner_id, lead.status) == (5, "qualified")


def test_joined_people_are_one_lead_and_taken_apart_each_has_what_their_own_log_says(sales, session):
    sales.seller(1)
    sales.lead("one@example.com", source="fair", at=sales.now - 2 * HOUR)
    sales.lead("two@example.com", source="ads", at=sales.now - HOUR)
    sales.works()
    one, two = sales.who("one@example.com"), sales.who("two@example.com")
    joining.merge(session, one, two, by="test", said="", now=sales.now, currency="ILS")
    assert [(lead.intakes, lead.source) for lead in session.scalars(select(Lead))] == [(2, "fair")]
    joining.unmerge(session, session.scalar(text("SELECT max(id) FROM links")), by="test", said="", now=sales.now, currency="ILS")
    found = {lead.source: lead.intakes for lead in session.scalars(select(Lead).execution_options(populate_existing=True))}
    assert found == {"fair": 1, "ads": 1}
    assert session.scalar(text("SELECT count(DISTINCT profile_id) FROM tasks")) == 2


def test_the_next_action_follows_the_tasks_through_a_join_and_its_undoing(sales, session):
    sales.lead("one@example.com", source="fair", at=sales.now - 2 * HOUR)
    sales.lead("two@example.com", source="ads", at=sales.now - HOUR)
    one, two = sales.who("one@example.com"), sales.who("two@example.com")
    for who, due in ((one, sales.now + 3 * HOUR), (two, sales.now + HOUR)):
        tasks.create(session, [tasks.NewTask(who, "call", "Call", due)], sales.now)
    joining.merge(session, one, two, by="test", said="", now=sales.now, currency="ILS")
    assert session.scalars(select(Lead.next_at)).all() == [sales.now + HOUR]
    joining.unmerge(session, session.scalar(text("SELECT max(id) FROM links")), by="test", said="", now=sales.now, currency="ILS")
    assert {each.source: each.next_at for each in session.execute(select(Lead.source, Lead.next_at))} == {"fair": sales.now + 3 * HOUR, "ads": sales.now + HOUR}


@given(st.permutations(range(5)))
def test_the_order_of_processing_does_not_matter(order):
    base = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    names = [
        ("Lead Created", {"source": "a", "cost": 3}),
        ("Lead Assigned", {"owner_id": 4}),
        ("Lead Status Changed", {"status": "lost"}),
        ("Lead Created", {"source": "b"}),
        ("Call Logged", {"outcome": "reached"}),
    ]
    events = [_happened(base + n * HOUR, n, name, said) for n, (name, said) in enumerate(names)]
    found = state([events[n] for n in order], Definitions())
    assert found is not None
    assert (found.status, found.source, found.owner_id, found.intakes, found.answered_at) == ("working", "a", 4, 2, base + 4 * HOUR)


def test_a_person_who_leaves_takes_their_lead_along(sales, session):
    sales.lead()
    assert leads.known(session, [sales.who("dana@example.com")])
    assert {"leads", "tasks", "alerts"} <= {place.table.name for place in _places()}


def _places():
    return [place for place in places() if place.fate == "delete"]


def _enter(sales, profile_id, slug):
    inbox.append(sales.session, [inbox.system_event("Segment Entered", profile_id, {"segment": slug}, cause=None, hops=0)], sales.now)
    while sales.drains():
        pass


def _happened(at, accepted, name, properties):
    return Happened(uuid.UUID(int=1), at, accepted, 10, "track", name, "live", True, (), properties, {}, {}, at)


def test_wherever_a_lead_gets_another_owner_its_tasks_go_along_and_the_new_one_hears_of_it(sales, session):
    sales.seller(1)
    sales.seller(2, active=False)
    sales.lead()
    sales.works()
    who = sales.who("dana@example.com")
    for minute, owner in enumerate((2, 1, 2), 1):
        now = sales.now + minute * HOUR
        if minute == 1:
            acts.hand_to(session, who, owner, by=1, now=now)
        elif minute == 2:
            leads.assign(session, {who: (owner, "journey")}, by=None, now=now)
        else:
            sales.happens(track("Lead Assigned", {"owner_id": owner}, at=now, user_id="dana@example.com"), now=now)
        assert session.scalars(select(Task.owner_id)).all() == [owner]
        assert session.scalar(select(Alert.user_id).order_by(Alert.id.desc()).limit(1)) == owner
    sales.works()
    assert session.scalars(select(Alert.user_id).order_by(Alert.id)).all() == [1, 2, 1, 2]


def test_an_owner_named_by_whoever_sends_the_lead_hears_of_it(sales, session):
    sales.seller(1)
    sales.lead(owner_id=1)
    assert [(one.user_id, one.kind) for one in session.scalars(select(Alert))] == [(1, "assigned")]


def test_whoever_takes_a_lead_need_not_be_told(sales, session):
    sales.seller(1)
    sales.lead()
    acts.hand_to(session, sales.who("dana@example.com"), 1, by=1, now=sales.now)
    assert session.scalars(select(Alert)).all() == []


@pytest.mark.parametrize("act", ["finish", "reopen", "put_off"])
def test_a_task_is_changed_under_the_lock_of_its_person_which_comes_first(sales, session, act):
    sales.lead()
    sales.works()
    task = session.scalars(select(Task.id)).one()
    session.expire_all()
    said: list[str] = []
    event.listen(session.connection(), "before_cursor_execute", lambda *args: said.append(args[2]))
    if act == "finish":
        acts.finish(session, task, by=1, now=sales.now)
    elif act == "reopen":
        acts.reopen(session, task, now=sales.now)
    else:
        acts.put_off(session, task, due_at=None, take=1, now=sales.now)
    locked = ["profiles" if "profiles" in one else "tasks" for one in said if "FOR UPDATE" in one]
    assert locked[:2] == ["profiles", "tasks"]
