"""Leads that nobody has are taken with one key, given to some who sell at once, and taken back together."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, text

from crm.core.errors import InvalidError, NotFoundError
from crm.messages.deliver import latest
from crm.messages.models import Message
from crm.messages.preview import shown
from crm.messages.render import Person
from crm.messages.templates import install, shipped_templates
from crm.sales import acts, sharing
from crm.sales.models import Alert, Lead, Task
from crm.sales.queue import Filters
from tests.makers import track
from tests.sales.conftest import CONFIG

NOBODY = Filters("nobody")
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def crowd(sales):
    """Six leads that came when nobody sold, the first one best."""
    for number in range(6):
        sales.lead(f"p{number}@example.com", at=sales.now - number * MINUTE, source="fair" if number < 4 else "site")
    sales.works()
    sales.session.execute(text("UPDATE leads l SET rank = -extract(epoch FROM :now - created_at)"), {"now": sales.now})
    for user in (1, 2, 3):
        sales.seller(user)
    return sales


def shared(sales, among, *, filters=NOBODY, most=1000, by=3, now=None):
    return sharing.share(sales.session, filters, among=among, most=most, zone="UTC", by=by, now=now or sales.now)


def owners(sales):
    return sales.session.scalars(select(Lead.owner_id).order_by(Lead.created_at.desc())).all()


def test_many_leads_are_given_in_turn_with_their_tasks_and_each_seller_hears_once(crowd, session):
    assert sorted(shared(crowd, [1, 2]).values()) == [1, 1, 1, 2, 2, 2]
    assert sorted(session.scalars(select(Task.owner_id))) == [1, 1, 1, 2, 2, 2]
    assert sorted((one.user_id, one.kind, one.detail) for one in session.scalars(select(Alert))) == [(1, "assigned", {"more": 2}), (2, "assigned", {"more": 2})]
    crowd.works()
    assert [(said["owner"], said["by"]) for said in crowd.events("Lead Assigned")].count(("s1@shop.example", "hand")) == 3
    assert set(session.scalars(select(Lead.owner_by))) == {"hand"}


def test_the_best_are_given_first_and_only_those_of_the_filter(crowd):
    shared(crowd, [1], filters=Filters("nobody", source="fair"), most=2)
    assert owners(crowd) == [1, 1, None, None, None, None]


def test_what_nobody_has_room_for_stays(crowd, session):
    session.execute(text("UPDATE sellers SET most_open = 2 WHERE user_id = 1"))
    assert len(shared(crowd, [1])) == 2
    with pytest.raises(InvalidError):
        shared(crowd, [])


def test_taken_back_is_what_nobody_worked_on_since(crowd, session):
    given = shared(crowd, [1, 2])
    worked, handed = list(given)[:2]
    acts.log_call(session, worked, outcome="reached", then=None, by=1, now=crowd.now + MINUTE)
    acts.hand_to(session, handed, 3, by=3, now=crowd.now + MINUTE)
    session.execute(text("UPDATE sellers SET active = false"))
    assert sharing.take_back(session, crowd.now, {1, 2}, by=3, now=crowd.now + 2 * MINUTE) == 4
    crowd.works(crowd.now + 2 * MINUTE)
    assert set(session.scalars(select(Lead.profile_id).where(Lead.owner_id.is_not(None)))) == {worked, handed}
    assert sharing.take_back(session, crowd.now, {1, 2}, by=3, now=crowd.now + 3 * MINUTE) == 0


@pytest.mark.parametrize(("language", "subject", "button"), [("en", "6 new leads for you", "Open your leads"), ("he", "6 לידים חדשים בשבילך", "ללידים שלי")])
def test_the_mail_about_several_leads_says_how_many_and_leads_to_all_of_them(crowd, session, language, subject, button):
    install(session, shipped_templates(), crowd.now)
    shared(crowd, [1])
    crowd.works()
    crowd.works()
    version = latest(session, {"sales_alert"})["sales_alert"]
    version.sample = {"data": (data := session.scalars(select(Message.data)).one())}
    mail = shown(version, CONFIG, Person("", "Yossi", {}), None, language)
    assert (mail.problem, subject in mail.subject, button in mail.text) == (None, True, True)
    assert data["url"] == f"{CONFIG.base_url}/leads"


def test_leads_of_somebody_who_left_go_to_those_who_stay(crowd, session):
    shared(crowd, [1, 2])
    assert sharing.leave(session, 1, now=crowd.now + MINUTE) == 3
    session.expire_all()
    assert [owner for owner in owners(crowd) if owner] == [2] * 3
    crowd.works(crowd.now + MINUTE)
    session.expire_all()
    assert set(owners(crowd)) == set(session.scalars(select(Task.owner_id))) == {2, 3}


def test_whoever_takes_a_lead_first_has_it(crowd, session):
    who = crowd.who("p0@example.com")
    for _ in range(2):
        acts.take(session, who, by=1, now=crowd.now)
    with pytest.raises(InvalidError, match="faster"):
        acts.take(session, who, by=2, now=crowd.now)
    assert session.get_one(Lead, who, populate_existing=True).owner_id == 1
    crowd.happens(track("Page Viewed", {}, at=crowd.now, user_id="x@example.com", email="x@example.com"))
    with pytest.raises(NotFoundError):
        acts.take(session, crowd.who("x@example.com"), by=2, now=crowd.now)
