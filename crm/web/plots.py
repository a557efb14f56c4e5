"""Plots drawn on the server as SVG: no script, printed as they are, colours from the page; x runs from left to right in both languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from babel.numbers import format_decimal, format_percent
from markupsafe import Markup

from crm.web.i18n import is_rtl, region

WIDE, HIGH = 560, 240
_SIDE, _TOP, _FOOT, _END = 46, 14, 38, 14
_TITLED = 76  # room for a turned title beside the widest label, in the larger letters of a phone
Point = tuple[float, float]


def calibration(groups: Sequence[dict[str, float]], x_title: str, y_title: str, label: str) -> Markup:
    """Promised against actual, with intervals and the line of truth."""
    top = _nice(max([0.05, *(each["high"] for each in groups), *(each["promised"] for each in groups)]))
    frame = _Frame(top, top, _pct, _pct, side=_TITLED)
    bars = Markup("").join(
        Markup('<line class="p-a p-thin" x1="{x:.1f}" x2="{x:.1f}" y1="{a:.1f}" y2="{b:.1f}"/>').format(
            x=frame.x(each["promised"]), a=frame.y(min(top, each["low"])), b=frame.y(min(top, each["high"]))
        )
        for each in groups
    )
    points = [(each["promised"], each["actual"]) for each in groups]
    return frame.svg(frame.line([(0, 0), (top, top)], "p-c p-dash") + bars + frame.line(points, "p-a") + frame.dots(points), x_title, y_title, label)


def roc(curves: Sequence[tuple[Sequence[Sequence[float]], str]], x_title: str, y_title: str, label: str) -> Markup:
    """Winners found against losers called in vain; each curve with its class."""
    frame = _Frame(1, 1, _pct, _pct, side=_TITLED)
    inner = Markup("").join(frame.line([(one[0], one[1]) for one in curve], cls) for curve, cls in curves)
    return frame.svg(inner + frame.line([(0, 0), (1, 1)], "p-c p-dash"), x_title, y_title, label)


def columns(values: Sequence[float], x_title: str, label: str) -> Markup:
    """Lift of each tenth, against one."""
    top = _nice(max([1.2, *values]))
    frame = _Frame(len(values), top, lambda value: "", lambda value: f"{_number(value)}×")
    inner = Markup("")
    for at, value in enumerate(values):
        a, b = frame.x(at + 0.19), frame.x(at + 0.81)
        inner += Markup('<rect class="p-fill" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>').format(
            a, frame.y(value), b - a, frame.y(0) - frame.y(value)
        )
        inner += Markup('<text class="p-t" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format((a + b) / 2, HIGH - _FOOT + 14, at + 1)
        if at < 3:
            text = Markup('<text class="p-v" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}×</text>')
            inner += text.format((a + b) / 2, frame.y(value) - 4, _number(round(value, 1)))
    return frame.svg(inner + frame.line([(0, 1), (len(values), 1)], "p-c p-dash"), x_title, "", label)


class _Frame:
    """Axes from zero to these tops, and where a value lies on them."""

    def __init__(self, right: float, top: float, x_words: Callable[[float], str], y_words: Callable[[float], str], *, side: int = _SIDE) -> None:
        self.side = side
        self.right, self.top, self._x_words, self._y_words = right, top, x_words, y_words

    def x(self, value: float) -> float:
        return self.side + value / self.right * (WIDE - self.side - _END)

    def y(self, value: float) -> float:
        return HIGH - _FOOT - value / self.top * (HIGH - _FOOT - _TOP)

    def line(self, points: Sequence[Point], cls: str) -> Markup:
        return Markup('<polyline class="{}" fill="none" points="{}"/>').format(cls, " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in points))

    def dots(self, points: Sequence[Point]) -> Markup:
        return Markup("").join(Markup('<circle class="p-fill" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(self.x(a), self.y(b)) for a, b in points)

    def svg(self, inner: Markup, x_title: str, y_title: str, label: str) -> Markup:
        grid = Markup("")
        for share in (0, 0.25, 0.5, 0.75, 1):
            x, y = self.x(self.right * share), self.y(self.top * share)
            grid += Markup('<line class="p-grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(self.side, WIDE - _END, y=y)
            grid += Markup('<text class="p-t" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(self.side - 6, y + 4, self._y_words(self.top * share))
            grid += Markup('<text class="p-t" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(x, HIGH - _FOOT + 15, self._x_words(self.right * share))
        titles = Markup('<text class="p-t" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format((WIDE + self.side) / 2, HIGH - 5, _whole(x_title))
        if y_title:
            turned = Markup('<text class="p-t" transform="translate(16 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>')
            titles += turned.format((HIGH - _FOOT + _TOP) / 2, _whole(y_title))
        return Markup('<svg class="k-chart" viewBox="0 0 {} {}" direction="ltr" role="img" aria-label="{}">{}{}{}</svg>').format(
            WIDE, HIGH, label, grid, inner, titles
        )


def _whole(text: str) -> str:
    """SVG text knows no `<bdi>`."""
    return f"\u2067{text}\u2069" if is_rtl() else text


def _pct(value: float) -> str:
    return format_percent(value, locale=region(), format="#,##0%")


def _number(value: float) -> str:
    return format_decimal(round(value, 2), locale=region())


def _nice(value: float) -> float:
    """A round number at or above."""
    return next((top for top in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 16.0, 20.0) if top >= value), value)
