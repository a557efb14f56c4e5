"""Training: rows, features, the scan for columns that know the outcome, two estimators judged on what they have not seen, one version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.sql import SQL
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.events.inbox import driver
from crm.scores import columns, contest, estimate, features, leakage, measure, rows, trust
from crm.scores.estimate import Column, Fitted, Matrix
from crm.scores.feature_list import BUILT_IN, Feature
from crm.scores.features import CHECKED, Extracted, People
from crm.scores.measure import Floats
from crm.scores.rows import Rows
from crm.scores.score import Asked
from crm.scores.score_models import LeadColumn, ScoreFlag, ScoreVersion
from crm.scores.serving import serving_of
from crm.scores.trust import Told

FOLDS = 5
LEAST_EACH = 2  # with and without the outcome, of every part that is learned from or judged on
LEAST_SLICE = 100  # rows of a source or language before it is judged apart
Bools = NDArray[np.bool_]
Report = Callable[[str], None]


class NotEnoughError(InvalidError):
    """Below the floor: rules are used, and the screens say so."""

    def __init__(self, count: int, wins: int, score: Asked) -> None:
        super().__init__(_l("There is not enough to learn from yet."))
        self.said = {"code": "not_enough", "rows": count, "wins": wins, "least_rows": score.least_rows, "least_wins": score.least_wins}


@dataclass(frozen=True, slots=True)
class Learning:
    """The rows as a model sees them, in order of `n`."""

    columns: tuple[Column, ...]
    matrix: Matrix
    y: Floats
    points: Floats
    cutoff: Floats
    looks: tuple[float, ...]
    lively: Bools  # who had done something the week before, at the newest looks
    numbers: NDArray[np.int64]
    known: tuple[Feature, ...]  # what `score_raw` holds
    kinds: dict[str, str]  # types of its imported columns
    told: Told  # whose orders, leads and outcomes counted
    said: Bools  # outcomes by somebody who works here


@dataclass(frozen=True, slots=True)
class Judged:
    """A chosen model and what it promised for rows it had not learned from: `rows` are their places."""

    fitted: Fitted
    slope: float
    shift: float
    rows: NDArray[np.intp]
    p: Floats
    mode: str  # time | folds


def train(session: Session, score: Asked, *, config: Config, now: dt.datetime, report: Report = lambda _stage: None) -> ScoreVersion:
    """Learn a new version of this score; NotEnoughError below the floor, InvalidError where nothing can be learned. Flags are kept either way."""
    report("rows")
    session.execute(text("SET LOCAL work_mem = '128MB'"))
    kinds, refused = _imported(session, score)
    told = trust.told_by_shop(session, score.label.events if score.label else (), now=now)
    laid = rows.lay_down(session, score, names=sorted(kinds), told=told, now=now)
    if laid.count < score.least_rows or laid.wins < score.least_wins:
        raise NotEnoughError(laid.count, laid.wins, score)
    if laid.wins > laid.count - score.least_wins:
        raise InvalidError(_l("Nearly everybody has this outcome: there is nothing to tell apart. Choose another label."))
    report("features")
    learning, dull = _learning(session, score, laid, kinds, told, config, now)
    report("scan")
    flags = _flag(session, score, learning, sorted(kinds), now)
    kept = [place for place, column in enumerate(learning.columns) if column.name not in {flag["feature"] for flag in flags if not flag["approved"]}]
    if not kept:
        raise InvalidError(_l("No column is left to learn from. Approve one, or import more about your leads."))
    report("models")
    judged = choose(_only(learning, kept))
    report("figures")
    return _keep(session, score, _only(learning, kept), judged, [*refused, *dull], flags, now)


def choose(learning: Learning) -> Judged:
    """Fit both estimators, calibrate and compare them on later rows where there is time, out of fold where there is none."""
    if len(learning.looks) >= 2 or _spread(learning):
        return _by_time(learning)
    return _by_folds(learning)


def log_loss(y: Floats, p: Floats) -> float:
    """The mean surprise: a proper score, so that the more honest estimator wins."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))


