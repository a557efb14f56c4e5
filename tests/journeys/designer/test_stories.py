"""Stories in a real browser: told beside the drawing, kept from what was tried, failing when the drawing changes; trying it on a real person."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.journeys.browsing import Site, browser, held, let_go, rest, settle, step

pytestmark = browser
CUT = """box => [-1, 1].map(side => {
    box.scrollLeft = side * 1e6;
    const seen = box.getBoundingClientRect();
    return [...box.querySelectorAll(".k-node")].filter(each => {
        const found = each.getBoundingClientRect();
        return side < 0 ? found.left < seen.left : found.right > seen.right;
    }).length;
})"""


def test_stories_are_told_again_when_the_drawing_changes_and_kept_from_what_was_tried(site: Site) -> None:
    page = site.designer("abandoned_cart")
    summary = page.locator(".d-stories > summary")
    expect(summary).to_contain_text("All hold")
    summary.click()
    page.get_by_role("button", name="a buyer is left alone", exact=True).click()
    expect(page.locator(".k-try")).to_contain_text("The run is over: Order placed ended it")
    page.get_by_role("button", name="Start over").click()
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.locator(".k-try")).to_be_visible()
    page.get_by_label("Name of the story").fill("somebody begins")
    page.get_by_role("button", name="Keep as a story").click()
    kept = page.locator('[data-story="somebody begins"]')
    expect(kept.locator(".k-ok")).to_be_visible()
    step(page, "wait").click()
    page.get_by_role("spinbutton", name="At most").fill("2")
    settle(page)
    expect(summary).to_contain_text(re.compile("come out otherwise"))
    expect(kept).to_contain_text("after 1 hour was not sent")
    asked = held(page, "**/stories")
    with page.expect_request("**/stories"):
        page.keyboard.press("Control+z")
    kept.get_by_role("button", name="Remove the story").click()
    rest(page)
    assert len(asked) == 1, "asked one after the other: what is answered late must not bring back what was removed"
    for at in range(2):
        let_go(page, asked, at)
    expect(kept).to_have_count(0)


def test_it_is_tried_on_a_real_person_and_nobody_else_is_taken_for_one(site: Site) -> None:
    page = site.designer("abandoned_cart")
    page.get_by_label("On whom").fill("nobody@example.com")
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Nobody is known by that")
    page.get_by_label("On whom").fill("u3")
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.locator(".k-try")).to_contain_text("Product added to the cart")
    site.troubles[:] = [each for each in site.troubles if "404" not in each]  # the browser logs the refusal itself


def test_in_hebrew_versions_and_stories_read_from_the_right(site: Site) -> None:
    page = site.designer("abandoned_cart", language="he", width=1440, height=1000)
    page.locator(".d-stories > summary").click()
    expect(page.locator(".d-stories")).to_contain_text("כולם מתקיימים")
    page.goto(f"{site.url}/journeys/abandoned_cart/history")
    expect(page.locator("main")).to_contain_text("ריצות חדשות הולכות לפיה")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.set_viewport_size({"width": 780, "height": 900})
    page.goto(f"{site.url}/journeys/abandoned_cart")
    cut = page.locator(".k-canvas").evaluate(CUT)
    assert cut == [0, 0], "a drawing wider than its place is reached from end to end"
