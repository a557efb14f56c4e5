"""Stories beside a journey in the database: they come with a recipe, are kept from what was tried, and tell when the drawing says otherwise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from journeys import drafts, install, stories
from journeys.story import Story
from tests.makers import accepted, config, identify
from workers import pipeline

CART = "/journeys/abandoned_cart"
START = "2026-11-22T08:00:00+00:00"
VASE = {"product_id": "vase", "price": "90"}


@pytest.fixture
def client(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> FlaskClient:
    install.install(session, now)
    return signed_in()


def test_a_recipe_brings_its_stories_and_they_hold(client: FlaskClient) -> None:
    told = client.get(f"{CART}/stories").get_json()
    assert told["runs"] and "a buyer is left alone" in [each["name"] for each in told["stories"]]
    assert all(not each["problems"] for each in told["stories"])


def test_stories_of_recipes_are_called_in_the_language_of_the_page_and_others_as_somebody_called_them(
    signed_in: Callable[..., FlaskClient], client: FlaskClient, session: Session
) -> None:
    catalogue = Path("crm/web/translations/he/LC_MESSAGES/messages.po").read_text(encoding="utf-8")
    assert [name for name in stories.shipped() if f'msgid "{name}"\n' not in catalogue] == []
    own = Story.model_validate({"name": "no", "events": [{"name": "Product Added"}], "expect": []})  # a word of the catalogue, but not a story's
    stories.keep(session, drafts.find(session, "abandoned_cart").id, [own])
    told = signed_in("admin", "he").get(f"{CART}/stories").get_json()["stories"]
    assert {each["name"]: each["title"] for each in told} == {
        "a buyer is left alone": "מי שקנו לא מקבלים דבר",
        "no": "no",
        "one e-mail an hour after the last change": "הודעה אחת, שעה אחרי השינוי האחרון",
    }


def test_a_story_that_comes_out_otherwise_says_so_in_the_language_of_the_page(signed_in: Callable[..., FlaskClient], client: FlaskClient) -> None:
    graph = client.get(f"{CART}/draft").get_json()["graph"]
    graph["nodes"]["wait"]["settings"]["for"] = "2h"
    client.put(f"{CART}/draft", json={"revision": 0, "graph": graph})
    wrong = {each["name"]: each["problems"] for each in client.get(f"{CART}/stories").get_json()["stories"] if each["problems"]}
    assert "“Abandoned cart, first reminder” by e-mail after 90 minutes was not sent" in wrong["one e-mail an hour after the last change"]
    hebrew = signed_in("admin", language="he").get(f"{CART}/stories").get_json()["stories"]
    assert any("לא נשלחה" in problem for each in hebrew for problem in each["problems"])


def test_what_was_tried_is_kept_with_what_happens_today(client: FlaskClient, session: Session) -> None:
    events: list[dict[str, Any]] = [{"name": "Product Added", "at": START, "properties": VASE}]
    told = client.post(f"{CART}/stories", json={"name": "mine", "events": events}).get_json()
    assert [each["problems"] for each in told["stories"] if each["name"] == "mine"] == [[]]
    journey = drafts.find(session, "abandoned_cart")
    mine = next(each for each in stories.kept(session, journey.id) if each.name == "mine")
    assert [(each.after, each.template) for each in mine.expect] == [(dt.timedelta(hours=1), "abandoned_cart")]
    assert Story.model_validate(yaml.safe_load(stories.to_yaml([mine]))[0]) == mine
    left = client.delete(f"{CART}/stories", json={"name": "mine"}).get_json()["stories"]
    assert "mine" not in [each["name"] for each in left]
    assert client.post(f"{CART}/stories", json={"name": "", "events": events}).status_code == 400


def test_a_kept_story_calls_the_journey_as_the_try_out_does(client: FlaskClient, session: Session) -> None:
    mail = {"kind": "send", "settings": {"template": "abandoned_cart"}, "exits": {"next": "again"}}
    again = {"kind": "start_journey", "settings": {"journey": "abandoned_cart"}, "exits": {"next": "end"}}
    graph = {"name": {"en": "Again"}, "trigger": {"kind": "hand"}, "reentry": {"again": "every_time", "at_once": "unlimited"}}
    graph |= {"entry": "mail", "nodes": {"mail": mail, "again": again, "end": {"kind": "stop"}}}
    client.put(f"{CART}/draft", json={"revision": 0, "graph": graph})
    events = [{"name": "Journey Requested", "at": START, "properties": {"journey": "abandoned_cart"}}]
    tried = client.post("/journeys/simulate", json={"graph": graph, "slug": "abandoned_cart", "start": START, "events": events}).get_json()
    client.post(f"{CART}/stories", json={"name": "again", "events": events})
    kept = next(each for each in stories.kept(session, drafts.find(session, "abandoned_cart").id) if each.name == "again")
    assert len(kept.expect) == len(tried["sent"]) > 1


def test_a_drawing_that_cannot_run_tells_no_story_and_keeps_them(client: FlaskClient) -> None:
    graph = client.get(f"{CART}/draft").get_json()["graph"]
    graph["nodes"]["wait"]["exits"] = {}
    client.put(f"{CART}/draft", json={"revision": 0, "graph": graph})
    told = client.get(f"{CART}/stories").get_json()
    assert not told["runs"] and told["stories"]
    assert client.post(f"{CART}/stories", json={"name": "x", "events": [{"name": "A", "at": START}]}).status_code == 400


def test_it_can_be_tried_on_somebody_real(client: FlaskClient, session: Session, now: dt.datetime) -> None:
    pipeline.run(session, [accepted(identify({"email": "dana@example.com", "city": "Haifa"}, at=now, user_id="dana"), now)], now, config())
    graph = client.get(f"{CART}/draft").get_json()["graph"]
    condition = {"of": "trait", "name": "city", "op": "is", "value": "Haifa"}
    graph["nodes"]["home"] = {"kind": "branch", "settings": {"ways": [{"exit": "yes", "when": [condition]}]}, "exits": {"yes": "remind", "otherwise": "end"}}
    graph["nodes"]["wait"]["exits"]["timed_out"] = "home"
    asked = {"graph": graph, "start": START, "events": [{"name": "Product Added", "properties": VASE}]}
    sent = {who: client.post("/journeys/simulate", json=asked | {"who": who}).get_json()["sent"] for who in ("", "Dana@Example.com", "dana")}
    assert [len(each) for each in sent.values()] == [0, 1, 1]
    unknown = client.post("/journeys/simulate", json=asked | {"who": "nobody@example.com"})
    assert unknown.status_code == 404 and "Nobody is known by that" in unknown.get_json()["error"]


def test_what_starts_nothing_is_told_in_words(client: FlaskClient) -> None:
    graph = client.get(f"{CART}/draft").get_json()["graph"]
    asked = {"graph": graph, "start": START, "events": [{"name": "Product Added", "properties": VASE}, {"name": "Product Added", "properties": VASE}]}
    lines = client.post("/journeys/simulate", json=asked).get_json()["timeline"]
    assert [line["text"] for line in lines if line["kind"] == "refused"] == ["a run for the same thing is under way"]
