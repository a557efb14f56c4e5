"""4 WHICH: who came in and who left, for the segments that what happened can change; and when time alone does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crm.commerce import computed
from crm.core.commit import hint
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import is_passing
from crm.events import inbox
from crm.events.models import HISTORY, LIVE, SYSTEM_SOURCE
from crm.events.spec import Happened
from crm.profiles import accounts
from crm.profiles.move import on_move, on_part
from crm.profiles.people import Person
from crm.segments import store
from crm.segments.evaluate import together
from crm.segments.rule import Place
from crm.segments.store import Loaded

ENTERED, LEFT = "Segment Entered", "Segment Left"
LISTED = ("List Joined", "List Left")
TOGETHER = 25  # segments in one statement: what they share is read once, and PostgreSQL still plans it in a millisecond
RULES = 100  # of these segments together: planning grows with the square of what is joined, and takes half a minute for a thousand


@dataclass(frozen=True, slots=True)
class Move:
    """One profile came into a segment, or left it."""

    profile_id: uuid.UUID
    segment_id: int
    slug: str
    entered: bool


@dataclass(frozen=True, slots=True)
class Why:
    """What an event about a move names as its cause."""

    cause: str
    hops: int = 0
    origin: str = LIVE


def place_of(config: Config) -> Place:
    """The installation as rules see it."""
    return Place(Keys(config.secret_key), config.timezone)


def refresh(session: Session, events: Sequence[Happened], people: Mapping[uuid.UUID, Person], now: dt.datetime, config: Config) -> list[Move]:
    """Look again at the segments a batch can change, for the people it can change; the caller holds their locks.

    Moves are appended as events, of history where only history touched the person. A segment that is still being filled gets a mark instead.
    """
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": store.LOCK})
    segments = store.load(session, "live", "filling")
    if not segments:
        return []
    touched = _touched(segments, events, people)
    whys = _whys(events)
    return _evaluate(session, segments, touched, lambda profile_id: whys.get(profile_id, Why("segments")), now, place_of(config))


def look_again(session: Session, profile_ids: Collection[uuid.UUID], why: str, now: dt.datetime, config: Config) -> list[Move]:
    """Look at every segment for these people, as history: what is corrected starts nothing. The caller holds their locks."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": store.LOCK})
    segments = store.load(session, "live", "filling") if profile_ids else []
    touched = {segment.id: set(profile_ids) for segment in segments}
    return _evaluate(session, segments, touched, lambda _: Why(why, origin=HISTORY), now, place_of(config))


def lapse_due(session: Session, now: dt.datetime, limit: int, config: Config) -> int:
    """Look again where a window has lapsed; returns how many were looked at. People somebody else holds come back later."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": store.LOCK})
    segments = store.load(session, "live", "filling")  # the latter are told of those that others name
    ids = store.ids(segment for segment in segments if segment.status == "live")
    rows = session.execute(text(_DUE), {"now": now, "limit": limit, "segments": ids}).all()
    locked = set(session.scalars(text(_LOCK), {"ids": sorted({row.profile_id for row in rows})})) if rows else set()
    due = {(row.segment_id, row.profile_id) for row in rows if row.profile_id in locked}
    live = {(row.segment_id, row.profile_id) for row in rows if row.profile_id in locked and not row.history}
    _lapse(session, segments, live, Why("time"), now, config)
    _lapse(session, segments, due - live, Why("time", origin=HISTORY), now, config)
    if len(locked) < len({row.profile_id for row in rows}):
        session.execute(text(_GONE), {"now": now})
    return len(due)


def _lapse(  # noqa: PLR0917  every caller has all of them at hand
    session: Session, segments: Sequence[Loaded], due: Collection[tuple[int, uuid.UUID]], why: Why, now: dt.datetime, config: Config
) -> None:
    touched: dict[int, set[uuid.UUID]] = defaultdict(set)
    for segment_id, profile_id in due:
        touched[segment_id].add(profile_id)
    if touched:
        _evaluate(session, segments, touched, lambda _: why, now, place_of(config))


def measure_sizes(session: Session, now: dt.datetime) -> int:
    """Fold what came and went into the sizes, and note the size of this hour."""
    folded = session.execute(text(_FOLD)).scalar_one()
    if folded or not session.scalar(text("SELECT EXISTS (SELECT FROM segment_sizes WHERE at = :at)"), {"at": now.replace(minute=0, second=0, microsecond=0)}):
        session.execute(text(NOTE_SIZE), {"at": now.replace(minute=0, second=0, microsecond=0)})
    return int(folded)


def move_members(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    """After a join memberships are both's; the next look decides which of them stay."""
    params: dict[str, Any] = {"from": [old for old, _ in pairs], "into": [new for _, new in pairs], "now": now}
    session.execute(text(_INHERIT), params)
    drop_members(session, params["from"])
    session.execute(text(_MARK_ALL), {"ids": sorted(set(params["into"])), "now": now})


