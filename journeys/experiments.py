"""Splits that let the better way win: who was exposed, what they did, and the decision, taken once and kept with its evidence."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.profiles.move import on_move
from journeys import board
from journeys.graph import Graph
from journeys.node import Exposed
from journeys.nodes.split import Contest, SplitSettings
from journeys.passage import Passage

ALPHA = 0.05  # how often, at most, a way may win that is no better than another
FEWEST = 5  # expected hits, and misses, of each way for the normal approximation to hold


@dataclass(frozen=True, slots=True)
class Tally:
    """What the people of one way did."""

    arm: str
    people: int
    hits: int

    @property
    def rate(self) -> float:
        """Hits of one."""
        return self.hits / self.people if self.people else 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """An experiment as the screen shows it; `evidence` is None while it goes on, `winner` also where no way was better."""

    node: str
    settings: SplitSettings
    people: Mapping[str, int]
    winner: str | None
    evidence: Mapping[str, Any] | None
    at: dt.datetime | None


def won(session: Session, asking: Collection[tuple[int, str]]) -> dict[tuple[int, str], str]:
    """(journey, salt) -> the way that has won."""
    rows = session.execute(_WON, {"journeys": [journey for journey, _ in asking], "salts": [salt for _, salt in asking]})
    return {(row.journey_id, row.salt): row.winner for row in rows}


def expose(session: Session, passages: Sequence[Passage], now: dt.datetime) -> None:
    """Keep the way each profile took first; another way later counts it in none."""
    rows = [
        {"journey": p.journey_id, "salt": each.salt, "profile": p.profile_id, "run": p.id, "arm": each.arm}
        for p in passages
        for _, _, each in p.effects
        if isinstance(each, Exposed)
    ]
    if rows:
        session.execute(_EXPOSE, {"rows": dumps(list({(row["journey"], row["salt"], row["profile"]): row for row in rows}.values())), "now": now})


def decide(session: Session, now: dt.datetime) -> int:
    """Decide the experiments whose people were all watched to the end; returns how many."""
    done = 0
    for journey in board.read(session).journeys.values():
        for _, settings in contests(journey.graph) if journey.graph and journey.status == "live" else ():
            assert settings.winner is not None  # noqa: S101  contests yields no other
            done += _decide(session, journey.id, settings, settings.winner, now)
    return done


def contests(graph: Graph) -> Iterator[tuple[str, SplitSettings]]:
    """The splits of a graph that let a way win."""
    for spot in graph.nodes.values():
        if isinstance(spot.settings, SplitSettings) and spot.settings.winner:
            yield spot.name, spot.settings


def _decide(session: Session, journey_id: int, settings: SplitSettings, contest: Contest, now: dt.datetime) -> int:
    arms = [share.exit for share in settings.shares]
    asked = {"journey": journey_id, "salt": settings.salt, "people": contest.people, "arms": arms}
    if session.scalar(_DECIDED, asked):
        return 0
    watched = {row.arm: row for row in session.execute(_WATCHED, asked)}
    if any(arm not in watched or watched[arm].people < contest.people or watched[arm].last + contest.within > now for arm in arms):
        return 0
    rows = {row.arm: row for row in session.execute(_HITS[contest.by], asked | {"within": contest.within})}
    tallies = [Tally(arm, rows[arm].people, rows[arm].hits) for arm in arms]
    winner, evidence = judge(tallies)
    evidence |= {"by": contest.by, "within_s": int(contest.within.total_seconds())}
    session.execute(_KEEP, {"journey": journey_id, "salt": settings.salt, "winner": winner, "evidence": dumps(evidence), "now": now})
    return 1


def judge(tallies: Sequence[Tally]) -> tuple[str | None, dict[str, Any]]:
    """The way better than every other, and why; None where none is. A fixed sample judged once, so that nobody peeks.

    Each pair by the z test for two proportions with the pooled variance, two-sided (Fleiss, Levin & Paik, Statistical Methods for Rates and
    Proportions, 3rd ed., 2003, section 3.1); 5 % shared among all pairs (Bonferroni), so that the chance of any false winner stays below it.
    """
    best = max(tallies, key=lambda each: each.rate)
    bar = ALPHA / (len(tallies) * (len(tallies) - 1) / 2)
    values = {each.arm: _p(best, each) for each in tallies if each is not best}
    beaten = all(p is not None and p < bar and best.rate > each.rate for each in tallies if each is not best for p in [values[each.arm]])
    arms = [{"arm": each.arm, "people": each.people, "hits": each.hits, "p": values.get(each.arm)} for each in tallies]
    return best.arm if beaten else None, {"arms": arms, "best": best.arm, "bar": bar}


def _p(one: Tally, other: Tally) -> float | None:
    """How likely so large a difference is where there is none; None where too little happened to say."""
    pooled = (one.hits + other.hits) / (one.people + other.people)
    smaller = min(one.people, other.people)
    if min(pooled, 1 - pooled) * smaller < FEWEST:
        return None
    error = math.sqrt(pooled * (1 - pooled) * (1 / one.people + 1 / other.people))
    return math.erfc(abs(one.rate - other.rate) / error / math.sqrt(2))


def standing(session: Session, journey_id: int, graph: Graph) -> list[Standing]:
    """The experiments of a journey's graph and how they stand."""
    found = []
    for node, settings in contests(graph):
        arms = [share.exit for share in settings.shares]
        asked = {"journey": journey_id, "salt": settings.salt, "people": settings.winner.people if settings.winner else 0, "arms": arms}
        people = {row.arm: row.people for row in session.execute(_WATCHED, asked)}
        row = session.execute(_RESULT, asked).one_or_none()
        found.append(Standing(node, settings, people, row.winner if row else None, row.evidence if row else None, row.at if row else None))
    return found


