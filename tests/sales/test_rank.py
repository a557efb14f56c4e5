"""The order of the queue: one formula, explained; it needs no writing again while time passes, but at its steps."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from crm.events import inbox
from crm.messages import deliver
from crm.messages import facts as facts_
from crm.messages.templates import install, shipped_templates
from crm.sales import alerts, deals, queue, rank, work
from crm.sales.queue import Filters
from crm.sales.rank import Facts
from crm.sales.settings import SalesSettings
from tests.makers import identify, track
from tests.sales.conftest import CONFIG

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
RULES = SalesSettings()
DAY = dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Facts(NOW, chance=0.6), Facts(NOW, chance=0.3)),
        (Facts(NOW, deals=Decimal(5000)), Facts(NOW, chance=0.9)),
        (Facts(NOW, chance=0.3), Facts(NOW - 30 * DAY, chance=0.3)),
        (Facts(NOW, answer_by=NOW - DAY), Facts(NOW, answer_by=NOW + dt.timedelta(minutes=10))),
        (Facts(NOW, answer_by=NOW + dt.timedelta(minutes=10)), Facts(NOW, answer_by=NOW + dt.timedelta(minutes=50))),
        (Facts(NOW, next_at=NOW), Facts(NOW)),
        (Facts(NOW), Facts(NOW, next_at=NOW + DAY)),
        (Facts(NOW), Facts(NOW, load_step=1)),
    ],
)
def test_what_comes_first(better, worse):
    assert rank.rank(better, RULES, NOW).rank > rank.rank(worse, RULES, NOW).rank


facts = st.builds(
    Facts,
    last_seen=st.integers(0, 1000).map(lambda hours: NOW - dt.timedelta(hours=hours)),
    chance=st.floats(0.01, 1),
    answer_by=st.one_of(st.none(), st.integers(-48, 48).map(lambda hours: NOW + dt.timedelta(hours=hours))),
    next_at=st.one_of(st.none(), st.integers(-48, 48).map(lambda hours: NOW + dt.timedelta(hours=hours))),
)


@given(facts, st.integers(1, 3000))
def test_a_kept_rank_stays_true_until_its_next_change(one, minutes):
    made, later = rank.rank(one, RULES, NOW), NOW + dt.timedelta(minutes=minutes)
    again = rank.rank(one, RULES, later)
    if made.next_change is None or later < made.next_change:
        assert again.rank == pytest.approx(made.rank)
    assert made.rank == pytest.approx(math.log2(float(made.worth) * made.step * made.recency * made.capacity) + (NOW - rank.EPOCH) / dt.timedelta(days=14))


def test_a_rank_changes_by_itself_when_its_time_comes(sales, session):
    sales.seller(1)
    sales.lead()
    sales.works()
    first = sales.of("dana@example.com").rank
    sales.works(sales.now + dt.timedelta(minutes=31))
    second = sales.of("dana@example.com").rank
    sales.works(sales.now + dt.timedelta(minutes=61))
    assert [round(second - first), round(sales.of("dana@example.com").rank - first)] == [1, 2]


def test_a_deal_makes_its_lead_worth_what_it_will_bring(sales, session):
    sales.lead()
    who = sales.who("dana@example.com")
    deals.open_deal(session, deals.NewDeal(who, "Boxes", "ILS", Decimal(4000), stage="quote"), by=deals.By(), now=sales.now)
    sales.works()
    assert sales.of("dana@example.com").worth == 2000


def test_owners_with_more_than_they_can_take_rank_lower(sales, session):
    sales.seller(1, most_open=1)
    for number in range(3):
        sales.lead(f"p{number}@example.com")
    session.execute(text("UPDATE leads SET owner_id = 1, owner_at = :now"), {"now": sales.now})
    sales.works()
    before = sales.of("p0@example.com").rank
    assert rank.measure_loads(session, sales.now) == 1
    assert sales.of("p0@example.com").rank == before - 2
    assert rank.measure_loads(session, sales.now) == 0
    rank.refresh(session, profile_ids=[sales.who("p0@example.com")], shop="ILS", now=sales.now)
    assert sales.of("p0@example.com").rank == pytest.approx(before - 2)


def test_pages_by_key_give_every_lead_once_and_in_order(sales, session):
    sales.seller(1, most_open=1000)
    for number in range(25):
        sales.lead(f"p{number}@example.com", source="fair" if number % 2 else "ads")
    sales.works()
    for sort in ("best", "due"):
        seen, after = [], None
        while True:
            page = queue.page(session, Filters(owner=1, sort=sort), shop="ILS", now=sales.now, after=after, limit=7)
            seen += page.rows
            if page.next is None:
                break
            after = page.next
        assert len({row.profile_id for row in seen}) == len(seen) == 25
        assert sort == "due" or [row.rank for row in seen] == sorted((row.rank for row in seen), reverse=True)
    rest = {"shop": "ILS", "now": sales.now, "limit": 50}
    assert len(queue.page(session, Filters(view="all", source="fair"), **rest).rows) == 12
    assert queue.page(session, Filters(view="nobody"), **rest).rows == []


def test_a_score_that_comes_first_leaves_the_lead_waiting_for_its_owner(sales, session):
    sales.lead()
    rank.refresh(session, profile_ids=[sales.who("dana@example.com")], shop="ILS", now=sales.now)
    sales.seller(1)
    sales.works()
    assert sales.of("dana@example.com").owner_id == 1


def test_a_score_that_comes_meanwhile_leaves_the_lead_waiting_for_whoever_comes_on_duty(sales, session):
    sales.lead()
    sales.works()
    soon = sales.of("dana@example.com").check_at
    rank.refresh(session, profile_ids=[sales.who("dana@example.com")], shop="ILS", now=sales.now)
    assert soon == sales.of("dana@example.com").check_at == sales.now + work.RETRY


def test_an_address_that_leads_nowhere_is_told_once_a_day(sales, session):
    sales.seller(1)
    sales.lead()
    for _ in range(3):
        work.step(session, CONFIG, sales.now)
    assert session.scalar(text("SELECT count(*) FROM event_inbox WHERE body LIKE '%seller:s1@shop.example%'")) == 1


def test_a_hot_page_tells_the_owner_once_a_day(sales, session):
    sales.seller(1)
    sales.lead()
    sales.works()
    for _ in range(2):
        sales.happens(track("Page Viewed", {"path": "/pricing/b2b"}, at=sales.now, user_id="dana@example.com"))
    kinds = [one.kind for one in alerts.latest(session, 1)]
    assert kinds == ["hot_page", "assigned"]
    assert alerts.unseen(session, 1) == 2


def test_a_jump_of_the_score_tells_the_owner(sales, session):
    sales.seller(1)
    sales.lead()
    sales.works()
    said = {"kind": "lead", "band": "hot", "was": "cool", "probability": 0.7}
    inbox.append(session, [inbox.system_event("Score Band Changed", sales.who("dana@example.com"), said, cause=None, hops=1)], sales.now)
    sales.works()
    assert alerts.latest(session, 1)[0].kind == "score_jump"


def test_alerts_are_mailed_to_the_profile_of_whoever_sells(sales, session):
    install(session, shipped_templates(), sales.now)
    sales.seller(1)
    sales.lead()
    sales.works()
    sales.works()
    row = session.execute(
        text("SELECT m.status, m.template, m.purpose, i.value FROM messages m JOIN identities i ON i.profile_id = m.profile_id AND i.kind = 'email'")
    ).one()
    assert tuple(row) == ("queued", "sales_alert", "transactional", "s1@shop.example")
    assert work.step(session, CONFIG, sales.now) == 0


@pytest.mark.parametrize(
    "claims",
    [
        [("mallory", "mallory@evil.example"), ("mallory", "s1@shop.example")],
        [("seller:s1@shop.example", "mallory@evil.example")],
        [(None, "mallory@evil.example"), (None, "s1@shop.example")],
    ],
)
def test_alerts_go_to_the_sellers_own_address_whoever_claimed_it_before(sales, session, claims):
    install(session, shipped_templates(), sales.now)
    before = sales.now - DAY
    for who, email in claims:
        sales.happens(identify({"email": email}, at=before, user_id=who, anonymous_id="m1"), trusted=False, now=before)
    sales.seller(1)
    sales.lead()
    sales.works()
    drafts = deliver.claim(session, sales.now, 10)
    known = facts_.read(session, drafts, CONFIG, sales.now)
    assert [known.facts[draft.id].address for draft in drafts] == ["s1@shop.example"]


def test_alerts_that_cannot_be_mailed_stand_in_nobodys_way_and_are_let_go_after_a_day(sales, session):
    install(session, shipped_templates(), sales.now)
    for user, email in ((1, "no address"), (2, "s2@shop.example"), (3, "s3@shop.example")):
        sales.seller(user, email=email)
    sales.happens(identify({"email": "s3@shop.example"}, at=sales.now, user_id="seller:s3@shop.example"))
    sales.lead()
    who = sales.who("dana@example.com")
    for user in (1, 1, 2, 2, 3):
        made = "INSERT INTO alerts (user_id, kind, profile_id, key, at, mail) VALUES (:user, 'hot_page', :who, gen_random_uuid(), :now, true)"
        session.execute(text(made), {"user": user, "who": who, "now": sales.now})
    assert alerts.mail(session, base_url="", now=sales.now, limit=2) == 1
    assert alerts.mail(session, base_url="", now=sales.now + DAY + DAY / 24, limit=2) == 0
    assert session.scalar(text("SELECT count(*) FROM alerts WHERE mail")) == 0
