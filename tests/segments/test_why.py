"""Why somebody is in a segment or not: the fewest rules that would have to change."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from crm.segments import tree
from crm.segments.rule import Person

CITY, AGE, NAME = ({"kind": "trait", "name": name, "op": "exists"} for name in ("city", "age", "name"))
NEVER = {"kind": "bucket", "percent": 1}  # chance is drawn once: nothing changes it
DANA = Person(bucket=1, traits={"city": "Haifa"})


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ({"all": [CITY, AGE]}, [("age", True)]),
        ({"all": [{"not": CITY}, AGE]}, [("city", False), ("age", True)]),
        ({"any": [{"all": [AGE, NAME]}, NAME]}, [("name", True)]),
        ({"any": [NEVER, {"all": [AGE, NAME]}]}, [("age", True), ("name", True)]),
        ({"all": [NEVER, CITY]}, None),
        ({"all": [CITY, {"any": [CITY, AGE]}]}, [("city", False)]),
        ({"any": [CITY, {"not": AGE}]}, [("city", False), ("age", True)]),
        ({"all": []}, None),
    ],
)
def test_the_smallest_change_is_named(rule: dict[str, Any], change: list[tuple[str, bool]] | None) -> None:
    parsed, now = tree.parse(rule), dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    found = tree.smallest_change(parsed, lambda leaf: leaf.rule.read(leaf.settings, DANA, now), wanted=not tree.read(parsed, DANA, now))
    assert (found and [(leaf.settings.model_dump()["name"], wanted) for leaf, wanted in found]) == change
