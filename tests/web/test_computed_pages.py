"""Computed traits on a profile, in the API, and the form for one's own."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import computed
from crm.segments import seen
from crm.web import tokens
from tests import makers
from tests.web.conftest import Browser
from tests.web.shop import open_shop


def test_a_profile_says_what_was_counted_since_when_and_from_how_many_events(
    session: Session, now: dt.datetime, browser_as: Callable[[str], Browser], app
) -> None:
    shop = open_shop(session, now)
    computed.recompute(session, [shop.dana], makers.config(), now)
    secret = tokens.create_token(session, name="till", role="viewer")
    session.commit()
    for language, words in (("en", ("Average order", "Stage", "from ")), ("he", ("שלב", "מאז"))):
        page = browser_as("viewer").get(f"/people/{shop.dana}", language).text
        assert all(word in page for word in words), language
    answer = app.test_client().get(f"/api/v1/profiles/{shop.dana}/computed", headers={"Authorization": f"Bearer {secret}"}).json
    found = {one["name"]: one for one in answer}
    assert found["orders"]["value"] >= 1
    assert found["orders"]["since"]
    assert found["orders"]["events"] >= 1


def test_a_marketer_adds_a_trait_by_a_small_form_and_takes_it_away(session: Session, now: dt.datetime, browser_as: Callable[[str], Browser]) -> None:
    open_shop(session, now)
    marketer = browser_as("marketer")
    form = {"name": "cups", "title": "כוסות", "event": "Product Added", "aggregate": "sum", "property": "quantity", "days": "90"}
    assert marketer.post("/settings/traits", **form).status_code == 302
    assert session.scalar(text("SELECT count(*) FROM computed_dirty")) >= 1
    assert "כוסות" in marketer.get("/settings/traits").text
    seen.gather(session, now)
    page = marketer.get("/settings/traits", "he").text
    assert re.search('<option value="Product Added" label="[א-ת ]+">', page) and '<option value="A name of the shop&#39;s own">' in page
    assert re.search('id="event-h">.*Order Completed.*[א-ת]{4}', page)
    wrong = marketer.post("/settings/traits", **form | {"days": "x"})
    assert "Days: from 1 to 3650" in wrong.text
    assert 'value="cups"' in wrong.text
    assert marketer.post("/settings/traits/cups/remove").status_code == 302
    assert marketer.post("/settings/traits/cups/remove").status_code == 404
    assert browser_as("viewer").get("/settings/traits").status_code == 403
