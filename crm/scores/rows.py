"""Rows to learn from: whom, looked at when, and what became of them. A temporary table `score_rows`, gone with the transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg.sql import SQL
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.events.inbox import driver
from crm.scores.features import People
from crm.scores.leakage import Learned
from crm.scores.measure import Floats
from crm.scores.score import Asked, Label
from crm.scores.trust import Told, counts

MOST = 100_000  # rows of one training
SAID_PART = 10  # of so many rows whose outcome is known, what people say adds one at most
MOST_LOOKS = 12  # cut-offs, one label window apart
LOST = "Deal Lost"  # when somebody was given up
LIVELY_LOOKS = 3  # of the newest looks: what people do then is what drift is told from
SPREAD = dt.timedelta(days=30)  # imported outcomes learned further apart than this have an order in time
ONE_FILE = 0.5  # told for more than this share of people at one moment: the moment of a file, which says nothing


@dataclass(frozen=True, slots=True)
class Rows:
    """What was laid down: outcomes and cut-offs by `n`, and the cut-offs in order of time where there is one."""

    y: Floats
    cutoff: Floats  # epoch seconds
    said: NDArray[np.bool_]  # by somebody who works here: to learn from, never to be judged on
    looks: tuple[float, ...]  # distinct cut-offs of an event label, the latest last; empty without time
    people: People
    count: int  # of rows whose outcome is known, and of wins among them: what people say reaches no floor
    wins: int


class ShortHistoryError(InvalidError):
    """The log does not reach back far enough to learn on one window and judge on a later one."""


def lay_down(session: Session, score: Asked, *, names: Sequence[str], told: Told, now: dt.datetime) -> Rows:
    """Fill `score_rows` for this score; `names` are the imported columns whose value at the cut-off is wanted, `told` says whose word counts."""
    label = score.label
    if label is None:
        raise InvalidError(_l("This score is by rules; there is nothing to train."))
    session.execute(text(_TABLES))
    if label.column:
        session.execute(text(_BY_COLUMN), {"column": label.column, "values": [value.lower() for value in label.values]})
        looks: tuple[float, ...] = ()
    else:
        looks = _by_events(session, score, label, dumps(dict(told)), now)
    said = {"kind": score.kind, "now": now, "since": now - label.open_for, "column": bool(label.column), "part": SAID_PART}
    session.execute(text(_SAID), said)
    if looks:
        session.execute(text(_UNSEEN), {"since": dt.datetime.fromtimestamp(looks[-2], dt.UTC)})
    session.execute(text(_KNOWN), {"names": list(names)})
    session.execute(text("ANALYZE score_rows"))
    return _read(session, looks, now)


def lively(session: Session, looks: Sequence[float]) -> NDArray[np.int64]:
    """`n` of the rows of people who had done something within a week, at the newest looks where there are looks."""
    since = dt.datetime.fromtimestamp(looks[-LIVELY_LOOKS:][0], dt.UTC) if looks else None
    return np.array(session.scalars(text(_LIVELY.format(did=DID_LATELY.format(at="r.cutoff"))), {"since": since}).all(), np.int64)


def learned(session: Session, names: Sequence[str]) -> dict[str, list[Learned]]:
    """Of each imported column: how many winners' values were first told after they had won, and how many of those given up after that."""
    found: dict[str, list[Learned]] = {}
    for name, won, of, late, together in session.execute(text(_LEARNED), {"names": list(names)}):
        if together <= ONE_FILE * of:
            found.setdefault(name, []).append(Learned(late / of, of, won))
    return found


def _by_events(session: Session, score: Asked, label: Label, told: str, now: dt.datetime) -> tuple[float, ...]:
    """One look per label window, back to where the log begins; everybody is looked at each time, or as many by chance as fit."""
    window = dt.timedelta(days=label.days)
    first = session.scalar(text("SELECT min(occurred_at) FROM events WHERE occurred_at > :bound"), {"bound": now - dt.timedelta(days=1200)})
    latest = now - window
    count = 0 if first is None else min(MOST_LOOKS, int((latest - first) / window) + (1 if latest > first else 0))
    if count < 2:
        raise ShortHistoryError(_l("The log reaches back less than two windows of this score: one to learn from, a later one to be judged on."))
    looks = [latest - window * at for at in reversed(range(count))]
    within = {"since": looks[0] - dt.timedelta(days=400), "now": now, "told": told}
    session.execute(text(_WINS.format(counts=counts("e"))), {"names": list(label.events), "stage": label.stage, **within})
    session.execute(text(_LOSSES.format(counts=counts("e"))), {"lost": LOST, **within})
    people = session.scalar(text("SELECT count(*) FROM profiles WHERE merged_into IS NULL AND known")) or 0
    share = min(1.0, MOST / max(1, people * len(looks)))
    asked = {"looks": looks, "window": window, "happens": label.happens, "below": int(share * 1_000_000)}
    session.execute(
        text(_BY_EVENTS.format(buyers=_BUYERS.format(counts=counts("o")) if score.buyers_only else "")), {**asked, "told": told} if score.buyers_only else asked
    )
    return tuple(look.timestamp() for look in looks)


