"""For somebody who did not enter: what was missing, on the page and in the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.models import HISTORY
from crm.web.tokens import create_token
from journeys import publish
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


def test_page_and_api_say_the_same(session: Session, now: dt.datetime, app: Flask, signed_in: Callable[..., FlaskClient]) -> None:
    go(session, now, signed(now, total=50))
    who = session.scalar(text("SELECT id FROM profiles"))
    page = signed_in("viewer").get(f"/journeys/why/{who}?journey=rich").get_data(as_text=True)
    assert "A condition did not hold" in page
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='viewer')}"}
    answer = app.test_client().get(f"/api/v1/journeys/rich/why?profile_id={who}", headers=headers).get_json()
    assert answer["items"] == ["A condition did not hold: “total” was “50”, wanted: at least “100”."]
