"""Backtests as people, programs and the command line meet them."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.events.models import HISTORY
from crm.web.app import create_app
from crm.web.tokens import create_token
from journeys import backtest, publish
from journeys.backtest_api import bp as api
from journeys.backtest_models import Backtest
from journeys.models import Journey
from tests.journeys.browsing import CHROMIUM, Site, bundle, settle, site  # noqa: F401  fixtures of the browser
from tests.journeys.history import LOOK
from tests.makers import accepted, config, track
from workers import backtesting, manage, pipeline

CONFIG = config()
DAY = dt.timedelta(days=1)
REPORT: dict[str, Any] = {
    "people": 9, "entrants": 3, "events": 20, "imported": 0, "started": 4, "nodes": {"wait": 4, "say": 3, "end": 3}, "standing": {"wait": 1},
    "edges": {"wait/timed_out": 3, "say/next": 3, "end/finished": 3}, "ends": {"finished": 3}, "refused": {"too_soon": 2}, "days": {}, "sent": 0, "held": {},
    "agreed_since": 0, "did": {"say": 3}, "errors": {}, "cost": [], "collisions": {"too_many": 2, "people": 0, "days": 0, "most": 0, "with": {}},
    "notes": ["answers", "gate"],
}  # fmt: skip


@pytest.fixture
def look(session: Session, now: dt.datetime) -> Journey:
    publish.publish(session, "look", LOOK, now=now - 9 * DAY)
    return session.query(Journey).filter_by(slug="look").one()


def kept(session: Session, journey: Journey, now: dt.datetime, **values: Any) -> Backtest:
    times = {"from_at": now - 9 * DAY, "to_at": now, "created_at": now, "started_at": now}
    told = {"kind": "what_if", "version": 1, "graph": LOOK, "settings": {}, "status": "done", "report": REPORT, "parts": []}
    row = Backtest(journey_id=journey.id, **times, **told | values)
    session.add(row)
    session.flush()
    return row


def plain(answer: TestResponse) -> str:
    """What is read."""
    return re.sub(r"<[^>]+>", "", answer.text)


def test_a_period_is_chosen_and_the_page_shows_how_far_it_is(signed_in: Callable[..., FlaskClient], session: Session, look: Journey, now: dt.datetime) -> None:
    client = signed_in()
    form = {"from": (now - 5 * DAY).date().isoformat(), "to": now.date().isoformat(), "of": "published", "kind": "what_if", "too_many": "3", "consent": "now"}
    answer = client.post("/journeys/look/backtest", data=form)
    row = session.query(Backtest).one()
    assert answer.location == f"/journeys/look/backtest/{row.id}"
    assert (row.status, row.settings, row.created_by) == ("waiting", {"too_many": 3, "consent": "now"}, "marketer@example.com")
    assert "Waiting its turn" in client.get(answer.location).text
    row.status, row.parts = "running", [{"done": 25, "total": 100, "over": False}]
    session.flush()
    assert "25 of 100 people" in plain(client.get(f"{answer.location}/progress"))
    client.post(f"{answer.location}/cancel")
    session.refresh(row)
    assert row.status == "cancelled"
    assert client.get(f"{answer.location}/progress").headers["HX-Refresh"] == "true"


@pytest.mark.parametrize(
    ("wrong", "said"), [({"from": "soon"}, "Choose the first"), ({"from": "2199-01-01"}, "must begin before"), ({"too_many": "0"}, "Choose")]
)
def test_a_form_that_cannot_be_says_why(signed_in: Callable[..., FlaskClient], look: Journey, now: dt.datetime, wrong: dict[str, str], said: str) -> None:
    client = signed_in()
    form = {"from": (now - 5 * DAY).date().isoformat(), "to": now.date().isoformat(), "kind": "what_if", "too_many": "3"} | wrong
    assert said in client.post("/journeys/look/backtest", data=form, follow_redirects=True).text


@pytest.mark.parametrize("path", ["backtest", "backtest/prices"])
def test_a_journey_that_cannot_be_is_not_found(signed_in: Callable[..., FlaskClient], session: Session, path: str) -> None:
    assert signed_in().post(f"/journeys/no%0d%0aline/{path}", data={"email": "0.03"}).status_code == 404
    assert backtest.prices(session) == {}


@pytest.mark.parametrize("language", ["en", "he"])
def test_the_report_is_told_in_words(signed_in: Callable[..., FlaskClient], session: Session, look: Journey, now: dt.datetime, language: str) -> None:
    row = kept(session, look, now)
    shown = signed_in(language=language).get(f"/journeys/look/backtest/{row.id}").text
    assert {"en": "too little time since the latest run", "he": "עבר זמן קצר מדי מהריצה האחרונה"}[language] in shown
    assert re.search(r'class="n"><bdi[^>]*>4<', shown)


def test_a_replay_lists_what_went_another_way(signed_in: Callable[..., FlaskClient], session: Session, look: Journey, now: dt.datetime) -> None:
    told = {"run": None, "cause": "refused:too_late", "then": [], "now": ["wait/timed_out", "→ finished"]}
    report = {"runs": 3, "same": 2, "causes": {"refused:too_late": 1}, "differences": [told]}
    row = kept(session, look, now, kind="replay", report=report)
    shown = signed_in().get(f"/journeys/look/backtest/{row.id}").text
    assert "the event came too late to start anything" in shown
    assert "Wait: time passed" in shown


def test_prices_are_kept_and_nonsense_is_refused(signed_in: Callable[..., FlaskClient], session: Session, look: Journey) -> None:
    client = signed_in()
    client.post("/journeys/look/backtest/prices", data={"email": "0.03"})
    assert [(channel, str(price), currency) for channel, (price, currency) in backtest.prices(session).items()] == [("email", "0.030000", "ILS")]
    assert "not negative" in client.post("/journeys/look/backtest/prices", data={"email": "-1"}, follow_redirects=True).text
    client.post("/journeys/look/backtest/prices", data={"email": ""})
    assert backtest.prices(session) == {}


def test_who_may_only_look_may_not_test(signed_in: Callable[..., FlaskClient], look: Journey) -> None:
    viewer = signed_in("viewer")
    assert viewer.get("/journeys/look/backtest").status_code == viewer.post("/journeys/look/backtests", json={}).status_code == 403
    assert "/journeys/look/backtest" not in viewer.get("/journeys/look").text


@pytest.fixture
def call(session: Session) -> Callable[..., Any]:
    connection = session.connection()
    settings = Config(home=Path("."), database_url="", redis_url="memory://", smtp_url="", secret_key="a secret of this test")
    client = create_app(settings, lambda: Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint"), [api]).test_client()
    headers = {"Authorization": f"Bearer {create_token(session, name='test', role='marketer')}"}

    def called(path: str, body: dict[str, Any] | None = None) -> Any:
        return client.get(f"/api/v1{path}", headers=headers) if body is None else client.post(f"/api/v1{path}", json=body, headers=headers)

    return called


def test_a_program_asks_looks_and_cancels(call: Callable[..., Any], look: Journey, now: dt.datetime) -> None:
    period = {"since": (now - 5 * DAY).isoformat(), "until": now.isoformat()}
    asked = call("/journeys/look/backtests", period).json
    assert (asked["status"], asked["kind"], asked["settings"]["beside"]) == ("waiting", "what_if", True)
    assert call("/journeys/look/backtests").json["items"][0]["id"] == asked["id"]
    assert call(f"/backtests/{asked['id']}/cancel", {}).json["status"] == "cancelled"
    assert call(f"/backtests/{asked['id']}").json["status"] == "cancelled"
    assert call("/backtests/999999").status_code == 404
    assert "before now" in call("/journeys/look/backtests", {"since": now.isoformat(), "until": period["since"]}).json["error"]


def test_a_program_sets_prices(call: Callable[..., Any]) -> None:
    assert call("/channel-prices", {"channel": "email", "price": "0.004", "currency": "ILS"}).json["items"][0]["currency"] == "ILS"
    assert call("/channel-prices").json["items"] == [{"channel": "email", "price": "0.004000", "currency": "ILS"}]
    assert call("/channel-prices", {"channel": "email", "price": "-1", "currency": "ILS"}).status_code == 400


def test_the_command_runs_it_here_and_prints_what_came_out(
    fresh_url: str, home: Path, now: dt.datetime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_for(fresh_url)
    with Session(engine) as session:
        publish.publish(session, "look", LOOK, now=now - 2 * DAY)
        calls = [track("Product Viewed", {"product_id": "vase"}, at=now - DAY, user_id=f"u{number}") for number in range(3)]
        pipeline.run(session, [accepted(each, now - DAY) for each in calls], now - DAY, CONFIG)
        session.commit()
    engine.dispose()
    for name, value in (("DATABASE_URL", fresh_url), ("REDIS_URL", "redis://127.0.0.1:1"), ("KESHER_HOME", str(home))):
        monkeypatch.setenv(name, value)
    words = ["journeys", "backtest", "look", "--from", (now - 3 * DAY).date().isoformat(), "--processes", "1"]
    assert manage.main([*words, "--json"]) in {0, None}
    assert json.loads(capsys.readouterr().out)["started"] == 3
    assert "people 3 of 3, runs 3" in "\n".join(backtesting.lines("what_if", REPORT | {"people": 3, "started": 3}))


@pytest.fixture
def working(site: Site) -> Iterator[None]:  # noqa: F811  fixtures
    """A worker beside the pages."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            backtest.work(sessions(site.engine), CONFIG)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