def move_arms(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    """Two joined profiles that took two ways count in none."""
    del now
    both = {"old": [old for old, _ in pairs], "new": [new for _, new in pairs]}
    session.execute(_JOIN, both)
    session.execute(text("DELETE FROM split_arms WHERE profile_id = ANY(CAST(:old AS uuid[]))"), {"old": both["old"]})


def part_arms(session: Session, rest: uuid.UUID, alone: uuid.UUID, side: Collection[uuid.UUID], now: dt.datetime) -> None:
    """After an undone join each side's way is the one its own runs took, which stand with their owners again."""
    del side, now
    gone = session.execute(_GONE, {"rest": rest}).all()
    if gone:
        asked = {"profiles": [rest, alone], "journeys": [row.journey_id for row in gone], "salts": [row.salt for row in gone]}
        session.execute(_AGAIN, asked)


on_move.append(move_arms)

_WON = text("""
    SELECT r.journey_id, r.salt, r.winner FROM (SELECT DISTINCT * FROM unnest(CAST(:journeys AS int[]), CAST(:salts AS text[])) AS u(journey_id, salt)) a
    JOIN split_results r USING (journey_id, salt) WHERE r.winner IS NOT NULL
""")
_EXPOSE = text("""
    INSERT INTO split_arms (journey_id, salt, profile_id, run_id, arm, at)
    SELECT journey, salt, profile, run, arm, CAST(:now AS timestamptz)
    FROM json_to_recordset(CAST(:rows AS json)) AS n(journey int, salt text, profile uuid, run uuid, arm text)
    ON CONFLICT (journey_id, salt, profile_id) DO UPDATE SET arm = 'mixed' WHERE split_arms.arm <> excluded.arm
""")
_FIRST = """
    SELECT w.arm, a.profile_id, a.run_id, a.at FROM unnest(CAST(:arms AS text[])) AS w(arm) CROSS JOIN LATERAL (
        SELECT profile_id, run_id, at FROM split_arms
        WHERE journey_id = :journey AND salt = :salt AND arm = w.arm ORDER BY at, profile_id LIMIT :people
    ) a
"""
_WATCHED = text(f"SELECT arm, count(*) AS people, max(at) AS last FROM ({_FIRST}) f GROUP BY arm")  # noqa: S608  our own fragment
_DID = {
    "goal": """SELECT FROM events e WHERE e.profile_id = f.profile_id AND e.name = 'Journey Ended' AND e.occurred_at >= f.at
               AND e.occurred_at <= f.at + :within AND e.properties->>'run_id' = f.run_id::text AND e.properties->>'reason' LIKE 'goal:%'""",
    "opened": "SELECT FROM messages m WHERE m.run_id = f.run_id AND m.created_at >= f.at AND coalesce(m.opened_at, m.clicked_at) <= f.at + :within",
    "clicked": "SELECT FROM messages m WHERE m.run_id = f.run_id AND m.created_at >= f.at AND m.clicked_at <= f.at + :within",
    "ordered": """SELECT FROM events e WHERE e.profile_id = f.profile_id AND e.name = 'Order Completed' AND e.occurred_at > f.at
                  AND e.occurred_at <= f.at + :within""",
}
_HITS = {
    by: text(f"SELECT arm, count(*) AS people, count(*) FILTER (WHERE EXISTS ({did})) AS hits FROM ({_FIRST}) f GROUP BY arm")  # noqa: S608  our own fragments
    for by, did in _DID.items()
}
_DECIDED = text("SELECT EXISTS (SELECT FROM split_results WHERE journey_id = :journey AND salt = :salt)")
_RESULT = text("SELECT winner, evidence, at FROM split_results WHERE journey_id = :journey AND salt = :salt")
_KEEP = text("""
    INSERT INTO split_results (journey_id, salt, winner, evidence, at) VALUES (:journey, :salt, :winner, CAST(:evidence AS jsonb), :now)
    ON CONFLICT DO NOTHING
""")
_SUM = """
    INSERT INTO split_arms (journey_id, salt, profile_id, run_id, arm, at)
    SELECT journey_id, salt, profile_id, (array_agg(run_id ORDER BY at, run_id))[1], CASE WHEN count(DISTINCT arm) = 1 THEN min(arm) ELSE 'mixed' END, min(at)
    FROM told GROUP BY journey_id, salt, profile_id
    ON CONFLICT (journey_id, salt, profile_id) DO UPDATE SET (run_id, arm, at) = (excluded.run_id, excluded.arm, excluded.at)
"""
_JOIN = text(f"""
    WITH pair AS (SELECT * FROM unnest(CAST(:old AS uuid[]), CAST(:new AS uuid[])) AS p(old, new)),
    told AS (
        SELECT p.new AS profile_id, a.journey_id, a.salt, a.run_id, a.arm, a.at
        FROM (SELECT old, new FROM pair UNION SELECT new, new FROM pair) p JOIN split_arms a ON a.profile_id = p.old
    )
    {_SUM}
""")  # noqa: S608  our own fragment
_GONE = text("DELETE FROM split_arms WHERE profile_id = :rest RETURNING journey_id, salt")
_AGAIN = text(f"""
    WITH ran AS (
        SELECT r.id, r.profile_id, r.journey_id, r.version, s.node, s.exit, s.at
        FROM runs r JOIN run_steps s ON s.profile_id = r.profile_id AND s.run_id = r.id WHERE r.profile_id = ANY(CAST(:profiles AS uuid[]))
        UNION ALL
        SELECT r.id, r.profile_id, r.journey_id, r.version, p->>0, p->>2, CAST(p->>3 AS timestamptz)
        FROM past_runs r CROSS JOIN LATERAL jsonb_array_elements(r.path) AS s(p) WHERE r.profile_id = ANY(CAST(:profiles AS uuid[]))
    ),
    split AS (
        SELECT u.journey_id, u.salt, v.number AS version, n.key AS node, e.at AS won_at
        FROM unnest(CAST(:journeys AS int[]), CAST(:salts AS text[])) AS u(journey_id, salt)
        JOIN journey_versions v USING (journey_id) CROSS JOIN LATERAL jsonb_each(v.graph->'nodes') n
        LEFT JOIN split_results e ON e.journey_id = u.journey_id AND e.salt = u.salt AND e.winner IS NOT NULL
        WHERE n.value->>'kind' = 'split' AND n.value->'settings'->>'salt' = u.salt AND n.value->'settings'->>'winner' IS NOT NULL
    ),
    told AS (
        SELECT r.profile_id, s.journey_id, s.salt, r.id AS run_id, r.exit AS arm, r.at
        FROM split s JOIN ran r USING (journey_id, version, node) WHERE s.won_at IS NULL OR r.at < s.won_at
    )
    {_SUM}
""")  # noqa: S608  our own fragment
