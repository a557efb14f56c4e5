"""What the designer asks for: drafts nobody overwrites, problems in words, publishing with people on their way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.web import rights
from crm.web.tokens import create_token
from journeys import install
from tests.makers import accepted, config, product, track
from workers import pipeline

CART = "/journeys/abandoned_cart"


@pytest.fixture(autouse=True)
def live(session: Session, now: dt.datetime) -> None:
    """The recipe, its template, and one run waiting."""
    insert = (
        "INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('abandoned_cart', 'email', 'offers', 'marketing', 1) ON CONFLICT DO NOTHING"
    )
    session.execute(text(insert))
    install.install(session, now)
    pipeline.run(session, [accepted(track("Product Added", product("vase"), at=now, user_id="anna"), now)], now, config())


@pytest.fixture
def client(signed_in: Callable[..., FlaskClient]) -> FlaskClient:
    return signed_in()


def saved(client: FlaskClient, graph: dict[str, Any], revision: int = 0) -> Any:
    answer = client.put(f"{CART}/draft", json={"revision": revision, "graph": graph, "layout": {"wait": [1, 2]}})
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json()


def drawn(client: FlaskClient) -> Any:
    return client.get(f"{CART}/draft").get_json()


def test_a_draft_begins_as_what_is_published(client: FlaskClient) -> None:
    found = drawn(client)
    assert (found["revision"], found["changed"], found["problems"], found["version"]) == (0, False, [], 1)
    assert found["nodes"]["wait"]["exits"] == {"timed_out": "time passed", "happened": "it happened"}
    assert found["nodes"]["remind"]["summary"] == "“Abandoned cart, first reminder” by e-mail"


def test_somebody_who_may_not_see_revenue_draws_all_the_same(client: FlaskClient, session: Session) -> None:
    rights.hide(session, {("marketer", "revenue")})
    assert drawn(client)["graph"]["name"]["en"] == "Abandoned cart"
    assert client.get("/journeys/palette").status_code == 200


def test_an_address_in_a_drawing_stays_whole_for_those_who_may_not_see_addresses(client: FlaskClient, session: Session) -> None:
    graph = drawn(client)["graph"]
    graph["nodes"]["wait"]["name"] = {"en": "Ask shop@example.com, 050-5550142"}
    saved(client, graph)
    rights.hide(session, {("marketer", "email"), ("marketer", "phone"), ("marketer", "revenue")})
    assert drawn(client)["graph"] == graph
    assert client.put(f"{CART}/draft", json={"revision": 0, "graph": graph}).get_json()["graph"] == graph


def test_a_veiled_drawing_is_not_saved(client: FlaskClient) -> None:
    graph = drawn(client)["graph"]
    graph["nodes"]["wait"]["name"] = {"en": "Ask s•••@•••"}
    answer = client.put(f"{CART}/draft", json={"revision": 0, "graph": graph})
    assert answer.status_code == 400
    assert "•••" in answer.get_json()["error"]


def test_two_who_save_at_once_hear_of_each_other(client: FlaskClient) -> None:
    graph = drawn(client)["graph"]
    assert saved(client, graph)["revision"] == 1
    late = client.put(f"{CART}/draft", json={"revision": 0, "graph": graph, "layout": {}})
    assert (late.status_code, late.get_json()["revision"], late.get_json()["layout"]) == (409, 1, {"wait": [1, 2]})
    assert "else has saved" in late.get_json()["error"]


def test_a_half_drawn_journey_is_kept_and_says_what_it_lacks(client: FlaskClient) -> None:
    graph = drawn(client)["graph"]
    graph["nodes"]["wait"]["exits"] = {}
    answer = saved(client, graph)
    assert {each["node"] for each in answer["problems"] if each["level"] == "error"} == {"wait", "remind", "end", "bought"}
    refused = client.post(f"{CART}/publish", json={"revision": 1})
    assert refused.status_code == 400 and refused.get_json()["problems"]
    assert client.delete(f"{CART}/draft", json={"revision": 1}).get_json()["changed"] is False


def test_publishing_tells_how_many_stand_on_what_changed_and_moves_them(client: FlaskClient, session: Session) -> None:
    graph = drawn(client)["graph"]
    graph["nodes"]["wait"]["settings"]["for"] = "5m"
    saved(client, graph)
    ahead = client.get(f"{CART}/publish").get_json()
    assert ahead["changes"] == [{"node": "wait", "change": "changed", "people": 1}]
    assert (ahead["people"], ahead["diff"], ahead["number"]) == (1, ["~ nodes.wait.settings.for: 1h → 5m"], 2)
    done = client.post(f"{CART}/publish", json={"revision": 1, "move": "same"}).get_json()
    assert done == {"version": 2, "moved": 1, "ended": 0}
    assert session.execute(text("SELECT version, node FROM runs")).one() == (2, "wait")
    assert session.scalar(text("SELECT count(*) FROM wakeups w JOIN runs r ON r.id = w.run_id WHERE w.due_at = r.due_at")) == 1
    assert [each["number"] for each in client.get(f"{CART}/versions").get_json()] == [2, 1]


@pytest.mark.parametrize(
    ("choice", "standing"),
    [({"move": "old"}, (1, "wait", "active")), ({"move": "chosen", "to": {"wait": "end"}}, (2, "end", "active")), ({"move": "exit"}, (1, "wait", "done"))],
)
def test_each_choice_for_people_on_their_way(client: FlaskClient, session: Session, choice: dict[str, Any], standing: tuple[Any, ...]) -> None:
    graph = drawn(client)["graph"]
    graph["nodes"]["wait"]["settings"]["for"] = "5m"
    saved(client, graph)
    assert client.post(f"{CART}/publish", json={"revision": 1} | choice).status_code == 200
    assert session.execute(text("SELECT version, node, status FROM runs")).one() == standing


def test_trying_it_tells_the_story_in_order(client: FlaskClient) -> None:
    events = [{"name": "Product Added"}, {"name": "Product Added", "after": "30m"}]
    told = client.post("/journeys/simulate", json={"graph": drawn(client)["graph"], "start": "2026-11-22T10:00:00+00:00", "events": events}).get_json()
    assert [(each["at"], each["template"]) for each in told["sent"]] == [("2026-11-22T11:30:00+00:00", "abandoned_cart")]
    assert [line["kind"] for line in told["timeline"]][:2] == ["event", "start"]
    assert told["runs"][0]["path"] == [["wait", "timed_out"], ["remind", "next"], ["end", "finished"]]
    broken = client.post("/journeys/simulate", json={"graph": {}, "events": []})
    assert broken.status_code == 400


def test_a_new_journey_begins_from_a_recipe_and_is_not_live(client: FlaskClient, session: Session) -> None:
    assert any(each["recipe"] == "abandoned_cart" for each in client.get("/journeys/recipes").get_json())
    made = client.post("/journeys/new", json={"recipe": "abandoned_cart"}).get_json()
    assert made == {"slug": "abandoned_cart_2", "url": "/journeys/abandoned_cart_2/edit"}
    assert session.execute(text("SELECT status, version FROM journeys WHERE slug = 'abandoned_cart_2'")).one() == ("draft", None)
    assert client.post("/journeys/abandoned_cart_2/publish", json={"revision": 1}).get_json()["version"] == 1
    assert session.scalar(text("SELECT status FROM journeys WHERE slug = 'abandoned_cart_2'")) == "live"
    empty = client.post("/journeys/new", json={"name": {"en": "VIP!"}}).get_json()["slug"]
    assert client.get(f"/journeys/{empty}/draft").get_json()["problems"]


def test_a_viewer_may_look_and_not_draw(signed_in: Callable[..., FlaskClient]) -> None:
    client = signed_in("viewer")
    assert client.get(f"{CART}/counts").get_json()["nodes"] == {"wait": 1}
    assert client.put(f"{CART}/draft", json={}).status_code == 403


def test_an_older_version_becomes_the_draft_and_is_published_as_a_new_one(client: FlaskClient) -> None:
    graph = drawn(client)["graph"]
    graph["nodes"]["wait"]["settings"]["for"] = "5m"
    saved(client, graph)
    client.post(f"{CART}/publish", json={"revision": 1})
    assert client.get(f"{CART}/versions/1").get_json()["diff"] == ["~ nodes.wait.settings.for: 1h → 5m"]
    back = client.post(f"{CART}/versions/1/restore", json={"revision": 1}).get_json()
    assert (back["revision"], back["changed"], back["graph"]["nodes"]["wait"]["settings"]["for"]) == (2, True, "1h")
    assert client.post(f"{CART}/publish", json={"revision": 2}).get_json()["version"] == 3


def test_codes_are_put_into_a_pool_once(app: Flask, session: Session) -> None:
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='marketer')}"}
    client = app.test_client()
    added = client.post("/api/v1/coupons", json={"pool": "spring", "codes": ["A", "B", "B", " "]}, headers=headers).get_json()
    assert added == {"pool": "spring", "free": 2, "given": 0, "used": 0, "added": 2}
    assert client.post("/api/v1/coupons", json={"pool": "spring", "codes": ["B", "C"]}, headers=headers).get_json()["added"] == 1
    assert client.get("/api/v1/coupons", headers=headers).get_json()["items"] == [{"pool": "spring", "free": 3, "given": 0, "used": 0, "added": 0}]
    assert client.post("/api/v1/coupons", json={"pool": "Not good", "codes": ["B"]}, headers=headers).status_code == 400


ODD = (
    *("[1]", '"x"', '{"graph": [1]}', '{"graph": {"a": "\\ud800"}}', f'{{"graph": {{"a": {"9" * 400}}}}}', "[" * 100_000),
    '{"graph": ' + '{"a": ' * 300 + "1" + "}" * 301,
    '{"revision": 0, "graph": {"a": "\\ud800"}}',
    '{"graph": {}, "start": "9999-12-31T23:00:00Z"}',
    '{"graph": {}, "events": [{"name": "a", "after": "99999999999999d"}]}',
    '{"name": "a", "events": [{"name": "a", "at": "0001-01-01T00:00:00+14:00"}]}',
    '{"since": "0001-01-01T00:00:00+14:00", "until": "9999-12-31T23:59:00-12:00"}',
)


def test_whatever_is_sent_the_designer_hears_what_is_wrong(client: FlaskClient) -> None:
    paths = ("/journeys/check", "/journeys/simulate", f"{CART}/stories", f"{CART}/backtests", f"{CART}/publish")
    answers = {(path, said[:60]): client.post(path, data=said, content_type="application/json").status_code for path in paths for said in ODD}
    answers |= {(said[:60],): client.put(f"{CART}/draft", data=said, content_type="application/json").status_code for said in ODD}
    assert {place: status for place, status in answers.items() if status != 400} == {}
