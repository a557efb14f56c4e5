"""The journeys' pages and API, as people and programs see them."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.web.tokens import create_token
from journeys import drawing, install, presets, publish
from journeys.files import recipes
from journeys.graph import parse
from journeys.kinds import NODES, TRIGGERS
from tests.makers import accepted, config, product, track
from workers import pipeline


@pytest.fixture(autouse=True)
def story(session: Session, now: dt.datetime) -> None:
    """The recipe live, one run waiting, one ended by an order, one start too late."""
    install.install(session, now)
    calls = [
        track("Product Added", product("vase"), at=now, user_id="anna"),
        track("Product Added", product("vase"), at=now, user_id="bella"),
        track("Order Completed", {"order_id": "1", "total": 10, "currency": "ILS"}, at=now, user_id="bella"),
        track("Product Added", product("vase"), at=now - dt.timedelta(hours=9), user_id="cora"),
    ]
    pipeline.run(session, [accepted(call, now) for call in calls], now, config())
    session.flush()


def run_ids(session: Session) -> list[str]:
    return [str(each) for each in session.scalars(text("SELECT id FROM runs ORDER BY status, id"))]


@pytest.mark.parametrize("language", ["en", "he"])
def test_every_page_shows_itself_in_both_languages(signed_in: Callable[..., FlaskClient], session: Session, language: str) -> None:
    client = signed_in(language=language)
    profile = session.scalar(text("SELECT profile_id FROM runs WHERE status = 'active'"))
    paths = ["/journeys", "/journeys/abandoned_cart", "/journeys/abandoned_cart/runs", "/journeys/abandoned_cart/runs?status=active&node=wait"]
    paths += [f"/journeys/of/{profile}", "/journeys/pulse", *(f"/runs/{each}" for each in run_ids(session))]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200, path
    page = client.get("/journeys/abandoned_cart").text
    assert ("Wait for an order" in page) == (language == "en")
    assert ("המתנה להזמנה" in page) == (language == "he")


def test_the_graph_shows_who_stands_where_and_what_started_nothing(signed_in: Callable[..., FlaskClient]) -> None:
    page = signed_in().get("/journeys/abandoned_cart").text
    assert page.count('class="k-node wait"') == 2  # canvas and outline
    assert "here now" in page
    assert "the event came too late to start anything" in page
    assert "Order placed ended it" in page


def test_what_was_not_sent_stands_on_the_page_with_its_reason_and_leads_to_those_messages(signed_in: Callable[..., FlaskClient], session: Session) -> None:
    client = signed_in()
    assert "Messages not sent" not in client.get("/journeys/abandoned_cart").text
    rows = [("dropped", "no_consent"), ("dropped", "no_consent"), ("held", "quiet_hours"), ("sent", "sent")]
    add = """INSERT INTO messages (id, profile_id, given_id, journey, channel, template, topic, purpose, status, reason)
             SELECT gen_random_uuid(), id, id, 'abandoned_cart', 'email', 'abandoned_cart', 'offers', 'marketing', :status, :reason FROM profiles LIMIT 1"""
    session.execute(text(add), [{"status": status, "reason": reason} for status, reason in rows])
    session.flush()
    page = client.get("/journeys/abandoned_cart").text
    assert re.search(r"Messages not sent: \D*3\D* of \D*4", page), page
    assert "The address never agreed to this topic on this channel." in page
    link = next(html.unescape(each) for each in re.findall(r'href="([^"]*)"', page) if "no_consent" in each)
    assert {"journey=abandoned_cart", "status=dropped", "reason=no_consent"} <= set(link.partition("?")[2].split("&"))
    assert client.get(link).status_code == 200


def test_a_wait_that_is_none_of_the_choices_is_shown_as_it_is(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> None:
    shown = r'<select[^>]* name="for".*?</select>'
    client = signed_in()
    ours = re.search(shown, client.get("/journeys/abandoned_cart").text, re.DOTALL)
    assert ours
    assert 'value=""' not in ours[0]
    drawn = presets.with_wait(parse(recipes()["abandoned_cart"]), "wait", "2s")
    publish.publish(session, "abandoned_cart", drawn, now=now)
    other = re.search(shown, client.get("/journeys/abandoned_cart").text, re.DOTALL)
    assert other
    assert re.search(r'<option value="" selected>2\s+sec', other[0]), other[0]


def test_a_recipe_that_runs_already_is_opened_and_a_second_one_has_a_name_of_its_own(signed_in: Callable[..., FlaskClient], session: Session) -> None:
    client = signed_in("marketer", language="en")
    page = client.get("/journeys/new").text
    assert "There is a journey of this recipe already." in page
    assert 'href="/journeys/abandoned_cart"' in page
    assert 'id="n-abandoned_cart" name="name"' in page
    assert 'id="n-welcome_series"' not in page, "nothing is there yet that it could be taken for"
    for asked in ({}, {"name": "For the outlet"}, {"name": "Abandoned cart"}):
        client.post("/journeys/begin", data={"recipe": "abandoned_cart", **asked})
    names = [each["en"] for each in session.scalars(text("SELECT name FROM journeys")).all()]
    assert sorted(names) == ["Abandoned cart", "Abandoned cart 2", "Abandoned cart 3", "For the outlet"]


def test_pause_and_resume_are_for_marketing_and_written_down(signed_in: Callable[..., FlaskClient], session: Session) -> None:
    client = signed_in()
    assert client.post("/journeys/abandoned_cart/pause").status_code == 302
    assert "Nothing is dropped" in client.get("/journeys/abandoned_cart").text
    assert session.scalar(text("SELECT count(*) FROM wakeups")) == 0
    assert client.post("/journeys/abandoned_cart/resume").status_code == 302
    assert session.scalar(text("SELECT count(*) FROM wakeups")) == 1
    assert session.scalars(text("SELECT action FROM audit_log ORDER BY id")).all() == ["journey.pause", "journey.resume"]
    assert signed_in("viewer").post("/journeys/abandoned_cart/pause").status_code == 403


def test_what_is_not_there_is_said(signed_in: Callable[..., FlaskClient]) -> None:
    client = signed_in()
    assert client.get("/journeys/nothing").status_code == 404
    assert client.get("/runs/00000000-0000-0000-0000-000000000000").status_code == 404


def test_the_palette_is_drawn_from_the_classes(signed_in: Callable[..., FlaskClient]) -> None:
    found = signed_in().get("/journeys/palette").get_json()
    assert sorted(each["kind"] for each in found["nodes"]) == sorted(NODES)  # drawn most, first
    assert [each["kind"] for each in found["triggers"]] == sorted(TRIGGERS)
    assert all(each["schema"]["type"] == "object" for each in found["nodes"] + found["triggers"])
    fields = [field for each in found["nodes"] for field in each["schema"]["properties"].items() if field[0] in {"channel", "template"}]
    assert [name for name, field in fields if field.get("x-suggest") != name] == []  # offered, and called by their names


def test_events_are_offered_before_any_has_happened(signed_in: Callable[..., FlaskClient], session: Session) -> None:
    assert session.scalar(text("SELECT count(*) FROM events WHERE name = 'Checkout Started'")) == 0
    offered = [each["name"] for each in signed_in().get("/journeys/palette").get_json()["suggest"]["events"]]
    assert offered.index("Product Added") < offered.index("Checkout Started")  # what happens here comes first
    assert len(set(offered)) == len(offered)
    assert not {"Product Stock Changed", "Audience Reached"} & set(offered)


def test_the_api_lists_journeys_and_runs_with_their_steps(app: Flask, session: Session) -> None:
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='viewer')}"}
    client = app.test_client()
    listed = client.get("/api/v1/journeys", headers=headers).get_json()["items"]
    assert [(each["slug"], each["active_runs"], each["started"]) for each in listed] == [("abandoned_cart", 1, 2)]
    page = client.get("/api/v1/runs?limit=1", headers=headers).get_json()
    rest = client.get(f"/api/v1/runs?cursor={page['next']}", headers=headers).get_json()
    assert sorted(each["status"] for each in page["items"] + rest["items"]) == ["active", "done"]
    assert client.get("/api/v1/runs?status=done", headers=headers).get_json()["items"][0]["end_reason"] == "exit:Order Completed"
    assert client.get("/api/v1/runs", headers={}).status_code == 401


def test_the_picture_flows_down_and_branches_lie_side_by_side() -> None:
    picture = drawing.draw(parse(recipes()["abandoned_cart"]), lambda graph, node, way: way)
    at = {place.name: (place.x, place.y) for place in picture.places}
    assert at["trigger"][1] < at["wait"][1] < at["remind"][1] == at["bought"][1] < at["end"][1]
    assert at["remind"][0] < at["bought"][0]
    assert {(edge.origin, edge.exit, edge.target) for edge in picture.edges} >= {("wait", "timed_out", "remind"), ("wait", "happened", "bought")}
