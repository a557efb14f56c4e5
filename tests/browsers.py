"""A real browser for the tests that need one: one a process, its pages closed after every test; somebody signed in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PASSWORD = "a long enough password"  # of a test's user
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
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
    context = chromium.new_context(viewport={"width": width, "height": height}, locale=language)
    sign_in(context, url, f"{who}@shop.example")
    page = context.new_page()
    page.set_default_timeout(15_000)
    return page, troubles_of(page)


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
