"""Columns that know the outcome: what each alone says about it, whether filling it in follows it, when it was learned. No names, only figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm.scores.estimate import Column, Matrix
from crm.scores.measure import Floats, auc, wilson

ALONE = 0.85  # AUC of one column by itself: what is honestly known of a lead before it is won does not say that much
PRESENCE = 0.62  # AUC of whether it is filled in at all
PRESENCE_RATIO = 2.0  # and how many times as often those win for whom it is
SURE_RATE, SURE_SHARE = 0.9, 0.2  # values that nearly always win, and the share of all wins they hold
LATE = 0.3  # of the winners' values, learned only once they had won; or of the others', once they were given up
LEAST = 30  # rows behind any evidence
FOLDS, PRIOR = 5, 10.0
Evidence = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Learned:
    """When a column's values became known, for winners or for those given up: the share learned at or after that, of how many."""

    share: float
    of: int
    won: bool = True


def scan(columns: Sequence[Column], matrix: Matrix, y: Floats, learned: dict[str, list[Learned]]) -> dict[str, list[Evidence]]:
    """Evidence per column that is to be left out until a person approves it; a column without any is not in the answer."""
    fold = np.random.default_rng(11).integers(0, FOLDS, len(y))
    found = {}
    for place, column in enumerate(columns):
        groups = grouped(column, matrix[:, place])
        evidence = [one for one in (_alone(groups, y, fold), _presence(matrix[:, place], y), _sure(column, groups, y)) if one]
        evidence += late(learned.get(column.name, []))
        if evidence:
            found[column.name] = evidence
    return found


def grouped(column: Column, values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Each row's group: its category, or the twentieth its number lies in; missing is group 0."""
    missing = np.isnan(values)
    if column.type == "category":
        return np.where(missing, 0, values + 1).astype(np.int64)
    known = values[~missing]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 21)[1:-1])) if len(known) else np.zeros(0)
    return np.where(missing, 0, np.searchsorted(edges, np.where(missing, 0, values), side="right") + 1).astype(np.int64)


def alone(groups: NDArray[np.int64], y: Floats, fold: NDArray[np.int64]) -> float:
    """AUC out of fold of the win rate of a row's group."""
    guess, width = np.zeros(len(y)), int(groups.max(initial=0)) + 1
    for out in range(FOLDS):
        here = fold != out
        mean = float(y[here].mean())
        rates = (np.bincount(groups[here], y[here], width) + PRIOR * mean) / (np.bincount(groups[here], minlength=width) + PRIOR)
        guess[~here] = rates[groups[~here]]
    return auc(y, guess)


def _alone(groups: NDArray[np.int64], y: Floats, fold: NDArray[np.int64]) -> Evidence | None:
    found = alone(groups, y, fold)
    return {"code": "alone", "auc": round(found, 3)} if found >= ALONE else None


def _presence(values: NDArray[np.float32], y: Floats) -> Evidence | None:
    """Filled in for those who won, empty for the others: as if it were filled in on winning."""
    there = ~np.isnan(values)
    filled, empty = int(there.sum()), int((~there).sum())
    if min(filled, empty) < LEAST:
        return None
    with_, without = float(y[there].mean()), float(y[~there].mean())
    low, high = wilson(y[there].sum(), filled)[0], wilson(y[~there].sum(), empty)[1]
    if auc(y, there.astype(float)) < PRESENCE or low < PRESENCE_RATIO * high:
        return None
    return {"code": "presence", "with": round(with_, 4), "without": round(without, 4), "filled": filled, "empty": empty}


def _sure(column: Column, groups: NDArray[np.int64], y: Floats) -> Evidence | None:
    """Some of its values mean having won."""
    if column.type != "category" or not 0 < y.mean() < 0.7:
        return None
    width = int(groups.max(initial=0)) + 1
    counts, wins = np.bincount(groups, minlength=width), np.bincount(groups, y, width)
    sure = [at for at in range(1, width) if counts[at] >= LEAST and wilson(wins[at], int(counts[at]))[0] >= SURE_RATE]
    share = float(wins[sure].sum() / y.sum())
    if share < SURE_SHARE:
        return None
    names = [column.categories[at - 1] for at in sure if at - 1 < len(column.categories)]
    return {"code": "sure", "values": names[:3], "rate": round(float(wins[sure].sum() / counts[sure].sum()), 4), "share": round(share, 4)}


def late(learned: Sequence[Learned]) -> list[Evidence]:
    """Filled in once it was known what became of them."""
    told = [one for one in learned if one.of >= LEAST and one.share >= LATE]
    return [{"code": "late" if one.won else "late_lost", "share": round(one.share, 4), "of": one.of} for one in told]
