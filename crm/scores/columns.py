"""From features to columns of a matrix: which categories, and which columns are refused with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy.orm import Session

from crm.events.inbox import driver
from crm.scores.estimate import Column, Matrix
from crm.scores.feature_list import Feature
from crm.scores.features import spelled

MOST_CATEGORIES, LEAST_ROWS = 40, 20  # further ones, and those of fewer people, are grouped as "other"
LONG_WORDS, UNIQUE = 45, 0.5  # characters on average, share of distinct values: beyond that it is free text
MOSTLY = 0.8
Refusal = dict[str, Any]


def columns_of(session: Session, features: Sequence[Feature]) -> tuple[list[Column], list[Refusal]]:
    """Columns for the features in `score_raw`, and those imported ones that make none, with the reason."""
    found, refused = [], []
    for feature in features:
        column, why = _category(session, feature) if feature.type == "category" else (Column(feature.name, "number"), "")
        if column is None:
            refused.append({"feature": feature.name, "code": why})
        else:
            found.append(column)
    return found, refused


def without_dull(columns: Sequence[Column], matrix: Matrix) -> tuple[list[int], list[Refusal]]:
    """Places of the columns that can say anything, and the imported ones that cannot."""
    kept, refused = [], []
    for place, column in enumerate(columns):
        why = _dull(column, matrix[:, place])
        if not why:
            kept.append(place)
        elif column.name.startswith("trait:"):
            refused.append({"feature": column.name, "code": why})
    return kept, refused


def _dull(column: Column, values: Any) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return "empty"
    distinct = np.unique(known)
    if len(distinct) == 1 and len(known) == len(values):
        return "constant"
    serial = column.type == "number" and column.name.startswith("trait:") and len(distinct) > 0.98 * len(known) and len(known) >= 100
    return "serial" if serial and bool(np.all(distinct == np.floor(distinct))) else ""


def _category(session: Session, feature: Feature) -> tuple[Column | None, str]:
    """The values of at least twenty people, most frequent first; words that are all different are no categories."""
    cursor = driver(session).cursor()
    row = cursor.execute(SQL(_LOOK).format(here=Identifier(spelled(feature.name)))).fetchone()
    known, distinct, length, dates = row or (0, 0, 0, 0)
    if feature.name.startswith("trait:"):
        if not known:
            return None, "empty"
        if dates > MOSTLY * known and distinct > MOST_CATEGORIES:
            return None, "dates"
        if distinct > MOST_CATEGORIES and (distinct > UNIQUE * known or length > LONG_WORDS):
            return None, "text"
    count = SQL(_COUNT).format(here=Identifier(spelled(feature.name)), least=Literal(LEAST_ROWS), most=Literal(MOST_CATEGORIES))
    counted = cursor.execute(count).fetchall()
    if not counted and feature.name.startswith("trait:"):
        return None, "many"
    return Column(feature.name, "category", tuple(value for value, _n in counted)), ""


_LOOK = """
SELECT count({here}), count(DISTINCT {here}), coalesce(avg(length({here})), 0),
       count(*) FILTER (WHERE {here} ~ '^[0-9]{{1,4}}[-./][0-9]{{1,2}}[-./][0-9]{{1,4}}') FROM score_raw
"""
_COUNT = "SELECT {here}, count(*) FROM score_raw WHERE {here} IS NOT NULL GROUP BY 1 HAVING count(*) >= {least} ORDER BY 2 DESC, 1 LIMIT {most}"
