"""Products on the screen and in the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import demand
from crm.events.inbox import claim, mark
from crm.events.read import read
from crm.events.spec import Call
from crm.web.step_chart import steps
from crm.web.tokens import create_token
from tests.makers import accepted, config, identify, track
from workers import pipeline

Post = Callable[..., Any]
DAY = dt.timedelta(days=1)


@pytest.fixture
def api(make_app: Callable[..., Flask], session: Session) -> Post:
    client = make_app().test_client()
    headers = {"Authorization": f"Bearer {create_token(session, name='shop', role='marketer')}"}
    return lambda products: client.post("/api/v1/products", json={"products": products}, headers=headers)


@pytest.fixture
def get(make_app: Callable[..., Flask], session: Session) -> Post:
    client = make_app().test_client()
    headers = {"Authorization": f"Bearer {create_token(session, name='reader', role='viewer')}"}
    return lambda path, **query: client.get(f"/api/v1{path}", query_string=query, headers=headers)


def settle(session: Session, now: dt.datetime) -> None:
    while rows := claim(session, 1_000):
        pipeline.run(session, [read(row) for row in rows], now, config())
        mark(session, rows, now)


VASE = {"variant_id": "vase", "product_id": "v", "name": "Vase", "price": "90.50", "currency": "ILS", "stock": 4, "pictures": ["https://shop.example/v.png"]}


def test_a_batch_is_taken_item_by_item(session: Session, api: Post, get: Post) -> None:
    answer = api([VASE, {"variant_id": "cup", "price": -1}, {"name": "nameless"}, 7, {"variant_id": 12, "stock": 0, "name": "Mug"}])
    assert answer.status_code == 200
    assert (answer.json["accepted"], answer.json["older"]) == (2, [])
    assert [(each["index"], each["variant_id"]) for each in answer.json["errors"]] == [(1, "cup"), (2, None), (3, None)]
    assert answer.json["errors"][0]["error"].startswith("price: ")
    settle(session, dt.datetime.now(dt.UTC))
    found = get("/products").json["items"]
    assert [(each["variant_id"], each["stock"], each["price"]) for each in found] == [("12", 0, None), ("vase", 4, "90.500000")]
    assert get("/products/vase").json["name"] == "Vase"
    assert get("/products/none").status_code == 404


def test_an_item_with_a_lower_version_is_named_and_changes_nothing(session: Session, api: Post, get: Post) -> None:
    api([VASE | {"version": 5}])
    settle(session, dt.datetime.now(dt.UTC))
    answer = api([VASE | {"version": 4, "stock": 99}])
    assert (answer.json["accepted"], answer.json["older"]) == (0, ["vase"])
    settle(session, dt.datetime.now(dt.UTC))
    assert get("/products/vase").json["stock"] == 4


def test_a_nul_in_one_item_does_not_refuse_the_batch(session: Session, api: Post, get: Post) -> None:
    answer = api([VASE, {"variant_id": "c\x00up", "name": "Cu\x00p"}])
    assert (answer.status_code, answer.json and answer.json["accepted"]) == (200, 2)
    settle(session, dt.datetime.now(dt.UTC))
    assert get("/products/cup").json["name"] == "Cup"


def test_a_reader_may_not_write(make_app: Callable[..., Flask], session: Session) -> None:
    headers = {"Authorization": f"Bearer {create_token(session, name='reader', role='viewer')}"}
    assert make_app().test_client().post("/api/v1/products", json={"products": [VASE]}, headers=headers).status_code == 403


def test_the_batch_is_described(make_app: Callable[..., Flask]) -> None:
    document = make_app().test_client().get("/api/v1/openapi.json").json
    body = document["paths"]["/api/v1/products"]["post"]["requestBody"]
    assert "variant_id" in str(document["components"]["schemas"]["NewProducts"]) and body


@pytest.fixture
def shelf(session: Session, now: dt.datetime) -> dt.datetime:
    """A vase that was there, sold out for three days, and is waited for by Dana; a cup nobody looks at."""
    told = [
        Call(type="track", event="Product Updated", timestamp=(now - 9 * DAY).isoformat(), properties=VASE),
        Call(type="track", event="Product Price Changed", timestamp=(now - 5 * DAY).isoformat(), properties={"sku": "vase", "price": 80}),
        Call(type="track", event="Product Stock Changed", timestamp=(now - 3 * DAY).isoformat(), properties={"sku": "vase", "stock": 0}),
        Call(type="track", event="Product Updated", timestamp=(now - DAY).isoformat(), properties={"sku": "cup", "name": "Cup", "stock": 2, "price": 20}),
        identify({"email": "dana@example.com", "name": "Dana Levi"}, at=now - 4 * DAY, user_id="dana"),
        track("Product Viewed", {"sku": "vase"}, at=now - 2 * DAY, user_id="dana"),
        track("Back In Stock Requested", {"sku": "vase"}, at=now - 2 * DAY, user_id="dana"),
    ]
    pipeline.run(session, [accepted(call, now) for call in told], now, config())
    while demand.count_wants(session, now):
        pass
    return now


def test_the_list_finds_filters_and_sorts(shelf: dt.datetime, browser_as: Callable[..., Any]) -> None:
    browser = browser_as("marketer")
    page = browser.get("/products").text
    assert page.index("Vase") < page.index("Cup")  # waited for first
    assert "1 waits" in page
    assert "Cup" not in browser.get("/products?state=out").text
    assert "Vase" not in browser.get("/products?q=cu").text
    page = browser.get("/products?sort=name").text
    assert page.index("Cup") < page.index("Vase")
    assert "No product is like that" in browser.get("/products?q=zzz").text


def test_pages_follow_each_other(shelf: dt.datetime, session: Session, browser_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm.web.pages.products.PAGE", 1)
    browser = browser_as("marketer")
    for sort, order in (("wanted", ["vase", "cup"]), ("name", ["cup", "vase"]), ("stock", ["vase", "cup"])):
        first = browser.get(f"/products?sort={sort}").text
        assert f'href="/products/{order[0]}"' in first and f'href="/products/{order[1]}"' not in first
        after = first.split("after=")[1].split('"')[0].replace("&amp;", "&")
        assert f'href="/products/{order[1]}"' in browser.get(f"/products?sort={sort}&after={after}").text


def test_a_product_shows_its_histories_who_waits_and_what_was_lost(shelf: dt.datetime, browser_as: Callable[..., Any]) -> None:
    page = browser_as("marketer").get("/products/vase").text
    assert "Dana Levi" in page
    assert page.count('class="k-steps"') == 2 and "k-steps-none" in page
    assert "1 person looked" in page and "1 person asked to be told" in page
    assert "not enough data for a sum" in page
    assert browser_as("viewer").get("/products/none").status_code == 404


def test_who_waits_goes_by_what_is_known_of_them(session: Session, shelf: dt.datetime, browser_as: Callable[..., Any]) -> None:
    asked = "Back In Stock Requested"
    calls = [
        track(asked, {"product_id": "vase"}, at=shelf - DAY, user_id="u-8812"),
        track(asked, {"product_id": "vase"}, at=shelf - DAY, anonymous_id="device-5"),
        identify({"email": "noa@example.com"}, at=shelf - 2 * DAY, user_id="u-7"),
        track(asked, {"product_id": "vase"}, at=shelf - DAY, user_id="u-7"),
    ]
    pipeline.run(session, [accepted(call, shelf) for call in calls], shelf, config())
    session.commit()
    page = browser_as("marketer").get("/products/vase").text
    assert "<bdi>u-8812</bdi>" in page and "noa@example.com</bdi>" in page and "u-7<" not in page
    assert page.count("Anonymous visitor") == 1 and "device-5" not in page


def test_the_usual_rate_says_what_was_lost(session: Session, shelf: dt.datetime, browser_as: Callable[..., Any]) -> None:
    session.execute(text("INSERT INTO variant_days (day, variant_id, viewers, buyers) VALUES (:d, 'vase', 100, 25)"), {"d": (shelf - 20 * DAY).date()})
    assert "usually" in (page := browser_as("marketer").get("/products/vase").text)
    assert "25%" in page and "₪20" in page  # one person, a quarter of 80


def test_a_line_of_steps_shades_what_was_nothing(now: dt.datetime) -> None:
    drawn = steps([(now - DAY, 4.0), (now - DAY / 2, 0.0)], now - DAY, now, "Stock")
    assert drawn.count("k-steps-none") == 1 and 'aria-label="Stock"' in drawn
    assert steps([], now - DAY, now, "Stock") == ""


@pytest.mark.parametrize("sort", ["wanted", "name", "stock", "nonsense"])
def test_nonsense_in_the_address_is_answered(shelf: dt.datetime, browser_as: Callable[..., Any], get: Post, sort: str) -> None:
    browser = browser_as("marketer")
    for after in ("x", "x%1Fy", "9999999999999999999%1Fy", "%00%1F%00", "1%1F"):
        assert browser.get(f"/products?sort={sort}&after={after}&q=%00").status_code == 200
    assert browser.get("/products/a%00b").status_code == 404
    assert get("/products/a%00b").status_code == 404
    assert get("/products", cursor="\x00").status_code == 400


def test_a_variant_may_be_called_anything(session: Session, api: Post, get: Post, browser_as: Callable[..., Any]) -> None:
    name = "a/b c?d#e%20<ו>"
    assert api([{"variant_id": name, "name": "<b>Odd</b>", "stock": 0, "pictures": ["https://x.example/1.png"]}]).json["accepted"] == 1
    settle(session, dt.datetime.now(dt.UTC))
    page = browser_as("marketer").get("/products").text
    assert "<b>Odd" not in page
    link = page.split('href="/products/')[1].split('"')[0]
    assert "Odd" in browser_as("viewer").get(f"/products/{link}").text
    assert get("/products/" + quote(name)).json["variant_id"] == name
    assert api([{"variant_id": "x", "pictures": ["javascript:alert(1)"]}]).json["errors"][0]["index"] == 0
