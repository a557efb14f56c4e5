"""Whether a score still keeps its word: promised against actual by band, and features that are not what they were."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
from psycopg.sql import SQL, Literal
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.scores import apply, measure, serving
from crm.scores.features import People
from crm.scores.score import Asked
from crm.scores.score_models import ScoreCheck, ScoreVersion

LEAST = 50  # people in a band before it is judged
Z = 3.0  # so far out that chance does it once in 370 comparisons
APART = 0.25  # and by so much of what was promised
MUCH = 0.25  # PSI
SAMPLE = 10_000
TOLD = 10  # features of a comparison that are kept


def compare(session: Session, score: Asked, *, config: Config, now: dt.datetime) -> ScoreCheck | None:
    """One comparison of the champion, kept; None where there is no champion."""
    found = session.scalar(select(ScoreVersion).where(ScoreVersion.kind == score.kind, ScoreVersion.state == "champion"))
    if found is None or score.label is None:
        return None
    bands = promises(session, score, now=now)
    drift = drifted(session, score, found, config=config, now=now)
    weighty = {each["feature"] for each in found.metrics["effects"][:TOLD]}
    moved = any(each["psi"] > MUCH and each["feature"] in weighty for each in drift)
    alarm = "promises" if any(each["broken"] for each in bands) else "drift" if moved else None
    made = ScoreCheck(kind=score.kind, version_id=found.id, at=now, bands=bands, drift=drift[:TOLD], alarm=alarm)
    session.add(made)
    session.flush()
    return made


def promises(session: Session, score: Asked, *, now: dt.datetime) -> list[dict[str, Any]]:
    """Of each band one window ago: what its people were promised and what they did since."""
    label = score.label
    if label is None or label.column:
        return []
    then = now - dt.timedelta(days=label.days)
    params = {"kind": score.kind, "then": then, "now": now, "names": list(label.events), "stage": label.stage, "happens": label.happens}
    found = []
    for band, people, promised, actual in session.execute(text(_PROMISES), params):
        low, high = measure.wilson(actual * people, people, Z)
        broken = people >= LEAST and not low <= promised <= high and abs(promised - actual) > APART * max(promised, 0.01)
        found.append({"band": band, "people": people, "promised": promised, "actual": actual, "low": low, "high": high, "broken": broken})
    return found


def drifted(session: Session, score: Asked, version: ScoreVersion, *, config: Config, now: dt.datetime) -> list[dict[str, Any]]:
    """PSI of every feature between training and a sample of everybody now, the largest first."""
    model = apply.model_of(session, version.id)
    total = session.scalar(text("SELECT count(*) FROM profiles WHERE merged_into IS NULL AND known")) or 0
    if total < LEAST:
        return []
    share = min(1.0, SAMPLE / total)
    where = SQL("abs(hashtextextended(CAST(p.id AS text), 3)) % 1000000 < {}").format(Literal(int(share * 1_000_000)))
    got = apply.give(session, score, model, People(apply.relation(where, now), now, now), config=config).got
    if len(got.matrix) < LEAST:
        return []
    found = []
    for place, (column, spread) in enumerate(zip(model.columns, version.serving["spread"], strict=True)):
        shares = serving.shares_now(column, spread, got.matrix[:, place])
        found.append({"feature": column.name, "psi": round(measure.psi(np.asarray(spread["shares"]), shares), 4)})
    return sorted(found, key=lambda each: -each["psi"])


_PROMISES = """
WITH said AS (
  SELECT DISTINCT ON (profile_id) profile_id, probability, band, version_id FROM score_history
  WHERE kind = :kind AND at <= :then ORDER BY profile_id, at DESC, id DESC
)
SELECT s.band, count(*), avg(s.probability), avg(CAST(EXISTS (
  SELECT FROM events e WHERE e.profile_id = s.profile_id AND e.name = ANY(:names) AND e.occurred_at >= :then AND e.occurred_at < :now
    AND (CAST(:stage AS text) IS NULL OR e.properties->>'stage' = CAST(:stage AS text))) = :happens AS integer))::float8
FROM said s JOIN profiles p ON p.id = s.profile_id AND p.merged_into IS NULL WHERE s.version_id IS NOT NULL
GROUP BY s.band ORDER BY array_position(ARRAY['hot', 'warm', 'cool', 'cold'], s.band)
"""
