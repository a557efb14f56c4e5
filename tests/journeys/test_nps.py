"""The recommendation score: asked once in a while, answered by POST only, counted with its interval."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.messages import links
from journeys import publish, surveys
from journeys.engine import wake_due
from journeys.surveys import Score
from tests.makers import accepted, config, identify, track
from workers import pipeline

CONFIG = config(secret_key="a secret of this test", base_url="http://shop")
TRIGGER = {"kind": "event", "settings": {"event": "Order Delivered", "key": "property", "key_property": "order_id"}}
ASKING: dict[str, Any] = {
    "name": {"en": "Asking"},
    "trigger": TRIGGER,
    "entry": "ask",
    "nodes": {
        "ask": {
            "kind": "nps",
            "settings": {"survey": "delivery", "template": "nps_survey", "within": "7d", "not_again": "90d"},
            "exits": {"promoter": "up", "passive": "mid", "detractor": "down", "no_answer": "none"},
        },
    }
    | {name: {"kind": "stop", "settings": {"reason": name}} for name in ("up", "mid", "down", "none")},
}


@pytest.fixture(autouse=True)
def live(session: Session, now: dt.datetime) -> None:
    statement = "INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('nps_survey', 'email', 'offers', 'marketing', 1)"
    session.execute(text(statement + " ON CONFLICT DO NOTHING"))
    for slug in ("asking", "asking_too"):
        publish.publish(session, slug, ASKING, now=now)
    publish.stop(session, "asking_too", now=now)


def deliver(session: Session, at: dt.datetime, order: str = "1", who: str = "dana") -> None:
    batch = [identify({"email": f"{who}@example.com"}, at=at, user_id=who), track("Order Delivered", {"order_id": order}, at=at, user_id=who)]
    pipeline.run(session, [accepted(each, at) for each in batch], at, CONFIG)


def let_happen(session: Session, at: dt.datetime) -> None:
    for body in session.scalars(text("SELECT body FROM event_inbox WHERE processed_at IS NULL AND body::jsonb->>'event' = 'NPS Answered'")).all():
        from crm.events.inbox import Waiting
        from crm.events.read import read

        pipeline.run(session, [read(Waiting(9_000_000 + random.randrange(10**6), at, 1, True, "live", None, 1, None, body))], at, CONFIG)


def token(session: Session) -> str:
    message = session.scalar(text("SELECT id FROM messages ORDER BY created_at DESC LIMIT 1"))
    return links.Links(Keys(CONFIG.secret_key), "", message).survey


def runs(session: Session) -> list[str | None]:
    return list(session.scalars(text("SELECT end_reason FROM runs ORDER BY started_at, id")))


def test_whoever_is_asked_gets_one_message_and_waits(session, now):
    deliver(session, now)
    assert session.scalar(text("SELECT count(*) FROM messages WHERE template = 'nps_survey'")) == 1
    assert runs(session) == [None]
    wake_due(session, now + dt.timedelta(days=7), 10, CONFIG)
    assert runs(session) == ["none"]


@pytest.mark.parametrize(("score", "end"), [(0, "down"), (6, "down"), (7, "mid"), (8, "mid"), (9, "up"), (10, "up")])
def test_the_score_leads_on(session, now, app, score, end):
    deliver(session, now - dt.timedelta(minutes=5))
    answered = app.test_client().post(token(session), data={"score": str(score), "comment": " fine "})
    assert answered.status_code == 200
    let_happen(session, now)
    assert runs(session) == [end]
    assert session.scalar(text("SELECT data->'ask' FROM runs")) == {"score": score, "comment": "fine"}


def test_following_the_link_shows_the_form_and_changes_nothing(session, now, app):
    deliver(session, now)
    page = app.test_client().get(token(session) + "?s=9").get_data(as_text=True)
    assert 'value="9" required checked' in page
    assert session.scalar(text("SELECT count(*) FROM surveys WHERE answered_at IS NOT NULL")) == 0


def test_the_first_answer_counts(session, now, app):
    deliver(session, now)
    link, browser = token(session), app.test_client()
    browser.post(link, data={"score": "10"})
    assert "already" in browser.post(link, data={"score": "0"}, headers={"Accept-Language": "en"}).get_data(as_text=True)
    assert session.scalar(text("SELECT score FROM surveys")) == 10


@pytest.mark.parametrize("score", ["11", "-1", "", "9.5", "٣", "x"])
def test_what_is_no_score_is_asked_for_again(session, now, app, score):
    deliver(session, now)
    assert app.test_client().post(token(session), data={"score": score}).status_code == 400
    assert session.scalar(text("SELECT score FROM surveys")) is None


def test_a_forged_link_leads_nowhere(session, now, app):
    deliver(session, now)
    forged = links.Links(Keys("another secret"), "", session.scalar(text("SELECT id FROM messages"))).survey
    assert app.test_client().get(forged).status_code == 404
    assert app.test_client().post(forged, data={"score": "1"}).status_code == 404
    assert app.test_client().get(links.Links(Keys(CONFIG.secret_key), "", uuid.uuid4()).survey).status_code == 404


def test_nobody_is_asked_twice_within_the_time_whatever_the_journey(session, now):
    publish.publish(session, "other", ASKING | {"name": {"en": "Other"}}, now=now)
    deliver(session, now)
    later = now + dt.timedelta(days=30)
    deliver(session, later, order="2")
    assert session.scalar(text("SELECT count(*) FROM messages")) == 1
    said = session.scalars(text("SELECT detail FROM run_steps WHERE exit = 'no_answer'")).all()
    assert {each["not_asked"] for each in said} == {"asked_recently"}
    assert {dt.datetime.fromisoformat(each["last"]) for each in said} == {now}


@pytest.mark.parametrize("fate", ["dropped", "failed"])
def test_whom_no_message_reached_was_not_asked(session, now, fate):
    deliver(session, now)
    assert surveys.overall(session, "delivery", now)[1] == 1
    session.execute(text("UPDATE messages SET status = :fate"), {"fate": fate})
    assert surveys.overall(session, "delivery", now)[1] == 0
    deliver(session, now, order="2")
    assert session.scalar(text("SELECT count(*) FROM messages")) == 2
    assert surveys.overall(session, "delivery", now)[1] == 1


def test_after_the_time_they_may_be_asked_again(session, now):
    deliver(session, now)
    session.execute(text("UPDATE surveys SET asked_at = asked_at - interval '91 days'"))
    deliver(session, now, order="2")
    assert session.scalar(text("SELECT count(*) FROM messages")) == 2


def test_an_address_counts_not_the_profile(session, now):
    deliver(session, now)
    batch = [track("Order Delivered", {"order_id": "7"}, at=now, user_id="someone"), track("Order Delivered", {"order_id": "8"}, at=now, user_id="someone")]
    pipeline.run(session, [accepted(each, now) for each in batch], now, CONFIG)
    assert session.scalar(text("SELECT count(*) FROM surveys")) == 2  # without an address the profile itself counts
    session.execute(text("UPDATE surveys SET who = (SELECT who FROM surveys s JOIN identities i USING (profile_id) WHERE i.kind = 'email')"))
    deliver(session, now, order="9")
    assert session.scalar(text("SELECT count(*) FROM surveys")) == 2


def test_the_score_is_promoters_less_detractors():
    assert Score(50, 30, 20).value == 30
    assert Score(0, 0, 0).value is None
    low, high = Score(50, 30, 20).interval
    assert (round(low, 1), round(high, 1)) == (14.1, 44.7)  # by hand: 30/102 ± 1.96·√((72/102 - (30/102)²)/102)


@pytest.mark.parametrize(("up", "mid"), [(0.5, 0.3), (0.8, 0.15), (0.05, 0.9), (0.2, 0.2)])
@pytest.mark.parametrize("count", [10, 40])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(up, mid, count):
    chance = random.Random(count * 100 + round(up * 10))
    hits = 0
    for _ in range(600):
        drawn = chance.choices(("u", "m", "d"), (up, mid, 1 - up - mid), k=count)
        low, high = Score(drawn.count("u"), drawn.count("m"), drawn.count("d")).interval
        hits += low <= 100 * (up - (1 - up - mid)) <= high
    assert hits / 600 >= 0.925


def test_the_screen_says_the_score_and_how_sure_it_is(session, now, app, signed_in):
    deliver(session, now)
    app.test_client().post(token(session), data={"score": "10", "comment": "so good"})
    page = signed_in("viewer").get("/surveys?days=30").get_data(as_text=True)
    assert "so good" in page
    assert "95% certainty" in page
    assert "+100" in page


def test_the_screen_says_what_to_do_first(session, signed_in):
    assert "Nobody was asked yet" in signed_in("viewer").get("/surveys").get_data(as_text=True)


def test_an_answer_is_found_by_month_and_segment(session, now):
    deliver(session, now)
    session.execute(text("UPDATE surveys SET score = 3, answered_at = :now"), {"now": now})
    assert [each.detractors for each in surveys.by_month(session, "delivery", now - dt.timedelta(days=1), "UTC")] == [1]
    insert = "INSERT INTO segments (slug, name, rule, created_at, changed_at) VALUES ('all', 'All', '{}', now(), now()) RETURNING id"
    segment = session.scalar(text(insert))
    session.execute(text("INSERT INTO memberships SELECT profile_id, :s, now() FROM surveys"), {"s": segment})
    found = surveys.by_segment(session, "delivery", now - dt.timedelta(days=1), 1)
    assert [(each.name, each.slug, each.detractors, each.count) for each in found] == [("All", "all", 1, 1)]
