"""What comes back from a message: opens, clicks, unsubscribes and restored carts, through the pages that anybody may open."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import contextmanager

import pytest
from sqlalchemy import select, text, update

from crm.commerce.models import Cart
from crm.consent.models import ConsentState, Suppression
from crm.core.crypto import Keys
from crm.events.models import Source
from crm.messages.channel import registry
from crm.messages.deliver import deliver_due
from crm.messages.feedback import Visit, machine
from crm.messages.links import CART, CLICK, OPEN, UNSUBSCRIBE, Links
from crm.messages.models import Message
from crm.web.app import create_app
from tests import makers
from tests.messages.people import fate, message, person, shop, the, why

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def browser(session, monkeypatch):
    """A browser at the public pages, over this test's session."""

    class Same:
        def __call__(self):
            return session

    monkeypatch.setattr(type(session), "close", lambda self: None)
    app = create_app(shop(), Same())
    client = app.test_client()
    client.environ_base["HTTP_USER_AGENT"] = FIREFOX
    return client


@pytest.fixture
def sent(session, now, monkeypatch):
    """A message sent a minute ago to a Hebrew profile."""
    monkeypatch.setattr(registry()["email"], "send", lambda letter, config: "<x@y>")
    made = message(session, now, person(session, now, email="dana@example.com", language="he"))

    @contextmanager
    def same():
        yield session

    deliver_due(same, shop(), lambda: now)
    session.execute(update(Message).values(sent_at=now - dt.timedelta(minutes=1)))
    session.execute(text("DELETE FROM event_inbox"))
    session.commit()
    return made


def links(message_id):
    return Links(Keys(shop().secret_key), "", message_id)


def events(session):
    rows = session.scalars(text("SELECT body FROM event_inbox ORDER BY id"))
    return [(body["event"], body["properties"]) for body in map(json.loads, rows)]


def test_an_open_counts_once_and_is_kept_as_an_event(session, sent, browser):
    answer = browser.get(links(sent).pixel)
    assert (answer.status_code, answer.mimetype) == (200, "image/gif")
    first = the(session, sent).opened_at
    assert first is not None
    browser.get(links(sent).pixel)
    assert the(session, sent).opened_at == first
    assert {name for name, _ in events(session)} == {"Email Opened"}
    assert events(session)[0][1]["machine"] is False
    assert why(session, sent)[-1] == ("feedback", "opened", "opened")


def test_a_scanner_is_kept_and_not_counted(session, sent, browser):
    for headers in ({"User-Agent": "Barracuda Sentinel"}, {"Sec-Purpose": "prefetch"}, {"User-Agent": "Mozilla/5.0"}):
        browser.get(links(sent).pixel, headers=headers)
    browser.head(links(sent).tracked("https://shop.example/"))
    found = the(session, sent)
    assert (found.opened_at, found.clicked_at) == (None, None)
    assert [p["machine_reason"] for _, p in events(session)] == ["agent", "prefetch", "agent", "not_get"]


@pytest.mark.parametrize(
    ("visit", "after", "why_not"),
    [
        (Visit("GET", FIREFOX), 60, None),
        (Visit("GET", "Mozilla/5.0 (Windows NT 5.1) GoogleImageProxy"), 60, None),
        (Visit("GET", FIREFOX), 0.5, "too_soon"),
        (Visit("HEAD", FIREFOX), 60, "not_get"),
        (Visit("GET", ""), 60, "agent"),
        (Visit("GET", "Mozilla/5.0 (compatible; bingbot/2.0)"), 60, "agent"),
    ],
)
def test_a_machine_gives_itself_away(visit, after, why_not):
    assert machine(visit, NOW, NOW + dt.timedelta(seconds=after)) == why_not


def test_a_click_goes_on_to_its_target_and_nowhere_else(session, sent, browser):
    answer = browser.get(links(sent).tracked("https://shop.example/a?b=1"))
    assert (answer.status_code, answer.location) == (302, "https://shop.example/a?b=1")
    assert the(session, sent).clicked_at is not None
    assert events(session)[0][0] == "Email Link Clicked"
    assert events(session)[0][1]["link"] == "https://shop.example/a?b=1"
    forged = links(sent).tracked("https://shop.example/").rsplit(".", 1)[0] + ".AAAAAAAAAAAAAAAAAAAAAA"
    assert browser.get(forged + "?u=https://evil.example/").status_code == 404


