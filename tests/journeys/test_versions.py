"""Versions on the screen: what differs in words of both languages, and back to an older one."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import force_locale
from sqlalchemy import text
from sqlalchemy.orm import Session

from journeys import files, publish
from journeys.differences import Difference, differences

CART = "/journeys/abandoned_cart"


@pytest.fixture(autouse=True)
def two(session: Session, now: dt.datetime) -> None:
    """Two versions that differ in a time, a step, a way and the rule for coming again."""
    before, after = files.recipes()["abandoned_cart"], copy.deepcopy(files.recipes()["abandoned_cart"])
    nodes = after["nodes"]
    nodes["wait"]["settings"]["for"] = "2h"
    nodes["later"] = {"kind": "wait", "settings": {"for": "3d"}, "exits": {"next": "end"}, "name": {"en": "A while", "he": "עוד קצת"}}
    nodes["remind"]["exits"] = {"next": "later"}
    after["reentry"] = {"again": "once"}
    for graph in (before, after):
        publish.publish(session, "abandoned_cart", graph, now=now, by="noa@shop.example")


def test_a_difference_is_a_sentence_in_either_language(app: Flask) -> None:
    old, new = files.recipes()["abandoned_cart"], copy.deepcopy(files.recipes()["abandoned_cart"])
    new["nodes"]["wait"]["settings"]["for"] = "2h"
    del new["nodes"]["bought"]
    new["nodes"]["wait"]["exits"]["happened"] = "end"
    with app.test_request_context(), force_locale("en"):
        said = differences(old, new)
        assert Difference("changed", "“Wait for an order”: At most is now “2 hours”, it was “1 hour”") in said
        assert [each.sign for each in said] == ["changed", "changed", "removed"]
        assert differences(old, old) == [] and differences(None, new) == []
    with app.test_request_context(), force_locale("he"):
        assert not [each.text for each in differences(old, new) if "is now" in each.text or "leads" in each.text]


def test_the_page_tells_what_differs_and_who_published_it(signed_in: Callable[..., FlaskClient]) -> None:
    page = signed_in().get(f"{CART}/history").text
    assert "2 hours" in page and "“A while” is new" in page and "only once" in page and "noa@shop.example" in page
    assert "“A while” is gone" in signed_in("admin").get(f"{CART}/history?from=2&to=1").text
    assert "Both say the same." in signed_in("viewer").get(f"{CART}/history?from=2&to=2").text


def test_an_older_version_becomes_the_draft_and_nothing_is_live_before_it_is_published(signed_in: Callable[..., FlaskClient], session: Session) -> None:
    done = signed_in().post(f"{CART}/history/1/restore")
    assert (done.status_code, done.location) == (302, f"{CART}/edit")
    wait = session.scalar(text("SELECT graph->'nodes'->'wait'->'settings'->>'for' FROM journey_drafts d JOIN journeys j ON j.id = d.journey_id"))
    assert wait == "1h" and session.scalar(text("SELECT version FROM journeys WHERE slug = 'abandoned_cart'")) == 2
    admin = signed_in("admin")
    assert "never published" in admin.get(f"{CART}/history").text
    assert signed_in("viewer").post(f"{CART}/history/1/restore").status_code == 403
    assert admin.post(f"{CART}/history/7/restore").status_code == 404
