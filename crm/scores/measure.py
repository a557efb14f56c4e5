"""How good probabilities are: order, honesty, use; each with an interval. Arrays of floats, `y` of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 200  # of the bootstrap
FIRST = 20  # whom a salesperson calls in a morning


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where 95 % of the bootstrap's lie; it lies there too."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """For the row of the version."""
        return {"value": round(self.value, 5), "low": round(self.low, 5), "high": round(self.high, 5)}


def auc(y: Floats, p: Floats) -> float:
    """The chance that a random winner stands above a random loser, ties counting half (Mann and Whitney 1947); .5 where one kind is missing."""
    wins = float(y.sum())
    losses = len(y) - wins
    if not wins or not losses:
        return 0.5
    order = np.argsort(p, kind="stable")
    ranked = p[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    ends = np.r_[starts[1:], len(p)]
    ranks = np.repeat((starts + ends + 1) / 2, ends - starts)
    return float((ranks[y[order] > 0].sum() - wins * (wins + 1) / 2) / (wins * losses))


def average_precision(y: Floats, p: Floats) -> float:
    """The mean of the precision at each winner, from the top; tied rows count together."""
    wins = y.sum()
    if not wins:
        return 0.0
    order = np.argsort(-p, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(p[order])), len(p) - 1]
    found = np.cumsum(y[order])[last]
    return float(np.sum(np.diff(np.r_[0.0, found]) * found / (last + 1)) / wins)


def brier(y: Floats, p: Floats) -> float:
    """Mean squared distance between promise and outcome (Brier 1950)."""
    return float(np.mean((p - y) ** 2))


def groups(y: Floats, p: Floats, n: int = 10) -> list[dict[str, float]]:
    """Ten groups of equal size by promise: what was promised and what happened, with the Wilson interval of it."""
    found = []
    for part in np.array_split(np.argsort(p, kind="stable"), n):
        if len(part):
            low, high = wilson(float(y[part].sum()), len(part))
            found.append({"promised": float(p[part].mean()), "actual": float(y[part].mean()), "low": low, "high": high, "n": len(part)})
    return found


def calibration_error(y: Floats, p: Floats) -> float:
    """Expected calibration error over ten groups of equal size (Naeini and others 2015)."""
    found = groups(y, p)
    return sum(each["n"] * abs(each["promised"] - each["actual"]) for each in found) / max(1, len(y))


def lift(y: Floats, p: Floats, share: float = 0.1) -> float:
    """How many times as often the first tenth wins as all do."""
    first = max(1, round(len(y) * share))
    rate = float(y.mean()) if len(y) else 0.0
    return float(y[np.argsort(-p, kind="stable")[:first]].mean()) / rate if rate else 1.0


def precision_first(y: Floats, p: Floats, first: int = FIRST) -> float:
    """Which share of the first twenty won."""
    return float(y[np.argsort(-p, kind="stable")[:first]].mean()) if len(y) else 0.0


MEASURES: dict[str, Callable[[Floats, Floats], float]] = {
    "auc": auc, "ap": average_precision, "brier": brier, "ece": calibration_error, "lift10": lift, "p20": precision_first,
}  # fmt: skip


def wilson(wins: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share (Wilson 1927)."""
    if not n:
        return 0.0, 1.0
    share, z2 = wins / n, z * z
    middle, spread = (share + z2 / (2 * n)) / (1 + z2 / n), z / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, float(middle - spread)), min(1.0, float(middle + spread))


def bootstrap(y: Floats, p: Floats, measure: Callable[[Floats, Floats], float], draws: int = DRAWS) -> Interval:
    """A measure with its 95 % percentile interval (Efron 1979), the same on every run.

    Chance alone makes an error of calibration larger, and drawing again adds chance: the interval reaches down to the figure, which would lie below it.
    """
    chance = np.random.default_rng(20)
    found = [measure(y[rows], p[rows]) for rows in (chance.integers(0, len(y), len(y)) for _ in range(_draws(len(y), draws)))]
    low, high = np.quantile(found, [0.025, 0.975])
    value = measure(y, p)
    return Interval(value, min(value, float(low)), max(value, float(high)))


def report(y: Floats, p: Floats, rules: Floats) -> dict[str, Any]:
    """Every measure with its interval, beside that of the rules; points are no probabilities, so only their order is judged."""
    found: dict[str, Any] = {}
    for name, measure in MEASURES.items():
        found[name] = bootstrap(y, p, measure).as_dict()
        if name not in {"brier", "ece"}:
            found[name]["rules"] = round(measure(y, rules), 5)
    return found


def roc(y: Floats, p: Floats, points: int = 40) -> list[tuple[float, float]]:
    """Losers called in vain against winners found, thinned for a plot."""
    order = np.argsort(-p, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(p[order])), len(p) - 1]
    won = np.cumsum(y[order])[last]
    lost = last + 1 - won
    vain, found = np.r_[0.0, lost / max(1.0, lost[-1])], np.r_[0.0, won / max(1.0, won[-1])]
    keep = np.unique(np.searchsorted(vain, np.linspace(0, 1, points)).clip(0, len(vain) - 1))
    return [(round(float(vain[at]), 4), round(float(found[at]), 4)) for at in np.union1d(keep, [0, len(vain) - 1])]


def tenths(y: Floats, p: Floats) -> list[float]:
    """Lift of each tenth of the queue, from the top."""
    rate = float(y.mean()) or 1.0
    return [round(float(y[part].mean()) / rate, 3) for part in np.array_split(np.argsort(-p, kind="stable"), 10) if len(part)]


def psi(before: Floats, now: Floats, least: float = 1e-4) -> float:
    """Population stability index of two spreads over the same groups (Siddiqi 2006): over .1 moved, over .25 moved much.

    No share counts as less than `least`.
    """
    a, b = np.maximum(before, least), np.maximum(now, least)
    return float(np.sum((b - a) * np.log(b / a)))


def psi_by_chance(groups: int, before: int, now: int, z: float) -> tuple[float, float]:
    """The index of so many people then and now where nothing moved: on average, and what it exceeds by z deviations.

    It is nearly chi-square (Yurdakul 2018); the second by the normal form of that (Wilson and Hilferty 1931).
    """
    free, scale = max(1, groups - 1), 1 / max(1, before) + 1 / max(1, now)
    return free * scale, float(free * (1 - 2 / (9 * free) + z * np.sqrt(2 / (9 * free))) ** 3 * scale)


def _draws(rows: int, draws: int) -> int:
    """Fewer where there are so many rows that the interval is narrow anyway."""
    return draws if rows <= 20_000 else max(50, draws * 20_000 // rows)
