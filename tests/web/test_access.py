"""Every page but those of sales (test_sales_browser.py) by axe-core, filled, at both widths in both languages: no rule of WCAG 2.2 AA is broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.web import users
from crm.web.app import create_app
from hatch_build import build_front_end
from journeys.api import bp as journeys_api
from journeys.backtest_api import bp as backtests_api
from journeys.pages import bp as journeys
from tests.browsers import PASSWORD, browser, rest, signed_in, window
from tests.databases import Databases
from tests.serving import served
from tests.web import axe
from tests.web.conftest import ROOT
from tests.web.whole_shop import open_whole
from workers.mailbox_pages import bp as mailbox

pytestmark = browser
EMAIL = "admin@shop.example"
PUBLIC = ("/sign-in", "/mine", "{mine}", "{unsubscribe}", "{survey}", "/u/nonsense")
PAGES = (
    *("/", "/people", "/people?q=zzz", "/people/{lead}", "/people/{lead}/join", "/people/same", "/people/held", "/accounts"),
    *("/segments", "/segments/new", "/segments/{segment}", "/lists", "/lists/{list}", "/products", "/products/{variant}"),
    *("/journeys", "/journeys/new", "/journeys/abandoned_cart", "/journeys/abandoned_cart/runs", "/runs/{run}", "/journeys/asking/history"),
    *("/journeys/abandoned_cart/backtest", "/journeys/abandoned_cart/backtest/{backtest}", "/journeys/abandoned_cart_3/edit", "/journeys/win_back/edit"),
    *("/coupons", "/surveys", "/settings/webhooks", "/messages", "/messages?status=failed", "/messages/{message}", "/templates", "/templates/abandoned_cart"),
    *("/scores", "/scores/lead", "/scores/engagement", "/scores/lead/card", "/scores/new"),
    *("/imports", "/imports/{import}", "/imports/{import}/columns", "/mailbox"),
    *("/sources", "/sources/{source}", "/quarantine", "/account", "/settings/users", "/settings/tokens", "/settings/changes", "/settings/privacy"),
    *("/settings/sending", "/settings/identity", "/settings/traits"),
)


@pytest.fixture(scope="module")
def site(databases: Databases, home: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One running application for all of it: the pages are only looked at."""
    build_front_end(ROOT)
    with databases.copy() as own:
        engine = engine_for(own)
        config = Config(home=home, database_url=own, redis_url="memory://", smtp_url="", secret_key="secret")
        app = create_app(config, sessions(engine), [journeys, journeys_api, backtests_api, mailbox])
        with Session(engine) as session:
            user = users.create_user(session, email=EMAIL, name="תמר אלון", role="admin", password=PASSWORD)
            session.commit()
            made = open_whole(app, session, config, user_id=user.id, email=EMAIL, password=PASSWORD)
        with served(app) as url:
            yield url, made
        engine.dispose()


def wrong(page: Page, path: str, widths: tuple[int, int]) -> list[str]:
    """What a page breaks, once all of it is there: at the first width, and what another one may change at that."""
    page.set_viewport_size({"width": widths[0], "height": 800})
    answer = page.goto(path)
    rest(page)
    found = [f"answers {answer.status}"] if answer and answer.status >= 400 and "nonsense" not in path else []
    found += _wide(page) + axe.violations(page)
    page.set_viewport_size({"width": widths[1], "height": 800})
    rest(page)  # the designer draws another view
    return [f"{path}: {said}" for said in found + _wide(page) + axe.of_width(page)]


def _wide(page: Page) -> list[str]:
    return ["wider than its window"] if page.evaluate("document.documentElement.scrollWidth - innerWidth") > 0 else []


@pytest.mark.parametrize(("language", "widths"), [("en", (1440, 360)), ("he", (360, 1440))])
def test_every_page_breaks_no_rule_of_access(
    site: tuple[str, Mapping[str, Any]],
    chromium: Browser,
    language: str,
    widths: tuple[int, int],
) -> None:
    url, made = site
    stranger = window(chromium, language, widths[0], url=url).new_page()
    found = [said for path in PUBLIC for said in wrong(stranger, path.format(**made), widths)]
    stranger.context.close()
    page, troubles = signed_in(chromium, url, language, widths[0])
    for path in (*PAGES, f"/accounts/{made['account']}"):
        found += wrong(page, url + path.format(**made), widths)
    page.context.close()
    found += [said for said in troubles if "ERR_" not in said]  # a picture of the shop's own, which is not there
    assert not found, "\n".join(found)
