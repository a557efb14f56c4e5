"""Companies on pages and in the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from crm.profiles import accounts
from crm.web import tokens
from tests.web.conftest import Browser
from tests.web.shop import Shop, open_shop


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Shop:
    return open_shop(session, now)


@pytest.fixture
def acme(session: Session, shop: Shop, now: dt.datetime) -> str:
    terms = {"price_list": "B", "contract_end": "2027-01-31"}
    made = accounts.save(session, key="acme", name="Acme Ltd", domain="acme.co.il", parent="holding", traits=terms, now=now)
    accounts.set_member(session, account_id=made.id, profile_id=shop.dana, role="buyer", now=now)
    session.commit()
    return str(made.id)


def test_a_company_shows_its_people_their_orders_its_terms_and_what_they_did(acme: str, shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    for language, words in (("en", ("Buyer", "Price list", "Contract ends", "Order placed")), ("he", ("קונה", "מחירון", "סוף החוזה"))):
        page = browser_as("viewer").get(f"/accounts/{acme}", language)
        assert page.status_code == 200
        assert all(word in page.text for word in (*words, "Acme Ltd", "holding", f"/people/{shop.dana}")), language
        assert "<form method" not in page.text.replace('<form method="post" action="/sign-out">', "").replace('<form method="post" action="/language">', "")
    assert "Acme Ltd" in browser_as("viewer").get(f"/people/{shop.dana}").text


@pytest.mark.parametrize(("words", "found"), [("", True), ("acm", True), ("ltd", True), ("acme.co", True), ("%", False), ("zzz", False)])
def test_companies_are_found_by_name_key_or_domain(acme: str, browser_as: Callable[[str], Browser], words: str, found: bool) -> None:
    assert (f"/accounts/{acme}" in browser_as("viewer").get(f"/accounts?q={words}").text) == found


def test_a_salesperson_edits_owner_parent_and_people(
    acme: str, shop: Shop, session: Session, people: dict[str, Any], browser_as: Callable[[str], Browser]
) -> None:
    sales = browser_as("sales")
    assert sales.post(f"/accounts/{acme}", owner=str(people["sales"].id), parent="").status_code == 302
    assert sales.post(f"/accounts/{acme}/members", person=str(shop.dana), role="approver").status_code == 302
    page = sales.get(f"/accounts/{acme}").text
    assert "Part of" not in page
    assert f'<option value="{people["sales"].id}" selected>' in page
    assert [member.role for _account, member in accounts.of_profile(session, shop.dana)] == ["approver"]
    refused = sales.post(f"/accounts/{acme}", owner="", parent="nowhere")
    assert refused.status_code == 400 and "no account with this key" in refused.text
    assert 'value="nowhere" aria-invalid="true" aria-describedby="parent-e"' in refused.text and '<option value="" selected' not in refused.text
    assert f'<option value="{people["sales"].id}" selected>' in sales.get(f"/accounts/{acme}").text
    unknown = sales.post(f"/accounts/{acme}/members", person="email:nobody@example.com", role="payer")
    assert unknown.status_code == 400 and 'value="email:nobody@example.com" aria-invalid="true"' in unknown.text
    assert '<option value="payer" selected>' in unknown.text
    sales.post(f"/accounts/{acme}/members", person=str(shop.dana), act="remove")
    assert accounts.of_profile(session, shop.dana) == []
    assert browser_as("viewer").post(f"/accounts/{acme}", parent="").status_code == 403


def test_the_list_goes_on_page_by_page(session: Session, now: dt.datetime, app: Flask) -> None:
    for n in range(5):
        accounts.save(session, key=f"k{n}", name=f"Name.{n}", domain=None, parent=None, traits={}, now=now)
    secret = tokens.create_token(session, name="till", role="viewer")
    session.commit()
    names: list[str] = []
    cursor = ""
    for _ in range(3):
        answer = app.test_client().get(f"/api/v1/accounts?limit=2{cursor}", headers={"Authorization": f"Bearer {secret}"}).json
        names += [one["name"] for one in answer["items"]]
        cursor = f"&cursor={answer['next']}"
    assert names == [f"Name.{n}" for n in range(5)]


def test_the_api_makes_changes_and_refuses_with_sentences(shop: Shop, session: Session, app: Flask) -> None:
    secret = tokens.create_token(session, name="erp", role="sales")
    session.commit()
    client, headers = app.test_client(), {"Authorization": f"Bearer {secret}"}
    made = client.post("/api/v1/accounts", json={"key": "acme", "name": "Acme", "traits": {"payment_terms": "60"}}, headers=headers).json
    again = client.post("/api/v1/accounts", json={"key": "acme", "parent": "top", "traits": {"payment_terms": None}}, headers=headers).json
    assert (again["id"], again["name"], again["traits"], [one["key"] for one in again["above"]]) == (made["id"], "Acme", {}, ["top"])
    circle = client.post("/api/v1/accounts", json={"key": "top", "parent": "acme"}, headers=headers)
    assert (circle.status_code, "circle" in circle.json["error"]) == (400, True)
    members = f"/api/v1/accounts/{made['id']}/members"
    assert client.post(members, json={"person": str(shop.dana), "role": "buyer"}, headers=headers).json["members"][0]["role"] == "buyer"
    assert client.post(members, json={"person": "email:nobody@example.com"}, headers=headers).status_code == 400
    assert client.post(members, json={"person": str(shop.dana), "role": "king"}, headers=headers).status_code == 400
    assert client.get("/api/v1/accounts/00000000-0000-0000-0000-000000000000", headers=headers).status_code == 404
