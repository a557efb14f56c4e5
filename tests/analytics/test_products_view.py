"""The list of products: every order pages on without gaps, and none sorts all that is sold."""

from __future__ import annotations

import datetime as dt
from itertools import product as each_of
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.analytics import products_view

SHELF = """
INSERT INTO variants (id, product_id, name, currency, stock, archived)
SELECT 'v' || n, 'p' || n / 2, (ARRAY['Vase', 'cup', 'Lamp', 'cup'])[1 + n % 4], 'ILS', nullif(n * 7 % 5, 4), n % 9 = 8 FROM generate_series(0, :last) n
"""
WISHES = """
INSERT INTO stock_requests (profile_id, variant_id, asked_at, last_at, last_accepted)
SELECT gen_random_uuid(), 'v' || n % 6 * 3, :now, :now, n FROM generate_series(1, 20) n
"""


@pytest.fixture
def shelf(session: Session, now: dt.datetime) -> None:
    session.execute(text(SHELF), {"last": 29})
    session.execute(text(WISHES), {"now": now})


def test_every_order_pages_on_without_gaps(session: Session, shelf: None, now: dt.datetime) -> None:
    keys = {"wanted": lambda v: -v.waiting, "name": lambda v: v.name.lower(), "stock": lambda v: 99 if v.stock is None else v.stock}
    fits = {"all": lambda v: True, "out": lambda v: v.stock == 0, "wanted": lambda v: v.waiting > 0, "archived": lambda v: True}
    everything = products_view.products(session, "", "all", "name", now=now, limit=100).rows
    assert len(everything) == 27 and sum(each.waiting for each in everything) == 20
    for sort, state, words in each_of(keys, fits, ("", "cup")):
        walked, after = [], None
        while True:
            page = products_view.products(session, words, state, sort, now=now, after=after, limit=4)  # type: ignore[arg-type]  # words of the page
            walked += page.rows
            if (after := page.next) is None:
                break
        source = products_view.products(session, "", "archived", "name", now=now, limit=100).rows if state == "archived" else everything
        wanted = [each for each in source if fits[state](each) and words in each.name]
        assert [each.id for each in walked] == [each.id for each in sorted(wanted, key=lambda v, by=keys[sort]: (by(v), v.id))], (sort, state, words)  # type: ignore[misc]


def test_neither_by_name_nor_by_wishes_is_everything_sorted(session: Session, now: dt.datetime) -> None:
    session.execute(text(SHELF), {"last": 20_000})
    session.execute(text(WISHES), {"now": now})
    session.execute(text("ANALYZE variants, stock_requests"))
    for sort in ("name", "wanted"):
        for later in (False, True):
            plan = "EXPLAIN (ANALYZE, FORMAT JSON) " + products_view.statement("all", sort, searched=False, later=later)  # type: ignore[arg-type]  # one of the two
            asked = {"since": now.date(), "limit": 51, "rank": "cup" if sort == "name" else 0, "id": "v9"}
            assert most_sorted(session.execute(text(plan), asked).scalar_one()[0]["Plan"]) <= 102


def most_sorted(plan: dict[str, Any]) -> float:
    """How many rows went into the largest sort of a plan."""
    parts = plan.get("Plans", [])
    own = max((each["Actual Rows"] for each in parts), default=0.0) if "Sort" in plan["Node Type"] else 0.0
    return max([own, *map(most_sorted, parts)])
