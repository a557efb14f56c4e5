"""Nine thousand real leads: what knows the outcome is found without a name, and the promises are kept."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session

from crm.scores import train
from crm.scores.score import find
from tests import makers
from tests.scores.makers import column, own_score, people

LEADS = Path(__file__).parents[3] / "shared/data/lead_scoring/Leads.csv"
SEVEN = ("Tags", "Lead Quality", "Lead Profile", "Asymmetrique Activity Index", "Asymmetrique Profile Index", "Asymmetrique Activity Score",
         "Asymmetrique Profile Score")  # fmt: skip
IDS = ("Prospect ID", "Lead Number")


def leads() -> list[dict[str, Any]]:
    if not LEADS.exists():
        pytest.skip(f"{LEADS} is not here")
    with LEADS.open(encoding="utf-8-sig", newline="") as file:
        return [{name: _value(cell) for name, cell in row.items() if name and name not in IDS and cell not in {"", "Select"}} for row in csv.DictReader(file)]


def _value(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell.strip()


def declared(session: Session, rows: list[dict[str, Any]], now, *, by_sales: tuple[str, ...] = ()) -> None:
    for name in sorted({name for row in rows for name in row}):
        kind = "number" if all(isinstance(row[name], float) for row in rows if name in row) else "words"
        column(session, name, kind, filled_by="sales" if name in by_sales else "lead", now=now)


@pytest.mark.full
@pytest.mark.skipif(not os.environ.get("KESHER_TEST_FULL"), reason="real data; set KESHER_TEST_FULL=1")
def test_columns_that_know_the_outcome_are_found_and_without_them_the_promises_hold(session: Session, now) -> None:
    rows = leads()
    people(session, rows, at=now)
    declared(session, rows, now)
    own_score(session, "converts", column_="Converted", values=["1.0"], now=now)
    version = train.train(session, find(session, "converts"), config=makers.config(), now=now)
    flagged = {flag["feature"].removeprefix("trait:") for flag in version.flags}
    assert {"Tags", "Lead Quality"} <= flagged
    assert len(flagged - set(SEVEN) - {"Last Activity", "Last Notable Activity"}) <= 3
    assert not flagged & {one["name"].removeprefix("trait:") for one in version.features}
    assert all(flag["evidence"] for flag in version.flags)
    assert version.metrics["mode"] == "folds"
    assert np.isclose(version.wins / version.rows, 0.3854, atol=1e-4)
