"""A file of leads through the wizard, and a score trained from it on the screen."""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
from collections.abc import Callable
from html import unescape

import numpy as np
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.scores.score_models import LeadColumn, ScoreFlag, ScoreVersion
from tests.scores.test_leads import LEADS, SEVEN
from tests.scores.test_work import settle as score
from tests.web.conftest import Browser
from tests.web.test_imports import choose, send, settle

FEW = """Lead Number,Email,Lead Source,Cost,Visits,Tags,Came
17,dana@example.com,Google,12.50,3,Ringing,07.03.2026
18,noa@example.com,Select,,9,Busy,08.03.2026
"""


def filled(browser: Browser, number: int, by_sales: tuple[str, ...] = ()) -> dict[str, str]:
    """An answer for every column: the lead on entering, but for these."""
    page = browser.get(f"/imports/{number}/columns").text
    names = re.findall(r'<label class="k-sr" for="name-(\d+)">Name of (.*?) here</label>', page)
    return {f"filled-{place}": "sales:later" if unescape(name) in by_sales else "lead:entry" for place, name in names}


def test_leads_come_in_with_their_source_and_who_fills_in_what(browser_as: Callable[[str], Browser], session: Session, config: Config) -> None:
    browser = browser_as("marketer")
    number = int(send(browser, FEW, "leads.csv").location.rpartition("/")[2])
    for language in ("he", "en"):
        page = browser.get(f"/imports/{number}/columns", language).text
    assert "Filled in by" in page
    assert "who fills it in" in choose(browser, number, role_6="time").text, "it must be said"
    answers = filled(browser, number, ("Tags",))
    assert choose(browser, number, role_6="time", empty="Select, n/a", **answers).location == f"/imports/{number}/preview"
    browser.post(f"/imports/{number}", act="run")
    assert settle(session, config, number) == "done"
    said = session.execute(text("SELECT properties, context, occurred_at FROM events WHERE name = 'Lead Created' ORDER BY occurred_at")).all()
    assert [row.properties for row in said] == [{"source": "Google", "cost": "12.50", "currency": "ILS"}, {"currency": "ILS"}]
    assert said[0].context["campaign"] == {"source": "Google"}
    assert said[0].occurred_at.date() == dt.date(2026, 3, 6) or said[0].occurred_at.date() == dt.date(2026, 3, 7)
    traits = session.scalars(text("SELECT traits FROM profiles ORDER BY traits->>'email'")).all()
    assert traits[0]["Tags"] == "Ringing"
    assert "source" not in traits[1], "Select is no answer"
    columns = {row.name: (row.type, row.filled_by, row.filled_when) for row in session.scalars(select(LeadColumn))}
    assert columns == {"Visits": ("number", "lead", "entry"), "Tags": ("words", "sales", "later"), "source": ("words", "marketing", "entry")}


@pytest.mark.full
@pytest.mark.skipif(not os.environ.get("KESHER_TEST_FULL"), reason="real data; set KESHER_TEST_FULL=1")
def test_nine_thousand_real_leads_from_the_file_to_the_score(browser_as: Callable[[str], Browser], session: Session, config: Config, now: dt.datetime) -> None:
    if not LEADS.exists():
        pytest.skip(f"{LEADS} is not here")
    browser = browser_as("admin")
    number = int(send(browser, LEADS.read_bytes(), "Leads.csv").location.rpartition("/")[2])
    page = browser.get(f"/imports/{number}/columns")
    assert len(page.data) < 100 * 1024
    assert choose(browser, number, kind="leads", empty="Select", **filled(browser, number)).location.endswith("/preview")
    browser.post(f"/imports/{number}", act="run")
    assert settle(session, config, number) == "done"
    assert session.scalar(text("SELECT count(*) FROM profiles WHERE traits ? 'Converted'")) == 9240
    made = browser.post("/scores/new", page="/scores/new", title="Converts", goal="column", column="Converted", values="1", days="30")
    assert made.location == "/scores/converts"
    score(session, dt.datetime.now(dt.UTC))
    version = session.scalars(select(ScoreVersion)).one()
    assert (version.rows, version.wins) == (9240, 3561)
    flagged = {row.feature.removeprefix("trait:") for row in session.scalars(select(ScoreFlag))}
    print("flagged:", sorted(flagged))
    assert {"Tags", "Lead Quality"} <= flagged
    assert len(flagged - set(SEVEN) - {"Last Activity", "Last Notable Activity"}) <= 3
    session.execute(text("UPDATE lead_columns SET filled_by = 'sales', filled_when = 'later' WHERE name = ANY(:names)"), {"names": list(SEVEN)})
    for feature in sorted(flagged - set(SEVEN)):
        browser.post("/scores/converts", page="/scores/converts", act="approve", feature=f"trait:{feature}")
    browser.post("/scores/converts", page="/scores/converts", act="train")
    score(session, dt.datetime.now(dt.UTC))
    version = session.scalars(select(ScoreVersion).order_by(ScoreVersion.number.desc())).first()
    assert version is not None
    assert not set(SEVEN) & {one["name"].removeprefix("trait:") for one in version.features}
    measures = version.metrics["measures"]
    print({name: (each["value"], each["low"], each["high"]) for name, each in measures.items()}, version.algorithm)
    assert version.metrics["mode"] == "folds"
    assert measures["auc"]["value"] >= 0.86
    assert measures["ece"]["value"] <= 0.03
    page = browser.get("/scores/converts").text
    assert "is filled in by sales" in page
    with LEADS.open(encoding="utf-8-sig", newline="") as file:
        assert np.isclose(version.wins / version.rows, np.mean([int(row["Converted"]) for row in csv.DictReader(file)]))
    session.execute(text("UPDATE event_inbox SET processed_at = now()"))  # the bands that were told as traits are taken in
    score(session, dt.datetime.now(dt.UTC))
    some = session.scalar(text("SELECT profile_id FROM scores WHERE kind = 'converts' AND band = 'hot' LIMIT 1"))
    fragment = browser.get(f"/scores/of/{some}?kind=converts").text
    print(" ".join(re.sub(r"<[^>]+>", " ", fragment).split()))
    assert fragment.count("<li>") == 3
