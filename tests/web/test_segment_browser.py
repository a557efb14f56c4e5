"""The segment builder in a real browser: a rule added, filled in, counted and saved."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Browser

from tests.web.shop import Shop
from tests.web.test_browser import CHROMIUM, chromium, signed_in, site  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")]


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("he", 360)])
def test_a_rule_is_added_changed_counted_and_saved(site: tuple[str, Shop], chromium: Browser, language: str, width: int) -> None:  # noqa: F811
    url, _shop = site
    page, troubles = signed_in(chromium, url, language, width)
    page.goto(f"{url}/segments/new")
    page.fill("#name", "Everybody in town")
    page.click("details summary:has-text('קבוצה')" if language == "he" else "summary:has-text('Add to this group')")
    page.click("button[value='add::trait']")
    page.fill("#f-name", "city")
    page.click("button[value='apply:0']")
    page.wait_for_selector("button[value='edit:0']")
    page.wait_for_selector("#count .k-stat-value")
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
