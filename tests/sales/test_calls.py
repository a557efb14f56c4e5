"""A logged call that was none is taken back: the lead, its tasks and the day's count stand as before, and the log says both."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

import pytest
from sqlalchemy import select

from crm.core.errors import InvalidError, NotFoundError
from crm.core.ids import new_id
from crm.events.spec import Happened
from crm.messages import record
from crm.messages.facts import Draft
from crm.messages.models import Message
from crm.messages.templates import install, shipped_templates
from crm.sales import acts, calls, leads, mails, queue, tasks
from crm.sales.lead_state import Definitions, state
from crm.sales.models import Lead, Task
from tests.makers import track

HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def dana(sales):
    sales.seller(1)
    sales.lead()
    sales.works()
    return sales.who("dana@example.com")


def stands(sales, who):
    """Everything a call may change."""
    sales.session.expire_all()
    lead = sales.session.get(Lead, who)
    tasks = sales.session.execute(select(Task.kind, Task.done_at, Task.due_at).where(Task.outcome.is_distinct_from("withdrawn")).order_by(Task.due_at)).all()
    day = queue.day(sales.session, 1, since=sales.now - HOUR)
    return lead.status, lead.open, lead.answered_at, lead.answer_by, lead.touched_at, lead.touched_by, lead.next_at, tasks, day


def called(sales, who, outcome="reached", *, now=None, then=None):
    now = now or sales.now + MINUTE
    acts.log_call(sales.session, who, outcome=outcome, then=then, by=1, now=now)
    return calls.last(sales.session, by=1, now=now)


@pytest.mark.parametrize("outcome", ["reached", "not_interested"])
@pytest.mark.parametrize("told", [True, False], ids=["the log has heard of it", "the log has not heard of it yet"])
def test_a_call_taken_back_leaves_everything_as_it_was(sales, dana, outcome, told):
    before = stands(sales, dana)
    call = called(sales, dana, outcome, then=acts.Next("mail", sales.now + 3 * HOUR))
    if told:
        sales.works(sales.now + MINUTE)
    assert stands(sales, dana) != before
    calls.take_back(sales.session, call.id, by=1, now=sales.now + 2 * MINUTE)
    assert stands(sales, dana) == before
    sales.works(sales.now + 2 * MINUTE)
    assert stands(sales, dana) == before
    leads.refold(sales.session, {dana}, sales.now + 3 * MINUTE)
    assert stands(sales, dana) == before
    assert (len(sales.events("Call Logged")), len(sales.events("Call Withdrawn"))) == (1, 1)


def test_what_was_done_since_stays(sales, dana):
    call = called(sales, dana)
    later = sales.now + 5 * MINUTE
    acts.set_status(sales.session, dana, "qualified", by=1, now=later)
    calls.take_back(sales.session, call.id, by=1, now=later + MINUTE)
    sales.works(later + MINUTE)
    lead = sales.of("dana@example.com")
    assert (lead.status, lead.touched_at, lead.answered_at) == ("qualified", later, later)


def test_a_task_that_is_done_again_after_the_call_was_taken_back_is_an_answer(sales, dana):
    call = called(sales, dana)
    calls.take_back(sales.session, call.id, by=1, now=sales.now + 2 * MINUTE)
    again = sales.now + 9 * MINUTE
    acts.finish(sales.session, sales.session.scalars(select(Task.id)).one(), by=1, now=again)
    sales.works(again)
    leads.refold(sales.session, {dana}, again)
    assert sales.of("dana@example.com").answered_at == again


def sent(sales, message, at, *, answer="sent"):
    """What became of a mail, as whoever delivers it writes down."""
    row = sales.session.get_one(Message, message)
    draft = Draft(row.id, row.profile_id, row.channel, row.template, row.topic, row.purpose, None, row.data, 0, 0)
    record.settle(sales.session, [record.Verdict(draft, "channel", answer, "why", due_at=at if answer == "hold" else None)], at)
    sales.drains(at)


@pytest.mark.parametrize("outcome", ["reached", "not_interested"])
def test_somebody_else_s_answer_meanwhile_keeps_the_lead_answered(sales, dana, outcome):
    call = called(sales, dana, outcome)
    later = sales.now + 5 * MINUTE
    acts.log_call(sales.session, dana, outcome="reached", then=None, by=2, now=later)
    calls.take_back(sales.session, call.id, by=1, now=later + MINUTE)
    for _ in range(2):
        lead = sales.of("dana@example.com")
        assert (lead.status, lead.answered_at, lead.touched_by) == ("working", later, 2)
        sales.works(later + MINUTE)
        leads.refold(sales.session, {dana}, later + 2 * MINUTE)


@pytest.mark.parametrize("first", ["call", "task", "mail"])
def test_the_first_answer_that_remains_is_the_answer(sales, dana, first):
    install(sales.session, shipped_templates(), sales.now)
    call = called(sales, dana)
    then, last = sales.now + 5 * MINUTE, sales.now + 9 * MINUTE
    if first == "call":
        acts.log_call(sales.session, dana, outcome="reached", then=None, by=2, now=then)
    elif first == "mail":
        sent(sales, acts.write(sales.session, dana, template="abandoned_cart", by=2, now=sales.now + MINUTE), then)
    else:
        [task] = tasks.create(sales.session, [tasks.NewTask(dana, "other", "Send samples", last)], then)
        acts.finish(sales.session, task, by=2, now=then)
    acts.set_status(sales.session, dana, "qualified", by=2, now=last)
    calls.take_back(sales.session, call.id, by=1, now=last + MINUTE)
    sales.works(last + MINUTE)
    lead = sales.of("dana@example.com")
    assert (lead.answered_at, lead.touched_at) == (then, last)


@pytest.mark.parametrize("fate", ["drop", "hold", "sent"])
def test_a_mail_is_an_answer_once_it_went_out(sales, fate):
    install(sales.session, shipped_templates(), sales.now)
    sales.seller(1)
    dana = sales.lead().profile_id
    sales.works()
    tasks.create(sales.session, [tasks.NewTask(dana, "mail", "Write", sales.now)], sales.now)
    message = acts.write(sales.session, dana, template="abandoned_cart", by=1, now=sales.now)
    sales.works(sales.now + MINUTE)
    assert sales.of("dana@example.com").answered_at is None, "asked for is not written"
    then = sales.now + 2 * MINUTE
    sent(sales, message, then, answer=fate)
    sales.works(then + MINUTE)
    lead = sales.of("dana@example.com")
    left = sales.session.scalars(select(Task.outcome).where(Task.kind == "mail")).all()
    if fate == "sent":
        assert (lead.status, lead.answered_at, lead.touched_at, lead.touched_by, left) == ("working", then, then, 1, ["sent"])
        assert [one["status"] for one in sales.events("Lead Status Changed")] == ["working"]
        assert mails.unsent(sales.session, dana, lead, now=then) is None
    else:
        assert (lead.status, lead.answered_at, lead.touched_at, left) == ("new", None, None, [None])
        assert mails.unsent(sales.session, dana, lead, now=then) == message
        late = lead.answer_by + 40 * MINUTE
        sales.works(late)
        assert sales.events("Task Late"), "the first contact is still owed, and goes up"


def test_a_mail_heard_of_late_leaves_the_call_that_came_after_it_the_last_touch(sales, dana):
    install(sales.session, shipped_templates(), sales.now)
    message = acts.write(sales.session, dana, template="abandoned_cart", by=2, now=sales.now)
    called(sales, dana, now=sales.now + 2 * MINUTE)
    sent(sales, message, sales.now + MINUTE)
    lead = sales.of("dana@example.com")
    assert (lead.touched_at, lead.touched_by) == (sales.now + 2 * MINUTE, 1)
    assert queue.day(sales.session, 1, since=sales.now).done == 1


def test_a_call_with_somebody_who_became_a_lead_only_then_is_taken_back(sales):
    sales.happens(track("Page Viewed", {}, at=sales.now, user_id="noa@example.com", email="noa@example.com"))
    noa = sales.who("noa@example.com")
    call = called(sales, noa)
    sales.works(sales.now + MINUTE)
    sales.lead("noa@example.com", at=sales.now)
    assert sales.of("noa@example.com").status == "working"
    calls.take_back(sales.session, call.id, by=1, now=sales.now + 2 * MINUTE)
    sales.works(sales.now + 2 * MINUTE)
    assert (sales.of("noa@example.com").status, sales.of("noa@example.com").answered_at) == ("new", None)


def test_what_is_to_be_done_again_is_for_whoever_has_the_lead_by_now(sales, dana):
    call = called(sales, dana)
    acts.hand_to(sales.session, dana, sales.seller(2), by=1, now=sales.now + 2 * MINUTE)
    calls.take_back(sales.session, call.id, by=1, now=sales.now + 3 * MINUTE)
    assert sales.session.execute(select(Task.owner_id, Task.done_at)).all() == [(2, None)]


def test_it_is_taken_back_once_by_whoever_logged_it_and_within_the_hour(sales, dana):
    call = called(sales, dana)
    with pytest.raises(InvalidError):
        calls.take_back(sales.session, call.id, by=2, now=sales.now + 2 * MINUTE)
    with pytest.raises(InvalidError):
        calls.take_back(sales.session, call.id, by=1, now=sales.now + 2 * HOUR)
    with pytest.raises(NotFoundError):
        calls.take_back(sales.session, new_id(), by=1, now=sales.now)
    for minutes in (2, 3):
        assert calls.take_back(sales.session, call.id, by=1, now=sales.now + minutes * MINUTE).undone_at == sales.now + 2 * MINUTE
    assert calls.last(sales.session, by=1, now=sales.now + 4 * MINUTE) is None


@pytest.mark.parametrize("trusted", [True, False])
def test_only_our_own_word_takes_a_call_back(now, trusted):
    said = [("Lead Created", {}, "m1"), ("Call Logged", {"outcome": "reached"}, "call:1"), ("Call Withdrawn", {"voids": ["call:1", "m1"]}, "m2")]
    events = [
        Happened(UUID(int=1), now + place * MINUTE, place, 10, "track", name, "live", trusted or place < 2, (), about, {}, {}, now, message_id=number)
        for place, (name, about, number) in enumerate(said)
    ]
    found = state(events, Definitions())
    assert found is not None
    assert (found.status, found.answered_at) == (("new", None) if trusted else ("working", now + MINUTE))
