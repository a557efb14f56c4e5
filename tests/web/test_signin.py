"""Signing in: who gets in, who does not, and what ends a session."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.sales import settings
from crm.web import users
from crm.web.models import AuditEntry, User
from crm.web.security import limiter
from tests.web.conftest import PASSWORD, Browser


def test_the_right_password_opens_the_page_that_was_asked_for(browser: Browser, people: dict[str, User]) -> None:
    answer = browser.sign_in("viewer@shop.example", next="/people?q=dana")
    assert answer.location == "/people?q=dana"
    assert browser.get("/people").status_code == 200


def test_nobody_is_sent_to_another_site(app: Flask, people: dict[str, User]) -> None:
    for target in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        assert Browser(app.test_client()).sign_in("viewer@shop.example", next=target).location == "/"


def test_a_wrong_password_and_an_unknown_person_read_alike(browser: Browser, people: dict[str, User]) -> None:
    wrong = browser.sign_in("viewer@shop.example", "not the password")
    nobody = browser.sign_in("nobody@shop.example", "not the password")
    assert wrong.status_code == nobody.status_code == 401
    sentence = "This e-mail and password do not match."
    assert sentence in wrong.text
    assert sentence in nobody.text


def test_an_unknown_person_costs_as_much_time_as_a_wrong_password(session: Session, monkeypatch: object) -> None:
    calls = []
    real = users.HASHER.verify

    class Counting:
        def verify(self, hashed: str, password: str) -> bool:
            calls.append(hashed)
            return real(hashed, password)

    users._nobody()
    monkeypatch.setattr(users, "HASHER", Counting())
    assert users.authenticate(session, email="nobody@shop.example", password=PASSWORD) is None
    assert len(calls) == 1


def test_so_many_passwords_at_once_that_they_would_fill_the_memory_are_asked_to_come_back(
    browser: Browser, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "PATIENCE_S", 0)
    with users._turn(), users._turn():
        busy = browser.sign_in("viewer@shop.example")
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
    assert browser.sign_in("viewer@shop.example").status_code == 302


def test_after_eight_failures_there_is_a_pause_even_with_the_right_password(browser: Browser, people: dict[str, User]) -> None:
    answers = [browser.sign_in("viewer@shop.example", "wrong").status_code for _ in range(9)]
    assert answers == [401] * 8 + [429]
    assert browser.sign_in("viewer@shop.example").status_code == 429
    assert browser.sign_in("admin@shop.example").status_code == 302


def test_sign_in_works_while_redis_is_away(make_app: Callable[..., Flask], people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_storage_dead", False)  # and again afterwards: it is one for all applications here, and would count elsewhere till it looks
    browser = Browser(make_app(redis_url="unix:///nonexistent/valkey.sock?db=0").test_client())
    assert browser.sign_in("viewer@shop.example").status_code == 302
    assert browser.get("/people").status_code == 200


def test_signing_out_ends_the_session(browser: Browser, people: dict[str, User]) -> None:
    browser.sign_in("viewer@shop.example")
    assert browser.post("/sign-out").location == "/sign-in"
    assert browser.get("/people").status_code == 302


def test_signing_out_ends_a_copied_cookie_too(app: Flask, browser: Browser, people: dict[str, User]) -> None:
    browser.sign_in("viewer@shop.example")
    thief = Browser(app.test_client())
    cookie = browser.client.get_cookie("kesher")
    assert cookie is not None
    thief.client.set_cookie("kesher", cookie.value)
    assert thief.get("/people").status_code == 200
    browser.post("/sign-out")
    assert thief.get("/people").status_code == 302
    assert browser.sign_in("viewer@shop.example").status_code == 302
    assert browser.get("/people").status_code == 200


@pytest.mark.parametrize(("proxies", "answer"), [(0, 429), (1, 302)])
def test_behind_a_trusted_proxy_the_limiter_counts_who_really_asks(make_app: Callable[..., Flask], people: dict[str, User], proxies: int, answer: int) -> None:
    client = make_app(trusted_proxies=proxies).test_client()

    def sign_in(forwarded: str, password: str) -> int:
        page = client.get("/sign-in", headers={"X-Forwarded-For": forwarded}).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        form = {"csrf_token": token[1] if token else "", "email": "viewer@shop.example", "password": password}
        return client.post("/sign-in", data=form, headers={"X-Forwarded-For": forwarded}).status_code

    assert [sign_in(f"{n}.9.9.9, 203.0.113.7", "wrong") for n in range(9)][-1] == 429, "what the caller itself says of its address does not count"
    assert sign_in("198.51.100.4", PASSWORD) == answer


def test_a_new_password_or_role_ends_other_sessions(session: Session, app: Flask, people: dict[str, User], now: dt.datetime) -> None:
    one, other = Browser(app.test_client()), Browser(app.test_client())
    one.sign_in("sales@shop.example")
    other.sign_in("sales@shop.example")
    new = "another long password"
    assert one.post("/account/password", old=PASSWORD, new=new).status_code == 302
    assert one.get("/people").status_code == 200
    assert other.get("/people").status_code == 302
    session.expire_all()
    users.set_role(session, session.get_one(User, people["sales"].id), role="viewer", now=now + dt.timedelta(seconds=5))
    session.commit()
    assert one.get("/people").status_code == 302


def test_who_is_shut_out_is_out_at_once_and_an_admin_hears_of_what_stays_late(
    session: Session, now: dt.datetime, browser_as: Callable[[str], Browser], people: dict[str, User]
) -> None:
    agent, admin = browser_as("agent"), browser_as("admin")
    settings.save(session, {"escalate_to": people["agent"].id}, now)
    session.commit()
    assert admin.post(f"/settings/users/{people['agent'].id}", page="/settings/users", act="out").status_code == 302
    assert agent.get("/people").status_code == 302
    assert agent.sign_in("agent@shop.example").status_code == 401
    assert settings.read(session).escalate_to == people["admin"].id


def test_the_last_admin_cannot_be_shut_out(browser_as: Callable[[str], Browser], people: dict[str, User]) -> None:
    admin = browser_as("admin")
    admin.post(f"/settings/users/{people['admin'].id}", page="/settings/users", act="out")
    assert "last admin" in admin.get("/settings/users").text


def test_the_language_is_the_persons_else_the_cookies_else_the_browsers(browser: Browser, people: dict[str, User]) -> None:
    assert 'lang="en" dir="ltr"' in browser.get("/sign-in", "en").text
    assert 'lang="he" dir="rtl"' in browser.get("/sign-in", "he").text
    browser.post("/language", page="/sign-in", language="he", next="/sign-in")
    assert 'lang="he" dir="rtl"' in browser.get("/sign-in", "en").text
    browser.sign_in("viewer@shop.example")
    browser.post("/language", language="en", next="/people")
    browser.client.delete_cookie("kesher_language")
    assert 'lang="en"' in browser.get("/people", "he").text


def test_a_user_made_here_signs_in_with_the_password_shown_once(session: Session, app: Flask, browser_as: Callable[[str], Browser]) -> None:
    admin = browser_as("admin")
    text = admin.post("/settings/users", page="/settings/users", email="New@Shop.example", name="חדשה", role="sales").text
    password = text.split("data-copy-from>")[1].split("<")[0]
    assert Browser(app.test_client()).sign_in("new@shop.example", password).status_code == 302
    assert password not in admin.get("/settings/users").text
    assert "user.created" in session.scalars(select(AuditEntry.action)).all()
