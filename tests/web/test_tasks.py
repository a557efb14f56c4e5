"""The page of tasks: what is to be done, what is done, and the way through many of them."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape

import pytest
from sqlalchemy import insert, select, text

from crm.core import clock
from crm.core.ids import new_id
from crm.sales.models import Task
from crm.web.pages.tasks import _TASKS as TASKS
from crm.web.pages.tasks import PAGE
from tests.web.sales_shop import open_lead


@pytest.fixture
def shop(session, people):
    return open_lead(session, people["sales"])


def test_a_task_is_done_and_done_again_undone(shop, browser_as, session):
    browser = browser_as("sales")
    browser.post(f"/leads/{shop.dana}/next", kind="call", when="1h", title="Ask about boxes")
    task = session.scalars(select(Task)).one()
    assert "Ask about boxes" in browser.get("/tasks").text
    browser.post(f"/tasks/{task.id}/done", back="/tasks")
    assert "Ask about boxes" not in browser.get("/tasks").text
    browser.post(f"/tasks/{task.id}/undo")
    assert "Ask about boxes" in browser.get("/tasks").text


@pytest.mark.parametrize("view", ["mine", "all", "done"])
def test_tasks_past_the_first_page_are_reached_each_once(shop, browser_as, session, people, view):
    now, yossi, many = clock.now(), people["sales"].id, 2 * PAGE + 3
    at = [now + dt.timedelta(hours=number // 2 - 20) for number in range(many)]  # two at each time
    rows = [{"profile_id": shop.dana, "kind": "call", "title": f"Task {n:03}", "due_at": at[n], "owner_id": yossi, "created_at": now} for n in range(many)]
    ends = {"done_at": now, "done_by": yossi} if view == "done" else {}
    session.execute(insert(Task), [{"id": new_id(), "given_id": shop.dana, **row, **ends} for row in rows])
    session.commit()
    browser, path, seen = browser_as("sales"), f"/tasks?view={view}", []
    while path:
        page = browser.get(path)
        assert len(page.data) < 100_000
        seen.append(re.findall(r"<b class=\"k-wrap\"><bdi[^>]*>(Task \d+)", page.text))
        more = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = unescape(more[1]) if more else ""
    shown = [one for part in seen for one in part]
    assert (len(seen), len(shown), len(set(shown))) == (3, many, many)
    assert browser.get("/tasks?after=9999999999999999.x").status_code == 200


@pytest.mark.parametrize(("view", "index"), [("role", "ix_tasks_role"), ("all", "ix_tasks_due"), ("done", "ix_tasks_done")])
def test_each_view_of_tasks_walks_an_index_in_its_order(session, view, index):
    for way in ("seqscan", "sort", "incremental_sort"):
        session.execute(text(f"SET LOCAL enable_{way} = off"))
    values = {"user": 1, "role": "agent", "limit": 51, "since": clock.now()}
    plan = "\n".join(session.scalars(text(f"EXPLAIN {TASKS[view] % {'after': 'true'}}"), values))
    assert index in plan and "Sort" not in plan, plan
