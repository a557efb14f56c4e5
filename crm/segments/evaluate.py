"""A tree as SQL statements: over all profiles, or over the changed ones alone; one text, the same conditions."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.consent.models import ConsentState
from crm.core.json import array
from crm.profiles.called import CALLED
from crm.profiles.models import Identity
from crm.profiles.zones import zone_of
from crm.segments.rule import AccountFact, CartFact, OrderFact, Person, Place, Query, Seen
from crm.segments.rules.account import DOC
from crm.segments.rules.consent import KINDS
from crm.segments.tree import Tree, compile_tree

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


def person(session: Session, profile_id: uuid.UUID, *, place: Place) -> Person | None:
    """One profile's facts as values, for the Python reader."""
    row = session.execute(text("SELECT bucket, traits FROM profiles WHERE id = :id AND merged_into IS NULL"), {"id": profile_id}).one_or_none()
    if row is None:
        return None
    mine = {"id": profile_id}
    log = session.execute(
        text("SELECT name, occurred_at, accepted, properties, trusted FROM events WHERE profile_id = :id ORDER BY occurred_at, accepted"), mine
    )
    orders = session.execute(
        text("SELECT ordered_at, revenue - refunded, currency FROM orders WHERE profile_id = :id AND ordered_at IS NOT NULL AND cancelled_at IS NULL"), mine
    )
    carts = session.execute(text("SELECT status, value, currency, changed_at, recovered, jsonb_array_length(items) FROM carts WHERE profile_id = :id"), mine)
    slugs = session.scalars(text("SELECT s.slug FROM memberships m JOIN segments s ON s.id = m.segment_id WHERE m.profile_id = :id"), mine)
    lists = session.scalars(text("SELECT l.slug FROM list_members m JOIN lists l ON l.id = m.list_id WHERE m.profile_id = :id"), mine)
    return Person(
        row[0], row[1], [Seen(*one) for one in log], [OrderFact(at, Decimal(net), money) for at, net, money in orders], [CartFact(*one) for one in carts],
        _consents(session, profile_id, place), frozenset(slugs), frozenset(lists), zone_of(row[1], place.timezone), place.timezone,
        {row[0]: row[1] for row in session.execute(text("SELECT name, value FROM computed_traits WHERE profile_id = :id"), mine)},
        [AccountFact(*one) for one in session.execute(text(_ACCOUNTS), mine)],
    )  # fmt: skip


_ACCOUNTS = f"""
SELECT m.role, {DOC},
       (SELECT count(*) FROM account_members o WHERE o.account_id = a.id),
       (SELECT coalesce(jsonb_object_agg(slug, n), '{{}}') FROM (
           SELECT s.slug, count(*) AS n FROM account_members o JOIN memberships b ON b.profile_id = o.profile_id JOIN segments s ON s.id = b.segment_id
           WHERE o.account_id = a.id GROUP BY 1) c)
FROM account_members m JOIN accounts a ON a.id = m.account_id WHERE m.profile_id = :id
"""  # our own words


def _consents(session: Session, profile_id: uuid.UUID, place: Place) -> frozenset[tuple[str, str, str]]:
    addresses = session.query(Identity.kind, Identity.value).filter(Identity.profile_id == profile_id, Identity.kind.in_(set(KINDS.values()))).all()
    kinds = {place.keys.address_hash(kind, value): kind for kind, value in addresses}
    states = session.query(ConsentState).filter(ConsentState.address_hash.in_(list(kinds))).all()
    return frozenset((s.channel, s.topic, s.action) for s in states if KINDS.get(s.channel) == kinds[bytes(s.address_hash)])
