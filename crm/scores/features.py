"""Features by SQL at a point in time: one statement for training, for the whole base and for the changed few, so that they cannot differ.

Whatever it reads happened before each row's cut-off: the join with the log says so once, for every feature.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.sql import SQL, Composable, Identifier, Literal, quote
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.json import dumps
from crm.events import sums
from crm.events.inbox import driver
from crm.scores import trust
from crm.scores.estimate import Column, Matrix
from crm.scores.feature_list import ACTS, BUILT_IN, DAYS_BACK, FULL, HALF_LIFE, MONEY, OWN_EVENT, POINTS, UNIT, Feature
from crm.scores.trust import Told

OWN_EVENTS = 8  # so many frequent events of the company's own become features
CHECKED = 200  # rows on which every training compares the two worlds
LONGEST = 120  # characters of a category
LONGEST_NAME = 63  # bytes


@dataclass(frozen=True, slots=True)
class Extracted:
    """Who, with what points, and the matrix: a row each, columns as asked."""

    ids: NDArray[np.void]  # 16 bytes each
    numbers: NDArray[np.int64]  # `n` of the rows
    points: NDArray[np.float32]
    matrix: Matrix

    def profile(self, row: int) -> uuid.UUID:
        """Whose row this is."""
        return uuid.UUID(bytes=self.ids[row].tobytes())


@dataclass(frozen=True, slots=True)
class People:
    """Which rows: an SQL relation of n, profile_id, cutoff, known; the earliest and latest cut-off in it; bounds of ids where it is a range.

    Of a moment that is over: `log` defines what stands for the log, and `first_seen` is when the one person in it had been seen first.
    """

    relation: Composable
    earliest: dt.datetime
    latest: dt.datetime
    between: tuple[uuid.UUID, uuid.UUID] | None = None
    log: Composable | None = None
    first_seen: dt.datetime | None = None


def imported(name: str, kind: str) -> Feature:
    """A column that a file brought, as a feature."""
    at = f"r.known->{quote(name)}"
    words = f"r.known->>{quote(name)}"
    number = rf"CASE WHEN {words} ~ '^\s*-?[0-9]{{1,15}}([.][0-9]+)?\s*$' THEN CAST({words} AS float8) END"
    truth = f"CASE lower({words}) WHEN 'true' THEN 1 WHEN 'yes' THEN 1 WHEN '1' THEN 1 WHEN 'false' THEN 0 WHEN 'no' THEN 0 WHEN '0' THEN 0 END"
    day = f"CASE WHEN {words} ~ '{_DAY}' THEN date_part('epoch', r.cutoff - CAST(left({words}, 10) AS timestamptz)) / 86400 END"
    said = f"CASE WHEN jsonb_typeof({at}) IN ('string', 'number', 'boolean') THEN left(nullif(btrim({words}), ''), {LONGEST}) END"
    sql = {"number": number, "bool": truth, "date": day}.get(kind, said)
    unit = {"number": "number", "bool": "yesno", "date": "days"}.get(kind, "category")
    return Feature(f"trait:{name}", name, unit, row=sql, type="category" if kind == "words" else "number")


def own_event(name: str) -> Feature:
    """How often one of the company's own events happened in 90 days."""
    return Feature(f"did:{name}", name, "count", raise_it=True)


def frequent_events(session: Session, *, now: dt.datetime, without: Sequence[str] = ()) -> list[str]:
    """The company's own events that happen most: what no built-in feature counts."""
    known = set(_KNOWN) | set(without)
    rows = session.execute(text(_FREQUENT), {"since": now - dt.timedelta(days=DAYS_BACK), "now": now})
    return [name for name, _count in rows if name not in known and not name.startswith(("Deal ", "Order "))][:OWN_EVENTS]


def named(names: Sequence[str], kinds: Mapping[str, str]) -> list[Feature]:
    """Features by the names a version keeps; `kinds` are the types its imported columns had when it learned from them."""
    built_in = {one.name: one for one in BUILT_IN}
    found = []
    for name in names:
        prefix, _colon, rest = name.partition(":")
        found.append(own_event(rest) if prefix == "did" else imported(rest, kinds[rest]) if prefix == "trait" else built_in[name])
    return found


