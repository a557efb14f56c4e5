"""The sales workspace in a real browser: every page at both widths in both languages, by axe-core too; queue and board by keyboard alone."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.sales import intake
from crm.sales.intake import Form
from crm.web import users
from crm.web.app import create_app
from tests.browsers import PASSWORD, browser, held, let_go, rest, signed_in
from tests.databases import Databases
from tests.serving import served
from tests.web import axe
from tests.web.sales_shop import LEADS, open_sales

pytestmark = browser
EMAIL = "admin@shop.example"
PAGES = {
    "queue": "/leads?view=all",
    "nobody": "/leads?view=nobody",
    "lead": "/leads/{lead}?view=all",
    "sources": "/leads/sources",
    "board": "/deals",
    "deal": "/deals/{deal}",
    "abroad": "/deals/{abroad}",
    "new": "/deals/new?person={lead}",
    "report": "/deals/report",
    "tasks": "/tasks",
    "all-tasks": "/tasks?view=all",
    "settings": "/settings/sales",
    "agreed": "/segments",
    "account": "/accounts/{account}",
}


def fill(config: Config) -> dict[str, uuid.UUID]:
    """A company in which somebody sells."""
    engine = engine_for(config.database_url)
    with Session(engine) as session:
        user = users.create_user(session, email=EMAIL, name="תמר אלון", role="admin", password=PASSWORD)
        session.commit()
        made = open_sales(create_app(config, sessions(engine)), session, config, user_id=user.id, email=EMAIL, password=PASSWORD)
    engine.dispose()
    return made


@pytest.fixture
def site(databases: Databases, home: Path) -> Iterator[tuple[str, dict[str, uuid.UUID]]]:
    """A running application over that company."""
    config = Config(home=home, database_url="", redis_url="memory://", smtp_url="", secret_key="secret")
    template, made = databases.filled("sales", lambda url: fill(dataclasses.replace(config, database_url=url)))
    with databases.copy(template) as own:
        engine = engine_for(own)
        with served(create_app(dataclasses.replace(config, database_url=own), sessions(engine))) as url:
            yield url, made
        engine.dispose()


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("KESHER_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize(("language", "widths"), [("he", (360, 1440)), ("en", (1440, 360))])
def test_every_page_fits_its_window_and_breaks_no_rule_of_access(site, chromium: Browser, language: str, widths: tuple[int, int]) -> None:
    url, made = site
    found = []
    for width, broken in zip(widths, (axe.violations, axe.of_width), strict=True):
        page, troubles = signed_in(chromium, url, language, width)
        for name, path in PAGES.items():
            page.goto(url + path.format(**made))
            rest(page)
            picture(page, f"{name}-{language}-{width}")
            if page.evaluate("document.documentElement.scrollWidth - innerWidth") > 0:
                found.append(f"{name} {width}: wider than its window")
            found += [f"{name} {width}: {said}" for said in broken(page)]
        page.goto(f"{url}/leads/{made['lead']}?view=all")
        rest(page)
        for opens in ("d-call", "d-mail", "d-next", "d-later"):
            page.locator(f"[data-opens={opens}]").click()
            picture(page, f"{opens}-{language}-{width}")
            found += [f"{opens} {width}: {said}" for said in broken(page)]
            page.keyboard.press("Escape")
        page.locator(".k-bell summary").click()
        picture(page, f"alerts-{language}-{width}")
        box = page.locator(".k-alerts").bounding_box()
        if box is None or box["x"] < 0 or box["x"] + box["width"] > width:
            found.append(f"alerts {width}: outside of the window")
        found += [f"alerts {width}: {said}" for said in broken(page)]
        found += [f"{width}: {said}" for said in troubles]
        page.context.close()
    assert found == []


@pytest.mark.parametrize(("language", "widths"), [("he", (360, 1440)), ("en", (1440, 360))])
def test_a_form_of_ours_is_filled_in_refused_and_thanked_for(site, chromium: Browser, language: str, widths: tuple[int, int]) -> None:
    url, _made = site
    found = []
    for width, broken in zip(widths, (axe.violations, axe.of_width), strict=True):
        page, _troubles = signed_in(chromium, url, language, width)
        page.goto(f"{url}/forms/{intake.token(Keys('secret'), Form('site'))}")
        for name, phone in (("form", ""), ("form-refused", "+972505550142"), ("form-thanks", None)):
            picture(page, f"{name}-{language}-{width}")
            if page.evaluate("document.documentElement.scrollWidth - innerWidth") > 0:
                found.append(f"{name} {width}: wider than its window")
            found += [f"{name} {width}: {said}" for said in broken(page)]
            if phone is not None:
                page.locator("[name=phone]").fill(phone)
                with page.expect_navigation():
                    page.locator("main form button").click()
        expect(page.locator("h1")).to_have_text({"he": "תודה", "en": "Thank you"}[language])
        page.context.close()
    assert found == []


def test_the_queue_is_worked_down_by_keyboard_alone(site, chromium: Browser) -> None:
    url, _made = site
    page, troubles = signed_in(chromium, url, "en", 1440)
    page.goto(f"{url}/leads?view=all")
    rest(page)
    rows = page.locator(".k-lead-row .k-lead-name")
    first, second = rows.nth(0).inner_text(), rows.nth(1).inner_text()
    _two_quick_steps(page, first)
    page.keyboard.press("c")
    expect(page.locator("#d-call")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("in the timeline")
    rest(page)  # what takes the call back came with it
    page.keyboard.press("j")
    expect(page.locator(".k-lead-main h1")).to_have_text(second)
    page.keyboard.press("z")
    expect(page.locator("#toast")).to_contain_text("no longer counts")
    expect(page.locator(".k-lead-main h1")).to_have_text(first)
    expect(page.locator(".k-lead-row[aria-current] .k-lead-name")).to_have_text(first)
    for key, dialog in (("n", "#d-next"), ("?", "#keys")):
        page.keyboard.press(key)
        expect(page.locator(dialog)).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(dialog)).to_be_hidden()
    page.keyboard.press("j")
    expect(page.locator(".k-lead-main h1")).to_have_text(second)
    assert len(LEADS) >= rows.count() > 1
    page.set_viewport_size({"width": 360, "height": 640})
    page.evaluate("window.stayed = true")
    page.locator(".k-back a").click()
    expect(page.locator(".k-lead-row[aria-current] .k-lead-name")).to_have_text(second)
    expect(page.locator(".k-lead-row[aria-current]")).to_be_in_viewport()
    expect(page.locator(".k-lead-main")).to_be_hidden()
    expect(page).to_have_url(f"{url}/leads?view=all")
    assert page.evaluate("window.stayed")
    assert troubles == []


def _two_quick_steps(page: Page, first: str) -> None:
    """There and back before either is answered; the lead that is shown is the one that is marked, whichever answer comes last."""
    asked = held(page, "**/leads/*")
    for key in ("j", "k"):
        page.keyboard.press(key)
    for at in (1, 0):
        with page.expect_request_finished():
            let_go(page, asked, at)
    page.unroute("**/leads/*")
    rest(page)
    assert page.locator(".k-lead-main h1").inner_text() == first


def test_what_is_open_stays_open_and_alerts_are_seen_at_a_click(site, chromium: Browser) -> None:
    url, _made = site
    page, troubles = signed_in(chromium, url, "en", 1440)
    page.goto(f"{url}/deals")
    rest(page)
    asked = held(page, "**/alerts")
    page.evaluate("void htmx.ajax('GET', '/alerts', { source: '#bell', target: '#bell' })")  # as it does every few seconds
    page.locator(".k-bell summary").click()
    with page.expect_request_finished():
        let_go(page, asked, 0)
    page.get_by_role("button", name="All seen").click()
    expect(page.locator(".k-bell .k-dot")).to_have_count(0)
    assert troubles == []


@pytest.mark.parametrize("way", ["key", "carried", "chosen"])
def test_a_deal_is_lost_on_the_board_for_a_reason(site, chromium: Browser, way: str) -> None:
    url, made = site
    page, troubles = signed_in(chromium, url, "he", 1440)
    page.goto(f"{url}/deals?who=mine")
    card = page.locator(f"[data-deal='{made['deal']}']")
    for answer in ("Escape", "Enter"):
        card.focus()
        if way == "key":
            page.keyboard.press("l")
        elif way == "carried":
            for key in ("Space", "ArrowLeft", "ArrowLeft", "ArrowLeft", "Enter"):
                page.keyboard.press(key)
        else:
            card.locator("select").select_option("lost")
        expect(page.locator("#d-lost")).to_be_visible()
        expect(page.locator("#lost-reason")).to_be_focused()
        if answer == "Enter":
            picture(page, f"lost-he-1440-{way}")
            assert axe.violations(page) == []
            page.keyboard.press("Enter")  # without a reason
            expect(page.locator("#d-lost")).to_be_visible()
            page.keyboard.type("יקר מדי")
            with page.expect_navigation():
                page.keyboard.press("Enter")
        else:
            page.keyboard.press("Escape")
            expect(page.locator("#d-lost")).to_be_hidden()
            expect(card.locator("select")).to_have_value("quote")  # put back by the dialog's close, a task later than it hides
    expect(card).to_have_count(0)
    assert page.url.endswith("/deals?who=mine")
    page.goto(f"{url}/deals/{made['deal']}")
    expect(page.get_by_text("יקר מדי")).to_be_visible()
    assert troubles == []


@pytest.mark.parametrize(("language", "forward"), [("en", "ArrowRight"), ("he", "ArrowLeft")])
def test_a_deal_is_carried_over_the_board_by_keyboard_and_by_mouse(site, chromium: Browser, language: str, forward: str) -> None:
    url, made = site
    page, troubles = signed_in(chromium, url, language, 1440)
    page.goto(f"{url}/deals")
    card = page.locator(f"[data-deal='{made['deal']}']")
    assert page.locator("[data-stage]:has([data-deal='" + str(made["deal"]) + "'])").get_attribute("data-stage") == "quote"
    card.focus()
    page.keyboard.press("Space")
    page.keyboard.press(forward)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator("[data-stage]:has([data-deal='" + str(made["deal"]) + "'])").get_attribute("data-stage") == "terms"
    with page.expect_navigation():
        card.drag_to(page.locator("[data-stage='need'] h2"))
    assert page.locator("[data-stage]:has([data-deal='" + str(made["deal"]) + "'])").get_attribute("data-stage") == "need"
    assert troubles == []
