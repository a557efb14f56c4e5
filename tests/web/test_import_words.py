"""What is wrong with a line of a file is said in the page's language."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from flask import Flask

from crm.events.importing.columns import converter
from crm.events.importing.guess import Choice
from crm.events.importing.mapping import Column
from crm.events.importing.outcomes import Reading, Refused
from crm.events.importing.plan import compile_plan
from crm.events.importing.readers import Line
from crm.events.importing.wizard import Plan, build
from crm.web import import_words as said

BAD = ("int", "money", "bool", "words", "number", "price", "email", "phone", "date", "time")
CELLS = ("=1", "?", "31/02/1990", "1e400", "0" * 3000)
NAMES = {0: "דואל", 1: "מתי"}


def latin(text: str) -> list[str]:
    """Words in Latin letters outside of what the file itself says."""
    return re.findall(r"[A-Za-z_]{2,}", re.sub(r"'[^']*'", "", text))


@pytest.mark.parametrize("kind", BAD)
def test_a_cell_that_is_no_value_is_named_in_hebrew(app: Flask, kind: str) -> None:
    convert, told = converter("c1", Column(type=kind, format="day_first" if kind in {"date", "time"} else "iso"), [""]), []  # type: ignore[arg-type]  # each is one of the types
    with app.test_request_context(headers={"Accept-Language": "he"}):
        for cell in CELLS:
            try:
                convert(cell)
            except ValueError as error:
                told.append(said.detail(f"c1: {error}", NAMES))
    assert told
    assert all(one.startswith("מתי: ") and not latin(one) for one in told), told


def test_a_line_that_is_refused_is_told_why_in_hebrew(app: Flask, now: dt.datetime) -> None:
    choices = [Choice(role=role) for role in ("email", "time", "event")]
    plan = compile_plan(build(Plan("events", choices, now, "Asia/Jerusalem", "ILS"), {"format": "csv", "header": True}))
    ahead = f"{now + dt.timedelta(days=40):%Y-%m-%d}"
    who = "d@example.com"
    rows = [("", "1.5.2025", "Bought"), (who, "", "Bought"), (who, "1.5.1950", "Bought"), (who, ahead, "x"), (who, "1.5.2025", "")]
    lines = [*(Line(n, row, raw=row) for n, row in enumerate(rows, 2)), Line(9, (), "3 columns instead of 2", ()), Line(10, (), "not written in utf-8", ())]
    refused = [one for one in Reading(plan, file_digest=bytes(32), now=now).outcomes(iter(lines)) if isinstance(one, Refused)]
    with app.test_request_context(headers={"Accept-Language": "he"}):
        told = [said.detail(one.detail, NAMES) for one in refused]
    assert len(told) == 7
    assert "מתי ריק" in told
    assert [latin(one) for one in told if latin(one)] == [["utf"]]
    assert said.detail("something new", NAMES) == "something new"
