"""What a version needs beside its estimator to give scores: calibration, bands, what would raise it, the spread of each feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm.scores.estimate import Column, Fitted, Matrix
from crm.scores.feature_list import BUILT_IN
from crm.scores.measure import Floats
from crm.scores.score_models import BANDS

TOP = (0.10, 0.30, 0.60)  # hot is the first tenth of those it was judged on, warm the next fifth, cool the next three tenths
SHARES = (0.10, 0.20, 0.30, 0.40)  # of those it was judged on, in each band
RULES = (0.75, 0.45, 0.15)  # by rules: of the points
BINS = 10
GOOD = 0.9  # what would raise a score is what the best tenth has
SAMPLE = 5_000
LEAST_LIVELY = 50
_MAY_RAISE = {one.name for one in BUILT_IN if one.raise_it}


def serving_of(
    columns: Sequence[Column], matrix: Matrix, fitted: Fitted, calibration: tuple[float, float], p: Floats, *, lively: NDArray[np.bool_]
) -> dict[str, Any]:
    """As it is kept; plain numbers, so that any score can be computed again from the row. `lively` are the rows that drift is told from."""
    chosen = np.linspace(0, len(matrix) - 1, min(len(matrix), SAMPLE)).astype(int)
    _base, added = fitted.added(matrix[chosen])
    alive = int(lively.sum()) >= LEAST_LIVELY
    seen = matrix[lively] if alive else matrix
    return {
        "prepared": fitted.prepared,
        "calibration": list(calibration),
        "bands": [float(cut) for cut in np.quantile(p, [1 - share for share in TOP])],
        "raises": {str(place): _good(matrix[chosen, place], added[:, place]) for place, column in enumerate(columns) if may_raise(column.name)},
        "spread": [spread_of(column, seen[:, place]) for place, column in enumerate(columns)],
        "spread_of": {"rows": len(seen), "lively": alive},
    }


def may_raise(name: str) -> bool:
    """Whether it is something that could still happen."""
    return name in _MAY_RAISE or name.startswith("did:")


def bands(p: Floats, cuts: Sequence[float]) -> NDArray[np.int64]:
    """The place in BANDS of each probability."""
    hot, warm, cool = cuts
    return np.select([p >= hot, p >= warm, p >= cool], [0, 1, 2], default=len(BANDS) - 1)


def spread_of(column: Column, values: Any) -> dict[str, list[float]]:
    """Edges of its groups (none for categories) and the share of people in each, missing first."""
    if column.type == "category":
        return {"edges": [], "shares": _shares(codes_of(column, values), len(column.categories) + 2)}
    known = values[~np.isnan(values)]
    edges = [float(edge) for edge in np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))] if len(known) else []
    return {"edges": edges, "shares": _shares(groups_of(edges, values), len(edges) + 2)}


def shares_now(column: Column, spread: dict[str, list[float]], values: Any) -> Floats:
    """The same groups, with the shares of other people."""
    if column.type == "category":
        return np.asarray(_shares(codes_of(column, values), len(column.categories) + 2))
    return np.asarray(_shares(groups_of(spread["edges"], values), len(spread["edges"]) + 2))


def codes_of(column: Column, values: Any) -> NDArray[np.int64]:
    """Missing 0, then the categories, then any other."""
    missing = np.isnan(values)
    return np.where(missing, 0, np.clip(np.where(missing, 0, values), 0, len(column.categories)) + 1).astype(np.int64)


def groups_of(edges: Sequence[float], values: Any) -> NDArray[np.int64]:
    """Missing 0, then between the edges."""
    missing = np.isnan(values)
    return np.where(missing, 0, np.searchsorted(np.asarray(edges), np.where(missing, 0, values), side="left") + 1).astype(np.int64)


def _shares(groups: NDArray[np.int64], width: int) -> list[float]:
    return [round(float(share), 6) for share in np.bincount(groups, minlength=width) / max(1, len(groups))]


def _good(values: Any, added: Floats) -> list[float]:
    """What the column adds for the best tenth, and the value they typically have."""
    high = float(np.quantile(added, GOOD))
    best = values[(added >= high) & ~np.isnan(values)]
    return [high, float(np.median(best)) if len(best) else 0.0]