@pytest.mark.parametrize("path", ["/c/x", "/u/x", "/cart/x", "/u/%D7%90", "/c/a.b", "/c/" + "x" * 9000])
def test_a_forged_link_meets_a_friendly_page(browser, path):
    answer = browser.get(path, headers={"Accept-Language": "he"})
    assert answer.status_code == 404
    assert "הקישור הזה לא מוביל" in answer.text and 'dir="rtl"' in answer.text


def test_a_forged_pixel_is_still_a_dot(session, browser):
    assert browser.get("/o/x.gif").status_code == 200
    assert events(session) == []


def test_a_token_of_one_kind_opens_no_other_door(sent, browser):
    keys = Keys(shop().secret_key)
    for purpose in (OPEN, CLICK, CART):
        token = keys.sign(purpose, {"m": None})
        assert browser.post(f"/u/{token}").status_code == 404
    assert browser.get(f"/cart/{keys.sign(UNSUBSCRIBE, {'m': None})}").status_code == 404


def test_looking_at_the_unsubscribe_page_changes_nothing(session, sent, browser):
    answer = browser.get(links(sent).unsubscribe)
    assert answer.status_code == 200
    assert '<html lang="he" dir="rtl">' in answer.text and '<form method="post">' in answer.text and "dana@example.com" in answer.text
    assert session.scalar(select(ConsentState.action)) == "granted"
    assert events(session) == []


@pytest.mark.parametrize("form", [{}, {"List-Unsubscribe": "One-Click"}])
def test_a_post_unsubscribes_at_once_and_once(session, sent, browser, form):
    for _ in range(2):
        assert browser.post(links(sent).unsubscribe, data=form).status_code == 200
    assert session.scalars(select(ConsentState.action)).all() == ["refused"]
    assert session.scalars(select(Suppression.reason)).all() == ["unsubscribed"]
    assert [(name, p["one_click"]) for name, p in events(session)] == [("Unsubscribed", bool(form))]


def test_a_cart_is_restored_in_the_shop_where_it_says_how(session, sent, browser):
    session.execute(text("INSERT INTO sources (id, name) VALUES (:id, 'shop') ON CONFLICT DO NOTHING"), {"id": makers.SHOP})
    session.execute(update(Source).where(Source.id == makers.SHOP).values(settings={"cart_url": "https://shop.example/cart?id={cart_id}&i={items}"}))
    session.execute(update(Cart).values(key="c 1/&x"))
    session.execute(update(Message).values(relevant_if={"cart": {"source_id": makers.SHOP, "key": "c 1/&x", "at": NOW.isoformat()}}))
    session.expire_all()
    answer = browser.get(links(sent).restore)
    assert (answer.status_code, answer.location) == (302, "https://shop.example/cart?id=c%201%2F%26x&i=finjan:1")
    assert the(session, sent).clicked_at is not None


def test_without_a_shop_address_the_cart_is_shown_here(session, sent, browser):
    answer = browser.get(links(sent).restore)
    assert answer.status_code == 200
    assert "העגלה שלך" in answer.text and "פינג׳אן" in answer.text and "189.90" in answer.text
    session.execute(update(Cart).values(status="ordered"))
    session.expire_all()
    assert "העגלה ריקה" in browser.get(links(sent).restore).text


def test_links_of_a_preview_do_nothing(session, browser):
    for path in (links(None).unsubscribe, links(None).restore):
        assert "preview" in browser.get(path, headers={"Accept-Language": "en"}).text
    assert browser.post(links(None).unsubscribe).status_code == 200
    assert browser.get(links(None).tracked("https://shop.example/")).location == "https://shop.example/"
    assert events(session) == []


def test_an_open_settles_a_message_of_unknown_fate(session, sent, browser):
    session.execute(update(Message).values(status="unknown", reason="uncertain"))
    session.expire_all()
    browser.get(links(sent).pixel)
    assert fate(session, sent) == ("sent", None)
