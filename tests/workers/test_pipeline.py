"""The pipeline under load and under attack: one poisonous event, two workers, restarts."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import string
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from crm.commerce import rebuild
from crm.core import db
from crm.core.db import is_passing
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.source import detail_of
from crm.events.spec import Accepted, Call
from crm.profiles.rebuild import differences
from tests import makers
from tests.waiting import PATIENCE
from workers import pipeline

LONG = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=9_000))  # too long for any index, and no packing makes it shorter
CONFIG = makers.config()


@pytest.fixture
def sessions(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = db.engine_for(fresh_url)
    yield db.sessions(engine)
    engine.dispose()


def put(sessions: sessionmaker[Session], calls: list[Call], now: dt.datetime, *, trusted: bool = True) -> None:
    with sessions() as session:
        shop = makers.source(session)
        for number, call in enumerate(calls):
            call.message_id = call.message_id or f"m{number}"
        inbox.append(session, [NewRow(shop, trusted, LIVE, call) for call in calls], now)
        session.commit()


def drain(sessions: sessionmaker[Session]) -> int:
    done = 0
    while taken := pipeline.drain(sessions, CONFIG):
        done += taken
    return done


def asked(sessions: sessionmaker[Session], statement: str) -> list[Any]:
    with sessions() as session:
        return list(session.execute(text(statement)).all())


POISON = {
    "a name too long for the index of the log": {"event": LONG},
    "a kind of identifier too long for its key": {"external_ids": [{"type": LONG, "id": "1"}]},
    "a messageId of any length": {"message_id": LONG},
    "an order number of any length": {"event": "Order Completed", "properties": {"order_id": LONG, "revenue": 1}},
    "a cart number of any length": {"event": "Product Added", "properties": {"cart_id": LONG, "product_id": LONG, "price": 1}},
    "a trait whose name is long": {"type": "identify", "traits": {LONG: LONG, "name": LONG, "email": LONG, "city": LONG}},
    "words without end": {"type": "identify", "traits": {"name": " ".join(LONG[i : i + 9] for i in range(0, 9000, 9)), "city": [["x"]], "address": "x"}},
    "things of the wrong shape": {
        "event": "Cart Updated",
        "properties": {"products": [1, None, {"product_id": [], "sku": {}}, {"product_id": "p", "price": {}}]},
    },
    "money beyond measure": {"event": "Order Completed", "properties": {"order_id": "o", "products": [{"price": 1e12, "quantity": 1e12}] * 3}},
    "a cart beyond measure": {"event": "Cart Updated", "properties": {"cart_id": "z", "products": [{"product_id": "p", "price": 9e12, "quantity": 9e12}]}},
    "consent of the wrong shape": {"context": {"consent": {"categoryPreferences": {"x": True, "y": {}}}, "traits": []}},
    "a time before time": {"timestamp": "0001-01-01T00:00:00+14:00"},
    "a time after time": {"timestamp": "9999-12-31T23:59:59-14:00"},
    "a hundred years ago": {"timestamp": "1926-11-22T00:00:00Z", "sent_at": "2026-11-22T00:00:00Z"},
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_one_poisonous_call_stops_none_of_its_neighbours(sessions: sessionmaker[Session], now: dt.datetime, poison: dict[str, Any]) -> None:
    calls = [makers.track("Page Viewed", at=now, anonymous_id=f"a{n}") for n in range(40)]
    calls.insert(17, Call(**{"type": "track", "event": "Page Viewed", "user_id": "u"} | poison))
    put(sessions, calls, now)
    assert drain(sessions) == 41
    ((kept,),) = asked(sessions, "SELECT count(*) FROM events WHERE name = 'Page Viewed' AND identities->0->>0 = 'anonymous_id'")
    ((held,),) = asked(sessions, "SELECT count(*) FROM quarantine")
    ((logged,),) = asked(sessions, "SELECT count(*) FROM events")
    assert kept == 40
    assert held + logged == 41


def test_a_name_without_end_says_what_to_do_with_it(sessions: sessionmaker[Session], now: dt.datetime) -> None:
    put(sessions, [makers.track(LONG, at=now, user_id="u")], now)
    drain(sessions)
    ((reason, detail),) = asked(sessions, "SELECT reason, detail FROM quarantine")
    assert reason == "too_large"
    assert "put what varies into `properties`" in detail_of(detail)[0]


def test_an_order_whose_total_is_no_number_waits_in_quarantine_and_counts_as_no_order_of_nothing(sessions: sessionmaker[Session], now: dt.datetime) -> None:
    said = [("Order Completed", {"order_id": "o1", "total": "מאה"}), ("Order Completed", {"order_id": "o2", "total": "100"})]
    said += [("Product Stock Changed", {"sku": "cup", "stock": "חמש"}), ("Product Stock Changed", {"sku": "cup", "stock": 5})]
    put(sessions, [makers.track(name, properties, at=now, user_id="u") for name, properties in said], now)
    drain(sessions)
    assert asked(sessions, "SELECT order_id, revenue FROM orders") == [("o2", 100)]
    assert asked(sessions, "SELECT stock FROM stock_history") == [(5,)]
    held = asked(sessions, "SELECT reason, detail FROM quarantine ORDER BY id")
    assert [reason for reason, _ in held] == ["odd_value"] * 2
    assert ["מאה" in held[0].detail, "חמש" in held[1].detail] == [True, True]


def test_one_poisonous_call_among_two_thousand_is_found_in_seconds(sessions: sessionmaker[Session], now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    orders, worked, failed = pipeline.orders.fold, [], []

    def refuses(session: Session, events: Any, **more: Any) -> Any:
        worked.append(len(events))
        if any(event.message_id == "m1234" for event in events):
            failed.append(len(events))
            raise RuntimeError("this one")
        return orders(session, events, **more)

    monkeypatch.setattr(pipeline.orders, "fold", refuses)
    put(sessions, [makers.track("Page Viewed", at=now, anonymous_id=f"a{n % 300}") for n in range(2_000)], now)
    assert drain(sessions) == 2_000
    assert sum(worked) < 2_000 + 1.5 * failed[0], "one bad call costs no more than its batch once again, and a little"
    assert asked(sessions, "SELECT count(*) FROM events") == [(1_999,)]
    assert asked(sessions, "SELECT body::jsonb->>'messageId', detail FROM quarantine") == [("m1234", "RuntimeError: this one")]


def test_quarantine_speaks_the_databases_words_and_shows_no_statement(
    sessions: sessionmaker[Session], now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.store, "append", lambda session, *_: session.execute(text("SELECT 1 / 0 WHERE :who <> ''"), {"who": "dana@shop.example"}))
    put(sessions, [makers.track("Page Viewed", at=now, anonymous_id="a")], now)
    assert drain(sessions) == 1
    assert asked(sessions, "SELECT detail FROM quarantine") == [("DivisionByZero: division by zero",)]


@pytest.mark.parametrize("state", ["40P01", "57P01", "53100", None])
def test_a_failure_that_passes_blames_no_call(sessions: sessionmaker[Session], now: dt.datetime, monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    class PassingError(psycopg.OperationalError):
        sqlstate = state

    def fails(*_: Any) -> None:
        raise PassingError

    put(sessions, [makers.track("Page Viewed", at=now, anonymous_id="a")], now)
    with monkeypatch.context() as broken, pytest.raises(psycopg.OperationalError):
        broken.setattr(pipeline.store, "append", fails)
        drain(sessions)
    assert asked(sessions, "SELECT count(*) FROM quarantine") == [(0,)]
    assert drain(sessions) == 1
    assert asked(sessions, "SELECT count(*) FROM events") == [(1,)]


def crowd(now: dt.datetime) -> list[Call]:
    """Few people, many calls: browsing, joining over and over, ordering, every fourth call sent twice."""
    dice, calls = random.Random(3), []
    for n in range(600):
        who, at = dice.randrange(8), now - dt.timedelta(seconds=600 - n)
        device = f"d{who}-{dice.randrange(3)}"
        kind = dice.randrange(4)
        if kind == 0:
            call = makers.identify({"email": f"p{who}@shop.example", "visits": n}, at=at, user_id=f"u{who}", anonymous_id=device)
        elif kind == 1:
            call = makers.track("Order Completed", {"order_id": f"o{who}-{dice.randrange(9)}", "total": n}, at=at, user_id=f"u{who}")
        else:
            call = makers.track("Product Added", makers.product(f"p{dice.randrange(5)}"), at=at, anonymous_id=device)
        call.message_id = f"m{n}"
        calls += [call, call] if n % 4 == 0 else [call]
    return calls


def test_workers_on_the_same_people_lose_nothing_and_count_nothing_twice(sessions: sessionmaker[Session], now: dt.datetime) -> None:
    put(sessions, crowd(now), now)

    def work() -> int:
        passed = 0
        while asked(sessions, "SELECT EXISTS (SELECT FROM event_inbox WHERE processed_at IS NULL)") == [(True,)]:
            try:
                pipeline.drain(sessions, CONFIG, limit=60)
            except OperationalError as error:  # as Celery and the next sweep would: a deadlock is tried again
                assert is_passing(error)
                passed += 1
        return passed

    with ThreadPoolExecutor(3) as pool:
        deadlocks = sum(each.result(PATIENCE) for each in [pool.submit(work) for _ in range(3)])
    assert deadlocks < 60
    assert asked(sessions, "SELECT count(*), count(DISTINCT message_id) FROM events") == [(600, 600)]
    assert asked(sessions, "SELECT count(*) FROM quarantine") == [(0,)]
    with sessions() as session:
        assert differences(session) == []
        everybody = [row.id for row in makers.profiles(session)]
        assert len(everybody) == 8
        assert rebuild.differences(session, everybody, currency="ILS") == []


DEVICES, USERS, EMAILS = ("x", "y", "z"), ("1", "2"), ("a@shop.example", "b@shop.example")
SAID = st.lists(
    st.tuples(
        st.sampled_from(("identify", "Product Added", "Product Removed", "Order Completed", "Order Refunded", "Page Viewed")),
        st.none() | st.sampled_from(DEVICES),
        st.none() | st.sampled_from(USERS),
        st.none() | st.sampled_from(EMAILS),
        st.sampled_from(("cup", "pot")),
        st.integers(0, 90),
        st.booleans(),
    ),
    min_size=2,
    max_size=14,
)


def said(  # noqa: PLR0917  one value of each strategy
    number: int, kind: str, device: str | None, user: str | None, email: str | None, what: str, minutes: int, now: dt.datetime
) -> Call:
    at = now - dt.timedelta(minutes=minutes)
    who = {key: value for key, value in (("anonymous_id", device), ("user_id", user)) if value} or {"anonymous_id": "x"}
    if kind == "identify":
        return makers.identify({"city": what, "size": number} | ({"email": email} if email else {}), at=at, **who)
    more = {"email": email} if email else {}
    if kind.startswith("Order"):
        return makers.track(kind, {"order_id": what, "refund_id": what, "amount": 5, "revenue": 10 + number}, at=at, **who, **more)
    return makers.track(kind, makers.product(what) if kind.startswith("Product") else {}, at=at, **who, **more)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=SAID, cuts=st.integers(0, 2**14))
def test_several_people_are_the_same_one_by_one_and_in_batches(session: Session, now: dt.datetime, calls: list[Any], cuts: int) -> None:
    batch = [makers.accepted(said(n, *each[:6], now), now, trusted=each[6]) for n, each in enumerate(calls)]
    states, ids = [], (uuid.UUID(int=n) for n in itertools.count(1))
    for groups in ([[call] for call in batch], cut(batch, cuts), [batch]):
        with session.begin_nested() as savepoint, patch("crm.profiles.people.new_id", lambda _ms: next(ids)):  # who is older is not chance
            for group in groups:
                pipeline.run(session, group, now, CONFIG)
            assert differences(session) == []
            assert rebuild.differences(session, [row.id for row in makers.profiles(session)], currency="ILS") == []
            states.append(state(session))
            savepoint.rollback()
    assert states[0] == states[1] == states[2]


def cut(batch: list[Accepted], cuts: int) -> list[list[Accepted]]:
    groups: list[list[Accepted]] = [[]]
    for n, call in enumerate(batch):
        groups[-1].append(call)
        if cuts >> n & 1:
            groups.append([])
    return [group for group in groups if group]


def state(session: Session) -> list[Any]:
    """Everybody by what happened to them, since ids are drawn anew: what they told, own, put into carts and ordered."""
    return sorted(map(repr, session.execute(text(STATE)).all()))


STATE = """
SELECT (SELECT array_agg(e.accepted ORDER BY e.accepted) FROM events e WHERE e.profile_id = p.id), p.known, p.traits, p.traits_at, p.first_seen, p.last_seen,
  (SELECT array_agg((i.kind, i.value, i.verified, i.shared)::text ORDER BY i.kind, i.value) FROM identities i WHERE i.profile_id = p.id),
  (SELECT array_agg((c.key, c.status, c.items, c.value, c.opened_at, c.changed_at, c.order_id, c.recovered)::text ORDER BY c.opened_at, c.key)
   FROM carts c WHERE c.profile_id = p.id),
  (SELECT array_agg((o.order_id, o.revenue, o.refunded, o.refunds, o.ordered_at)::text ORDER BY o.order_id) FROM orders o WHERE o.profile_id = p.id)