def _read(session: Session, looks: tuple[float, ...], now: dt.datetime) -> Rows:
    cursor = driver(session).cursor()
    found = cursor.execute("SELECT n, y, date_part('epoch', cutoff), CAST(said AS integer) FROM score_rows ORDER BY n").fetchall()
    if not found:
        return Rows(np.zeros(0), np.zeros(0), np.zeros(0, bool), (), People(SQL("score_rows"), now, now), 0, 0)
    table = np.array(found, float)
    size = int(table[:, 0].max()) + 1
    y, cutoff, said, at = np.zeros(size), np.zeros(size), np.zeros(size, bool), table[:, 0].astype(int)
    y[at], cutoff[at], said[at] = table[:, 1], table[:, 2], table[:, 3] > 0
    earliest, latest = (dt.datetime.fromtimestamp(float(edge), dt.UTC) for edge in (table[:, 2].min(), table[:, 2].max() + 1))
    known = table[table[:, 3] == 0, 1]
    return Rows(y, cutoff, said, looks, People(SQL("score_rows"), earliest, latest), len(known), int(known.sum()))


_TABLES = """
DROP TABLE IF EXISTS score_rows, score_wins, score_losses, score_raw;
CREATE TEMP TABLE score_rows (n bigint GENERATED ALWAYS AS IDENTITY (START 0 MINVALUE 0), profile_id uuid NOT NULL, cutoff timestamptz NOT NULL,
  y float8 NOT NULL, known jsonb NOT NULL DEFAULT '{}', said boolean NOT NULL DEFAULT false) ON COMMIT DROP;
CREATE TEMP TABLE score_wins (profile_id uuid NOT NULL, at timestamptz NOT NULL) ON COMMIT DROP;
CREATE TEMP TABLE score_losses (profile_id uuid NOT NULL, at timestamptz NOT NULL) ON COMMIT DROP
"""
_BY_COLUMN = """
WITH told AS (
  INSERT INTO score_rows (profile_id, cutoff, y)
  SELECT id, to_timestamp(CAST(traits_at->:column->>0 AS bigint) / 1000.0) + interval '1 millisecond', CAST(lower(traits->>:column) = ANY(:values) AS integer)
  FROM profiles WHERE merged_into IS NULL AND traits ? :column AND traits_at ? :column ORDER BY traits_at->:column->>0, id RETURNING profile_id, cutoff, y
), won AS (INSERT INTO score_wins SELECT profile_id, cutoff FROM told WHERE y = 1)
INSERT INTO score_losses SELECT profile_id, cutoff FROM told WHERE y = 0
"""
_WINS = """
INSERT INTO score_wins SELECT e.profile_id, e.occurred_at FROM events e WHERE e.name = ANY(:names) AND e.occurred_at >= :since AND e.occurred_at < :now
  AND (CAST(:stage AS text) IS NULL OR e.properties->>'stage' = CAST(:stage AS text)) AND {counts}
"""
_LOSSES = """
INSERT INTO score_losses SELECT e.profile_id, e.occurred_at FROM events e
WHERE e.name = :lost AND e.occurred_at >= :since AND e.occurred_at < :now AND {counts}
"""
_BY_EVENTS = """
INSERT INTO score_rows (profile_id, cutoff, y)
SELECT p.id, look.at, CAST((w.profile_id IS NOT NULL) = :happens AS integer)
FROM unnest(CAST(:looks AS timestamptz[])) WITH ORDINALITY look(at, place)
JOIN profiles p ON p.merged_into IS NULL AND p.known AND p.first_seen < look.at AND abs(hashtextextended(CAST(p.id AS text), look.place)) % 1000000 < :below
LEFT JOIN (SELECT DISTINCT s.profile_id, l.at FROM score_wins s JOIN unnest(CAST(:looks AS timestamptz[])) l(at) ON s.at >= l.at AND s.at < l.at + :window) w
  ON w.profile_id = p.id AND w.at = look.at
WHERE true {buyers}
ORDER BY look.at, p.id
"""
_BUYERS = """AND EXISTS (SELECT FROM events o WHERE o.profile_id = p.id AND o.name = 'Order Completed'
  AND o.occurred_at < look.at AND o.occurred_at >= look.at - interval '365 days' AND {counts})"""