def _by_time(learning: Learning) -> Judged:
    """The newest look judges, the one before it chooses and calibrates; the model that is judged is the one that serves."""
    parts = fit, check, test = _parts(learning)
    if any(min(learning.y[part].sum(), (1 - learning.y[part]).sum()) < LEAST_EACH for part in parts):
        raise InvalidError(_l("In one of the windows of time to learn from or to be judged on nobody has this outcome, or everybody: wait for a longer past."))
    y, found = learning.y, []
    for algorithm in estimate.ALGORITHMS:
        fitted = estimate.fit(algorithm, learning.columns, learning.matrix[fit], y[fit])
        z = fitted.raw(learning.matrix[check])
        slope, shift = estimate.platt(z, y[check])
        found.append((log_loss(y[check], estimate.sigmoid(slope * z + shift)), fitted, slope, shift))
    _loss, fitted, slope, shift = min(found, key=lambda each: each[0])
    p = estimate.sigmoid(slope * fitted.raw(learning.matrix[test]) + shift)
    return Judged(fitted, slope, shift, np.flatnonzero(test), p, "time")


def _by_folds(learning: Learning) -> Judged:
    """No time: five folds by chance, each judged by a model that has not seen it; the model that serves has seen all.

    What people say is fitted to alone, here too.
    """
    y, known = learning.y, np.flatnonzero(~learning.said)
    fold = _folds(y)
    found = []
    for algorithm in estimate.ALGORITHMS:
        z = np.zeros(len(y))
        for out in range(FOLDS):
            fitted = estimate.fit(algorithm, learning.columns, learning.matrix[fold != out], y[fold != out])
            z[fold == out] = fitted.raw(learning.matrix[fold == out])
        p, (slope, shift) = _honest(z[known], y[known], fold[known]), estimate.platt(z[known], y[known])
        found.append((log_loss(y[known], p), algorithm, slope, shift, p))
    _loss, algorithm, slope, shift, p = min(found, key=lambda each: each[0])
    fitted = estimate.fit(algorithm, learning.columns, learning.matrix, y)
    return Judged(fitted, slope, shift, known, p, "folds")


def _honest(z: Floats, y: Floats, fold: NDArray[np.int64]) -> Floats:
    """Calibrated out of fold too, so that the calibration is not judged on what it was fitted to."""
    p = np.zeros(len(y))
    for out in range(FOLDS):
        slope, shift = estimate.platt(z[fold != out], y[fold != out])
        p[fold == out] = estimate.sigmoid(slope * z[fold == out] + shift)
    return p


def _folds(y: Floats) -> NDArray[np.int64]:
    """Folds with the same share of winners."""
    chance, fold = np.random.default_rng(5), np.zeros(len(y), np.int64)
    for kind in (0, 1):
        here = np.flatnonzero(y == kind)
        fold[chance.permutation(here)] = np.arange(len(here)) % FOLDS
    return fold


def _parts(learning: Learning) -> tuple[Bools, Bools, Bools]:
    """Rows to fit, to choose by and to be judged on, in order of time; with two looks only, the first is halved by person.

    What people say is fitted to alone: nothing is chosen by an opinion or judged on it.
    """
    at, said = learning.cutoff, learning.said
    if not learning.looks:
        late, later = np.quantile(at[~said], [0.6, 0.8])
        return (at <= late) | said, (at > late) & (at <= later) & ~said, (at > later) & ~said
    before = at < learning.looks[-1]
    if len(learning.looks) == 2:
        half = np.random.default_rng(5).random(len(at)) < 0.7
        return before & half | said, before & ~half & ~said, ~before & ~said
    return (at < learning.looks[-2]) | said, (at >= learning.looks[-2]) & before & ~said, ~before & ~said


def _spread(learning: Learning) -> bool:
    """Whether imported outcomes are spread over time, with winners and losers in every part."""
    first, last = np.quantile(learning.cutoff, [0.05, 0.95])
    if last - first < rows.SPREAD.total_seconds():
        return False
    return all(min(learning.y[part].sum(), (1 - learning.y[part]).sum()) >= 10 for part in _parts(learning))


