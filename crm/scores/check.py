"""Whether a score still keeps its word: promised against actual by band, and features that are not what they were."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
from psycopg.sql import SQL, Literal
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.json import dumps
from crm.events.inbox import driver
from crm.scores import apply, measure, serving
from crm.scores.features import People
from crm.scores.rows import DID_LATELY
from crm.scores.score import Asked
from crm.scores.score_models import BANDS, ScoreCheck, ScoreVersion
from crm.scores.trust import counts

LEAST = 50  # people in a band before it is judged
Z = 3.0  # so far out that chance does it once in 370 comparisons
APART = 0.25  # and by so much of what was promised
MUCH = 0.25  # PSI
SURE = 3.7  # and so far out that chance does it once in 10,000 comparisons
SAMPLE = 10_000
TOLD = 10  # features of a comparison that are kept


def compare(session: Session, score: Asked, *, config: Config, now: dt.datetime) -> ScoreCheck | None:
    """One comparison of the champion, kept; None where there is no champion."""
    found = session.scalar(select(ScoreVersion).where(ScoreVersion.kind == score.kind, ScoreVersion.state == "champion"))
    if found is None or score.label is None:
        return None
    bands = promises(session, score, found, now=now)
    drift = drifted(session, score, found, config=config, now=now)
    moved = any(each["psi"] > max(MUCH, each["chance"]) for each in drift)  # of whatever weight: it says that the world, or how it is told of, is another
    alarm = "promises" if any(each["broken"] for each in bands) else "drift" if moved else None
    made = ScoreCheck(kind=score.kind, version_id=found.id, at=now, bands=bands, drift=drift[:TOLD], alarm=alarm)
    session.add(made)
    session.flush()
    return made


def promises(session: Session, score: Asked, version: ScoreVersion, *, now: dt.datetime) -> list[dict[str, Any]]:
    """Of each band one window ago: what its people were promised and what they did since.

    Where this version did not speak yet, what those before it said is shown (`earlier`), and breaks nothing: it was judged on that window when trained.
    """
    label = score.label
    if label is None or label.column:
        return []
    then = now - dt.timedelta(days=label.days)
    params = {"kind": score.kind, "then": then, "now": now, "names": list(label.events), "stage": label.stage, "happens": label.happens}
    said = session.execute(text(_PROMISES.format(counts=counts("e"))), {**params, "version": version.id, "told": dumps(version.serving.get("told", {}))}).all()
    own = any(row.own for row in said)
    found = []
    for band, mine, people, promised, actual in said:
        if mine == own:
            told = {"band": band, "people": people, "promised": promised, "actual": actual, "earlier": not own}
            found.append(told | _kept(told, known=version.metrics["judged"]["rows"] * dict(zip(BANDS, serving.SHARES, strict=True))[band]))
    return found


def _kept(told: dict[str, Any], *, known: float) -> dict[str, Any]:
    """What may have happened, and whether that breaks the promise, which was itself learned from `known` people.

    The variance of the difference of two shares is the sum of theirs, as if so many people had been compared with a promise known exactly.
    """
    people = told["people"]
    size = people * known / (people + known)
    low, high = measure.wilson(told["actual"] * size, size, Z)
    apart = abs(told["promised"] - told["actual"]) > APART * max(told["promised"], 0.01)
    return {"low": low, "high": high, "broken": not told["earlier"] and people >= LEAST and apart and not low <= told["promised"] <= high}


def drifted(session: Session, score: Asked, version: ScoreVersion, *, config: Config, now: dt.datetime) -> list[dict[str, Any]]:
    """PSI of every feature between training and now beyond what chance adds, and what chance hardly exceeds; what moved much first, then the largest.

    Of people who did something in the last week: whoever sleeps only grows older, and hides what the others do.
    """
    model = apply.model_of(session, version.id)
    of = version.serving.get("spread_of") or {"rows": version.rows, "lively": False}
    who = SQL(DID_LATELY.format(at="{now}") if of["lively"] else "true").format(now=Literal(now))
    counted = driver(session).execute(SQL("SELECT count(*) FROM profiles p WHERE p.merged_into IS NULL AND p.known AND {}").format(who)).fetchone()
    total = counted[0] if counted else 0
    if total < LEAST:
        return []
    share = min(1.0, SAMPLE / total)
    where = SQL("abs(hashtextextended(CAST(p.id AS text), 3)) % 1000000 < {} AND {}").format(Literal(int(share * 1_000_000)), who)
    got = apply.give(session, score, model, People(apply.relation(where, now), now, now), config=config).got
    if len(got.matrix) < LEAST:
        return []
    found = []
    for place, (column, spread) in enumerate(zip(model.columns, version.serving["spread"], strict=True)):
        before, shares = np.asarray(spread["shares"]), serving.shares_now(column, spread, got.matrix[:, place])
        groups, rows = int(np.sum((before > 0) | (shares > 0))), len(got.matrix)
        moved = measure.psi(before, shares, 0.5 / min(of["rows"], rows))
        usual, most = measure.psi_by_chance(groups, of["rows"], rows, SURE)
        found.append({"feature": column.name, "psi": round(max(0.0, moved - usual), 4), "chance": round(most - usual, 4)})
    return sorted(found, key=lambda each: (each["psi"] <= max(MUCH, each["chance"]), -each["psi"]))


_PROMISES = """
WITH said AS (
  SELECT DISTINCT ON (profile_id) profile_id, probability, band, version_id FROM score_history
  WHERE kind = :kind AND at <= :then ORDER BY profile_id, at DESC, id DESC
)
SELECT s.band, s.version_id = :version AS own, count(*), avg(s.probability), avg(CAST(EXISTS (
  SELECT FROM events e WHERE e.profile_id = s.profile_id AND e.name = ANY(:names) AND e.occurred_at >= :then AND e.occurred_at < :now
    AND (CAST(:stage AS text) IS NULL OR e.properties->>'stage' = CAST(:stage AS text))
    AND {counts}) = :happens AS integer))::float8
FROM said s JOIN profiles p ON p.id = s.profile_id AND p.merged_into IS NULL WHERE s.version_id IS NOT NULL
GROUP BY 1, 2 ORDER BY array_position(ARRAY['hot', 'warm', 'cool', 'cold'], s.band)
"""