_SAID = """
INSERT INTO score_rows (profile_id, cutoff, y, said)
SELECT l.profile_id, l.at, CAST(l.positive AS integer), true
FROM (SELECT DISTINCT ON (profile_id) * FROM score_labels WHERE kind = :kind AND at > :since AND at <= :now ORDER BY profile_id, at DESC, id DESC) l
JOIN profiles p ON p.id = l.profile_id AND p.merged_into IS NULL
WHERE NOT EXISTS (SELECT FROM score_wins w WHERE w.profile_id = l.profile_id AND w.at >= l.at)
  AND NOT (:column AND EXISTS (SELECT FROM score_rows r WHERE r.profile_id = l.profile_id))
ORDER BY l.at DESC, l.id DESC LIMIT (SELECT count(*) / :part FROM score_rows)
"""  # only while nobody knows what becomes of somebody; then the log, or the column, knows better
_UNSEEN = """
DELETE FROM score_rows r WHERE NOT r.said AND r.cutoff >= :since
  AND EXISTS (SELECT FROM score_rows s WHERE s.said AND s.profile_id = r.profile_id AND s.cutoff > r.cutoff)
"""  # of whom something later is learned, an earlier look judges nothing
_KNOWN = """
UPDATE score_rows r SET known = CASE WHEN NOT EXISTS (
    SELECT FROM unnest(CAST(:names AS text[]) || ARRAY['language', 'locale', 'country', 'address']) x
    WHERE CAST(p.traits_at->x->>0 AS bigint) > date_part('epoch', r.cutoff) * 1000)
  THEN p.traits ELSE coalesce((
    SELECT jsonb_object_agg(k.key, k.value ORDER BY e.occurred_at, e.accepted) FROM events e, jsonb_each(e.properties) k
    WHERE e.profile_id = r.profile_id AND e.name = 'identify' AND e.occurred_at <= r.cutoff
      AND k.key = ANY(CAST(:names AS text[]) || ARRAY['language', 'locale', 'country', 'address'])), '{}') END
FROM profiles p WHERE p.id = r.profile_id
"""
DID_LATELY = """EXISTS (SELECT FROM events e WHERE e.profile_id = p.id AND e.occurred_at < {at} AND e.occurred_at >= {at} - interval '7 days'
  AND e.source_id <> 1 AND e.type NOT IN ('identify', 'group', 'alias'))"""
_LIVELY = """
SELECT r.n FROM score_rows r JOIN profiles p ON p.id = r.profile_id WHERE (CAST(:since AS timestamptz) IS NULL OR r.cutoff >= :since) AND {did}
"""
_LEARNED = """
WITH won AS (SELECT profile_id, min(at) AS at, true AS won FROM score_wins GROUP BY profile_id),
ended AS (
  SELECT * FROM won UNION ALL
  SELECT profile_id, min(at), false FROM score_losses l WHERE NOT EXISTS (SELECT FROM won w WHERE w.profile_id = l.profile_id) GROUP BY profile_id
),
told AS (
  SELECT e.profile_id, w.won, w.at AS ended, k.key, min(e.occurred_at) AS at
  FROM ended w JOIN events e ON e.profile_id = w.profile_id AND e.name = 'identify', jsonb_object_keys(e.properties) k(key)
  WHERE k.key = ANY(CAST(:names AS text[])) GROUP BY e.profile_id, w.won, w.at, k.key
),
moments AS (SELECT key, won, max(n) AS together FROM (SELECT key, won, at, count(*) AS n FROM told GROUP BY key, won, at) m GROUP BY key, won)
SELECT t.key, t.won, count(*), count(*) FILTER (WHERE t.at > t.ended), m.together
FROM told t JOIN moments m ON m.key = t.key AND m.won = t.won GROUP BY t.key, t.won, m.together ORDER BY t.key, t.won DESC
"""
