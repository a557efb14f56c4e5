"""Traits that are counted: what they say, since when, from how many events; kept in step by the job."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import computed
from crm.commerce.computed import Computed
from crm.commerce.computed_sql import AFFINITY, HABITS
from crm.core.errors import InvalidError
from crm.events.models import HISTORY, LIVE, SYSTEM_SOURCE
from crm.events.spec import Call
from crm.profiles.find import find
from crm.profiles.rebuild import differences
from tests import makers
from tests.makers import SHOP, accepted, identify, track
from workers import pipeline

CONFIG = makers.config()
ME = "dana"


@pytest.fixture(autouse=True)
def months(session: Session, now: dt.datetime) -> None:
    """The log reaches two years back."""
    from crm.core import partitions

    partitions.ensure(session, "events", sorted({partitions.month_bounds(now - dt.timedelta(days=28 * n)) for n in range(27)}))


def happen(session: Session, now: dt.datetime, *calls: Call, source_id: int = SHOP, compute: bool = True) -> None:
    old = (now - dt.timedelta(days=89)).isoformat()
    batch = [accepted(call, now, source_id=source_id, origin=HISTORY if (call.timestamp or "") < old else LIVE) for call in calls]
    pipeline.run(session, batch, now, CONFIG)
    if compute:
        ids = list(session.scalars(text("DELETE FROM computed_dirty RETURNING profile_id")))
        computed.recompute(session, sorted(set(ids)), CONFIG, now)


def order(number: int, at: dt.datetime, total: str = "100", who: str = ME, **more: Any) -> Call:
    return track("Order Completed", {"order_id": f"{who}-{number}", "revenue": total, "currency": "ILS"} | more, at=at, user_id=who)


def traits(session: Session, who: str = ME) -> dict[str, Computed]:
    profile_id = find(session, "user_id", who)
    assert profile_id is not None
    return {one.name: one for one in computed.of(session, profile_id)}


def days(n: float) -> dt.timedelta:
    return dt.timedelta(days=n)


def test_orders_say_how_many_how_much_how_often_and_since_when(session: Session, now: dt.datetime) -> None:
    happen(session, now, order(1, now - days(40)), order(2, now - days(20), "300"), order(3, now - days(10), "50", currency="USD"))
    found = traits(session)
    first = now - days(40)
    assert (found["orders"].value, found["orders"].since, found["orders"].events) == (3, first, 3)
    assert (found["revenue"].value, found["revenue"].events) == (400, 2)  # the shop's currency; dollars stand apart
    assert found["average_order"].value == 200
    assert found["order_every_days"].value == 15
    assert dt.datetime.fromisoformat(found["last_order"].value) == now - days(10)
    assert found["last_seen"].events == 3


def test_a_refund_and_a_cancellation_count_at_once(session: Session, now: dt.datetime) -> None:
    happen(session, now, order(1, now - days(5)), order(2, now - days(4), "30"))
    happen(session, now, track("Order Refunded", {"order_id": "dana-1", "amount": "40"}, at=now, user_id=ME))
    happen(session, now, track("Order Cancelled", {"order_id": "dana-2"}, at=now, user_id=ME))
    found = traits(session)
    assert (found["orders"].value, found["revenue"].value) == (1, 60)


@pytest.mark.parametrize(("totals", "shrinks"), [(["100", "100", "50", "40"], True), (["100", "100", "90", "90"], False), (["100", "10", "10"], None)])
def test_a_basket_shrinks_where_the_last_two_are_a_fifth_smaller_than_those_before(
    session: Session, now: dt.datetime, totals: list[str], shrinks: bool | None
) -> None:
    happen(session, now, *(order(n, now - days(50 - 10 * n), total) for n, total in enumerate(totals)))
    found = traits(session).get("shrinking_basket")
    assert (found.value if found else None) == shrinks


def test_opens_count_where_a_person_opened_and_the_hour_is_the_persons_own(session: Session, now: dt.datetime) -> None:
    at = (now - days(3)).replace(hour=18, minute=0)
    happen(session, now, identify({"timezone": "America/New_York"}, at=at - days(1), user_id=ME), identify({"timezone": "Nowhere/None"}, at=at, user_id="omri"),
           identify({"address": {"country": "JP"}}, at=at, user_id="yuki"))  # fmt: skip
    for who, machine in ((ME, False), (ME, True), ("omri", False), ("yuki", False)):
        profile_id = str(find(session, "user_id", who))
        opened = Call(type="track", event="Email Opened", profile_id=profile_id, properties={"machine": machine}, timestamp=at.isoformat())
        happen(session, now, opened, source_id=SYSTEM_SOURCE)
    found = traits(session)
    assert (found["last_open"].events, found["preferred_channel"].value) == (1, "email")
    assert found["preferred_hour"].value in {13, 14}  # New York, summer or winter
    assert traits(session, "omri")["preferred_hour"].value in {20, 21}  # an unknown zone counts as the installation's
    assert traits(session, "yuki")["preferred_hour"].value == 3  # of a country that has one zone, that
    assert "last_click" not in found


def test_habits_are_of_a_whole_life_so_that_no_later_count_differs(session: Session, now: dt.datetime) -> None:
    happen(session, now, identify({}, at=now - days(400), user_id=ME))
    opened = Call(type="track", event="Email Opened", profile_id=str(find(session, "user_id", ME)), timestamp=(now - days(400)).isoformat())
    happen(session, now, opened, source_id=SYSTEM_SOURCE)
    happen(session, now, *(track("Product Viewed", {"sku": name, "category": name}, at=now - days(300), user_id=ME) for name in ("Tea", "Tea", "Coffee")))
    before = traits(session)
    assert dt.datetime.fromisoformat(before["last_open"].value) == now - days(400)
    assert before["category_affinity"].value == {"Tea": 0.67, "Coffee": 0.33}
    computed.recompute(session, list(session.scalars(text("SELECT id FROM profiles"))), CONFIG, now + days(400))
    after = traits(session)
    assert [after.get(name) for name in (*HABITS, *AFFINITY)] == [before.get(name) for name in (*HABITS, *AFFINITY)]


def test_what_was_looked_at_lately_weighs_more_and_an_order_more_than_a_look(session: Session, now: dt.datetime) -> None:
    looks = [track("Product Viewed", {"product_id": "t", "category": "Tea", "brand": "Wissotzky"}, at=now - days(60), user_id=ME) for _ in range(4)]
    bought = track("Order Completed", {"order_id": "1", "products": [{"product_id": "c", "category": "Coffee", "price": "9"}]}, at=now - days(1), user_id=ME)
    happen(session, now, *looks, bought)
    found = traits(session)
    shares = found["category_affinity"].value
    assert shares["Coffee"] == pytest.approx(4.886 / (4.886 + 1), abs=0.01)  # five points a day old; four looks, two half-lives ago
    assert shares["Coffee"] + shares["Tea"] == pytest.approx(1, abs=0.011)
    assert (found["category_affinity"].since, found["category_affinity"].events) == (now - days(60), 5)
    assert found["brand_affinity"].value == {"Wissotzky": 1}


@pytest.mark.parametrize(
    ("ages", "stage", "since"),
    [([], "visitor", 0), ([10], "first_order", 10), ([40, 10], "repeat", 10), ([70, 40, 10], "loyal", 10), ([80], "at_risk", 20), ([200], "lost", 80),
     ([490, 290, 90], "loyal", 90)],
)  # fmt: skip
def test_the_stage_of_life_follows_a_persons_own_rhythm(session: Session, now: dt.datetime, ages: list[int], stage: str, since: int) -> None:
    happen(session, now, track("Page Viewed", {}, at=now, user_id=ME), *(order(n, now - days(age)) for n, age in enumerate(ages)))
    found = traits(session)["lifecycle"]
    assert (found.value, found.events) == (stage, len(ages))
    if ages:
        assert found.since == now - days(since)
    assert traits(session)["silent"].value is False


@pytest.mark.parametrize(
    ("name", "said", "silent"),
    [("Email Sent", {}, True), ("Segment Entered", {}, True), ("Email Opened", {"machine": True}, True), ("Email Link Clicked", {"machine": False}, False)],
)
def test_what_kesher_does_breaks_nobodys_silence(session: Session, now: dt.datetime, name: str, said: dict[str, Any], silent: bool) -> None:
    happen(session, now, order(1, now - days(80)))
    me = find(session, "user_id", ME)
    happen(
        session, now, Call(type="track", event=name, profile_id=str(me), message_id="m1", properties=said, timestamp=now.isoformat()), source_id=SYSTEM_SOURCE
    )
    computed.recompute(session, [me], CONFIG, now)
    last = session.scalar(text("SELECT last_seen FROM profiles WHERE id = :me"), {"me": me})
    assert (traits(session)["silent"].value, last) == (silent, now - days(80) if silent else now)
    assert differences(session) == []


def test_ranks_come_from_the_whole_base_and_time_alone_moves_people_on(session: Session, now: dt.datetime) -> None:
    for n in range(10):
        who = f"p{n}"
        happen(session, now, *(order(i, now - days(10 * (10 - n) + i), str(10 * (n + 1)), who) for i in range(n + 1)))
    assert "rfm" not in traits(session, "p9")
    while computed.go_round(session, CONFIG, now):
        pass
    assert (traits(session, "p9")["rfm"].value, traits(session, "p0")["rfm"].value) == ("555", "111")
    happen(session, now, order(99, now - days(1), "9999", "p0"), order(98, now - days(1), "1", "p0"))
    assert traits(session, "p0")["rfm"].value == "525"  # at the next event already, by the bounds of the last round
    later = now + days(400)
    assert computed.go_round(session, CONFIG, later)
    assert (traits(session, "p9")["lifecycle"].value, traits(session, "p9")["silent"].value) == ("lost", True)
    assert computed.go_round(session, CONFIG, later) == []


def test_a_joined_profile_has_one_set_of_traits(session: Session, now: dt.datetime) -> None:
    viewed = track("Product Viewed", {"product_id": "t", "category": "Tea"}, at=now - days(2), anonymous_id="b1")
    happen(session, now, viewed)
    before = session.scalars(text("SELECT profile_id FROM computed_traits")).all()
    happen(session, now, order(1, now - days(1)))
    happen(session, now, identify({}, at=now, user_id=ME, anonymous_id="b1"))
    assert {"category_affinity", "orders"} <= traits(session).keys()
    owners = set(session.scalars(text("SELECT profile_id FROM computed_traits")))
    assert owners == {find(session, "user_id", ME)}
    assert set(before) - owners


@pytest.mark.parametrize(
    ("aggregate", "value", "events"),
    [("count", 3, 3), ("sum", 42.5, 3), ("avg", 21.25, 3), ("min", 2.5, 3), ("max", 40, 3), ("first", "2.5", 3), ("last", "forty", 3), ("distinct", 3, 3)],
)
def test_a_trait_of_ones_own_puts_events_together(session: Session, now: dt.datetime, aggregate: str, value: Any, events: int) -> None:
    for n, points in enumerate(["2.5", "40", "forty"]):
        happen(session, now, track("Points Earned", {"points": points}, at=now - days(9 - n), user_id=ME), compute=False)
    computed.define(session, name="points", title="Points", event="Points Earned", aggregate=aggregate, property_="points", days=None)
    happen(session, now, track("Page Viewed", {}, at=now, user_id=ME))
    found = traits(session)["points"]
    assert (found.value, found.events, found.since) == (value, events, now - days(9))
    assert computed.drop(session, "points")
    assert "points" not in traits(session)


def test_a_window_forgets_what_is_older(session: Session, now: dt.datetime) -> None:
    computed.define(session, name="visits_30", title="Visits", event="Page Viewed", aggregate="count", property_=None, days=30)
    happen(session, now, track("Page Viewed", {}, at=now - days(40), user_id=ME), track("Page Viewed", {}, at=now - days(2), user_id=ME))
    assert traits(session)["visits_30"].value == 1
    assert computed.go_round(session, CONFIG, now + days(29))
    assert "visits_30" not in traits(session)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "Orders!"}, {"name": "orders"}, {"aggregate": "median"}, {"aggregate": "sum"}, {"event": " "}, {"days": 0}, {"days": 99999}],
)
def test_a_wrong_definition_is_refused_with_a_sentence(session: Session, wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"name": "visits", "title": "", "event": "Page Viewed", "aggregate": "count", "property_": None, "days": None}
    with pytest.raises(InvalidError):
        computed.define(session, **right | wrong)


def test_a_number_written_oddly_breaks_nobody(session: Session, now: dt.datetime) -> None:
    computed.define(session, name="worth", title="", event="Thing", aggregate="sum", property_="x", days=None)
    odd = ["1e400", "NaN", "", None, True, [1], {"a": 1}, "7", 1e300, 0.1 + 0.2, 3.3333333333]
    happen(session, now, *(track("Thing", {"x": x, "category": x, "products": x}, at=now - days(1), user_id=ME) for x in odd))
    assert traits(session)["worth"].value == 10.63


def test_nothing_is_left_of_a_profile_that_is_no_more(session: Session, now: dt.datetime) -> None:
    computed.mark(session, [uuid.uuid4()])
    happen(session, now)
    assert session.scalar(text("SELECT count(*) FROM computed_traits")) == 0
