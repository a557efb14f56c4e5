"""Bad columns end in a sentence, not in a crash; figures are what they say."""

from __future__ import annotations

import datetime as dt
import random

import numpy as np
import pytest
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.scores import apply, estimate, leakage, measure, train
from crm.scores.estimate import Column
from crm.scores.score import find
from tests import makers
from tests.scores.makers import column, happened, own_score, people

LONG = "What would have to be different for you to take the course with us this year"


def test_every_bad_column_is_named_with_its_reason_and_the_good_one_is_used(session: Session, now: dt.datetime) -> None:
    chance = random.Random(4)
    rows = []
    for n in range(600):
        visits = chance.random() * 10
        won = int(chance.random() < visits / 14)
        rows.append({
            "won": won, "visits": round(visits, 3), "note": f"called on {n} and said {chance.random():.5f} times that it may be so, or not",
            "code": f"c{n % 300}" * 3, "same": "yes", "born": f"{1 + n % 28:02}/{1 + n % 12:02}/{1950 + n % 50}", "number": 1000 + n,
            "joined": f"20{10 + n % 10}-0{1 + n % 9}-1{n % 9}", "club": bool(n % 2),
            f"{LONG}: price": n % 4, f"{LONG}: time": "early" if n % 3 else "late",
        })  # fmt: skip
    ids = people(session, rows, at=now)
    kinds = {"visits": "number", "note": "words", "code": "words", "same": "words", "born": "words", "number": "number", "empty": "words",
             "nothing": "number", "joined": "date", "club": "bool", f"{LONG}: price": "number", f"{LONG}: time": "words"}  # fmt: skip
    for name, kind in kinds.items():
        column(session, name, kind, now=now)
    column(session, "by_sales", "words", filled_by="sales", now=now)
    own_score(session, "wins", column_="won", values=["1"], now=now)
    version = train.train(session, find(session, "wins"), config=makers.config(), now=now)
    refused = {one["feature"].removeprefix("trait:"): one["code"] for one in version.metrics["refused"]}
    assert refused == {
        "note": "text",
        "code": "many",
        "same": "constant",
        "born": "dates",
        "number": "serial",
        "empty": "empty",
        "nothing": "empty",
        "by_sales": "sales",
    }
    used = {one["name"] for one in version.features}
    assert {"trait:visits", "trait:joined", "trait:club", f"trait:{LONG}: price", f"trait:{LONG}: time"} <= used
    score = find(session, "wins")
    given = apply.give(session, score, apply.model_of(session, version.id), apply.these(ids, now=now), config=makers.config())
    assert np.isfinite(given.p).all()


def test_ten_thousand_categories_are_grouped(session: Session, now: dt.datetime) -> None:
    chance = random.Random(4)
    rows = []
    for n in range(12_000):
        shop = min(int(chance.expovariate(0.02)), 400) if n % 2 else 1000 + n % 9_000 // 2
        rows.append({"won": int(chance.random() < (0.5 if shop < 10 else 0.1)), "shop": f"s{shop}"})
    people(session, rows, at=now)
    column(session, "shop", "words", now=now)
    own_score(session, "wins", column_="won", values=["1"], now=now)
    version = train.train(session, find(session, "wins"), config=makers.config(), now=now)
    (shop,) = [one for one in version.features if one["name"] == "trait:shop"]
    assert len(shop["categories"]) == 40


@pytest.mark.parametrize(("won", "says"), [(0, "not enough"), (1, "Nearly everybody")])
def test_an_outcome_with_one_class_is_a_sentence(session: Session, now: dt.datetime, won: int, says: str) -> None:
    people(session, [{"won": won, "visits": n} for n in range(300)], at=now)
    column(session, "visits", "number", now=now)
    own_score(session, "wins", column_="won", values=["1"], now=now)
    with pytest.raises(InvalidError, match=says):
        train.train(session, find(session, "wins"), config=makers.config(), now=now)


