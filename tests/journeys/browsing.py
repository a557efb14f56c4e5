"""A browser before the running application: pages on which somebody is signed in, and how the designer is worked in tests."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.web import users
from crm.web.app import create_app
from hatch_build import build_front_end
from journeys import install
from journeys.api import bp as api
from journeys.pages import bp
from tests.browsers import CHROMIUM, PASSWORD, browser, held, let_go, rest, sign_in, window  # noqa: F401  what the tests of this folder take from here
from tests.databases import Databases
from tests.makers import accepted, config, product, track
from tests.serving import served
from workers import pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def bundle() -> None:
    """What the browser gets, built where its sources changed."""
    build_front_end(ROOT)


class Site:
    """A running application, its database, and pages on which somebody is signed in."""

    def __init__(self, url: str, engine: Engine, chromium: Browser) -> None:
        self.url, self.engine, self.chromium = url, engine, chromium
        self.troubles: list[str] = []

    def page(self, who: str = "noa", *, language: str = "en", width: int = 1440, height: int = 900) -> Page:
        """Somebody's; nothing is open on it yet."""
        context = window(self.chromium, language, width, height)
        sign_in(context, self.url, f"{who}@shop.example")
        page = context.new_page()
        page.on("console", lambda said: self.troubles.append(said.text) if said.type == "error" and "409" not in said.text else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        return page

    def sign_in(self, page: Page, who: str) -> None:
        page.goto(f"{self.url}/sign-in")
        page.fill("#email", f"{who}@shop.example")
        page.fill("#password", PASSWORD)
        page.click("button.btn-primary")
        page.wait_for_url(f"{self.url}/")

    def designer(self, slug: str, **how: Any) -> Page:
        page = self.page(**how)
        page.goto(f"{self.url}/journeys/{slug}/edit")
        expect(page.locator(".k-node").first).to_be_visible()
        rest(page)
        return page

    def graph(self, slug: str) -> dict[str, Any]:
        """What is live."""
        with Session(self.engine) as session:
            statement = text("SELECT graph FROM journey_versions v JOIN journeys j ON j.id = v.journey_id AND j.version = v.number WHERE slug = :slug")
            return dict(session.scalars(statement, {"slug": slug}).one())


def fill(url: str, now: dt.datetime) -> None:
    """Two who draw, every recipe, five carts and an order."""
    engine = engine_for(url)
    with Session(engine, expire_on_commit=False) as session:
        for name in ("noa", "yossi"):
            users.create_user(session, email=f"{name}@shop.example", name=name.title(), role="marketer", password=PASSWORD)
        insert = "INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('abandoned_cart', 'email', 'offers', 'marketing', 1)"
        session.execute(text(f"{insert} ON CONFLICT DO NOTHING"))
        install.install(session, now)
        calls = [track("Product Added", product("vase"), at=now, user_id=f"u{number}") for number in range(5)]
        calls.append(track("Order Completed", {"order_id": "1", "total": 10, "currency": "ILS"}, at=now, user_id="u0"))
        pipeline.run(session, [accepted(call, now) for call in calls], now, config())
        session.commit()
    engine.dispose()


@pytest.fixture
def site(databases: Databases, home: Path, now: dt.datetime, chromium: Browser) -> Iterator[Site]:
    template, _ = databases.filled("designer", lambda url: fill(url, now))
    with databases.copy(template) as url:
        engine = engine_for(url)
        settings = Config(home=home, database_url=url, redis_url="memory://", smtp_url="", secret_key="secret")
        with served(create_app(settings, sessions(engine), [bp, api])) as address:
            made = Site(address, engine, chromium)
            yield made
            for context in chromium.contexts:
                context.close()
        engine.dispose()
    assert made.troubles == []


def settle(page: Page) -> None:
    """Until what is drawn is stored, and what was said of it is drawn."""
    expect(page.locator("[data-saving=saved]")).to_be_attached()
    rest(page)


def step(page: Page, name: str) -> Any:
    return page.locator(f'.k-node[data-node="{name}"]')


def palette(page: Page, kind: str) -> None:
    page.locator(f'.k-pal[data-kind="{kind}"]').click()


def begin(site: Site, page: Page, name: str) -> str:
    """An empty journey, by the form; its slug."""
    page.goto(f"{site.url}/journeys")
    page.get_by_role("link", name="New journey").click()
    page.fill("#name", name)
    page.get_by_role("button", name="Draw it").click()
    page.wait_for_url(re.compile("/edit$"))
    expect(step(page, "@start")).to_be_visible()
    rest(page)
    return page.url.split("/")[-2]


def publish(page: Page, url: str) -> None:
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    page.wait_for_url(url)
