"""A value that holds until it changes, drawn over time: a line in steps, with the stretches in which it was nothing shaded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 600, 120
Point = tuple[dt.datetime, float | None]


def steps(points: Sequence[Point], since: dt.datetime, until: dt.datetime, label: str) -> Markup:
    """An SVG; time runs from left to right in both languages. Empty where nothing was ever said."""
    known = [(at, value) for at, value in points if value is not None]
    if not known:
        return Markup("")
    high = max(1.0, *(value for _, value in known))
    ends = [at for at, _ in points[1:]] + [until]
    spans = [(_x(max(at, since), since, until), _x(end, since, until), value) for (at, value), end in zip(points, ends, strict=True)]
    gone = Markup("").join(_gap(begin, end) for begin, end, value in spans if value == 0)
    line = " ".join(f"{begin:.1f},{_y(value, high):.1f} {end:.1f},{_y(value, high):.1f}" for begin, end, value in spans if value is not None)
    return Markup(
        '<svg class="k-steps" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">{gone}'
        '<polyline class="k-spark-line" points="{line}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, label=label, gone=gone, line=line)


def _gap(begin: float, end: float) -> Markup:
    return Markup('<rect class="k-steps-none" x="{}" y="0" width="{}" height="{}"/>').format(f"{begin:.1f}", f"{max(end - begin, 1):.1f}", HEIGHT)


def _x(at: dt.datetime, since: dt.datetime, until: dt.datetime) -> float:
    return WIDTH * max(0.0, min(1.0, (at - since) / (until - since)))


def _y(value: float, high: float) -> float:
    return HEIGHT - 4 - value / high * (HEIGHT - 10)
