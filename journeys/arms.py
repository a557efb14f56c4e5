"""Who is left out of a journey so that its effect can be measured: drawn once, kept, and honest after a join."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.inbox import NewRow, append, system_event
from crm.profiles.move import on_move, on_part
from crm.segments.rules.journey import HELD_OUT
from journeys.entry import Holdout, held_out

Pair = tuple[uuid.UUID, int]  # profile and journey


def draw(session: Session, wanted: Mapping[Pair, tuple[Holdout, str]], now: dt.datetime) -> dict[Pair, bool]:
    """Whom a journey leaves out among those who would enter: (profile, journey) -> whether that was drawn just now. Drawn for life."""
    if not wanted:
        return {}
    profiles, journeys = [profile for profile, _ in wanted], [journey for _, journey in wanted]
    rows = session.execute(_KNOWN, {"profiles": profiles, "journeys": journeys}).all()
    out: dict[Pair, bool] = {(row.profile_id, row.journey_id): False for row in rows if row.arm in {"out", "mixed"}}
    drawn = []
    for row in rows:
        pair = (row.profile_id, row.journey_id)
        if row.arm is None:
            rule, slug = wanted[pair]
            left = held_out(row.bucket, rule, slug)
            drawn.append((*pair, "out" if left else "in", round(rule.percent * 100)))
            if left:
                out[pair] = True
    _keep(session, drawn, now)
    left_out = [(profile, journey) for profile, journey, arm, _share in drawn if arm == "out"]
    append(session, [_told(profile, journey, wanted[profile, journey][1]) for profile, journey in left_out], now)
    return out


def _told(profile_id: uuid.UUID, journey_id: int, slug: str) -> NewRow:
    """The log learns it once for life."""
    number = f"arm:{journey_id}:{profile_id}"
    return system_event(HELD_OUT, profile_id, {"journey": slug}, cause=None, hops=0, message_id=number)


def _keep(session: Session, drawn: Sequence[tuple[uuid.UUID, int, str, int]], now: dt.datetime) -> None:
    if drawn:
        columns = dict(zip(("profiles", "journeys", "arms", "shares"), map(list, zip(*drawn, strict=True)), strict=True))
        session.execute(_KEEP, {**columns, "now": now})


def move_arms(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    """Of two joined profiles: either left out is left out; both ways at once is `mixed`, and counts in no estimate. Coupons go along."""
    del now
    both = {"old": [old for old, _ in pairs], "new": [new for _, new in pairs]}
    session.execute(_JOIN, both)
    session.execute(text("DELETE FROM journey_arms WHERE profile_id = ANY(:old)"), {"old": both["old"]})
    session.execute(_COUPONS, both)


def part_arms(session: Session, rest: uuid.UUID, alone: uuid.UUID, side: Collection[uuid.UUID], now: dt.datetime) -> None:
    """After an undone join each side's arm is what its own profiles drew."""
    del now
    session.execute(_PART, {"rest": rest, "alone": alone, "side": list(side)})


def shares(session: Session, journey_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """journey -> arm -> profiles."""
    found: dict[int, dict[str, int]] = {}
    statement = text("SELECT journey_id, arm, count(*) FROM journey_arms WHERE journey_id = ANY(:ids) GROUP BY journey_id, arm")
    for journey_id, arm, count in session.execute(statement, {"ids": list(journey_ids)}):
        found.setdefault(journey_id, {})[arm] = count
    return found


on_move.append(move_arms)
on_part.append(part_arms)

_KNOWN = text("""
    SELECT w.profile_id, w.journey_id, a.arm, p.bucket
    FROM (SELECT DISTINCT * FROM unnest(CAST(:profiles AS uuid[]), CAST(:journeys AS int[])) AS u(profile_id, journey_id)) w
    JOIN profiles p ON p.id = w.profile_id
    LEFT JOIN journey_arms a ON a.profile_id = w.profile_id AND a.journey_id = w.journey_id
""")
_KEEP = text("""
    INSERT INTO journey_arms (profile_id, journey_id, arm, share, at, drawn)
    SELECT profile_id, journey_id, arm, share, CAST(:now AS timestamptz),
      jsonb_build_object(profile_id, jsonb_build_array(arm, share, CAST(:now AS timestamptz)))
    FROM unnest(CAST(:profiles AS uuid[]), CAST(:journeys AS int[]), CAST(:arms AS text[]), CAST(:shares AS int[])) AS n(profile_id, journey_id, arm, share)
    ON CONFLICT DO NOTHING
""")
_SUM = """
    INSERT INTO journey_arms (profile_id, journey_id, arm, share, at, drawn)
    SELECT profile_id, journey_id, CASE WHEN count(DISTINCT said->>0) = 1 THEN min(said->>0) ELSE 'mixed' END,
      (array_agg(CAST(said->>1 AS int) ORDER BY said->>2, who))[1], min(CAST(said->>2 AS timestamptz)), jsonb_object_agg(who, said)
    FROM told GROUP BY profile_id, journey_id
    ON CONFLICT (profile_id, journey_id) DO UPDATE SET (arm, share, at, drawn) = (excluded.arm, excluded.share, excluded.at, excluded.drawn)
"""
_JOIN = text(f"""
    WITH pair AS (SELECT * FROM unnest(CAST(:old AS uuid[]), CAST(:new AS uuid[])) AS p(old, new)),
    told AS (
      SELECT p.new AS profile_id, a.journey_id, d.key AS who, d.value AS said
      FROM (SELECT old, new FROM pair UNION SELECT new, new FROM pair) p JOIN journey_arms a ON a.profile_id = p.old CROSS JOIN LATERAL jsonb_each(a.drawn) d
    )
    {_SUM}
""")  # noqa: S608  our own fragments
_PART = text(f"""
    WITH both_sides AS (DELETE FROM journey_arms WHERE profile_id = :rest RETURNING journey_id, drawn),
    told AS (
      SELECT CASE WHEN CAST(d.key AS uuid) = ANY(CAST(:side AS uuid[])) THEN CAST(:alone AS uuid) ELSE CAST(:rest AS uuid) END AS profile_id,
        b.journey_id, d.key AS who, d.value AS said
      FROM both_sides b CROSS JOIN LATERAL jsonb_each(b.drawn) d
    )
    {_SUM}
""")  # noqa: S608  our own fragments
_COUPONS = text("""
    UPDATE coupons c SET profile_id = p.new, key = CASE WHEN c.run_id IS NULL THEN c.key ELSE c.key || '|' || c.run_id END
    FROM unnest(CAST(:old AS uuid[]), CAST(:new AS uuid[])) AS p(old, new) WHERE c.profile_id = p.old
""")