def ran(page: Page) -> None:
    """Run a backtest of the last week in the designer's panel."""
    settle(page)
    page.locator("#d-period").select_option("7")
    page.locator(".d-backtest .d-begin").click()
    expect(page.locator(".d-backtest .d-days")).to_be_visible()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
@pytest.mark.usefixtures("working")
def test_the_designer_lives_a_week_again_and_lays_the_counts_on_the_drawing(site: Site, now: dt.datetime) -> None:  # noqa: F811  fixtures
    with Session(site.engine) as session:
        for number in range(4):
            agreed = track("Product Added", {"product_id": "vase", "price": "10"}, at=now - 3 * DAY, user_id=f"w{number}", email=f"w{number}@shop.example")
            pipeline.run(session, [accepted(agreed, now, origin=HISTORY)], now, CONFIG)
        session.execute(text("UPDATE templates SET purpose = 'transactional' WHERE name = 'abandoned_cart'"))
        session.commit()
    page = site.designer("abandoned_cart")
    ran(page)
    start = page.locator(".k-node.trig .n bdi").first
    expect(start).to_have_text("9")  # five of the site began in life; these four were imported
    page.get_by_role("button", name="Counts off the drawing").click()
    expect(start).not_to_have_text("9")
    page.get_by_role("button", name="Counts on the drawing").click()
    expect(start).to_have_text("9")
    page.get_by_role("link", name="The whole report").click()
    expect(page.get_by_role("heading", name="What would have happened")).to_be_visible()
    expect(page.locator("svg.k-days rect").first).to_be_attached()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
@pytest.mark.usefixtures("working")
def test_a_changed_drawing_takes_the_counts_away(site: Site) -> None:  # noqa: F811  fixtures
    page = site.designer("abandoned_cart", width=360, height=740)
    settle(page)
    page.locator(".d-backtest .d-begin").click()
    expect(page.locator(".d-backtest .d-lived").get_by_role("link", name="The whole report")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