def drop_members(session: Session, ids: Collection[uuid.UUID]) -> None:
    """These profiles are no longer there: no segment has them or counts them, and nothing is told."""
    session.execute(text(_DROP), {"ids": list(ids)})
    session.execute(text("DELETE FROM segment_lapses WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)})


def part_members(session: Session, from_id: uuid.UUID, to_id: uuid.UUID, _rows: Collection[uuid.UUID], now: dt.datetime) -> None:
    """After an undone join both sides are looked at again, in every segment."""
    session.execute(text(_MARK_ALL), {"ids": [from_id, to_id], "now": now})


def mark_computed(session: Session, changed: Mapping[str, Collection[uuid.UUID]], past: Collection[uuid.UUID]) -> None:
    """Computed traits changed: whoever's did is looked at in the segments that read them, in a moment and by themselves."""
    for segment in store.load(session, "live", "filling"):
        if ids := set[uuid.UUID]().union(*(changed[name] for name in segment.reads.computed & changed.keys())):
            _mark_soon(session, segment.id, ids, past)


def mark_accounts(session: Session, accounts: Collection[uuid.UUID], profiles: Collection[uuid.UUID], past: bool) -> None:  # a hook's last word
    """Companies changed: their members, and these people, are looked at in the segments that read companies."""
    for segment in store.load(session, "live", "filling"):
        if segment.reads.accounts:
            ids = {*profiles, *session.scalars(text(_MEMBERS), {"accounts": list(accounts)})}
            _mark_soon(session, segment.id, ids, ids if past else ())


def _mark_colleagues(session: Session, segments: Sequence[Loaded], moves: Sequence[Move], why: Callable[[uuid.UUID], Why]) -> None:
    """Who came into a segment or left it may change how it stands with the people of their companies."""
    for segment in segments:
        moved = {move.profile_id for move in moves if move.slug in segment.reads.colleagues}
        live = {one for one in moved if why(one).origin != HISTORY}
        for ids, past in ((live, False), (moved - live, True)):
            others = set(session.scalars(text(_COLLEAGUES), {"ids": list(ids)})) if ids else set()
            _mark_soon(session, segment.id, others, others if past else ())


def _mark_soon(session: Session, segment_id: int, ids: Collection[uuid.UUID], past: Collection[uuid.UUID]) -> None:
    """Have these people looked at; of `past` only history told something, so that what follows starts nothing."""
    if ids:
        ordered = sorted(ids)
        session.execute(text(_MARK_SOON), {"ids": ordered, "past": [one in past for one in ordered], "segment": segment_id})
        hint(session, "segments")


on_move.append(move_members)
computed.on_change.append(mark_computed)
accounts.on_change.append(mark_accounts)
on_part.append(part_members)


def _touched(segments: Sequence[Loaded], events: Sequence[Happened], people: Mapping[uuid.UUID, Person]) -> dict[int, set[uuid.UUID]]:
    by_event: dict[str, set[uuid.UUID]] = defaultdict(set)
    by_trait: dict[str, set[uuid.UUID]] = defaultdict(set)
    by_list: dict[str, set[uuid.UUID]] = defaultdict(set)
    for event in events:
        by_event[event.name].add(event.profile_id)
        if "consent" in event.context:
            by_event["*consent"].add(event.profile_id)
        for trait in event.traits:
            by_trait[trait].add(event.profile_id)
        if event.name in LISTED and event.source_id == SYSTEM_SOURCE:
            by_list[str(event.properties.get("list"))].add(event.profile_id)
    born = {p.id for p in people.values() if p.born}
    joined = {p.id for p in people.values() if p.refold}
    touched: dict[int, set[uuid.UUID]] = {}
    for segment in segments:
        mine = set(joined) | (born if segment.reads.birth else set())
        for names, index in ((segment.reads.events, by_event), (segment.reads.traits, by_trait), (segment.reads.lists, by_list)):
            for name in names & index.keys():
                mine |= index[name]
        if mine:
            touched[segment.id] = mine
    return touched


def _whys(events: Sequence[Happened]) -> dict[uuid.UUID, Why]:
    """The last event of each person, live ones before history."""
    found: dict[uuid.UUID, Why] = {}
    for event in sorted(events, key=lambda e: e.origin != HISTORY):
        found[event.profile_id] = Why(f"event:{event.accepted}", event.hops, event.origin)
    return found


def _evaluate(  # noqa: PLR0917  every caller has all of them at hand
    session: Session, segments: Sequence[Loaded], touched: Mapping[int, set[uuid.UUID]], why: Callable[[uuid.UUID], Why], now: dt.datetime, place: Place
) -> list[Move]:
    """All of it at once; where a rule raises, again with a savepoint around each, so that the broken one stands alone."""
    try:
        with session.begin_nested():
            moves = _pass(session, segments, touched, now, place, careful=False)
    except DBAPIError as error:
        if is_passing(error):
            raise
        moves = _pass(session, segments, touched, now, place, careful=True)
    _mark_colleagues(session, segments, moves, why)
    _tell(session, moves, why, now)
    return moves


def _pass(session: Session, segments: Sequence[Loaded], touched: Mapping[int, set[uuid.UUID]], now: dt.datetime, place: Place, *, careful: bool) -> list[Move]:
    """Segments come nested ones first, so that one look at each suffices; those of one depth that concern the same people are looked at together."""
    moves: list[Move] = []
    moved: dict[str, set[uuid.UUID]] = defaultdict(set)
    for _depth, level in groupby(segments, key=lambda segment: segment.depth):
        looks: dict[frozenset[uuid.UUID], list[Loaded]] = defaultdict(list)
        for segment in level:
            ids = frozenset(touched.get(segment.id, ())).union(*(moved[slug] for slug in segment.reads.segments))
            if ids and segment.status == "filling":
                session.execute(text(_MARK), {"ids": sorted(ids), "segment": segment.id, "now": now})
            elif ids:
                looks[ids].append(segment)
        for ids, group in looks.items():
            for part in [[one] for one in group] if careful else _parts(group):
                moves += (mine := _look(session, part, sorted(ids), now, place, careful=careful))
                for move in mine:
                    moved[move.slug].add(move.profile_id)
    return moves


def _parts(group: Sequence[Loaded]) -> list[list[Loaded]]:
    """As many segments at a time as one statement takes."""
    parts: list[list[Loaded]] = []
    rules = 0
    for one in group:
        if not parts or len(parts[-1]) == TOGETHER or rules + one.rules > RULES:
            parts.append([])
            rules = 0
        parts[-1].append(one)
        rules += one.rules
    return parts


def _look(session: Session, segments: Sequence[Loaded], ids: Sequence[uuid.UUID], now: dt.datetime, place: Place, *, careful: bool) -> list[Move]:
    made = together({segment.id: segment.tree for segment in segments}, now=now, place=place, ids=ids)
    statement, values = text(_APPLY.replace("{found}", made.sql)), made.values | {"now": now}
    slugs = {segment.id: segment.slug for segment in segments}
    try:
        with session.begin_nested() if careful else nullcontext():
            return [Move(who, number, slugs[number], entered) for who, number, entered in session.execute(statement, values).all()]
    except DBAPIError as error:
        if not careful or is_passing(error):
            raise
        store.broke(session, segments[0].id, error.orig)
        return []


def _tell(session: Session, moves: Sequence[Move], why: Callable[[uuid.UUID], Why], now: dt.datetime) -> None:
    if not moves:
        return
    rows = []
    for move in moves:
        reason = why(move.profile_id)
        row = inbox.system_event(
            ENTERED if move.entered else LEFT, move.profile_id, {"segment": move.slug, "segment_id": move.segment_id}, cause=reason.cause, hops=reason.hops + 1
        )
        rows.append(dataclasses.replace(row, origin=reason.origin))
    inbox.append(session, rows, now)
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for move in moves:
        sums[move.segment_id][0 if move.entered else 1] += 1
    session.execute(
        text("INSERT INTO segment_moves (segment_id, came, went) VALUES (:segment, :came, :went)"),
        [{"segment": segment, "came": came, "went": went} for segment, (came, went) in sums.items()],
    )


# A mark renewed meanwhile is another version of its row: it is for what this look cannot see yet, and stays.
_APPLY = """
WITH found AS MATERIALIZED ({found}),
came AS (INSERT INTO memberships (profile_id, segment_id, since) SELECT profile_id, segment_id, :now FROM found WHERE inside
         ON CONFLICT DO NOTHING RETURNING profile_id, segment_id),
went AS (DELETE FROM memberships m USING found f WHERE m.profile_id = f.profile_id AND m.segment_id = f.segment_id AND NOT f.inside
         RETURNING m.profile_id, m.segment_id),
seen AS MATERIALIZED (SELECT l.profile_id, l.segment_id, l.due_at, l.xmin AS version FROM segment_lapses l
         JOIN found f ON l.profile_id = f.profile_id AND l.segment_id = f.segment_id AND l.due_at IS DISTINCT FROM f.due_at),
over AS (DELETE FROM segment_lapses l USING seen s WHERE l.profile_id = s.profile_id AND l.segment_id = s.segment_id AND l.due_at = s.due_at
         AND l.xmin = s.version),
next AS (INSERT INTO segment_lapses (profile_id, segment_id, due_at) SELECT profile_id, segment_id, due_at FROM found WHERE due_at IS NOT NULL
         ON CONFLICT DO NOTHING)
SELECT profile_id, segment_id, true FROM came UNION ALL SELECT profile_id, segment_id, false FROM went
"""
_MARK = "INSERT INTO segment_lapses (profile_id, segment_id, due_at) SELECT unnest(CAST(:ids AS uuid[])), :segment, :now ON CONFLICT DO NOTHING"
_MARK_ALL = """
INSERT INTO segment_lapses (profile_id, segment_id, due_at)
SELECT i, s.id, :now FROM unnest(CAST(:ids AS uuid[])) i CROSS JOIN segments s WHERE s.status <> 'broken' ON CONFLICT DO NOTHING
"""
_MARK_SOON = """
INSERT INTO segment_lapses (profile_id, segment_id, due_at, history)
SELECT id, :segment, CAST('2000-01-01' AS timestamptz), past FROM unnest(CAST(:ids AS uuid[]), CAST(:past AS boolean[])) u(id, past) ORDER BY id
ON CONFLICT (profile_id, segment_id, due_at) DO UPDATE SET history = segment_lapses.history AND excluded.history
"""
_MEMBERS = "SELECT DISTINCT profile_id FROM account_members WHERE account_id = ANY(CAST(:accounts AS uuid[]))"
_COLLEAGUES = """
SELECT DISTINCT o.profile_id FROM account_members m JOIN account_members o ON o.account_id = m.account_id WHERE m.profile_id = ANY(CAST(:ids AS uuid[]))
"""
_DUE = """
SELECT profile_id, segment_id, history FROM segment_lapses WHERE due_at <= :now AND segment_id = ANY(CAST(:segments AS integer[])) ORDER BY due_at LIMIT :limit
"""
_GONE = """
DELETE FROM segment_lapses l WHERE l.due_at <= :now AND NOT EXISTS (SELECT FROM profiles p WHERE p.id = l.profile_id AND p.merged_into IS NULL)
"""
_LOCK = "SELECT id FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE SKIP LOCKED"
_FOLD = """
WITH gone AS (DELETE FROM segment_moves RETURNING segment_id, came, went),
sums AS (SELECT segment_id, sum(came) - sum(went) AS more FROM gone GROUP BY 1),
kept AS (UPDATE segments s SET size = greatest(0, s.size + sums.more) FROM sums WHERE s.id = sums.segment_id)
SELECT count(*) FROM gone
"""
NOTE_SIZE = (
    "INSERT INTO segment_sizes (segment_id, at, size) SELECT id, :at, size FROM segments ON CONFLICT (segment_id, at) DO UPDATE SET size = excluded.size"
)
_INHERIT = """
WITH given AS (
    INSERT INTO memberships (profile_id, segment_id, since)
    SELECT j.into_id, m.segment_id, min(m.since)
    FROM unnest(CAST(:from AS uuid[]), CAST(:into AS uuid[])) AS j(from_id, into_id) JOIN memberships m ON m.profile_id = j.from_id
    GROUP BY 1, 2 ON CONFLICT (profile_id, segment_id) DO UPDATE SET since = least(memberships.since, excluded.since)
    RETURNING segment_id, xmax = 0 AS is_new
)
INSERT INTO segment_moves (segment_id, came, went) SELECT segment_id, count(*), 0 FROM given WHERE is_new GROUP BY 1
"""
_DROP = """
WITH gone AS (DELETE FROM memberships WHERE profile_id = ANY(CAST(:ids AS uuid[])) RETURNING segment_id)
INSERT INTO segment_moves (segment_id, came, went) SELECT segment_id, 0, count(*) FROM gone GROUP BY 1
"""
