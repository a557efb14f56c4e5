"""How values look on a page: numbers, money, moments, icons; every one isolated from the direction around it."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_skeleton, format_timedelta
from babel.numbers import format_percent
from flask import Flask, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup, escape

from crm.analytics.pulse import Count
from crm.core import clock
from crm.core.i18n import LANGUAGES, _l, direction
from crm.messages.sandbox import web_address
from crm.web import change_words, navigation, phrases, words
from crm.web.db import settings
from crm.web.i18n import is_rtl, language, region
from crm.web.isolates import bdi, ltr, money, num, sentence

STATIC = Path(__file__).parent / "static"
_HOW = {"exact": "%(n)s", "about": _l("about %(n)s"), "at_least": _l("at least %(n)s")}
MIRRORED = frozenset(  # icons with a direction, flipped in right-to-left
    (
        "arrow-right",
        "arrow-left",
        "chevron-right",
        "chevron-left",
        "send",
        "logout",
        "login-2",
        "external-link",
        "route",
        "message-2",
        "list-check",
        "door-exit",
    )
)


def install(app: Flask) -> None:
    """Give templates these functions."""
    functions: tuple[Callable[..., object], ...] = (
        *(asset, icon, num, money, pct, day, at, ago, span, ltr, bdi, spark, share, counted, clock_time, day_title, long_day, seen_now, url, language_links),
        word,
        *(words.event_title, words.event_icon, words.reason, words.status_word),
        *phrases.ALL,
        *change_words.ALL,
        navigation.is_built,
        web_address,
    )
    app.jinja_env.globals.update({f.__name__: f for f in functions}, csrf_token=generate_csrf, languages=LANGUAGES)
    app.context_processor(_context)


def _context() -> dict[str, object]:
    return {
        "lang": language(),
        "rtl": is_rtl(),
        "dir": direction(language()),
        "other": "en" if is_rtl() else "he",
        "config_": settings(),
        "nav_items": navigation.visible(),
        "here": request.full_path.rstrip("?"),
        "signed_in": current_user,
    }


@functools.cache
def _version(name: str) -> str:
    path = STATIC / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10] if path.exists() else "0"


def asset(name: str) -> str:
    """The address of a file in static/, changing with its content so that it may be cached for ever."""
    return url_for("static", filename=name, v=_version(name))


def icon(name: str, cls: str = "") -> Markup:
    """One icon of the sprite, mirrored where it has a direction."""
    flip = " k-flip" if name in MIRRORED else ""
    return Markup('<svg class="k-i{} {}" aria-hidden="true"><use href="{}#i-{}"/></svg>').format(flip, cls, asset("vendor/icons.svg"), name)


def pct(share: float) -> Markup:
    """A share of one as a whole percentage."""
    return bdi(format_percent(share, locale=region(), format="#,##0%"))


def local(moment: dt.datetime) -> dt.datetime:
    """The moment on the installation's clock."""
    return moment.astimezone(ZoneInfo(settings().timezone))


def midnight(now: dt.datetime) -> dt.datetime:
    """Today's beginning on the installation's clock."""
    return local(now).replace(hour=0, minute=0, second=0, microsecond=0)


def day(moment: dt.datetime) -> Markup:
    """The day, with its year where it is not this one."""
    here = local(moment)
    skeleton = "MMMd" if here.year == local(clock.now()).year else "yMMMd"
    return _time(moment, format_skeleton(skeleton, here, locale=region()))


def at(moment: dt.datetime) -> Markup:
    """The time of day today, else day and time."""
    here = local(moment)
    if here.date() == local(clock.now()).date():
        return _time(moment, f"{here:%H:%M}")
    return _time(moment, _("%(day)s, %(time)s", day=_plain_day(here), time=f"{here:%H:%M}"))


def ago(moment: dt.datetime) -> Markup:
    """How long ago (or ahead), in words."""
    return _time(moment, format_timedelta(moment - clock.now(), add_direction=True, locale=region()))


def span(seconds: float) -> str:
    """A duration in words."""
    return format_timedelta(dt.timedelta(seconds=seconds), locale=region())


def counted(count: Count) -> Markup:
    """A number that may be an estimate or a lower bound, and says so."""
    return Markup(_(_HOW[count.how]) % {"n": num(count.value)})  # noqa: S704  a number we wrote


def clock_time(moment: dt.datetime) -> Markup:
    """Hours and minutes on the installation's clock."""
    return ltr(f"{local(moment):%H:%M}")


def day_title(date: dt.date) -> str:
    """Today, yesterday, or the date."""
    apart = (local(clock.now()).date() - date).days
    return {0: _("Today"), 1: _("Yesterday")}.get(apart) or _plain_day(dt.datetime.combine(date, dt.time(12)))


def long_day(moment: dt.datetime) -> str:
    """The weekday, date and time in words."""
    here = local(moment)
    return sentence("%(day)s, %(time)s", day=format_date(here, "full", locale=region()), time=f"{here:%H:%M}")


def seen_now(moment: dt.datetime) -> bool:
    """Whether this was within the last five minutes."""
    return clock.now() - moment < dt.timedelta(minutes=5)


def word(text: str) -> str:
    """A word or sentence looked up by a page, in its language; unlike what `_` says of a fixed one, it is escaped where it is shown."""
    return _(text) if text else ""


def url(path: str, **args: object) -> str:
    """A path with the arguments that are not empty."""
    query = urlencode({key: value for key, value in args.items() if value})
    return f"{path}?{query}" if query else path


def language_links(path: str, codes: Sequence[str], chosen: str, profile: object, width: str) -> list[tuple[str, str, bool]]:
    """The choice of a template's language, as links."""
    return [(url(path, language=code, profile=profile, width=width), LANGUAGES.get(code, code), code == chosen) for code in codes]


def spark(values: Sequence[float], width: int = 300, height: int = 32, label: str = "") -> Markup:
    """A line over a soft area; x runs from left to right in both languages."""
    values = [*values] * 2 if len(values) == 1 else values  # what was counted once is level, not falling to nothing
    high = max([*values, 1])
    step = width / max(len(values) - 1, 1)
    points = " ".join(f"{index * step:.1f},{height - 2 - value / high * (height - 4):.1f}" for index, value in enumerate(values))
    return Markup(
        '<svg class="k-spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<polygon class="k-spark-area" points="0,{h} {p} {w},{h}"/><polyline class="k-spark-line" points="{p}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(w=width, h=height, p=points, label=label)


def share(part: float, whole: float) -> float:
    """A percentage for a bar's width, 0 where there is nothing."""
    return 0.0 if not whole else math.floor(part / whole * 1000) / 10


def _plain_day(here: dt.datetime) -> str:
    skeleton = "MMMd" if here.year == local(clock.now()).year else "yMMMd"
    return format_skeleton(skeleton, here, locale=region())


def _time(moment: dt.datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" title="{}"><bdi>{}</bdi></time>').format(moment.isoformat(), f"{local(moment):%Y-%m-%d %H:%M:%S}", escape(text))