def raw(people: People, features: Sequence[Feature], config: Config, *, told: Told, blind: bool = False) -> Composable:
    """The statement: n, profile_id, points, then a column per feature, numbers as float4, categories as text.

    `told` says whose orders and leads count. `blind` puts a log in place of the log that ends at each person's cut-off, whatever a feature asks of it.
    """
    own = [one.name.removeprefix("did:") for one in features if one.name.startswith("did:")]
    acts = SQL(ACTS + " {own} ELSE 12 END").format(
        counts=SQL(trust.counts("e", "{told}")).format(told=Literal(dumps(dict(told)))),
        own=SQL(" ").join(SQL("WHEN e.name = {} THEN {}").format(Literal(name), Literal(OWN_EVENT + at)) for at, name in enumerate(own)),
    )
    aggs = [(one, _aggregate(one, own)) for one in features if one.agg or one.name.startswith("did:")]
    joined = [SQL("{} AS {}").format(_cast(one, SQL(sql)), Identifier(spelled(one.name))) for one, sql in aggs]
    counted = {one.name for one, _sql in aggs}
    shown = [SQL("a.{}" if one.name in counted else "{value} AS {}").format(Identifier(spelled(one.name)), value=_cast(one, SQL(one.row))) for one in features]
    weights = SQL(" ").join(SQL("WHEN {} THEN {}").format(Literal(act), Literal(weight)) for act, weight in POINTS.items())
    return SQL(_RAW).format(
        rows=people.relation, acts=acts, zone=Literal(config.timezone), log=SQL(_BLIND).format(rows=people.relation) if blind else people.log or SQL(""),
        first_seen=SQL("p.first_seen") if people.first_seen is None else Literal(people.first_seen),
        range=_range(people), lowest=Literal(people.earliest - dt.timedelta(days=DAYS_BACK)),
        latest=Literal(people.latest), back=Literal(dt.timedelta(days=DAYS_BACK)), joined=SQL("".join([", "] if joined else [])) + SQL(", ").join(joined),
        money=_money(config),
        weights=weights, half=Literal(HALF_LIFE), team=SQL(_TEAM) if any(one.row.startswith("t.") for one in features) else SQL(_NO_TEAM),
        shown=SQL("".join([", "] if shown else [])) + SQL(", ").join(shown),
    )  # fmt: skip


def coded(columns: Sequence[Column], source: Composable) -> Composable:
    """That relation with every column as a number: what a model reads."""
    shown = [SQL("coalesce({}, 'NaN')").format(_code(column)) for column in columns]
    return SQL("SELECT profile_id, CAST(n AS float4), CAST(points AS float4), {shown} FROM {source} x").format(
        shown=SQL(", ").join([*shown, SQL("CAST(0 AS float4)")]), source=source
    )


