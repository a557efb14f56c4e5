"""Backtests on the screen: choose a period, watch it run, read what would have happened. The designer asks the same in JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request
from flask_babel import gettext as _
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.wrappers import Response as AnyResponse

from crm.core import clock
from crm.core.errors import InvalidError, KesherError
from crm.core.i18n import _l
from crm.messages.channel import registry
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db, settings
from crm.web.isolates import duration
from journeys import backtest, backtest_words, drafts, drawing
from journeys.backtest_models import WORKING, Backtest
from journeys.words import events_in_words, label, named, say, way
from journeys.zones import Instant

bp = Blueprint("backtests", __name__, template_folder="templates")
LAST_DAYS = (7, 30, 90)


class Asked(BaseModel):
    """What to live again."""

    model_config = ConfigDict(extra="forbid")
    since: Instant | None = None
    until: Instant | None = None
    days: int | None = Field(None, ge=1, le=400)
    kind: backtest.Kind = "what_if"
    draft: bool = False
    too_many: int = Field(backtest.TOO_MANY, ge=1, le=100)
    consent: Literal["then", "now"] = "then"

    def period(self, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
        """From when to when; the last so many days where only those are said."""
        until = self.until or now
        return self.since or until - dt.timedelta(days=self.days or LAST_DAYS[-1]), until


@bp.get("/journeys/<slug>/backtest")
@requires(*MAKERS)
def index(slug: str) -> str:
    """The form, what was tested before, and what a message costs."""
    journey, now = drafts.find(db(), slug), clock.now()
    today = now.astimezone(ZoneInfo(settings().timezone)).date()
    return _page(
        "backtests.html",
        slug=slug,
        name=named(journey.name, slug),
        rows=[(row, backtest.progress(row)) for row in backtest.latest(db(), journey)],
        today=today,
        first=today - dt.timedelta(days=LAST_DAYS[-1]),
        has_draft=journey.version is None or drafts.changed(db(), journey, drafts.load(db(), journey, now)),
        published=journey.version is not None,
        prices=backtest.prices(db()),
        channels=list(registry()),
    )


@bp.post("/journeys/<slug>/backtest")
@requires(*MAKERS)
def begin(slug: str) -> AnyResponse:
    """Ask for one."""
    form, zone, slug = request.form, ZoneInfo(settings().timezone), drafts.find(db(), slug).slug
    try:
        since, last = (dt.datetime.combine(dt.date.fromisoformat(form.get(name, "")), dt.time(), zone) for name in ("from", "to"))
        asked = Asked.model_validate({
            "since": since, "until": last + dt.timedelta(days=1), "kind": form.get("kind", "what_if"), "draft": form.get("of") == "draft",
            "too_many": form.get("too_many") or backtest.TOO_MANY, "consent": form.get("consent", "then"),
        })  # fmt: skip
        row = _ask(slug, asked)
    except KesherError as error:
        db().rollback()
        flash(str(_(str(error))), "bad")
        return redirect(f"/journeys/{slug}/backtest")
    except (ValidationError, ValueError, OverflowError):
        db().rollback()
        flash(_("Choose the first and the last day, and how many messages a day are too many."), "bad")
        return redirect(f"/journeys/{slug}/backtest")
    return redirect(f"/journeys/{slug}/backtest/{row.id}")


@bp.get("/journeys/<slug>/backtest/<int:number>")
@requires(*MAKERS)
def show(slug: str, number: int) -> str:
    """Where it stands, and what came out."""
    journey, now = drafts.find(db(), slug), clock.now()
    row = backtest.find(db(), journey, number)
    graph = backtest_words.drawn(row)
    picture = drawing.draw(graph, way) if graph and row.report.get("nodes") else None
    found = {"row": row, "graph": graph, "picture": picture, "outline": drawing.outline(graph) if graph else []}
    days = [(day, sum(by.values()), by) for day, by in _every_day(row).items()]
    return _page("backtest.html", slug=slug, name=named(journey.name, slug), working=row.status in WORKING, told=backtest_words.whole(row, now), days=days,
                 most=max((total for _, total, _ in days), default=0), **found)  # fmt: skip


@bp.get("/journeys/<slug>/backtest/<int:number>/progress")
@requires(*MAKERS)
def progress(slug: str, number: int) -> str | AnyResponse:
    """People done, left, time to go; asks for the whole page anew when the work is over."""
    row = backtest.find(db(), drafts.find(db(), slug), number)
    if row.status not in WORKING:
        return Response(status=204, headers={"HX-Refresh": "true"})
    return _page("backtest-progress.html", slug=slug, row=row, told=backtest_words.whole(row, clock.now()))


@bp.post("/journeys/<slug>/backtest/<int:number>/cancel")
@requires(*MAKERS)
def stop(slug: str, number: int) -> AnyResponse:
    """Stop it where it is."""
    row = backtest.find(db(), drafts.find(db(), slug), number)
    backtest.cancel(db(), row.id, clock.now())
    db().commit()
    return redirect(f"/journeys/{slug}/backtest/{number}")


@bp.post("/journeys/<slug>/backtest/prices")
@requires(*MAKERS)
def price(slug: str) -> AnyResponse:
    """What a message over each channel costs."""
    slug = drafts.find(db(), slug).slug
    try:
        for channel in registry():
            said = request.form.get(channel, "").strip()
            backtest.set_price(db(), channel, Decimal(said) if said else None, settings().currency)
    except (InvalidOperation, InvalidError):
        db().rollback()
        flash(_("A price is a number that is not negative."), "bad")
    else:
        users.audit(db(), user_id=me().user_id, action="prices.set", subject="channels")
        db().commit()
        flash(_("Prices are kept; the next backtest counts with them."), "ok")
    return redirect(f"/journeys/{slug}/backtest")


@bp.post("/journeys/<slug>/backtests")
@requires(*MAKERS)
def ask(slug: str) -> Response | tuple[Response, int]:
    """The designer asks for one."""
    try:
        row = _ask(slug, Asked.model_validate(request.get_json()))
    except ValidationError as error:
        return jsonify({"error": "; ".join(each["msg"] for each in error.errors())}), 400
    except InvalidError as error:
        db().rollback()
        return jsonify({"error": str(_(str(error)))}), error.status
    return jsonify(backtest_words.whole(row, clock.now()))


@bp.get("/journeys/<slug>/backtests/<int:number>")
@requires(*MAKERS)
def look(slug: str, number: int) -> Response:
    """The designer looks how far it is."""
    row = backtest.find(db(), drafts.find(db(), slug), number)
    return jsonify(backtest_words.whole(row, clock.now()))


@bp.delete("/journeys/<slug>/backtests/<int:number>")
@requires(*MAKERS)
def give_up(slug: str, number: int) -> Response:
    """The designer stops it."""
    row = backtest.find(db(), drafts.find(db(), slug), number)
    backtest.cancel(db(), row.id, clock.now())
    db().commit()
    db().refresh(row)
    return jsonify(backtest_words.whole(row, clock.now()))


def _ask(slug: str, asked: Asked) -> Backtest:
    now = clock.now()
    chosen = {"too_many": asked.too_many, "consent": asked.consent}
    row = backtest.ask(db(), slug, kind=asked.kind, period=asked.period(now), settings=chosen, now=now, by=me().email, draft=asked.draft)
    db().commit()
    return row


def _every_day(row: Backtest) -> Mapping[dt.date, Mapping[str, int]]:
    """Each day of the period with its messages by channel, those without any too."""
    counted, zone = row.report.get("days", {}), ZoneInfo(settings().timezone)
    first, last = row.from_at.astimezone(zone).date(), (row.to_at - dt.timedelta(microseconds=1)).astimezone(zone).date()
    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)] if counted else []
    return {day: counted.get(day.isoformat(), {}) for day in days}


def _page(template: str, **values: Any) -> str:
    shown = {"say": say, "label": label, "way": way, "events_in_words": events_in_words, "duration": duration, "bt": backtest_words, "last_days": LAST_DAYS}
    return render_template(f"journeys/{template}", **shown, **values)


PANEL = {  # what the designer's panel says, by key
    "bt_ago": _l("Last %(n)s days"),
    "bt_cancel": _l("Stop"),
    "bt_collisions_none": _l("Nobody would get more than %(n)s messages a day."),
    "bt_collisions_said": _l("People who would get more than %(too_many)s messages a day: %(people)s"),
    "bt_days": _l("Messages a day"),
    "bt_entered": _l("People who enter: %(people)s, runs: %(runs)s"),
    "bt_held": _l("Held back"),
    "bt_hide": _l("Counts off the drawing"),
    "bt_most": _l("at most %(n)s on one day"),
    "bt_more": _l("The whole report"),
    "bt_nobody": _l("Nobody would have entered in this time."),
    "bt_on": _l("%(day)s: %(n)s"),
    "bt_period": _l("Period"),
    "bt_progress": _l("%(done)s of %(total)s people"),
    "bt_run": _l("Run"),
    "bt_running": _l("The backtest is under way"),
    "bt_said": _l("Backtest done; its counts are on the drawing"),
    "bt_sent": _l("Messages sent: %(n)s"),
    "bt_show": _l("Counts on the drawing"),
    "bt_title": _l("Backtest"),
}