@pytest.mark.parametrize("days", [25, 85])
def test_an_outcome_that_only_one_window_of_time_knows_is_a_sentence(session: Session, now: dt.datetime, days: int) -> None:
    ids = people(session, [{} for _ in range(300)], at=now - dt.timedelta(days=200))
    happened(session, [(one, "Page Viewed", now - dt.timedelta(days=day + place % 20), {}) for place, one in enumerate(ids) for day in (5, 45, 95, 105)])
    happened(session, [(one, "Order Completed", now - dt.timedelta(days=days - place % 20), {"revenue": 9}) for place, one in enumerate(ids[:90])])
    with pytest.raises(InvalidError, match="wait for a longer past"):
        train.train(session, find(session, "lead"), config=makers.config(), now=now)


def test_the_measures_agree_with_those_of_others() -> None:
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    chance = np.random.default_rng(1)
    p = np.round(chance.random(500), 2)  # with ties
    y = (chance.random(500) < p).astype(float)
    assert measure.auc(y, p) == pytest.approx(roc_auc_score(y, p))
    assert measure.average_precision(y, p) == pytest.approx(average_precision_score(y, p))
    assert measure.brier(y, p) == pytest.approx(brier_score_loss(y, p))
    assert measure.calibration_error(y, p) < 0.06
    assert measure.calibration_error(y, p**3) > 0.15
    assert measure.psi(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    found = measure.bootstrap(y, p, measure.auc)
    assert found.low < found.value < found.high


def test_every_figure_lies_in_its_own_interval() -> None:
    for seed in range(5):
        chance = np.random.default_rng(seed)
        p = chance.random(400)
        report = measure.report((chance.random(400) < p).astype(float), p, p)
        assert [name for name, each in report.items() if not each["low"] <= each["value"] <= each["high"]] == []


@pytest.mark.parametrize("algorithm", estimate.ALGORITHMS)
def test_what_columns_add_sums_to_the_score_and_survives_being_stored(algorithm: str) -> None:
    chance = np.random.default_rng(2)
    matrix = np.column_stack([chance.normal(size=3000), chance.integers(0, 4, 3000), chance.exponential(9, 3000)]).astype(np.float32)
    matrix[chance.random(matrix.shape) < 0.15] = np.nan
    y = (np.nan_to_num(matrix[:, 0]) + (matrix[:, 1] == 2) + chance.normal(size=3000) > 0.5).astype(float)
    columns = [Column("a", "number"), Column("b", "category", ("w", "x", "y")), Column("c", "number")]
    fitted = estimate.fit(algorithm, columns, matrix, y)
    base, added = fitted.added(matrix)
    assert np.allclose(base + added.sum(axis=1), fitted.raw(matrix), atol=1e-4)
    again = estimate.unpack(estimate.pack(fitted), algorithm, columns, fitted.prepared)
    assert np.array_equal(again.raw(matrix), fitted.raw(matrix))
    assert measure.auc(y, fitted.raw(matrix)) > 0.75


@pytest.mark.parametrize("algorithm", estimate.ALGORITHMS)
def test_a_column_that_nobody_had_yet_is_learned_around(algorithm: str) -> None:
    chance = np.random.default_rng(3)
    matrix = np.column_stack([chance.normal(size=900), np.full(900, np.nan)]).astype(np.float32)
    y = (matrix[:, 0] + chance.normal(size=900) > 0.5).astype(float)
    fitted = estimate.fit(algorithm, [Column("a", "number"), Column("later", "number")], matrix, y)
    later = matrix.copy()
    later[:, 1] = 4
    assert np.isfinite(fitted.raw(later)).all()
    assert measure.auc(y, fitted.raw(later)) > 0.6


def test_a_model_with_anything_else_in_it_is_refused() -> None:
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    packed = skops.io.dumps(FunctionTransformer(func=print))
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException):
        estimate.unpack(packed, "trees", [], {})


def test_an_honest_strong_column_is_not_flagged_and_a_late_one_is() -> None:
    chance = np.random.default_rng(6)
    honest = chance.normal(size=2000).astype(np.float32)
    y = (honest + 1.2 * chance.normal(size=2000) > 1).astype(float)
    result = np.where(y > 0, 1.0, np.nan).astype(np.float32)  # filled in on winning
    gaps = np.where(chance.random(2000) < 0.4, np.nan, chance.integers(0, 3, 2000)).astype(np.float32)  # missing by chance
    columns = [Column("honest", "number"), Column("result", "category", ("x", "won")), Column("gaps", "category", ("a", "b", "c"))]
    assert set(leakage.scan(columns, np.column_stack([honest, result, gaps]), y, {})) == {"result"}
