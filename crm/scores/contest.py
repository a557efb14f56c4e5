"""Champion and challenger: both judged on the same rows where that can be done, and which of them is in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.sql import SQL, Literal
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from crm.scores import apply, features, jobs, measure
from crm.scores.feature_list import Feature
from crm.scores.measure import Floats
from crm.scores.score_models import ScoreKind, ScoreVersion

Numbers = NDArray[np.int64]


def champion(session: Session, kind: str) -> ScoreVersion | None:
    """The version of this score that is in use, or would be."""
    return session.scalar(select(ScoreVersion).where(ScoreVersion.kind == kind, ScoreVersion.state == "champion"))


def own_events(session: Session, kind: str) -> list[Feature]:
    """What the champion counts of the company's own events, so that it can be judged though they are not frequent any more."""
    found = champion(session, kind)
    return [features.own_event(one["name"].removeprefix("did:")) for one in (found.features if found else []) if one["name"].startswith("did:")]


def against(session: Session, kind: str, label: dict[str, Any], *, known: Sequence[Feature], numbers: Numbers, y: Floats, p: Floats) -> dict[str, Any] | None:
    """The champion beside a new version on the rows `numbers` of `score_raw`, of outcomes `y`, for which that one promises `p`.

    None where there is none to compare with: no champion, one that learned from all rows there were, another label, bytes or columns that cannot be read.
    """
    found = champion(session, kind)
    if found is None or found.metrics.get("mode") != "time" or found.label != label:
        return None
    try:
        model = apply.model_of(session, found.id)
    except apply.UnreadableError:
        return None
    if any(one not in known for one in features.named([column.name for column in model.columns], model.kinds)):
        return None
    theirs = _promised(session, model, numbers)
    worse = (p - y) ** 2 - (theirs - y) ** 2
    return {
        "version": found.number,
        "rows": len(y),
        "brier": round(measure.brier(y, theirs), 5),
        "ours": round(measure.brier(y, p), 5),
        "worse": measure.bootstrap(worse, p, lambda each, _p: float(each.mean())).as_dict(),
    }


def settle(session: Session, version: ScoreVersion) -> None:
    """Champion, challenger or refused: the champion stays where the new one is worse, unless it lives on what it may not know or is out of use."""
    measures = version.metrics["measures"]
    if measures["auc"]["low"] <= 0.5 or measures["auc"]["value"] <= measures["auc"]["rules"]:
        version.state = "refused"
    elif (now := champion(session, version.kind)) is None or _gives_way(now, version) or _out_of_use(session, version.kind):
        session.execute(
            update(ScoreVersion).where(ScoreVersion.kind == version.kind, ScoreVersion.state.in_(("champion", "challenger")), ScoreVersion.id != version.id)
            .values(state="retired")
        )  # fmt: skip
        version.state = "champion"
    session.flush()


def _promised(session: Session, model: apply.Model, numbers: Numbers) -> Floats:
    """What a model promises for these rows."""
    some = SQL("(SELECT * FROM score_raw WHERE n BETWEEN {} AND {})").format(Literal(int(numbers.min())), Literal(int(numbers.max())))
    got = features.extract(session, features.coded(model.columns, some), len(model.columns))
    order = np.argsort(got.numbers)
    return apply.promised(model, got.matrix[order[np.searchsorted(got.numbers, numbers, sorter=order)]])


def _gives_way(now: ScoreVersion, version: ScoreVersion) -> bool:
    if version.label != now.label or _forbidden(version) & {one["name"] for one in now.features}:
        return True
    if beside := version.metrics.get("against"):
        return bool(beside["worse"]["low"] <= 0)
    return bool(version.metrics["measures"]["brier"]["low"] <= now.metrics["measures"]["brier"]["high"])


def _forbidden(version: ScoreVersion) -> set[str]:
    """What may not be used any more: a champion that does so was never as good as it looked."""
    return {one["feature"] for one in version.metrics["refused"]} | {one["feature"] for one in version.flags if not one["approved"]}


def _out_of_use(session: Session, kind: str) -> bool:
    """Whether the champion broke its word or cannot be read; one that a person put aside is still the one to beat."""
    row = session.get(ScoreKind, kind)
    return row is not None and row.rules_only and not jobs.by_hand(row)
