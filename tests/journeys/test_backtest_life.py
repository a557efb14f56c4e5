"""Small stories lived again: clocks, imports, what runs say to the log, dates, and the gate as of then."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pyluach.dates import HebrewDate
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.consent import ledger, suppression
from crm.consent.ledger import GRANTED, REFUSED, Change
from crm.core.crypto import Keys
from crm.events.models import HISTORY
from crm.events.spec import Call
from crm.messages import sending
from journeys import backtest_read, graph, past
from journeys.backtest_cast import Case, Cast
from journeys.backtest_gate import Past, judge
from journeys.backtest_life import Life
from journeys.backtest_sums import Counting, Crowd, Sums, count_messages, report, together
from journeys.kinds import NODES
from tests.journeys.test_contracts import CASES
from tests.makers import accepted, config, identify, product, track
from workers import pipeline

CONFIG = config()
ALWAYS = dt.datetime.min.replace(tzinfo=dt.UTC)
ADAR, LAST_OF_MONTH = 12, 29  # what not every year has
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
HELLO: dict[str, Any] = {
    "name": {"en": "Hello"},
    "trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}},
    "entry": "mail",
    "nodes": {"mail": {"kind": "send", "settings": {"template": "hello"}, "exits": {"next": "end"}}, "end": {"kind": "stop"}},
}


@pytest.fixture(autouse=True)
def templates(session: Session) -> None:
    for name in ("hello", "again"):
        session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES (:n, 'email', 'offers', 'marketing', 1)"), {"n": name})


def go(session: Session, now: dt.datetime, *calls: Call, **how: Any) -> None:
    """Let calls happen, accepted now."""
    pipeline.run(session, [accepted(call, now, **how) for call in calls], now, CONFIG)


def lived(session: Session, begins: dt.datetime, ends: dt.datetime, *drawings: dict[str, Any], consent_now: bool = False) -> dict[str, Any]:
    """The report about the first drawing, the others beside it."""
    cast = Cast([Case(number, f"j{number}", [(ALWAYS, 1, graph.parse(each))]) for number, each in enumerate(drawings, 1)])
    setting, counting = backtest_read.setting_of(CONFIG, begins, ends), Counting(Sums(), 1)
    found = backtest_read.batch(session, cast, setting, after=None, last=None, limit=1000)
    for who, moments in backtest_read.lives(session, cast, setting, found):
        life = Life(cast, who, setting, counting)
        for at, events in moments:
            counting.heard(events, begins)
            life.moment(at, events)
        for run in life.end():
            counting.stands(run)
    counting.over(len(found.people))
    past = Past(session, {wish.profile_id for wish in counting.wishes}, Keys(CONFIG.secret_key), consent_now=consent_now, timezone=CONFIG.timezone)
    count_messages(counting.sums, judge(past, counting.wishes), Crowd(1, {n: f"j{n}" for n in cast.cases}, "UTC", 1))
    return report(together([counting.sums]), graph.parse(drawings[0]), {}, too_many=1, notes=())


def agree(session: Session, now: dt.datetime, address: str = "a@shop.example", action: str = GRANTED) -> None:
    said = Change("email", address, "email", "offers", "marketing", action, "form", explicit=True)
    ledger.record(session, [said], Keys(CONFIG.secret_key), now)


def sign_up(at: dt.datetime, who: str = "a") -> Call:
    return track("Signed Up", at=at, user_id=who, email=f"{who}@shop.example")


@pytest.mark.parametrize(("kind", "plain"), CASES)
def test_every_kind_of_step_is_lived_again(session: Session, now: dt.datetime, kind: str, plain: dict[str, Any]) -> None:
    ways = NODES[kind].exits(NODES[kind].settings_type.model_validate(plain))
    nodes = {"here": {"kind": kind, "settings": plain, "exits": dict.fromkeys(ways, "end")}} | ({"end": {"kind": "stop"}} if ways else {})
    go(session, now - 60 * DAY, identify({"contract_end": (now - 20 * DAY).date().isoformat()}, at=now - 60 * DAY, user_id="a"), sign_up(now - 60 * DAY))
    found = lived(session, now - 80 * DAY, now, HELLO | {"entry": "here", "nodes": nodes})
    assert (found["started"], found["errors"]) == (1, {})
    assert sum(found["ends"].values()) + sum(found["standing"].values()) == 1


def test_what_was_imported_counts_as_if_told_when_it_happened(session: Session, now: dt.datetime) -> None:
    agree(session, now - 40 * DAY)
    go(session, now, sign_up(now - 30 * DAY), origin=HISTORY)
    found = lived(session, now - 31 * DAY, now, HELLO)
    assert (found["started"], found["days"]) == (1, {(now - 30 * DAY).date().isoformat(): {"email": 1}})
    assert found["imported"] == 1


def test_an_event_that_came_in_too_late_starts_nothing_as_in_life(session: Session, now: dt.datetime) -> None:
    go(session, now - DAY, sign_up(now - 3 * DAY))
    assert lived(session, now - 5 * DAY, now, HELLO)["refused"] == {"too_late": 1}


def test_a_period_begins_with_nobody_inside_and_ends_with_who_waits(session: Session, now: dt.datetime) -> None:
    wait = {"wait": {"kind": "wait", "settings": {"for": "2d"}, "exits": {"next": "end"}}, "end": {"kind": "stop"}}
    drawing = HELLO | {"entry": "wait", "nodes": wait}
    for days in (9, 5, 1):
        go(session, now - days * DAY, sign_up(now - days * DAY))
    found = lived(session, now - 6 * DAY, now, drawing)
    assert (found["started"], found["ends"], found["standing"]) == (2, {"finished": 1}, {"wait": 1})


def test_an_order_ends_the_run_before_its_first_step_and_wakes_come_in_order(session: Session, now: dt.datetime) -> None:
    cart: dict[str, Any] = {
        "name": {"en": "Cart"},
        "trigger": {"kind": "event", "settings": {"event": "Product Added", "key": "cart"}},
        "exit_on": [{"event": "Order Completed", "goal": True}],
        "entry": "wait",
        "nodes": {"wait": {"kind": "wait", "settings": {"for": "1h", "counting_from": "cart"}, "exits": {"timed_out": "mail", "happened": "end"}},
                  "mail": {"kind": "send", "settings": {"template": "hello", "while_cart_open": True}, "exits": {"next": "end"}}, "end": {"kind": "stop"}},
    }  # fmt: skip
    agree(session, now - 9 * DAY)
    agree(session, now - 9 * DAY, "b@shop.example")
    at = now - DAY
    go(session, at, track("Product Added", product("vase"), at=at, user_id="a", email="a@shop.example"))
    go(session, at + HOUR / 2, track("Product Added", product("lamp"), at=at + HOUR / 2, user_id="a"))
    go(session, at, track("Product Added", product("vase"), at=at, user_id="b", email="b@shop.example"))
    order = track("Order Completed", {"order_id": "1", "total": 10, "currency": "ILS"}, at=at + HOUR / 2, user_id="b")
    go(session, at + HOUR / 2, order)
    found = lived(session, now - 2 * DAY, now, cart)
    assert (found["started"], found["ends"], found["sent"]) == (2, {"finished": 1, "goal:Order Completed": 1}, 1)


def test_traits_are_those_known_at_the_moment(session: Session, now: dt.datetime) -> None:
    case = {
        "kind": "switch",
        "settings": {"of": "trait", "name": "plan", "cases": [{"exit": "gold", "value": "gold"}]},
        "exits": {"gold": "end", "otherwise": "end"},
    }
    drawing = HELLO | {"entry": "plan", "nodes": {"plan": case, "end": {"kind": "stop"}}}
    go(session, now - 9 * DAY, identify({"plan": "gold"}, at=now - 9 * DAY, user_id="a"))
    go(session, now - 4 * DAY, sign_up(now - 4 * DAY))
    go(session, now - 3 * DAY, identify({"plan": "free"}, at=now - 3 * DAY, user_id="a"))
    go(session, now - 2 * DAY, sign_up(now - 2 * DAY))
    edges = lived(session, now - 5 * DAY, now, drawing)["edges"]
    assert (edges["plan/gold"], edges["plan/otherwise"]) == (1, 1)


def test_what_a_run_says_is_heard_by_itself_and_by_others(session: Session, now: dt.datetime) -> None:
    learn = {
        "learn": {"kind": "set_trait", "settings": {"trait": "plan", "value": "gold"}, "exits": {"next": "say"}},
        "say": {"kind": "send_event", "settings": {"event": "Became Loyal"}, "exits": {"next": "rest"}},
        "rest": {"kind": "wait", "settings": {"for": "1h"}, "exits": {"next": "plan"}},
        "plan": {"kind": "switch", "settings": {"of": "trait", "name": "plan", "cases": [{"exit": "gold", "value": "gold"}]},
                 "exits": {"gold": "end", "otherwise": "end"}},
        "end": {"kind": "stop"},
    }  # fmt: skip
    loyal = HELLO | {"trigger": {"kind": "event", "settings": {"event": "Became Loyal", "key": "event"}}}
    go(session, now - DAY, sign_up(now - DAY))
    assert lived(session, now - 2 * DAY, now, HELLO | {"entry": "learn", "nodes": learn}, loyal)["edges"]["plan/gold"] == 1
    assert lived(session, now - 2 * DAY, now, loyal, HELLO | {"entry": "learn", "nodes": learn})["started"] == 1


def test_dates_come_by_the_persons_own_clock(session: Session, now: dt.datetime) -> None:
    birthday = HELLO | {"trigger": {"kind": "date", "settings": {"trait": "birthday"}}}
    day = (now - 3 * DAY).date().replace(year=1985)
    go(session, now - 60 * DAY, identify({"birthday": day.isoformat()}, at=now - 60 * DAY, user_id="a"))
    found = lived(session, now - 10 * DAY, now, birthday)
    assert (found["started"], found["edges"]["mail/next"]) == (1, 1)
    assert lived(session, now - 2 * DAY, now, birthday)["started"] == 0


def test_a_birthday_by_the_hebrew_calendar_comes_on_its_hebrew_day(session: Session, now: dt.datetime) -> None:
    hebrew = HELLO | {"trigger": {"kind": "date", "settings": {"trait": "birthday", "calendar": "hebrew"}}}
    near = [HebrewDate.from_pydate((now - back * DAY).date()) for back in range(3, 50)]
    came = next(day for day in near if day.month < ADAR and day.day < LAST_OF_MONTH)
    born = HebrewDate(came.year - 40, came.month, came.day).to_pydate()
    go(session, now - 60 * DAY, identify({"birthday": born.isoformat()}, at=now - 60 * DAY, user_id="a"))
    assert lived(session, now - 55 * DAY, now, hebrew)["started"] == 1


def test_consent_and_suppressions_count_as_they_were_then(session: Session, now: dt.datetime) -> None:
    for who, days in (("a", 6), ("b", 6), ("c", 6), ("d", 6)):
        go(session, now - days * DAY, sign_up(now - days * DAY, who))
    agree(session, now - 8 * DAY, "a@shop.example")
    agree(session, now - 1 * DAY, "a@shop.example", REFUSED)
    agree(session, now - 5 * DAY, "b@shop.example")
    agree(session, now - 8 * DAY, "c@shop.example")
    hashed = Keys(CONFIG.secret_key).address_hash("email", "c@shop.example")
    suppression.suppress(session, address_hash=hashed, channel="email", reason="bounce", detail="", now=now - 7 * DAY)
    found = lived(session, now - 9 * DAY, now, HELLO)
    assert (found["sent"], found["held"]) == (1, {"no_consent": 2, "bounce": 1})
    assert found["agreed_since"] == 1
    assert lived(session, now - 9 * DAY, now, HELLO, consent_now=True)["held"] == {"consent_refused": 1, "no_consent": 1, "bounce": 1}


def test_the_same_words_go_once_a_day_and_days_with_too_many_are_told(session: Session, now: dt.datetime) -> None:
    noon = (now - 4 * DAY).replace(hour=12, minute=0)
    agree(session, now - 9 * DAY)
    go(session, noon, sign_up(noon))
    go(session, noon + HOUR, sign_up(noon + HOUR))
    other = HELLO | {"nodes": {**HELLO["nodes"], "mail": {"kind": "send", "settings": {"template": "again"}, "exits": {"next": "end"}}}}
    alone = lived(session, now - 5 * DAY, now, HELLO)
    assert (alone["sent"], alone["held"], alone["collisions"]) == (1, {"duplicate": 1}, {"too_many": 1, "people": 0, "days": 0, "most": 0, "with": {}})
    found = lived(session, now - 5 * DAY, now, HELLO, other)
    assert found["collisions"] == {"too_many": 1, "people": 1, "days": 1, "most": 2, "with": {"j2": 1}}


def test_a_step_that_raises_is_told_and_stops_only_its_run(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Any:
        raise ValueError("a bug in the step")

    monkeypatch.setattr(type(NODES["send"]), "step", failing)
    go(session, now - DAY, sign_up(now - DAY), sign_up(now - DAY, "b"))
    found = lived(session, now - 2 * DAY, now, HELLO)
    assert found["ends"] == {"broken": 2}
    assert found["errors"] == {"node 'mail': ValueError": 2}


def test_what_a_real_run_of_it_said_is_not_heard_again(session: Session, now: dt.datetime) -> None:
    """Else whoever was greeted in life would be thanked twice here: once for the real run, once for the one lived again."""
    go(session, now - DAY, sign_up(now - DAY))
    profile = session.scalar(text("SELECT id FROM profiles"))
    session.execute(text(_RUN), {"profile": profile, "at": now - DAY})
    said = accepted(track("Became Loyal", at=now - DAY / 2, user_id="a"), now - DAY / 2)
    pipeline.run(session, [said], now - DAY / 2, CONFIG)
    loyal = HELLO | {"trigger": {"kind": "event", "settings": {"event": "Became Loyal", "key": "event"}}}
    assert lived(session, now - 2 * DAY, now, loyal)["started"] == 1
    session.execute(text("UPDATE events SET cause = 'run:' || (SELECT id FROM runs) WHERE name = 'Became Loyal'"))
    assert lived(session, now - 2 * DAY, now, loyal)["started"] == 0
    session.execute(text("UPDATE runs SET ended_at = started_at"))
    assert past.fold(session, now + past.KEEP) == 1
    backtest_read.narrow(session)
    assert lived(session, now - 2 * DAY, now, loyal)["started"] == 0


_RUN = """
INSERT INTO runs (id, profile_id, journey_id, version, key, node, status, started_at, entered_at, start)
VALUES (gen_random_uuid(), :profile, 1, 1, 'x', 'mail', 'done', :at, :at, '{}')
"""


def test_caps_shabbat_and_pauses_are_asked_as_of_then(session: Session, now: dt.datetime) -> None:
    agree(session, now - 40 * DAY)
    for at in (now - 30 * DAY, now - 28 * DAY):
        go(session, at, sign_up(at))
    go(session, now - 20 * DAY, identify({"marketing_paused": True}, at=now - 20 * DAY, user_id="a"))
    go(session, now - 19 * DAY, sign_up(now - 19 * DAY))
    go(session, now - 18 * DAY, identify({"marketing_paused": False}, at=now - 18 * DAY, user_id="a"))
    go(session, now - 10 * DAY, sign_up(now - 10 * DAY))
    free = lived(session, now - 31 * DAY, now, HELLO)
    assert (free["sent"], free["held"]) == (3, {"marketing_paused": 1})
    sending.save(session, {"caps": {"": {"week": 1}}, "patience": 30}, now)
    capped = lived(session, now - 31 * DAY, now, HELLO)
    assert (capped["sent"], capped["held"]) == (3, {"frequency_cap": 1, "marketing_paused": 1})
    sending.save(session, {"caps": {"": {"week": 1}}, "patience": 1}, now)
    assert lived(session, now - 31 * DAY, now, HELLO)["held"] == {"no_room": 1, "marketing_paused": 1}


def test_what_came_due_on_shabbat_is_counted_on_the_evening_it_would_have_gone(session: Session, now: dt.datetime) -> None:
    shabbat = (now - 30 * DAY).replace(hour=10, minute=0, second=0)
    shabbat += dt.timedelta(days=(5 - shabbat.weekday()) % 7)
    agree(session, shabbat - 9 * DAY)
    go(session, shabbat, sign_up(shabbat))
    sending.save(session, {"rest": {}, "quiet": {"email": {"starts": 17 * 60, "ends": 9 * 60}}}, now)
    found = lived(session, shabbat - DAY, shabbat + 5 * DAY, HELLO)
    assert (found["held"], found["sent"]) == ({"shabbat": 1}, 1)
    assert next(iter(found["days"])) > shabbat.date().isoformat()
