"""What is known of a person at a moment: nothing of later, whoever did it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import rates
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events.inbox import driver
from crm.scores import apply, features, train
from crm.scores.feature_list import BUILT_IN
from crm.scores.score import find
from tests import makers
from tests.scores.makers import happened, people, shop

CONTEXT = "UPDATE events SET context = CAST(:c AS jsonb) WHERE occurred_at = :at"
ACCOUNT = "INSERT INTO accounts (id, key, name, created_at) VALUES (:id, CAST(:id AS text), 'Works', :at)"
MEMBERS = """INSERT INTO account_members (account_id, profile_id, role, since, said_at, said_accepted)
SELECT CAST(:id AS uuid), unnest(CAST(:ids AS uuid[])), 'member', :at, :at, 1"""


def account(session: Session, members: list[uuid.UUID], at: dt.datetime) -> None:
    made = new_id()
    session.execute(text(ACCOUNT), {"id": made, "at": at})
    session.execute(text(MEMBERS), {"id": made, "ids": members, "at": at})


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_what_colleagues_did_is_no_leak(session: Session, now: dt.datetime) -> None:
    ids = shop(session, people_count=300, now=now)
    for start in range(0, 300, 5):
        account(session, ids[start : start + 5], now - dt.timedelta(days=399))
    version = train.train(session, find(session, "lead"), config=makers.config(), now=now)
    assert [one for one in version.metrics["refused"] if one["code"] == "late"] == []
    assert "members_30" in {one["name"] for one in version.features}


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (sum([0.1, 0.2, 0.3]), sum([0.3, 0.2, 0.1]), False),
        (0, 1e-12, False),
        (3, 4, True),
        (0.5, 0.51, True),
        ("a", "b", True),
        (None, 0, True),
        (None, None, False),
    ],
)
def test_a_sum_added_up_in_another_order_is_the_same_sum(one: object, other: object, differ: bool) -> None:
    assert features.differ(one, other) == differ


def test_what_colleagues_did_ends_at_the_cut_off(session: Session, now: dt.datetime) -> None:
    dana, yossi = people(session, [{}, {}], at=now - dt.timedelta(days=99))
    account(session, [dana, yossi], now - dt.timedelta(days=99))
    happened(session, [(yossi, "Page Viewed", now - dt.timedelta(days=day), {}) for day in (1, 2, 11, 12, 13, 70)])
    wanted = [one for one in BUILT_IN if one.name == "members_30"]
    for at, acts in ((now, 5), (now - dt.timedelta(days=10), 3)):
        statement = features.raw(apply.these([dana], now=at), wanted, makers.config(), told={})
        row = driver(session).execute(SQL("SELECT members_30 FROM ({}) x").format(statement)).fetchone()
        assert row == (acts,)


def test_every_family_of_features_counts_what_it_says(session: Session) -> None:
    friday = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
    dana, yossi = people(session, [{"language": "he-IL", "address": {"country": "IL"}}, {}], at=friday - dt.timedelta(days=300))
    account(session, [dana, yossi], friday - dt.timedelta(days=99))
    did = [("Page Viewed", 0.1, {}), ("Page Viewed", 1.7, {}), ("Product Viewed", 1.75, {"category": "tea"}), ("Product Viewed", 40, {"category": "mugs"}),
           ("Products Searched", 3, {}), ("Product Added", 4, {}), ("Checkout Started", 5, {}), ("Message Received", 7, {"sentiment": -0.5}),
           ("Order Completed", 50, {"revenue": "120.50", "currency": " nis"}), ("Order Completed", 100, {"revenue": 999, "currency": "EUR"}),
           ("Order Completed", 200, {"revenue": 20, "currency": "usd "}), ("Lead Created", 60, {}), ("Brewed", 8, {}), ("Page Viewed", -1, {}),
           ("Order Completed", -2, {"revenue": 900})]  # fmt: skip
    heard = [("Email Sent", 6, {}), ("Email Opened", 5.9, {"machine": False}), ("Email Opened", 5.95, {"machine": True}),
             ("Email Clicked", 5.8, {"machine": False}), ("Email Clicked", 5.85, {"machine": True}), ("Email Replied", 2, {})]  # fmt: skip
    happened(session, [(dana, name, friday - dt.timedelta(days=days), said) for name, days, said in did])
    happened(session, [(dana, name, friday - dt.timedelta(days=days), said) for name, days, said in heard], source_id=1)
    for days, rate in ((199, "5"), (201, "4"), (300, "3")):
        rates.put(session, "USD", rate, day=(friday - dt.timedelta(days=days)).date(), shop="ILS")
    happened(session, [(yossi, "Page Viewed", friday - dt.timedelta(days=9), {})])
    for days, context in ((0.1, {"device": {"type": "ios"}}), (1.7, {"userAgent": "X11"}), (40, {"campaign": {"source": "google", "name": "spring"}})):
        session.execute(text(CONTEXT), {"c": dumps(context), "at": friday - dt.timedelta(days=days)})
    wanted = [*BUILT_IN, features.own_event("Brewed")]
    statement = features.raw(apply.these([dana, yossi], now=friday), wanted, makers.config(), told={})
    cursor = driver(session).cursor(row_factory=dict_row)
    rows = {row["profile_id"]: row for row in cursor.execute(statement).fetchall()}
    found = {one.name: rows[dana][one.name] for one in wanted}
    assert {name: round(value, 2) if isinstance(value, float) else value for name, value in found.items()} == {
        "known_days": 300, "seen_days": 0.1, "days_7": 6, "days_30": 8, "acts_365": 16, "trend": 3.52, "visits_30": 6, "pages_30": 2,
        "depth_30": 0.38, "products_30": 1, "products_365": 2, "categories_90": 2, "searches_30": 1, "carts_30": 1, "cart_days": 4, "cart_waits": 1,
        "checkouts_30": 1, "orders_90": 1, "orders_365": 3, "order_days": 50, "value_365": 200.5, "average_order": 100.25, "sent_30": 1, "opened_90": 1,
        "clicked_90": 1, "replies_90": 2, "forms_365": 1, "evening": 0.2, "weekend": 0.1, "mobile": 0.5, "sentiment": -0.5, "members": 1, "members_30": 1,
        "source": "google", "campaign": "spring", "language": "he", "country": "IL", "did:Brewed": 1,
    }  # fmt: skip
    assert rows[yossi]["mobile"] is None, "a device that nobody named is no other device"


def test_visits_are_six_hours_apart(session: Session, now: dt.datetime) -> None:
    (dana,) = people(session, [{}], at=now - dt.timedelta(days=99))
    hours = (1, 2, 3, 8, 9, 15 * 24 + 1, 15 * 24 + 2, 29 * 24, 31 * 24)
    happened(session, [(dana, "Page Viewed", now - dt.timedelta(hours=hour), {}) for hour in hours])
    wanted = [one for one in BUILT_IN if one.name == "visits_30"]
    statement = features.raw(apply.these([dana], now=now), wanted, makers.config(), told={})
    assert driver(session).execute(SQL("SELECT visits_30 FROM ({}) x").format(statement)).fetchone() == (4,)


def test_every_day_of_the_calendar_is_a_date_and_no_other_is(session: Session, now: dt.datetime) -> None:
    days = ["2025-12-31", "2025-06-30", "2024-01-29", "2024-02-29", "2000-02-29", "2025-02-29", "2025-02-30", "2025-04-31", "1900-02-29", "31/12/2025"]
    ids = people(session, [{"came": day} for day in days], at=now - dt.timedelta(days=1))
    statement = features.raw(apply.these(ids, now=now), [features.imported("came", "date")], makers.config(), told={})
    found = dict(driver(session).execute(SQL('SELECT profile_id, "trait:came" FROM ({}) x').format(statement)).fetchall())
    ages = [found[one] for one in ids]
    assert ages[5:] == [None] * 5
    assert [round(age) for age in ages[:5]] == pytest.approx([(now.date() - dt.date.fromisoformat(day)).days for day in days[:5]], abs=1)


def test_acts_are_counted_once_however_few_people_the_server_believes_there_are(session: Session, now: dt.datetime) -> None:
    ids = people(session, [{} for _ in range(40)], at=now - dt.timedelta(days=99))
    happened(session, [(one, "Page Viewed", now - dt.timedelta(hours=5), {}) for one in ids])
    session.execute(text("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off"))  # as where it believes in one
    statement = features.raw(apply.these(ids, now=now), [one for one in BUILT_IN if one.agg], makers.config(), told={})
    (plan,) = driver(session).execute(SQL("EXPLAIN (ANALYZE, FORMAT JSON) {}").format(statement)).fetchone() or ((),)
    assert [node["Actual Loops"] for node in nodes(plan[0]["Plan"]) if node["Node Type"] == "Aggregate"] == [1]
