"""The gallery of recipes in a browser: every one is there in the reader's language, fits the screen, and opens drawn."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import expect

from journeys import files
from tests.journeys.browsing import Site, browser

pytestmark = browser


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("he", 360), ("he", 1440), ("en", 360)])
def test_a_recipe_is_chosen_in_both_languages_on_any_screen(site: Site, language: str, width: int) -> None:
    page = site.page(language=language, width=width)
    page.goto(f"{site.url}/journeys/new")
    shown = page.locator("main").inner_text()
    recipes = files.recipes()
    assert [slug for slug, recipe in recipes.items() if recipe["name"][language] not in shown or recipe["about"][language] not in shown] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("KESHER_SHOTS"):
        page.screenshot(path=f"{folder}/gallery-{language}-{width}.png", full_page=True)
    page.click("form:has(input[value='black_friday']) button")
    expect(page.get_by_text(recipes["black_friday"]["nodes"]["open"]["name"][language]).first).to_be_visible()
    if folder:
        page.screenshot(path=f"{folder}/black-friday-{language}-{width}.png", full_page=True)
