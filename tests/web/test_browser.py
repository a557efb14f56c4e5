"""A real browser: every page at both widths in both languages, and what its small scripts do."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.web import plots, show, users
from crm.web.app import create_app
from tests.browsers import PASSWORD, browser, rest, signed_in, troubles_of, window
from tests.databases import Databases
from tests.makers import accepted, config, identify, track
from tests.serving import served
from tests.web.shop import Shop, open_shop
from workers import pipeline
from workers.mailbox_pages import bp as mailbox

pytestmark = browser
PAGES = (
    "/",
    "/people",
    "/people?q=zzz",
    "/people/{dana}",
    "/messages",
    "/messages/{dropped}",
    "/templates",
    "/templates/{template}",
    "/templates/{template}?width=text",
    "/sources",
    "/sources/{source}",
    "/imports",
    "/quarantine",
    "/settings/users",
    "/settings/tokens",
    "/settings/changes",
    "/account",
    "/mailbox",
    "/mailbox/{mail}?width=headers",
)

DRAWN = """async () => {
    const drawn = (use) => use.getBoundingClientRect().width > 0 || !use.closest("svg").checkVisibility();
    const all = () => [...document.querySelectorAll("use")].every(drawn);
    for (let turn = 0; turn < 600 && !all(); turn++) await new Promise(requestAnimationFrame);  // icons come from a file of their own
    return all();
}"""


def fill(url: str, now: dt.datetime) -> Shop:
    """A small shop and its admin."""
    engine = engine_for(url)
    with Session(engine) as session:
        users.create_user(session, email="admin@shop.example", name="תמר אלון", role="admin", password=PASSWORD)
        shop = open_shop(session, now)
    engine.dispose()
    return shop


@pytest.fixture
def small(databases: Databases, now: dt.datetime) -> Iterator[tuple[str, Shop]]:
    """A database with that shop in it."""
    template, shop = databases.filled("small shop", lambda url: fill(url, now))
    with databases.copy(template) as url:
        yield url, shop


@pytest.fixture
def site(small: tuple[str, Shop], home: Path) -> Iterator[tuple[str, Shop]]:
    """A running application over it."""
    engine = engine_for(small[0])
    config = Config(home=home, database_url=small[0], redis_url="memory://", smtp_url="", secret_key="secret")
    with served(create_app(config, sessions(engine), [mailbox])) as url:
        yield url, small[1]
    engine.dispose()


def test_no_page_is_wider_than_its_window_or_has_an_error(site: tuple[str, Shop], chromium: Browser) -> None:
    url, shop = site
    for language in ("he", "en"):
        for width in (1440, 360):
            page, troubles = signed_in(chromium, url, language, width)
            for path in PAGES:
                page.goto(url + path.format(dana=shop.dana, source=shop.source, mail=shop.mail, template=shop.template, **shop.messages))
                rest(page)
                assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path, language, width)
                assert [page.locator(f"{part}:visible").count() for part in ("main", "h1")] == [1, 1], (path, language, width)
                assert page.evaluate("document.fonts.ready.then(() => [...document.fonts].filter(f => f.status == 'error').length)") == 0
                assert page.evaluate(DRAWN), path
            assert [text for text in troubles if "sandboxed" not in text and "ERR_" not in text] == []
            page.context.close()


def test_words_without_a_space_stay_within_a_phone(site: tuple[str, Shop], chromium: Browser, small: tuple[str, Shop], now: dt.datetime) -> None:
    url = site[0]
    word = "Ω" * 150
    traits = {"name": word, "company": word}
    calls = [
        track("Product Updated", {"variant_id": word, "name": word, "brand": word, "category": word}, at=now, user_id="w"),
        identify(traits, at=now, user_id="w"),
        track("Lead Created", {"source": word}, at=now, user_id="w"),
        track("Order Completed", {"order_id": word, "total": 1, "currency": "ILS"}, at=now, user_id="w"),
    ]
    engine = engine_for(small[0])
    with Session(engine) as session:
        pipeline.run(session, [accepted(call, now) for call in calls], now, config())
        person = session.execute(text("SELECT profile_id FROM identities WHERE kind = 'user_id' AND value = 'w'")).scalar_one()
        session.commit()
    engine.dispose()
    page, _troubles = signed_in(chromium, url, "he", 360)
    paths = (f"/products/{quote(word)}", "/leads?view=all&sort=due", f"/people/{person}", f"/leads/{person}")
    wide = []
    for path in paths:
        page.goto(url + path)
        rest(page)
        if page.evaluate("document.documentElement.scrollWidth - innerWidth") > 0:
            wide.append(path[:9])
    assert wide == []
    page.context.close()


def test_typing_finds_people_and_keeps_the_search_in_the_address(site: tuple[str, Shop], chromium: Browser) -> None:
    page, troubles = signed_in(chromium, site[0], "he", 1440)
    page.goto(f"{site[0]}/people")
    page.locator("input[name=q]").first.press_sequentially("אין כזה")
    expect(page.locator("#rows .k-empty")).to_be_visible()
    expect(page).to_have_url(re.compile("q="))
    page.locator("input[name=q]").first.fill("0142")
    expect(page.locator("#rows")).to_contain_text("דנה אברהמי")
    assert troubles == []


def test_ctrl_k_finds_a_profile_and_enter_opens_it(site: tuple[str, Shop], chromium: Browser) -> None:
    url, shop = site
    page, troubles = signed_in(chromium, url, "en", 1440)
    page.goto(f"{url}/")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    page.keyboard.type("דנה")
    expect(page.locator("#found [aria-selected=true]")).to_contain_text("דנה אברהמי")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/people/{shop.dana}")
    assert troubles == []


def test_the_reason_of_a_message_opens_beside_the_log_and_closes_again(site: tuple[str, Shop], chromium: Browser) -> None:
    url, shop = site
    page, troubles = signed_in(chromium, url, "en", 1440)
    page.goto(f"{url}/messages?status=dropped")
    page.locator("[data-drawer]").click()
    expect(page.locator("#drawer")).to_contain_text("the cart was ordered or emptied")
    expect(page).to_have_url(f"{url}/messages/{shop.messages['dropped']}")
    page.locator("[data-close-drawer]").click()
    page.wait_for_url(f"{url}/messages?status=dropped")
    expect(page.locator("#drawer h2")).to_have_count(0)
    assert troubles == []


def test_one_signs_in_by_the_form_home_is_live_and_the_menu_opens_on_a_phone(site: tuple[str, Shop], chromium: Browser) -> None:
    page = window(chromium, "he", 360).new_page()
    troubles = troubles_of(page)
    page.goto(f"{site[0]}/sign-in")
    page.fill("#email", "admin@shop.example")
    page.fill("#password", PASSWORD)
    page.click("button.btn-primary")
    page.wait_for_url(f"{site[0]}/")
    with page.expect_response(lambda answer: answer.url.endswith("/home/pulse") and answer.status == 200):
        page.mouse.move(0, 0)  # what somebody points at is not drawn anew
    expect(page.locator("#nav")).not_to_be_visible()
    page.locator("[data-menu]").click()
    expect(page.locator("#nav")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#nav")).not_to_be_visible()
    assert troubles == []


def test_a_phone_shows_what_a_message_is_about(site: tuple[str, Shop], chromium: Browser) -> None:
    page, _troubles = signed_in(chromium, site[0], "he", 360)
    page.goto(f"{site[0]}/messages")
    expect(page.locator("tbody tr").first.get_by_text("העגלה שלך מחכה")).to_be_visible()
    page.context.close()


def test_on_a_phone_the_turned_title_of_a_plot_covers_no_label(app: Flask, chromium: Browser) -> None:
    with app.test_request_context(headers={"Accept-Language": "he"}):
        drawn = plots.roc([([(0, 0), (1, 1)], "p-a")], "לשווא", "נמצאו מבין הזוכים", "עקומה")
    page = window(chromium, "he", 360).new_page()
    styles = (Path(show.__file__).parent / "static/kesher.css").read_text()
    page.set_content(f'<html dir="rtl"><style>{styles}</style><body><div style="inline-size: 330px">{drawn}</div></body></html>')
    title, *labels = page.evaluate("""() => { const box = t => { const b = t.getBoundingClientRect(); return [b.left, b.right] };
        const all = [...document.querySelectorAll('.k-chart text')];
        return [...all.filter(t => t.hasAttribute('transform')), ...all.filter(t => t.getAttribute('text-anchor') == 'end')].map(box) }""")
    assert len(labels) == 5
    assert title[0] >= page.locator(".k-chart").bounding_box()["x"]  # type: ignore[index]  # it is there
    assert all(title[1] <= left for left, _right in labels)
    page.context.close()
