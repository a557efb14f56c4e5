"""Home: what happens now, and what needs somebody."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import Blueprint, render_template
from sqlalchemy import select

from crm.analytics.pulse import pulse
from crm.analytics.recent import Recent, recent_calls
from crm.core import clock
from crm.messages.models import Template
from crm.web.auth import requires
from crm.web.db import db
from crm.web.navigation import is_built
from crm.web.show import midnight, share
from crm.web.titles import as_told

bp = Blueprint("home", __name__)
SHOWN = ("sent", "held", "dropped", "queued", "sending", "failed", "unknown")


@bp.get("/")
@requires()
def page() -> str:
    """The page; its numbers come again every two seconds."""
    return render_template("home.html", **_numbers())


@bp.get("/home/pulse")
@requires()
def live() -> str:
    """The numbers alone."""
    return render_template("home-pulse.html", **_numbers())


@bp.get("/home/feed")
@requires()
def feed() -> str:
    """What has just happened."""
    return render_template("home-feed.html", recent=_recent(clock.now()))


def _recent(now: dt.datetime) -> list[Recent]:
    return [as_told(call) for call in recent_calls(db(), now=now)]


def _numbers() -> dict[str, Any]:
    now = clock.now()
    beat = pulse(db(), now=now, day_start=midnight(now))
    total = beat.messages_total
    parts = [(status, beat.messages_today.get(status, 0), share(beat.messages_today.get(status, 0), total)) for status in SHOWN]
    return {
        "beat": beat,
        "now": now,
        "parts": [part for part in parts if part[1]],
        "minute": beat.events_per_minute[-2],
        "broken": db().scalars(select(Template.name).where(Template.problem.is_not(None)).order_by(Template.name)).all(),
        "recent": _recent(now),
        "runs_path": "/journeys/pulse" if is_built("/journeys/pulse") else "",
    }
