"""The segment builder in a real browser: a rule added, filled in, counted and saved."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Browser

from tests.browsers import browser, rest, signed_in
from tests.web.shop import Shop
from tests.web.test_browser import site, small  # noqa: F401  fixtures

pytestmark = browser


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("he", 360)])
def test_a_rule_is_added_changed_counted_and_saved(site: tuple[str, Shop], chromium: Browser, language: str, width: int) -> None:  # noqa: F811  the fixture
    url, _shop = site
    page, troubles = signed_in(chromium, url, language, width)
    page.goto(f"{url}/segments/new")
    page.fill("#name", "Everybody in town")
    page.click("details summary:has-text('קבוצה')" if language == "he" else "summary:has-text('Add to this group')")
    page.click("button[value='add::trait']")
    page.wait_for_selector("#f-name")
    rest(page)  # what was swapped in acts on clicks a moment after it is seen
    page.fill("#f-name", "city")
    page.click("button[value='apply:0']")
    page.wait_for_selector("button[value='edit:0']")
    page.wait_for_selector("#count .k-stat-value")
    rest(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("KESHER_SHOTS"):
        page.screenshot(path=f"{folder}/segment-{language}-{width}.png", full_page=True)
    page.click("button[form='builder']")
    page.wait_for_url(f"{url}/segments/everybody-in-town")
    page.wait_for_selector("#why form")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert troubles == []
    if folder:
        page.screenshot(path=f"{folder}/saved-{language}-{width}.png", full_page=True)


EVERY = """any:
- {kind: anniversary, name: birthday, calendar: hebrew, start: -7}
- {kind: geography, of: city, value: "Haifa, Tel Aviv"}
- {kind: account, name: contract_end, op: within_next, value: 30d, role: approver}
- {kind: computed, name: orders, op: at_least, value: 2}
- {kind: rfm, recency_from: 4}
- {kind: journey, did: inside, journey: welcome, within: 30d}
- {kind: sequence, first: Checkout Started, then: Order Completed, never: true, apart: 1h}
- {kind: when, event: Order Completed, op: longer_ago, ago: 90d}
- {kind: message, did: opened, channel: email, within: 7d}
"""


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("he", 360)])
def test_every_new_kind_is_a_sentence_and_its_form_opens(site: tuple[str, Shop], chromium: Browser, language: str, width: int) -> None:  # noqa: F811  the fixture
    url, _shop = site
    page, troubles = signed_in(chromium, url, language, width)
    page.goto(f"{url}/segments/new")
    page.click("details:has(#yaml) summary")
    page.fill("#yaml", EVERY)
    page.click("button[value='yaml:']")
    page.wait_for_selector("button[value='edit:8']")
    page.wait_for_selector("#count .k-stat-value")
    rest(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("KESHER_SHOTS"):
        page.screenshot(path=f"{folder}/kinds-{language}-{width}.png", full_page=True)
    page.click("button[value='edit:6']")
    page.wait_for_selector("#f-never")
    rest(page)
    with page.expect_response("**/segments/seen"):
        page.fill("#f-first", "Product Viewed")
        page.keyboard.press("Tab")
    assert page.is_checked("#f-never")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder:
        page.screenshot(path=f"{folder}/form-{language}-{width}.png", full_page=True)
    assert troubles == []


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("he", 360)])
def test_a_list_is_made_and_people_are_found_for_it(site: tuple[str, Shop], chromium: Browser, language: str, width: int) -> None:  # noqa: F811  the fixture
    url, _shop = site
    page, troubles = signed_in(chromium, url, language, width)
    page.goto(f"{url}/lists")
    page.fill("#name", f"Fair {language}")
    page.click("form[action='/lists'] button")
    page.wait_for_url(f"{url}/lists/fair-{language}")
    page.fill("input[name='q']:visible >> nth=0", "dana")
    page.wait_for_selector("#found-people input[name='profile']")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("KESHER_SHOTS"):
        page.screenshot(path=f"{folder}/list-find-{language}-{width}.png", full_page=True)
    page.check("#found-people input[name='profile'] >> nth=0")
    page.click("#found-people button[value='add']")
    page.wait_for_selector("button[value='remove']")
    if folder:
        page.screenshot(path=f"{folder}/list-{language}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert troubles == []