def _imported(session: Session, score: Asked) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Types of the declared columns, but for those that sales fills in or that come after the outcome."""
    found, refused = {}, []
    for column in session.scalars(select(LeadColumn).order_by(LeadColumn.name)):
        if score.label and column.name == score.label.column:
            continue
        if column.filled_by == "sales" or column.filled_when == "outcome":
            refused.append({"feature": f"trait:{column.name}", "code": "sales" if column.filled_by == "sales" else "outcome"})
        else:
            found[column.name] = column.type
    return found, refused


def _learning(  # noqa: PLR0917  each is one choice of the training
    session: Session, score: Asked, laid: Rows, kinds: dict[str, str], told: Told, config: Config, now: dt.datetime
) -> tuple[Learning, list[dict[str, Any]]]:
    """`score_raw` once, columns from it, then the matrix."""
    without = score.label.events if score.label else ()
    own = [features.own_event(name) for name in features.frequent_events(session, now=now, without=without)]
    wanted: list[Feature] = [*BUILT_IN, *own, *(features.imported(name, kind) for name, kind in sorted(kinds.items()))]
    sample = _sample(laid.people)
    late = features.leaks(session, sample, wanted, config, told=told)
    wanted = [one for one in wanted if one.name not in late]
    known = (*wanted, *(one for one in contest.own_events(session, score.kind) if one not in wanted))
    raw = features.raw(laid.people, known, config, told=told)
    driver(session).execute(SQL("CREATE TEMP TABLE score_raw ON COMMIT DROP AS {}").format(raw))
    made, refused = columns.columns_of(session, wanted)
    got = features.extract(session, features.coded(made, SQL("score_raw")), len(made))
    got = _in_order(got)
    kept, dull = columns.without_dull(made, got.matrix)
    refused += [*dull, *({"feature": name, "code": "late"} for name in late)]
    chosen = tuple(made[place] for place in kept)
    y, cutoff = laid.y[got.numbers], laid.cutoff[got.numbers]
    lively = np.isin(got.numbers, rows.lively(session, laid.looks))
    matrix = np.ascontiguousarray(got.matrix[:, kept])
    said = laid.said[got.numbers]
    return Learning(chosen, matrix, y, got.points.astype(float), cutoff, laid.looks, lively, got.numbers, known, kinds, told, said), refused


def _in_order(got: Extracted) -> Extracted:
    order = np.argsort(got.numbers, kind="stable")
    return Extracted(got.ids[order], got.numbers[order], got.points[order], got.matrix[order])


def _sample(people: People) -> People:
    """One row of each of some people."""
    some = SQL("(SELECT DISTINCT ON (profile_id) * FROM score_rows WHERE n % 7 = 0 ORDER BY profile_id, n LIMIT {})").format(CHECKED)
    return People(some, people.earliest, people.latest)


def _flag(session: Session, score: Asked, learning: Learning, names: Sequence[str], now: dt.datetime) -> list[dict[str, Any]]:
    """Scan the imported columns; evidence is kept anew each time, approvals stay."""
    known = {f"trait:{name}": late for name, late in rows.learned(session, names).items()}
    places = [place for place, column in enumerate(learning.columns) if column.name.startswith("trait:")]
    found = leakage.scan([learning.columns[place] for place in places], learning.matrix[:, places], learning.y, known)
    found |= {name: told for name, late in known.items() if name not in found and (told := leakage.late(late))}
    session.execute(delete(ScoreFlag).where(ScoreFlag.kind == score.kind, ScoreFlag.approved_at.is_(None), ScoreFlag.feature.not_in(found)))
    for name, evidence in found.items():
        values = {"kind": score.kind, "feature": name, "evidence": evidence, "found_at": now}
        session.execute(insert(ScoreFlag).values(values).on_conflict_do_update(index_elements=["kind", "feature"], set_={"evidence": evidence}))
    approved = set(session.scalars(select(ScoreFlag.feature).where(ScoreFlag.kind == score.kind, ScoreFlag.approved_at.is_not(None))))
    return [{"feature": name, "evidence": evidence, "approved": name in approved} for name, evidence in sorted(found.items())]


def _only(learning: Learning, kept: Sequence[int]) -> Learning:
    chosen = tuple(learning.columns[place] for place in kept)
    matrix = np.ascontiguousarray(learning.matrix[:, list(kept)])
    return replace(learning, columns=chosen, matrix=matrix)


def _keep(  # noqa: PLR0917  what a version is made of
    session: Session, score: Asked, learning: Learning, judged: Judged, refused: list[dict[str, Any]], flags: list[dict[str, Any]], now: dt.datetime
) -> ScoreVersion:
    """The row; it becomes the champion where it beats the rules and is no worse than the present one."""
    metrics = metrics_of(learning, judged, now) | {"refused": refused}
    number = 1 + (session.scalar(select(func.max(ScoreVersion.number)).where(ScoreVersion.kind == score.kind)) or 0)
    label = score.label.as_dict() if score.label else {}
    if judged.mode == "time":  # out of fold the champion would be judged on what it has seen
        of = judged.rows
        metrics["against"] = contest.against(session, score.kind, label, known=learning.known, numbers=learning.numbers[of], y=learning.y[of], p=judged.p)
    version = ScoreVersion(
        kind=score.kind, number=number, state="challenger", algorithm=judged.fitted.algorithm, label=label,
        features=[{"name": one.name, "type": one.type, "categories": list(one.categories)} for one in learning.columns],
        model=estimate.pack(judged.fitted),
        serving=serving_of(learning.columns, learning.matrix, judged.fitted, (judged.slope, judged.shift), judged.p, lively=learning.lively)
        | {"told": dict(learning.told), "kinds": learning.kinds},
        metrics=metrics, flags=flags, rows=len(learning.y), wins=int(learning.y.sum()), trained_at=now,
    )  # fmt: skip
    session.add(version)
    session.flush()
    contest.settle(session, version)
    return version


def metrics_of(learning: Learning, judged: Judged, now: dt.datetime) -> dict[str, Any]:
    """Measures with intervals, the curves behind the plots, slices, effects."""
    y, p, points = learning.y[judged.rows], judged.p, learning.points[judged.rows]
    if learning.columns and not points.any():
        points = np.zeros(len(y))
    moments = learning.cutoff[judged.rows]
    return {
        "mode": judged.mode,
        "judged": {"rows": len(y), "wins": int(y.sum()), "from": _moment(moments.min()), "until": _moment(moments.max())},
        "measures": measure.report(y, p, points),
        "calibration": [{key: round(value, 5) for key, value in each.items()} for each in measure.groups(y, p)],
        "lift": measure.tenths(y, p),
        "roc": measure.roc(y, p),
        "roc_rules": measure.roc(y, points),
        "slices": _slices(learning, judged),
        "effects": _effects(learning, judged),
        "trained_on": {"rows": len(learning.y), "from": _moment(learning.cutoff.min()), "until": _moment(learning.cutoff.max())},
    }


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC).isoformat()


def _slices(learning: Learning, judged: Judged) -> list[dict[str, Any]]:
    """How fair: every source and language of enough rows, judged apart."""
    found = []
    for place, column in enumerate(learning.columns):
        if column.name.removeprefix("trait:") not in {"source", "language"} or column.type != "category":
            continue
        codes = learning.matrix[judged.rows, place]
        for code, value in enumerate(column.categories):
            here = codes == code
            y, p = learning.y[judged.rows][here], judged.p[here]
            if len(y) >= LEAST_SLICE and 5 <= y.sum() <= len(y) - 5:
                auc = measure.bootstrap(y, p, measure.auc, 100)
                about = {"by": column.name, "value": value, "rows": len(y), "wins": int(y.sum())}
                found.append(about | {"promised": round(float(p.mean()), 5), "auc": auc.as_dict()})
    return found


def _effects(learning: Learning, judged: Judged) -> list[dict[str, Any]]:
    """How many points of the chance each column moves on average, and whether having more of it raises or lowers."""
    chosen = judged.rows[np.linspace(0, len(judged.rows) - 1, min(len(judged.rows), 5_000)).astype(int)]
    matrix = learning.matrix[chosen]
    base, added = judged.fitted.added(matrix)
    p = estimate.sigmoid(judged.slope * (base + added.sum(axis=1)) + judged.shift)
    found: list[dict[str, Any]] = []
    for place, column in enumerate(learning.columns):
        without = estimate.sigmoid(judged.slope * (base + added.sum(axis=1) - added[:, place]) + judged.shift)
        size = float(np.abs(p - without).mean())
        found.append({"feature": column.name, "points": round(100 * size, 2), "sign": _sign(column, matrix[:, place], added[:, place])})
    return sorted(found, key=lambda each: -each["points"])[:15]


def _sign(column: Column, values: Any, added: Floats) -> int:
    """1 where more of it raises, -1 where it lowers, 0 for categories."""
    known = ~np.isnan(values)
    if column.type == "category" or known.sum() < 2 or np.ptp(values[known]) < 1e-6 or np.ptp(added[known]) < 1e-9:
        return 0
    return 1 if np.corrcoef(values[known].astype(float), added[known])[0, 1] >= 0 else -1
