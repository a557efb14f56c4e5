"""A real browser for the tests that need one: one a process, its pages closed after every test; somebody signed in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

PASSWORD = "a long enough password"  # of a test's user
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 30_000  # ms: two slow cores that do something else besides are no mistake
QUIET = """() => document.readyState === "complete" && document.fonts.status === "loaded"
    && !document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")
    && (!document.querySelector("#designer-page")
        || [...document.querySelectorAll(innerWidth < 768 ? ".k-outline .k-node" : ".d-canvas .k-node")]
            .some((each) => each.checkVisibility({ visibilityProperty: true })))"""
STILL = """async () => {
    const all = () => [...document.querySelectorAll("main, .k-node, .d-open, .d-elabel, .k-dock")];
    const where = () => JSON.stringify(all().map((each) => each.getBoundingClientRect()));
    for (let turn = 0, same = 0, before = ""; same < 4 && turn < 600; turn++) {
        await new Promise(requestAnimationFrame);
        const now = where();
        same = now === before ? same + 1 : 0;
        before = now;
    }
}"""
expect.set_options(timeout=PATIENCE)
browser = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")]


@pytest.fixture(scope="session")
def launched() -> Iterator[Browser]:
    """From its first use on, a loop of asyncio runs in this thread: whoever needs one of their own takes a thread of their own."""
    with sync_playwright() as tool:
        made = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def chromium(launched: Browser) -> Iterator[Browser]:
    yield launched
    for context in launched.contexts:
        context.close()


def signed_in(chromium: Browser, url: str, language: str, width: int, *, who: str = "admin", height: int = 800) -> tuple[Page, list[str]]:
    """A page on which nothing is open yet, and what goes wrong on it from now on."""
    context = window(chromium, language, width, height)
    sign_in(context, url, f"{who}@shop.example")
    page = context.new_page()
    return page, troubles_of(page)


def window(chromium: Browser, language: str, width: int, height: int = 800, url: str | None = None) -> BrowserContext:
    """Nobody is signed in; nothing fades or slides, so that what is looked at is what stays."""
    context = chromium.new_context(viewport={"width": width, "height": height}, locale=language, reduced_motion="reduce", base_url=url)
    context.set_default_timeout(PATIENCE)
    return context


def held(page: Page, path: str) -> list[Route]:
    """What is asked of this path from now on and not answered before the test lets it go on."""
    kept: list[Route] = []

    def keep(route: Route) -> None:
        kept.append(route)

    page.route(path, keep)
    return kept


def let_go(page: Page, kept: list[Route], at: int) -> None:
    """The request of this place in the order they were asked, once it is there."""
    for _turn in range(PATIENCE // 10):
        if len(kept) > at:
            break
        page.wait_for_timeout(10)
    kept[at].continue_()


def rest(page: Page) -> None:
    """Until all of it is there, its scripts act on what they fetched (htmx does a moment after it is seen), and nothing moves any more."""
    page.wait_for_function(QUIET)
    page.evaluate(STILL)


def sign_in(context: BrowserContext, url: str, email: str) -> None:
    """As the form does, without drawing it and Home."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', context.request.get(f"{url}/sign-in").text())
    assert token
    answer = context.request.post(f"{url}/sign-in", form={"csrf_token": token[1], "email": email, "password": PASSWORD}, max_redirects=0)
    assert answer.status == 302


def troubles_of(page: Page) -> list[str]:
    """What its console calls an error."""
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    return troubles
