"""A tree as SQL statements: over all profiles, or over the changed ones alone; one text, the same conditions."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import array
from crm.profiles.called import CALLED
from crm.segments.rule import Place, Query
from crm.segments.tree import Leaf, Tree, compile_tree, leaves

AT_ONCE = 25  # rules of one statement about one profile
MUCH = "64MB"  # of memory for each sort and hash of a count over everybody: a million people fit in without a file


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that yields profile_id, inside (true or false) and due_at, with its values."""

    sql: str
    values: dict[str, Any]


def statement(
    tree: Tree, *, now: dt.datetime, place: Place, ids: Sequence[uuid.UUID] | None = None, span: tuple[uuid.UUID, uuid.UUID] | None = None
) -> Statement:
    """Everybody's answer, or that of these profiles, or of those after the first id of a span up to its last."""
    query = Query(now, place, restricted=ids is not None, spanned=span is not None)
    clause = compile_tree(tree, query)
    sql = f"SELECT p.id AS profile_id, ({clause.holds}) IS TRUE AS inside, {clause.due or 'CAST(NULL AS timestamptz)'} AS due_at {query.tables}"
    about = {"ids": list(ids)} if ids is not None else {"low": span[0], "high": span[1]} if span is not None else {}
    return Statement(sql, query.values | about)


def together(trees: Mapping[int, Tree], *, now: dt.datetime, place: Place, ids: Sequence[uuid.UUID]) -> Statement:
    """The answers of several trees for these profiles in one statement, a row for each with its number as segment_id; facts they share are read once."""
    query = Query(now, place, restricted=True)
    clauses = {number: compile_tree(tree, query) for number, tree in trees.items()}
    insides = ", ".join(f"({clause.holds}) IS TRUE" for clause in clauses.values())
    dues = ", ".join(clause.due or "NULL" for clause in clauses.values())
    sql = (
        f"SELECT p.id AS profile_id, unnest(CAST(ARRAY[{', '.join(map(str, clauses))}] AS integer[])) AS segment_id,"
        f" unnest(ARRAY[{insides}]) AS inside, unnest(CAST(ARRAY[{dues}] AS timestamptz[])) AS due_at {query.tables}"
    )
    return Statement(sql, query.values | {"ids": array(ids)})


def members(session: Session, tree: Tree, *, now: dt.datetime, place: Place, ids: Sequence[uuid.UUID] | None = None) -> set[uuid.UUID]:
    """Who satisfies it."""
    made = statement(tree, now=now, place=place, ids=ids)
    return set(session.scalars(text(f"SELECT profile_id FROM ({made.sql}) x WHERE inside"), made.values))


def count(session: Session, tree: Tree, *, now: dt.datetime, place: Place) -> int:
    """How many satisfy it now."""
    query = Query(now, place, restricted=False, dues=False)
    clause = compile_tree(tree, query)
    session.execute(text("SELECT set_config('work_mem', :much, true)"), {"much": MUCH})
    return session.scalar(text(f"SELECT count(*) {query.tables} AND ({clause.holds})"), query.values) or 0


def sample(session: Session, tree: Tree, *, now: dt.datetime, place: Place, limit: int = 5) -> list[tuple[uuid.UUID, str]]:
    """Some who satisfy it: id, and what they go by."""
    query = Query(now, place, restricted=False, dues=False)
    clause = compile_tree(tree, query)
    rows = session.execute(text(f"SELECT p.id, {CALLED} {query.tables} AND ({clause.holds}) LIMIT :most"), query.values | {"most": limit})
    return [(row[0], row[1]) for row in rows]


def answers(session: Session, tree: Tree, profile_id: uuid.UUID, *, now: dt.datetime, place: Place) -> list[tuple[Leaf, bool]]:
    """What each rule of a tree says of one profile, in their order: by the SQL that finds members, so that nobody's log is read out."""
    said: list[tuple[Leaf, bool]] = []
    every = leaves(tree)
    for part in (every[at : at + AT_ONCE] for at in range(0, len(every), AT_ONCE)):
        query = Query(now, place, restricted=True, dues=False)
        holds = ", ".join(f"({compile_tree(leaf, query).holds}) IS TRUE" for leaf in part)
        row = session.execute(text(f"SELECT {holds} {query.tables}"), query.values | {"ids": [profile_id]}).one_or_none()
        said += zip(part, row or (), strict=False)
    return said