def extract(session: Session, statement: Composable, width: int) -> Extracted:
    """Run `coded` and read its rows as they come over the wire: 16 bytes and numbers of four, no object a value."""
    connection = driver(session)
    with connection.cursor().copy(SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(statement)) as copy:
        data = b"".join(copy)
    kinds: list[tuple[str, Any]] = [("_", ">i2"), ("_id", ">i4"), ("id", "V16")]
    for name in ("n", "points", *(f"f{place}" for place in range(width)), "end"):
        kinds += [(f"_{name}", ">i4"), (name, ">f4")]
    dtype = np.dtype(kinds)
    rows = np.frombuffer(data, dtype, count=(len(data) - 21) // dtype.itemsize, offset=19)
    matrix = np.empty((len(rows), width), np.float32)
    for place in range(width):
        matrix[:, place] = rows[f"f{place}"]
    return Extracted(rows["id"].copy(), rows["n"].astype(np.int64), points_of(rows["points"].astype(np.float32)), matrix)


def points_of(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Faded weights as points of 100 that never overflow."""
    return np.asarray(100 * (1 - np.exp(-weights / FULL)), np.float32)


def leaks(session: Session, people: People, features: Sequence[Feature], config: Config, *, told: Told) -> list[str]:
    """Names of features that change when everything from the cut-off on is taken out of the log: they read what they may not know.

    `people` holds one row per person. What colleagues did is not looked at: the blind log holds these people's own events, and `_TEAM` names the cut-off
    itself. Both worlds are read by one statement, or an import in between would condemn what is honest.
    """
    own = [one for one in features if not one.row.startswith("t.")]
    each = (SQL("SELECT to_jsonb(w.*) FROM ({}) w").format(raw(people, own, config, told=told, blind=blind)) for blind in (False, True))
    worlds: dict[int, list[dict[str, Any]]] = {}
    for (row,) in driver(session).cursor().execute(SQL(" UNION ALL ").join(each)).fetchall():  # a join could work one world out anew for every row
        worlds.setdefault(row["n"], []).append(row)
    found = {name for one, other in worlds.values() for name in one if differ(one[name], other[name])}
    return sorted(one.name for one in own if spelled(one.name) in found)


def differ(one: object, other: object) -> bool:
    """Whether two values are not the same one; sums added up in another order are, though their last digits differ."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return not math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9)
    return one != other


def spelled(name: str) -> str:
    """As a column of a relation: PostgreSQL cuts a name after 63 bytes, and two questions of a form may begin alike."""
    return name if len(name.encode()) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest()[:LONGEST_NAME]


def _money(config: Config) -> Composable:
    shop = Literal(config.currency)
    return SQL(MONEY).format(currency=shop, zone=Literal(config.timezone), unit=SQL(UNIT).format(signs=Literal(dumps(sums.SIGNS)), currency=shop))


def _aggregate(one: Feature, own: Sequence[str]) -> str:
    return one.agg or f"count(*) FILTER (WHERE act = {OWN_EVENT + own.index(one.name.removeprefix('did:'))} AND age < 90)"


def _cast(one: Feature, value: Composable) -> Composable:
    return SQL("CAST({} AS text)").format(value) if one.type == "category" else SQL("CAST({} AS float4)").format(value)


def _code(column: Column) -> Composable:
    here = Identifier(spelled(column.name))
    if column.type == "number":
        return here
    return SQL("CAST(coalesce(array_position({known}, {here}) - 1, CASE WHEN {here} IS NOT NULL THEN {other} END) AS float4)").format(
        known=SQL("CAST({} AS text[])").format(Literal(list(column.categories))), here=here, other=Literal(len(column.categories))
    )


def _range(people: People) -> Composable:
    if people.between is None:
        return SQL("")
    return SQL("AND e.profile_id >= {} AND e.profile_id <= {}").format(Literal(people.between[0]), Literal(people.between[1]))


_DAY = (  # a day that there is, or PostgreSQL would refuse the whole statement
    "^([12][0-9]{3}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    "|([12][0-9](0[48]|[2468][048]|[13579][26])|2000)-02-29)"
)
_KNOWN = (
    "Page Viewed", "Screen Viewed", "Product Viewed", "Product Clicked", "Product List Viewed", "Products Searched", "Product Added", "Product Removed",
    "Cart Viewed", "Checkout Started", "Checkout Step Viewed", "Payment Info Entered", "Order Completed", "Message Received", "Conversation Started",
    "Form Submitted", "Lead Created", "Signed Up", "Quote Requested", "identify", "group", "alias",
)  # fmt: skip
_FREQUENT = """
SELECT name, count(*) FROM events WHERE source_id <> 1 AND occurred_at >= :since AND occurred_at < :now GROUP BY name ORDER BY count(*) DESC, name LIMIT 60
"""
_BLIND = "events AS (SELECT l.* FROM events l JOIN {rows} h ON h.profile_id = l.profile_id AND l.occurred_at < h.cutoff),"
_RAW = """
WITH {log} r AS MATERIALIZED (SELECT q.n, q.profile_id, q.cutoff, q.known, {first_seen} AS first_seen FROM {rows} q JOIN profiles p ON p.id = q.profile_id),
d AS (
  SELECT r.n, date_part('epoch', r.cutoff - e.occurred_at) / 86400 AS age, {acts} AS act, {money} AS money, e.properties AS p, e.context AS c,
         date_part('hour', e.occurred_at AT TIME ZONE {zone}) AS hour, date_part('dow', e.occurred_at AT TIME ZONE {zone}) AS weekday
  FROM r JOIN events e ON e.profile_id = r.profile_id AND e.occurred_at < r.cutoff AND e.occurred_at >= r.cutoff - {back}
  WHERE e.occurred_at >= {lowest} AND e.occurred_at < {latest} {range}
  OFFSET 0 -- what an act is, is worked out once an event, not once a feature
),
a AS (SELECT n, sum(CASE act {weights} ELSE 0 END * power(0.5, age / {half})) AS points {joined} FROM d GROUP BY n)
SELECT r.n, r.profile_id, coalesce(a.points, 0) AS points {shown}
FROM r FULL JOIN a ON a.n = r.n {team} -- every a has its r; FULL cannot be a loop that counts all acts anew for each person, as without statistics LEFT was
"""
_TEAM = """
LEFT JOIN LATERAL (
  SELECT count(DISTINCT o.profile_id) AS members, sum((SELECT count(*) FROM events e WHERE e.profile_id = o.profile_id AND e.source_id <> 1
    AND e.occurred_at < r.cutoff AND e.occurred_at >= r.cutoff - interval '30 days')) AS acts
  FROM account_members m JOIN account_members o ON o.account_id = m.account_id AND o.profile_id <> m.profile_id AND o.since < r.cutoff
  WHERE m.profile_id = r.profile_id AND m.since < r.cutoff
) t ON true
"""
_NO_TEAM = "CROSS JOIN (SELECT 1) t"
