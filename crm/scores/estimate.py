"""The two estimators behind one face: log-odds, and how much each column adds to them. The only place that fits or loads a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from crm.scores.measure import Floats

Matrix = NDArray[np.float32]
ALGORITHMS = ("logistic", "trees")
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]  # besides what skops knows to be harmless
STRONGEST = 12.0  # log-odds; beyond that a probability says nothing more


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the matrix: numbers, or codes of `categories` (one more code means any other); NaN is missing."""

    name: str
    type: str  # number | category
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model: log-odds = `base` + the sum of what its columns add."""

    algorithm: str
    columns: tuple[Column, ...]
    estimator: Any
    prepared: dict[str, Any]

    def added(self, matrix: Matrix) -> tuple[float, Floats]:
        """What every column adds to the log-odds of every row, and the base they are added to."""
        return _linear(self, matrix) if self.algorithm == "logistic" else _paths(self, matrix)

    def raw(self, matrix: Matrix) -> Floats:
        """The log-odds of every row."""
        if self.algorithm == "logistic":
            design = _design(self.columns, self.prepared, matrix)
            return np.asarray(design @ self.estimator.coef_[0] + self.estimator.intercept_[0], float)
        with threadpool_limits(limits=1):
            return np.asarray(self.estimator.decision_function(_ordered(self.prepared, matrix)), float)


def fit(algorithm: str, columns: Sequence[Column], matrix: Matrix, y: Floats) -> Fitted:
    """Learn from these rows; there must be both winners and losers among them.

    On one thread: the live work keeps the other cores, and on a busy machine many threads that wait for each other are fifty times slower.
    """
    with threadpool_limits(limits=1):
        return _fit(algorithm, tuple(columns), matrix, y)


def _fit(algorithm: str, kept: tuple[Column, ...], matrix: Matrix, y: Floats) -> Fitted:
    if algorithm == "logistic":
        prepared = _prepare(kept, matrix)
        estimator: Any = LogisticRegression(C=0.5, max_iter=300)
        estimator.fit(_design(kept, prepared, matrix), y)
        return Fitted(algorithm, kept, estimator, prepared)
    prepared, few = {"orders": _orders(kept, matrix, y)}, len(y) < 2_000
    estimator = HistGradientBoostingClassifier(
        learning_rate=0.06, max_iter=200, max_leaf_nodes=8 if few else 16, min_samples_leaf=max(10, min(50, len(y) // 100)), l2_regularization=1.0,
        categorical_features=None, early_stopping=True, validation_fraction=0.15, n_iter_no_change=12, random_state=7,
    )  # fmt: skip
    ordered = _ordered(prepared, matrix)
    ordered[:, np.isnan(ordered).all(axis=0)] = 0  # known of nobody yet: no split can be made of it, and no bins
    estimator.fit(ordered, y)
    return Fitted(algorithm, kept, estimator, prepared)


def pack(fitted: Fitted) -> bytes:
    """The model as bytes that hold no code."""
    return bytes(skops.io.dumps(fitted.estimator))


def unpack(data: bytes, algorithm: str, columns: Sequence[Column], prepared: dict[str, Any]) -> Fitted:
    """A model out of its bytes; types other than the known ones are refused."""
    return Fitted(algorithm, tuple(columns), skops.io.loads(data, trusted=TRUSTED), prepared)


def sigmoid(z: Floats) -> Floats:
    """Log-odds as probabilities."""
    return 1.0 / (1.0 + np.exp(-np.clip(z, -STRONGEST, STRONGEST)))


def platt(z: Floats, y: Floats) -> tuple[float, float]:
    """Slope and shift that make log-odds honest (Platt 1999, with his softened targets; Newton's method of Lin, Lin and Weng 2007)."""
    wins, losses = float(y.sum()), float(len(y) - y.sum())
    target = np.where(y > 0, (wins + 1) / (wins + 2), 1 / (losses + 2))
    z, at = np.clip(z, -STRONGEST, STRONGEST), np.array([1.0, 0.0])
    design = np.column_stack([z, np.ones_like(z)])
    for _ in range(50):
        p = sigmoid(design @ at)
        gradient, weights = design.T @ (p - target), np.maximum(p * (1 - p), 1e-9)
        step = np.linalg.solve(design.T @ (design * weights[:, None]) + 1e-6 * np.eye(2), gradient)
        at = at - step
        if np.abs(step).max() < 1e-8:
            break
    return (max(float(at[0]), 0.05), float(at[1])) if np.isfinite(at).all() else (1.0, 0.0)


def _orders(columns: Sequence[Column], matrix: Matrix, y: Floats) -> dict[str, list[float]]:
    """For the trees: the place of every category when they are put in order of how often they win.

    The best split of categories in two is one of that order (Fisher 1958; Breiman and others 1984, 4.2). Small ones are drawn to the mean.
    """
    found, mean = {}, float(y.mean())
    for place, column in enumerate(columns):
        if column.type == "category":
            known, width = ~np.isnan(matrix[:, place]), len(column.categories) + 1
            codes = np.clip(matrix[:, place][known], 0, width - 1).astype(int)
            rates = (np.bincount(codes, y[known], width) + 20 * mean) / (np.bincount(codes, minlength=width) + 20)
            found[str(place)] = [float(rank) for rank in np.argsort(np.argsort(rates, kind="stable"))]
    return found


def _ordered(prepared: dict[str, Any], matrix: Matrix) -> Matrix:
    made = matrix.copy()
    for place, ranks in prepared["orders"].items():
        values = made[:, int(place)]
        known = ~np.isnan(values)
        values[known] = np.asarray(ranks, np.float32)[np.clip(values[known], 0, len(ranks) - 1).astype(int)]
    return made


def _prepare(columns: Sequence[Column], matrix: Matrix) -> dict[str, Any]:
    """For the logistic regression: per number its bounds, median, mean and spread, and the mean of every derived column."""
    numbers = {}
    for place, column in enumerate(columns):
        if column.type == "number":
            known = matrix[:, place][~np.isnan(matrix[:, place])].astype(float)
            low, high = np.quantile(known, [0.01, 0.99]) if len(known) else (0.0, 0.0)
            clipped = np.clip(known, low, high)
            log = bool(len(known) and low >= 0 and clipped.mean() > 1.5 * np.median(clipped) and high > 3)
            shaped = np.log1p(clipped) if log else clipped
            mean, spread = (float(shaped.mean()), float(shaped.std())) if len(known) else (0.0, 1.0)
            numbers[str(place)] = [float(low), float(high), log, mean, spread or 1.0]
    prepared: dict[str, Any] = {"numbers": numbers, "means": []}
    prepared["means"] = [float(mean) for mean in _design(columns, prepared, matrix).mean(axis=0)]
    return prepared


def _design(columns: Sequence[Column], prepared: dict[str, Any], matrix: Matrix) -> Floats:
    """Numbers standardised with a column that says whether they are missing, categories one column each."""
    parts = [_derived(column, prepared, place, matrix[:, place]) for place, column in enumerate(columns)]
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(matrix), 0))


