"""Who gets a lead: rules in order, fair turns, duty and room; and two workers at once stay fair."""

from __future__ import annotations

import datetime as dt
import threading
import uuid

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.db import engine_for
from crm.core.ids import new_id
from crm.sales import assign, settings, work
from crm.sales.assign import Standing, Wanting, choose
from crm.sales.hours import Hours
from crm.sales.settings import AssignRule
from tests.sales.conftest import CONFIG

EARLY, LATE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
ANNA = Standing(1, True, 0, 10, frozenset({"he"}), frozenset({"haifa"}), LATE)
BEN = Standing(2, True, 5, 10, frozenset({"en", "he"}), frozenset({"eilat"}), EARLY)
LEAD = Wanting(uuid.UUID(int=1), "fair", "he", frozenset({"haifa", "il"}))


@pytest.mark.parametrize(
    ("kinds", "lead", "owner"),
    [
        (["round_robin"], LEAD, 2),
        (["capacity"], LEAD, 1),
        (["territory", "round_robin"], LEAD, 1),
        (["territory"], Wanting(LEAD.profile_id, places=frozenset({"lod"})), None),
        (["language"], Wanting(LEAD.profile_id, language="en"), 2),
        (["account_owner", "round_robin"], Wanting(LEAD.profile_id, account_owners=frozenset({1})), 1),
        (["round_robin"], Wanting(LEAD.profile_id, owner_id=2), 1),
    ],
)
def test_the_first_rule_that_finds_somebody_decides(kinds, lead, owner):
    found = choose([AssignRule(kind=kind) for kind in kinds], lead, [ANNA, BEN])
    assert (found[0] if found else None) == owner


def test_a_rule_may_be_for_some_sources_and_some_people():
    rules = [AssignRule(kind="round_robin", sources=("ads",), people=(1,)), AssignRule(kind="round_robin", people=(2,))]
    assert choose(rules, Wanting(LEAD.profile_id, "ads"), [ANNA, BEN]) == (1, "round_robin")
    assert choose(rules, LEAD, [ANNA, BEN]) == (2, "round_robin")


def test_whoever_is_off_duty_comes_second_or_is_waited_for():
    off = Standing(3, False, 0, 10, last=EARLY)
    rules = [AssignRule(kind="round_robin")]
    assert choose(rules, LEAD, [ANNA, off]) == (1, "round_robin")
    assert choose(rules, LEAD, [off]) == (3, "round_robin")
    assert choose(rules, LEAD, [off], wait=True) is None


def test_whoever_is_full_gets_no_more_but_a_companys_owner_does():
    full = Standing(4, True, 10, 10)
    assert choose([AssignRule(kind="round_robin")], LEAD, [full]) is None
    assert choose([AssignRule(kind="account_owner")], Wanting(LEAD.profile_id, account_owners=frozenset({4})), [full]) == (4, "account_owner")


def test_ten_leads_are_shared_out_evenly(sales):
    for user in (1, 2):
        sales.seller(user)
    for number in range(10):
        sales.lead(f"p{number}@example.com")
    sales.works()
    rows = sales.session.execute(text("SELECT owner_id, count(*) FROM leads GROUP BY 1 ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [(1, 5), (2, 5)]


def test_a_lead_waits_for_working_hours_where_the_company_says_so(sales):
    sales.settings(off_duty="wait")
    tomorrow = (sales.now + dt.timedelta(days=1)).astimezone(dt.UTC)
    sales.seller(1, away_until=tomorrow)
    sales.lead()
    sales.works()
    assert sales.of("dana@example.com").owner_id is None
    sales.works(tomorrow + dt.timedelta(minutes=1))
    assert sales.of("dana@example.com").owner_id == 1


def test_two_workers_at_once_stay_fair(fresh_url, now):
    engine = engine_for(fresh_url)
    with Session(engine) as session:
        settings.save(session, {}, now)
        for user in (1, 2):
            session.execute(
                text("INSERT INTO sellers (user_id, name, email, weekdays, starts, ends) VALUES (:u, 'x', 'x', '{0,1,2,3,4,5,6}', 0, 1440)"), {"u": user}
            )
        for _ in range(40):
            one = new_id()
            session.execute(text("INSERT INTO profiles (id, bucket, first_seen, last_seen) VALUES (:i, 1, :now, :now)"), {"i": one, "now": now})
            session.execute(text("INSERT INTO leads (profile_id, status_at, created_at, check_at) VALUES (:i, :now, :now, :now)"), {"i": one, "now": now})
        session.commit()

    def worker() -> None:
        more = True
        while more:
            with Session(engine) as session:
                more = bool(work.step(session, CONFIG, now))
                session.commit()

    monkey, work.AT_ONCE = work.AT_ONCE, 7
    threads = [threading.Thread(target=worker) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    work.AT_ONCE = monkey
    with Session(engine) as session:
        shares = [row[0] for row in session.execute(text("SELECT count(*) FROM leads GROUP BY owner_id"))]
        assert session.scalar(text("SELECT count(*) FROM tasks")) == 40
    engine.dispose()
    assert sorted(shares) == [20, 20]


def test_a_promise_counts_working_minutes_only():
    hours = Hours((6, 0, 1, 2, 3), 540, 1080, "Asia/Jerusalem")
    thursday = dt.datetime(2026, 1, 1, 15, 30, tzinfo=dt.UTC)  # 17:30 there, half an hour before closing
    assert hours.deadline(thursday, dt.timedelta(hours=1)) == dt.datetime(2026, 1, 4, 7, 30, tzinfo=dt.UTC)  # Sunday, 9:30
    assert hours.on(thursday)
    assert not hours.on(thursday + dt.timedelta(hours=1))
    assert hours.next_start(thursday + dt.timedelta(hours=1)) == dt.datetime(2026, 1, 4, 7, tzinfo=dt.UTC)
    assert Hours((), 0, 0, "UTC").deadline(thursday, dt.timedelta(hours=1)) == thursday + dt.timedelta(hours=1)


def test_sellers_know_their_load(sales):
    sales.seller(1)
    sales.lead()
    sales.works()
    [anna] = assign.sellers(sales.session, rules=settings.read(sales.session), zone="UTC", now=sales.now)
    assert (anna.open, anna.on_duty) == (1, True)


@pytest.mark.parametrize(
    ("starts", "ends", "hour", "nearest"),
    [(540, 1080, 23, 17), (540, 1080, 3, 9), (540, 1080, 12, 12), (570, 1065, 9, 10), (570, 1065, 17, 16), (600, 600, 3, 3)],
)
def test_a_call_is_advised_within_working_hours(starts: int, ends: int, hour: int, nearest: int) -> None:
    assert Hours((0, 1), starts, ends, "Asia/Jerusalem").nearest(hour) == nearest