FROM profiles p WHERE p.merged_into IS NULL
"""


def test_an_order_told_of_by_two_people_at_once_keeps_the_newest_report_and_every_refund(sessions: sessionmaker[Session], now: dt.datetime) -> None:
    put(sessions, [], now)

    def told(user: str, kind: str, ago: int, **more: Any) -> Accepted:
        return makers.accepted(makers.track(kind, {"order_id": "o1"} | more, at=now - dt.timedelta(minutes=ago), user_id=user), now)

    first, second = told("1", "Order Completed", 9, revenue=10), [told("2", "Order Completed", 5, revenue=30), told("2", "Order Refunded", 4, amount=7)]
    with sessions() as one, sessions() as other, ThreadPoolExecutor(1) as pool:
        pipeline.run(one, [first], now, CONFIG)
        later = pool.submit(pipeline._run_again_if_stale, other, second, now, CONFIG)
        until = time.monotonic() + PATIENCE
        while not later.done() and not blocked(sessions):
            assert time.monotonic() < until
            time.sleep(0.01)
        one.commit()
        later.result(PATIENCE)
        other.commit()
    assert asked(sessions, "SELECT revenue, refunded FROM orders") == [(30, 7)]


def blocked(sessions: sessionmaker[Session]) -> bool:
    return bool(asked(sessions, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"))
