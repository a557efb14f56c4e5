"""What the designer says of a drawing: mistakes, two who draw at once, numbers, publishing, trying it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import expect
from sqlalchemy import text
from sqlalchemy.orm import Session

from journeys import install
from journeys.engine import wake_due
from tests.journeys.browsing import Site, browser, held, let_go, rest, settle, step
from tests.makers import config

pytestmark = browser


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


def test_the_people_it_would_reach_are_looked_at_when_asked_and_again_after_a_change(site: Site) -> None:
    page = site.designer("abandoned_cart")
    page.get_by_role("button", name="Look at the people it would reach").click()
    expect(page.locator(".d-among [role=status]")).to_contain_text("who were looked at: 5")
    step(page, "wait").click()
    page.get_by_label("Name on the drawing").fill("Another")
    expect(page.locator(".d-among [role=status]")).to_be_empty()


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


def test_what_is_drawn_while_signed_out_is_saved_once_somebody_signs_in_again_in_another_window(site: Site) -> None:
    page = site.page(width=360)
    held(page, "**/counts")  # asked every few seconds, and every answer sets the cookie anew
    page.goto(f"{site.url}/journeys/abandoned_cart/edit")
    rest(page)
    expect(page.locator(".d-stories")).to_be_attached()
    page.context.clear_cookies()
    step(page, "wait").click()
    page.get_by_label("Name on the drawing").fill("Drawn")
    expect(page.get_by_role("alert")).to_contain_text("you are signed out")
    site.sign_in(page.context.new_page(), "noa")
    page.get_by_label("Name on the drawing").fill("Drawn and kept")
    settle(page)
    expect(page.get_by_role("alert")).to_have_count(0)
    page.reload()
    expect(step(page, "wait")).to_contain_text("Drawn and kept")
    site.troubles[:] = [each for each in site.troubles if "400" not in each]  # the browser logs the refusal itself


def test_a_number_stands_on_its_way_also_where_the_way_has_no_words(site: Site, now: dt.datetime) -> None:
    with Session(site.engine) as session:
        wake_due(session, now + dt.timedelta(hours=2), 100, config())
        session.commit()
    page = site.designer("abandoned_cart")
    number = page.locator(".d-elabel", has_text=re.compile(r"^\s*4\s*$"))
    expect(number).to_be_visible()
    rest(page)
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


@pytest.mark.parametrize(
    ("words", "to", "stand"),
    [
        ("They finish on the version they are on", None, [(1, "active", "wait", None, 4)]),
        ("They move to steps I choose", "E-mail: your cart waits", [(2, "active", "remind", None, 4)]),
        ("Their runs end", None, [(1, "done", "wait", "new_version", 4)]),
    ],
)
def test_people_on_a_changed_step_finish_there_or_go_where_the_dialog_says(site: Site, words: str, to: str | None, stand: list[Any]) -> None:
    page = site.designer("abandoned_cart")
    step(page, "wait").click()
    page.get_by_role("spinbutton", name="At most").fill("2")
    settle(page)
    page.get_by_role("button", name="Publish").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(words).check()
    if to is not None:
        expect(dialog.get_by_role("button", name="Publish")).to_be_disabled()  # not before it is said where to
        dialog.get_by_label("From “Wait for an order” to").select_option(label=to)
    dialog.get_by_role("button", name="Publish").click()
    page.wait_for_url(f"{site.url}/journeys/abandoned_cart")
    expect(page.locator("main")).to_contain_text("Version 2")
    with Session(site.engine) as session:
        found = "SELECT version, status, node, end_reason, count(*) FROM runs WHERE end_reason IS DISTINCT FROM 'exit:Order Completed' GROUP BY 1, 2, 3, 4"
        assert session.execute(text(found)).all() == stand


def test_failed_runs_go_on_together_at_a_click_and_it_says_how_many(site: Site) -> None:
    with Session(site.engine) as session:
        session.execute(text("UPDATE runs SET status = 'failed', error = 'the channel is gone', due_at = NULL WHERE status = 'active'"))
        session.execute(text("DELETE FROM wakeups"))
        session.commit()
    english, hebrew = site.page(), site.page(language="he")
    for page in (english, hebrew):
        page.goto(f"{site.url}/journeys/abandoned_cart")
    expect(english.get_by_role("button", name=re.compile("Failed runs: 4"))).to_be_visible()
    hebrew.get_by_role("button", name=re.compile("ריצות שנכשלו: 4")).click()
    expect(hebrew.locator("body")).to_contain_text("ריצות שממשיכות: 4")
    expect(hebrew.get_by_role("button", name=re.compile("ריצות שנכשלו"))).to_have_count(0)
    with Session(site.engine) as session:
        assert session.execute(text("SELECT status, error, count(*) FROM runs WHERE end_reason IS NULL GROUP BY 1, 2")).all() == [("active", None, 4)]
        assert session.scalar(text("SELECT count(*) FROM wakeups")) == 4


def test_trying_it_jumps_the_clock_and_marks_the_path(site: Site) -> None:
    page = site.designer("abandoned_cart")
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.locator(".k-try")).to_contain_text("Product added to the cart")
    expect(step(page, "remind")).not_to_have_class(re.compile("is-trod"))
    page.get_by_role("button", name="To what comes next").click()
    expect(page.locator(".k-try")).to_contain_text("Would send “Abandoned cart, first reminder”")
    expect(step(page, "remind")).to_have_class(re.compile("is-trod"))
    expect(step(page, "bought")).not_to_have_class(re.compile("is-trod"))
    page.get_by_role("button", name="Start over").click()
    page.get_by_role("button", name="Begin", exact=True).click()
    page.fill("#d-event", "Order Completed")
    shown, asked = page.locator("section[aria-label='Try it'] .k-tiny bdi"), held(page, "**/journeys/simulate")
    page.get_by_role("button", name="It happens").click()
    page.get_by_role("button", name="A day on").click()
    later = shown.inner_text()
    let_go(page, asked, 0)
    expect(page.locator(".k-try")).to_contain_text("The run is over")
    expect(shown).to_have_text(later)  # who goes on before the answer is not put back
    expect(page.locator(".k-try")).not_to_contain_text("Would send")


def test_who_may_only_look_gets_the_drawing_and_no_designer(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> None:
    install.install(session, now)
    viewer, marketer = signed_in("viewer"), signed_in("marketer")
    assert 'href="/journeys/abandoned_cart/edit"' in marketer.get("/journeys/abandoned_cart").text
    assert 'href="/journeys/abandoned_cart/edit"' not in viewer.get("/journeys/abandoned_cart").text
    assert viewer.get("/journeys/abandoned_cart/edit").status_code == 403
    assert viewer.get("/journeys/new").status_code == 403
