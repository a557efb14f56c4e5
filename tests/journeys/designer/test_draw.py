"""Drawing in a real browser: by clicks, by keyboard alone, undone, copied, dragged."""

from __future__ import annotations

import datetime as dt
import re
import time

from playwright.sync_api import expect
from sqlalchemy.orm import Session

from tests.journeys.browsing import Site, begin, browser, palette, publish, rest, settle, step
from tests.makers import accepted, config, product, track
from workers import pipeline

pytestmark = browser
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
    page.get_by_role("group", name="Events that end a run at once").get_by_role("combobox", name="Event").fill("Order Completed")
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
    with Session(site.engine) as session:
        at = dt.datetime.now(dt.UTC)
        pipeline.run(session, [accepted(track("Product Added", product("lamp"), at=at, user_id="passer-by"), at)], at, config())
        session.commit()
    page.reload()
    expect(page.locator(".k-canvas .k-node.trig")).to_contain_text("1")
    expect(page.locator(".k-canvas .k-node.wait")).to_contain_text(re.compile(r"1\s*here now"))
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
    expect(page.locator("#d-journey")).to_be_focused()  # with the next frame; what is focused before it loses the focus again
    page.get_by_label("Event", exact=True).first.focus()
    write("Product Added")
    page.get_by_label("One run for each").focus()
    press("c")
    page.get_by_role("group", name="Events that end a run at once").get_by_role("button", name="One more").focus()
    press("Enter")
    page.get_by_role("group", name="Events that end a run at once").get_by_role("combobox", name="Event").focus()
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
    expect(step(page, "wait")).to_be_focused()
    press("Tab")  # the first way out: time passed
    press("Enter")  # to the palette
    expect(page.locator(".d-find")).to_be_focused()
    write("Send")
    press("Enter")
    expect(step(page, "send")).to_be_focused()
    page.get_by_label("Template").focus()
    write("abandoned_cart")
    press("Escape")
    expect(step(page, "send")).to_be_focused()
    find("End")
    expect(step(page, "stop")).to_be_focused()
    press("ArrowUp")
    expect(step(page, "send")).to_be_focused()
    press("ArrowUp")
    expect(step(page, "wait")).to_be_focused()
    press("Tab")
    press("Tab")
    press("Enter")
    expect(page.locator(".d-find")).to_be_focused()
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
    expect(step(page, "remind")).to_be_focused()
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
    step(page, "remind").click()
    expect(step(page, "remind")).to_be_focused()
    page.keyboard.press("Control+c")
    begin(site, page, "Elsewhere")
    page.keyboard.press("Control+v")
    expect(step(page, "send")).to_be_visible()
    settle(page)
    page.evaluate("""localStorage.setItem("kesher.copied", '{"dance": {"kind": "dance"}}')""")
    page.keyboard.press("Control+v")
    expect(page.locator(".d-refused")).to_contain_text("dance")


def test_a_step_dragged_onto_an_open_way_is_joined_to_it_and_a_dragged_step_keeps_its_place(site: Site) -> None:
    page = site.page()
    begin(site, page, "Drag")
    page.locator('.k-pal[data-kind="wait"]').drag_to(page.locator(".d-open"))
    expect(step(page, "wait")).to_be_visible()
    settle(page)
    page.locator('.k-pal[data-kind="stop"]').drag_to(page.locator(".react-flow__pane"), target_position={"x": 150, "y": 640})
    expect(step(page, "stop")).to_be_visible()
    settle(page)
    page.locator('.react-flow__node[data-id="wait"] .react-flow__handle.source').drag_to(step(page, "stop"))
    settle(page)
    expect(page.locator(".d-open")).to_have_count(0)
    rest(page)
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


def test_several_steps_are_chosen_moved_copied_and_undone_together_from_right_to_left_too(site: Site) -> None:
    for language in ("en", "he"):
        page = site.designer("abandoned_cart", who="noa" if language == "en" else "yossi", language=language)
        step(page, "remind").click()
        page.keyboard.down("Control")  # and not let go before the drag has begun
        step(page, "end").click()
        expect(page.locator(".d-many")).to_contain_text("2")
        rest(page)  # the settings are gone, and what was in the middle has moved back there
        before = {name: step(page, name).bounding_box() for name in ("remind", "end", "bought")}
        page.mouse.move(before["end"]["x"] + 60, before["end"]["y"] + 20)
        page.mouse.down()
        page.mouse.move(before["end"]["x"] + 100, before["end"]["y"] + 60, steps=6)
        page.keyboard.up("Control")
        page.mouse.up()
        settle(page)
        after = {name: step(page, name).bounding_box() for name in before}
        moved = {name: (round(after[name]["x"] - before[name]["x"]), round(after[name]["y"] - before[name]["y"])) for name in before}
        assert moved["remind"] == moved["end"] and moved["end"][0] > 20 and moved["bought"] == (0, 0)
        page.keyboard.press("Control+c")
        page.keyboard.press("Control+v")
        expect(page.locator(".react-flow__node-step")).to_have_count(7)
        page.keyboard.press("Control+x")
        expect(page.locator(".react-flow__node-step")).to_have_count(5)
        for _ in range(3):
            page.keyboard.press("Control+z")
        settle(page)
        draft = page.evaluate("fetch(location.pathname.replace('edit', 'draft')).then(answer => answer.json())")
        assert draft["layout"] == {} and not draft["changed"]