def _derived(column: Column, prepared: dict[str, Any], place: int, values: NDArray[np.float32]) -> Floats:
    missing = np.isnan(values)
    if column.type == "number":
        low, high, log, mean, spread = prepared["numbers"][str(place)]
        clipped = np.clip(np.where(missing, low, values).astype(float), low, high)
        shaped = ((np.log1p(clipped) if log else clipped) - mean) / spread
        return np.column_stack([np.where(missing, 0.0, shaped), missing.astype(float)])
    width = len(column.categories) + 2  # any other, and missing
    codes = np.where(missing, width - 1, np.clip(values, 0, width - 2)).astype(int)
    return np.asarray(np.eye(width)[codes])


def _linear(fitted: Fitted, matrix: Matrix) -> tuple[float, Floats]:
    """Exact: coefficient times distance from the mean, summed over what was derived from a column."""
    weights, means = fitted.estimator.coef_[0], np.asarray(fitted.prepared["means"])
    found, start = np.zeros((len(matrix), len(fitted.columns))), 0
    for place, column in enumerate(fitted.columns):
        derived = _derived(column, fitted.prepared, place, matrix[:, place])
        here = slice(start, start + derived.shape[1])
        found[:, place], start = (derived - means[here]) @ weights[here], here.stop
    return float(fitted.estimator.intercept_[0] + means @ weights), found


def _paths(fitted: Fitted, matrix: Matrix) -> tuple[float, Floats]:
    """Exact too: on a row's way down each tree, every split adds the change of the mean to its column (Saabas 2014).

    The parts sum to the model's own log-odds. A column may get what belongs to the interaction with one above it.
    """
    base, found = float(np.ravel(fitted.estimator._baseline_prediction)[0]), np.zeros((len(fitted.columns), len(matrix)), np.float32)
    columns = np.asfortranarray(_ordered(fitted.prepared, matrix))
    for (predictor,) in fitted.estimator._predictors:
        nodes, mean = predictor.nodes, _means(predictor.nodes)
        base += mean[0]
        _walk(nodes, mean, columns, found)
    return base, found.T.astype(float)


def _means(nodes: NDArray[Any]) -> Floats:
    """The mean outcome under each node, from its leaves; children stand behind their parents."""
    mean = nodes["value"].astype(float)
    for at in range(len(nodes) - 1, -1, -1):
        if not nodes["is_leaf"][at]:
            left, right = nodes["left"][at], nodes["right"][at]
            a, b = nodes["count"][left], nodes["count"][right]
            mean[at] = (mean[left] * a + mean[right] * b) / max(1, int(a) + int(b))
    return mean


def _walk(nodes: NDArray[Any], mean: Floats, columns: Matrix, found: NDArray[np.float32]) -> None:
    """Split the rows at each node, adding to the node's column what each side gained."""
    waiting: list[tuple[int, NDArray[np.intp]]] = [(0, np.arange(columns.shape[0]))]
    while waiting:
        at, rows = waiting.pop()
        node = nodes[at]
        if node["is_leaf"] or not len(rows):
            continue
        place = int(node["feature_idx"])
        values = columns[:, place][rows]
        left = values <= node["num_threshold"]  # never true of a missing value
        if node["missing_go_to_left"]:
            left |= np.isnan(values)
        for child, side in ((int(node["left"]), rows[left]), (int(node["right"]), rows[~left])):
            found[place][side] += np.float32(mean[child] - mean[at])
            waiting.append((child, side))
