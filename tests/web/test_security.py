"""What protects the pages: form tokens, headers, cookies, sentences instead of traces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm.core import db
from crm.web.models import User
from journeys.api import bp as journeys_api
from journeys.backtest_api import bp as backtests_api
from journeys.pages import bp as journeys_pages
from tests.web.conftest import Browser

PUBLIC = {
    "static", "signin.form", "signin.submit", "signin.leave", "signin.language", "api_document.document",
    "mydata.ask", "mydata.send", "mydata.show", "mydata.act", "forms.take",
    "journeys.surveys.ask", "journeys.surveys.answer",
    "public.pixel", "public.click", "public.ask_unsubscribe", "public.unsubscribe", "public.restore_cart",
}  # fmt: skip


def test_a_form_without_its_token_changes_nothing(session: Session, make_app: Callable[..., Flask], people: dict[str, User]) -> None:
    client = make_app().test_client()
    Browser(client).sign_in("admin@shop.example")
    before = session.scalar(select(func.count()).select_from(User))
    answer = client.post("/settings/users", data={"email": "x@shop.example", "role": "admin"})
    assert answer.status_code == 400
    assert session.scalar(select(func.count()).select_from(User)) == before


def test_every_form_of_every_blueprint_asks_for_its_token(app: Flask, people: dict[str, User]) -> None:
    client = app.test_client()
    Browser(client).sign_in("admin@shop.example")
    asked = 0
    for rule in app.url_map.iter_rules():
        if "POST" not in (rule.methods or ()) or rule.endpoint.startswith(("api_", "public.", "mydata.")):
            continue
        path = rule.rule
        for name in rule.arguments:
            path = path.replace(next(part for part in (f"<int:{name}>", f"<uuid:{name}>", f"<{name}>") if part in path), "1" if "int:" in path else "x")
        assert client.post(path).status_code in {400, 404}, rule
        asked += 1
    assert asked > 10


def test_every_address_names_who_may_open_it_or_is_public_on_purpose(app: Flask) -> None:
    """Pages behind `requires` carry their roles, operations their description; what carries neither is open to the world."""
    for pages in (journeys_pages, journeys_api, backtests_api):
        app.register_blueprint(pages)
    views = app.view_functions
    assert {name for name, view in views.items() if not hasattr(view, "roles") and not hasattr(view, "operation")} == PUBLIC


def test_scripts_come_only_from_here(browser: Browser) -> None:
    headers = browser.get("/sign-in").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["default-src"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(("base_url", "secure"), [("https://kesher.example", True), ("http://127.0.0.1:8000", False)])
def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(
    make_app: Callable[..., Flask], people: dict[str, User], base_url: str, secure: bool
) -> None:
    client = make_app(base_url=base_url).test_client()
    cookie = Browser(client).get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert ("Secure" in cookie) is secure


def test_a_shortened_time_is_said_on_every_page(make_app: Callable[..., Flask], people: dict[str, User]) -> None:
    browser = Browser(make_app(time_scale=60.0).test_client())
    assert "shortened" in browser.get("/sign-in").text
    browser.sign_in("admin@shop.example")
    for page in ("/", "/people", "/messages", "/mailbox", "/settings/users"):
        assert "Waits are shortened" in browser.get(page).text


def test_a_bug_becomes_a_sentence_and_a_number_not_a_trace(app: Flask, people: dict[str, User]) -> None:
    def broken() -> str:
        raise RuntimeError("secret inner words")

    app.add_url_rule("/broken", "broken", broken)
    app.add_url_rule("/api/broken", "api_broken", broken)
    browser = Browser(app.test_client())
    page = browser.get("/broken")
    assert page.status_code == 500
    assert "Log line" in page.text
    assert "secret inner words" not in page.text
    answer = browser.get("/api/broken")
    assert answer.status_code == 500
    assert set(answer.json) == {"error", "id"}
    toast = browser.get("/broken", **{"HX-Request": "true"})
    assert toast.headers["HX-Retarget"] == "#toast"
    assert "k-toast" in toast.text
    assert "<html" not in toast.text


def test_a_fragment_asked_for_after_the_session_ended_sends_the_whole_page_to_sign_in(browser: Browser) -> None:
    answer = browser.get("/home/pulse", **{"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == "/sign-in"


def test_while_the_database_restarts_everybody_is_asked_to_come_back(app: Flask, browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("admin")
    app.extensions["kesher"] = (app.extensions["kesher"][0], db.sessions(db.engine_for("postgresql://nobody@127.0.0.1:1/nothing")))
    for path in ("/", "/people", "/nothing-is-here", "/api/v1/profiles"):
        answer = browser.get(path, Authorization="Bearer kt_of_somebody")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), path
        assert "We are busy for a moment" in answer.text
    assert browser.get("/home/pulse", **{"HX-Request": "true"}).headers["HX-Retarget"] == "#toast"


def test_the_log_holds_no_link_that_could_be_followed(browser: Browser) -> None:
    with structlog.testing.capture_logs() as said:
        assert browser.get("/forms/c2VjcmV0.c2VjcmV0").status_code == 404
    assert [entry["path"] for entry in said] == ["/forms/<token>"]
