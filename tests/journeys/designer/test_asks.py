"""A branch about what somebody did or is in, drawn in a browser: each choice shows the fields it needs, with words to choose from."""

from __future__ import annotations

import datetime as dt
from typing import Any

from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from crm.segments import store
from tests.journeys.browsing import Site, browser, palette, settle, step

pytestmark = browser


def asked(page: Page) -> list[dict[str, Any]]:
    """The conditions of the branch, as stored."""
    draft = page.evaluate("fetch(location.pathname.replace('edit', 'draft')).then(answer => answer.json())")
    branch = next(each for each in draft["graph"]["nodes"].values() if each["kind"] == "branch")
    return list(branch["settings"]["ways"][0]["when"])


def test_a_branch_asks_what_they_did_or_which_segment_they_are_in(site: Site, now: dt.datetime) -> None:
    with Session(site.engine) as session:
        store.save(session, slug="vip", name="Best customers", rule={"kind": "did", "event": "Order Completed"}, now=now)
        session.commit()
    page = site.designer("abandoned_cart")
    palette(page, "branch")
    form = page.locator(".k-dset")
    form.get_by_label("Of", exact=True).select_option("did")
    expect(form.get_by_label("Comparison")).to_have_value("at_least")
    assert form.get_by_label("Comparison").locator("option").all_inner_texts() == ["at least", "more than", "at most", "less than", "is", "is not"]
    offered = form.get_by_label("Event", exact=True).get_attribute("list")
    assert page.locator(f"[id='{offered}'] option[value='Order Completed']").count() == 1
    form.get_by_label("Event", exact=True).fill("Order Completed")
    form.get_by_label("In the last").fill("30")
    form.get_by_label("In the last").locator("xpath=following-sibling::select").select_option("d")
    form.get_by_role("group", name="Where all of these hold").get_by_role("button").click()
    form.get_by_role("group", name="Where all of these hold").get_by_label("Name").fill("total")
    form.get_by_role("group", name="Where all of these hold").get_by_label("Comparison").select_option("exists")
    settle(page)
    assert asked(page) == [{"of": "did", "name": "Order Completed", "within": "30d", "where": [{"name": "total", "op": "exists"}]}]
    expect(page.locator(".k-node", has_text="By Order placed")).to_be_visible()
    form.get_by_label("Of", exact=True).select_option("segment")
    expect(form.get_by_label("In the last")).to_have_count(0)
    expect(form.get_by_label("Value")).to_have_count(0)
    assert form.get_by_label("Comparison").locator("option").all_inner_texts() == ["is in it", "is not in it"]
    form.get_by_label("Segment").fill("vip")
    settle(page)
    assert asked(page) == [{"of": "segment", "name": "vip"}]
    expect(page.get_by_label("In the segments")).to_be_visible()


def test_in_hebrew_on_a_phone_the_fields_fit(site: Site) -> None:
    page = site.designer("abandoned_cart", language="he", width=360, height=760)
    step(page, "end").click()
    page.locator(".d-remove").click()
    page.get_by_role("button", name="הוספת צעד").first.click()
    palette(page, "branch")
    settle(page)
    form = page.locator(".k-dset")
    form.get_by_label("של", exact=True).select_option("did")
    expect(form.get_by_text("ריק: מאז תחילת הריצה הזאת.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
