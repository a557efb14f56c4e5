"""For somebody who did not enter: what was missing, on the page and in the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.models import HISTORY
from crm.web.tokens import create_token
from journeys import publish, runs
from journeys.kinds import TRIGGERS
from journeys.why import why_not
from tests.journeys.test_entry import CONFIG, WAIT, drawing, go, signed
from tests.makers import accepted, identify
from workers import pipeline


@pytest.fixture(autouse=True)
def rich_only(session: Session, now: dt.datetime) -> None:
    where = [{"name": "total", "op": "at_least", "value": 100}]
    publish.publish(session, "rich", drawing(WAIT, trigger={"where": where}), now=now - dt.timedelta(hours=1))


def said(session: Session, now: dt.datetime) -> list[str]:
    who = session.scalar(text("SELECT id FROM profiles"))
    return [each.text % each.values for each in why_not(session, "rich", who, now)]


def test_nothing_happened(session: Session, now: dt.datetime) -> None:
    go(session, now, identify(at=now, user_id="anna"))
    assert said(session, now) == ["In the last 30 days none of these happened to the profile: ['Signed Up']."]


def test_a_condition_did_not_hold_and_says_which(session: Session, now: dt.datetime) -> None:
    go(session, now, signed(now, total=50))
    assert said(session, now) == ["A condition did not hold: “total” was “50”, wanted: at least “100”."]


def test_the_past_starts_nothing(session: Session, now: dt.datetime) -> None:
    pipeline.run(session, [accepted(signed(now, total=150), now, origin=HISTORY)], now, CONFIG)
    assert said(session, now) == ["It came from an import; the past starts nothing."]


def test_it_happened_before_there_was_a_journey(session: Session, now: dt.datetime) -> None:
    before = now - dt.timedelta(hours=2)
    go(session, before, signed(before, total=50))
    assert said(session, now)[0] == "It happened before the journey was first published."


def test_a_run_that_failed_is_not_one_that_is_over(session: Session, now: dt.datetime) -> None:
    go(session, now, signed(now, total=150))
    assert said(session, now) == ["A run is under way."]
    later = now + dt.timedelta(hours=1)
    assert runs.fail(session, session.scalars(text("SELECT id FROM profiles")).one(), "poisoned", later) == 1
    assert said(session, later) == ["A run failed and stands where it was; on the journey’s page somebody can let it go on."]


def test_page_and_api_say_the_same(session: Session, now: dt.datetime, app: Flask, signed_in: Callable[..., FlaskClient]) -> None:
    go(session, now, signed(now, total=50))
    who = session.scalar(text("SELECT id FROM profiles"))
    page = signed_in("viewer").get(f"/journeys/why/{who}?journey=rich").get_data(as_text=True)
    assert "A condition did not hold" in page
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='viewer')}"}
    answer = app.test_client().get(f"/api/v1/journeys/rich/why?profile_id={who}", headers=headers).get_json()
    assert answer["items"] == ["A condition did not hold: “total” was “50”, wanted: at least “100”."]


def of(session: Session, now: dt.datetime, kind: str, **settings: Any) -> list[str]:
    publish.publish(session, "other", drawing(WAIT) | {"trigger": {"kind": kind, "settings": settings}}, now=now)
    who = session.scalar(text("SELECT id FROM profiles"))
    return [each.text % each.values for each in why_not(session, "other", who, now)]


STARTS: dict[str, dict[str, Any]] = {
    "event": {"event": "Never"},
    "hand": {},
    "segment": {"segment": "vip"},
    "schedule": {"segment": "vip"},
    "date": {"trait": "birthday"},
    "ended": {"journey": "rich"},
    "back_in_stock": {},
    "price_drop": {},
}


@pytest.mark.parametrize("kind", TRIGGERS)
def test_every_kind_of_start_says_what_was_missing(session: Session, now: dt.datetime, kind: str) -> None:
    go(session, now, identify(at=now, user_id="anna"))
    assert of(session, now, kind, **STARTS.get(kind, {}))


def vip(session: Session, now: dt.datetime, *, member: bool) -> None:
    go(session, now, identify(at=now, user_id="anna"))
    insert = "INSERT INTO segments (slug, name, rule, status, created_at, changed_at) VALUES ('vip', 'VIP', '{}', 'live', now(), now()) RETURNING id"
    number = session.scalar(text(insert))
    if member:
        session.execute(text("INSERT INTO memberships (profile_id, segment_id, since) SELECT id, :s, :now FROM profiles"), {"s": number, "now": now})


def test_who_is_in_the_segment_already_is_told_so(session: Session, now: dt.datetime) -> None:
    vip(session, now, member=True)
    assert "is in the segment “VIP” since" in of(session, now, "segment", segment="vip")[0]


def test_who_is_not_in_the_segment_is_told_so(session: Session, now: dt.datetime) -> None:
    vip(session, now, member=False)
    assert of(session, now, "schedule", segment="vip")[0] == "The profile is not in the segment “VIP”."


def test_a_segment_that_is_gone_is_named(session: Session, now: dt.datetime) -> None:
    go(session, now, identify(at=now, user_id="anna"))
    assert of(session, now, "segment", segment="gone")[0] == "There is no segment “gone” any more."


@pytest.mark.parametrize(("birthday", "said"), [(None, "has no trait"), ("soon", "is no date"), ("1990-05-05", "it was not the time")])
def test_a_date_says_what_is_wrong_with_it(session: Session, now: dt.datetime, birthday: str | None, said: str) -> None:
    go(session, now, identify({"birthday": birthday} if birthday else {}, at=now, user_id="anna"))
    assert said in of(session, now, "date", trait="birthday")[0]


def test_another_journey_that_goes_on_is_named(session: Session, now: dt.datetime) -> None:
    go(session, now, signed(now, total=150))
    assert of(session, now, "ended", journey="rich")[0] == "Its run of “rich” is still under way."


def test_the_run_s_page_draws_its_way_with_times(session: Session, now: dt.datetime, signed_in: Callable[..., FlaskClient]) -> None:
    go(session, now, signed(now, total=150))
    run = session.scalar(text("SELECT id FROM runs"))
    page = signed_in("viewer").get(f"/runs/{run}").get_data(as_text=True)
    assert page.count('class="hot"') == 1
    assert "it stands here" in page
