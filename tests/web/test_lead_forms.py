"""A signed form anybody may fill in: what it vouches for stands, what was typed stays with the lead."""

from __future__ import annotations

import re
from json import loads

from sqlalchemy import text

from crm.core import clock
from crm.core.crypto import Keys
from crm.events import inbox
from crm.events.read import read
from tests import makers
from workers import pipeline


def test_a_signed_form_makes_a_lead_nobody_can_dress_up(browser, browser_as, session, app):
    page = browser_as("admin").post("/settings/sales/form", source="site", campaign="spring", goes_to="https://shop.example/thanks").text
    path = re.search(r"/forms/[\w.-]+", page)[0]
    answer = browser.client.post(path, data={"email": "noa@example.com", "name": "Noa", "cost": "0", "message": "call me"})
    assert (answer.status_code, answer.location) == (303, "https://shop.example/thanks")
    browser.client.post(path, data={"email": "noa@example.com", "name": "Noa", "cost": "0", "message": "call me"})
    rows = session.execute(text("SELECT trusted, body FROM event_inbox WHERE body LIKE '%Lead Created%'")).all()
    assert [row.trusted for row in rows] == [False, False]
    assert len({re.search(r'"message_id":\s*"([^"]+)"|"messageId":\s*"([^"]+)"', row.body)[0] for row in rows}) == 1
    assert "spring" in rows[0].body
    assert browser.client.post(path[:-3] + "abc", data={"email": "noa@example.com"}).status_code == 404
    assert browser.client.post(path, data={"name": "nobody"}).status_code == 400


def test_a_form_stands_here_too_and_what_is_refused_keeps_what_was_typed(browser, browser_as, session):
    page = browser_as("admin").post("/settings/sales/form", source="site", goes_to="https://shop.example/thanks").text
    path = re.search(r"/forms/[\w.-]+", page)[0]
    shown = browser.get(path, "he")
    assert (shown.status_code, shown.mimetype, 'dir="rtl"' in shown.text, "השארת פרטים" in shown.text) == (200, "text/html", True, True)
    assert "form-action 'self' https://shop.example;" in shown.headers["Content-Security-Policy"]
    refused = browser.client.post(
        path, data={"name": "Noa <b>", "email": "noa(at)example", "message": "call me", "size": "60"}, headers={"Accept-Language": "he"}
    )
    assert (refused.status_code, "Leave an e-mail" in refused.text) == (400, False)
    for kept in ("Noa &lt;b&gt;", "noa(at)example", "call me", '<input type="hidden" name="size" value="60">', 'id="email-e" role="alert"'):
        assert kept in refused.text
    assert browser.client.post(path, data={"name": "x", "phone": "0505550142", "website": "spam"}).status_code == 303
    assert session.scalars(text("SELECT body FROM event_inbox WHERE body LIKE '%Lead Created%'")).all() == []


def test_what_a_form_s_signature_vouches_for_no_visitor_overwrites(browser_as, browser, session):
    page = browser_as("admin").post("/settings/sales/form", source="site", campaign="spring").text
    path = re.search(r"/forms/[\w.-]+", page)[0]
    thanks = browser.client.post(path, data={"email": "noa@example.com", "source": "partner", "campaign": "theirs", "message": "call me"})
    assert (thanks.status_code, thanks.mimetype, "k-sign-box" in thanks.text) == (200, "text/html", True)
    [body] = session.scalars(text("SELECT body FROM event_inbox WHERE body LIKE '%Lead Created%'"))
    said = loads(body)["properties"]
    assert (said["source"], said["campaign"], said["message"]) == ("site", "spring", "call me")


def test_the_keys_of_a_form_are_ours_alone():
    assert Keys("a").read("lead form", Keys("b").sign("lead form", {"s": "x"})) is None


def test_what_a_form_cannot_read_stands_beside_the_lead_as_it_was_typed(browser_as, session):
    admin, seller = browser_as("admin"), browser_as("sales")
    path = re.search(r"/forms/[\w.-]+", admin.post("/settings/sales/form", source="site").text)[0]
    typed = {"email": "noa@example.com", "phone": "ask at the desk", "message": "60 boxes", "size": "A4"}
    for said in (typed, {"email": "Noa@Example.com", "message": "and 20 bags"}):  # one person, who came twice
        assert admin.client.post(path, data=said).status_code == 200
    pipeline.run(session, [read(row) for row in inbox.claim(session, 100)], clock.now(), makers.config())
    session.commit()
    who, came = session.execute(text("SELECT profile_id, intakes FROM leads")).one()
    assert came == 2
    for language, words in (("en", "unreadable phone number"), ("he", "מספר טלפון לא קריא")):
        shown = seller.get(f"/leads/{who}", language).text
        assert f"site · 60 boxes · size: A4 · {words}: ask at the desk" in shown
