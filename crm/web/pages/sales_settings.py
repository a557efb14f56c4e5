"""How this company sells: who takes leads, how they are shared out, what is promised, what marketing hands over; pipelines and forms."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from crm.commerce import rates
from crm.core import clock
from crm.core.crypto import Keys
from crm.core.errors import InvalidError
from crm.core.i18n import LANGUAGES
from crm.core.ids import read_number
from crm.sales import board, deals, intake
from crm.sales import settings as rules
from crm.sales.deal_models import Deal, Stage
from crm.sales.intake import Form
from crm.sales.models import Seller
from crm.sales.settings import RULES
from crm.scores import score as scores
from crm.segments.models import Segment
from crm.web import sales_words as words
from crm.web import users
from crm.web.auth import me, requires
from crm.web.db import db, settings
from crm.web.models import User

bp = Blueprint("sales_settings", __name__)
TURNS = 5  # rules of assignment one after the other
LATELY = dt.timedelta(days=90)
RANKED_BY = ("score", "typical", "half_life_days", "answer_minutes")  # a change of these changes every rank


@bp.get("/settings/sales")
@requires("admin")
def page() -> str:
    """Everything on one page."""
    return render_template("sales-settings.html", form_url="", **_values())


@bp.post("/settings/sales")
@requires("admin")
def save() -> Response:
    """Promises, definitions, rules."""
    form = request.form
    before = rules.read(db()).model_dump(mode="json")
    said: dict[str, Any] = {**before, **{name: form[name] for name in ("mql", "sql", "score", "off_duty") if name in form}}
    for name in ("answer_minutes", "escalate_minutes", "half_life_days", "typical"):
        said[name] = form.get(name) or before[name]
    said["escalate_to"] = read_number(form.get("escalate_to", ""))
    said["hot_pages"], said["lost_reasons"] = _lines("hot_pages"), _lines("lost_reasons")
    said |= {name: name in form for name in ("reassign_late", "alert_mail", "order_wins")}
    said["weekdays"] = _numbers("weekdays")
    said["starts"], said["ends"] = _minutes(form.get("starts", "")), _minutes(form.get("ends", ""))
    said["rules"] = [_rule(turn) for turn in range(TURNS) if form.get(f"rule-{turn}")]
    after = rules.save(db(), said, clock.now()).model_dump(mode="json")
    ranks = any(before[name] != after[name] for name in RANKED_BY)
    whom = "open" if ranks else "open AND (owner_id IS NULL OR next_at IS NULL)"
    db().execute(text(f"UPDATE leads SET check_at = :now WHERE {whom}"), {"now": clock.now()})  # noqa: S608  one of two texts of ours
    return _saved("sales.settings", "settings")


@bp.post("/settings/sales/sellers")
@requires("admin")
def seller() -> Response:
    """Somebody takes leads, differently, or none any more."""
    form = request.form
    number = read_number(form.get("user", ""))
    user = None if number is None else db().get(User, number)
    if user is None:
        raise InvalidError(_("Choose a user."))
    away = form.get("away", "")
    values = {
        "user_id": user.id,
        "name": user.name,
        "email": user.email,
        "active": user.active and form.get("act") != "stop",
        "per_day": _whole("per_day", 40),
        "most_open": _whole("most_open", 200),
        "languages": [one for one in form.getlist("languages") if one],
        "territories": [one.strip() for one in form.get("territories", "").split(",") if one.strip()][:50],
        "weekdays": _numbers("weekdays"),
        "starts": _minutes(form.get("starts", "")),
        "ends": _minutes(form.get("ends", "")),
        "away_until": words.moment("", f"{away}T00:00", hours=rules.read(db()).hours(settings().timezone), now=clock.now()) if away else None,
    }
    made = insert(Seller).values(**values)
    db().execute(made.on_conflict_do_update(index_elements=["user_id"], set_=values))
    db().execute(text("UPDATE leads SET check_at = :now WHERE open AND owner_id IS NULL"), {"now": clock.now()})
    return _saved("sales.seller", user.email)


@bp.post("/settings/sales/stages")
@requires("admin")
def stages() -> Response:
    """A pipeline's stages as the form lists them; one that deals stand in stays."""
    form = request.form
    if len({len(form.getlist(name)) for name in ("slug", "name", "goal", "days", "probability")}) > 1:
        raise BadRequest
    there = deals.stages(db(), form.get("pipeline", ""))
    kept = {}
    for place, slug in enumerate(form.getlist("slug")):
        name = form.getlist("name")[place].strip()[:100]
        if name:
            kept[slug or f"s{clock.now():%y%m%d%H%M%S}{place}"] = (place, name, form.getlist("goal")[place][:300], *_stage_numbers(place))
    if not kept:
        raise InvalidError(_("A pipeline needs at least one stage."))
    for one in there:
        if one.slug not in kept:
            if db().scalar(select(Deal.id).where(Deal.stage_id == one.id).limit(1)):
                raise InvalidError(_("Deals stand in “%(stage)s”; move them before it goes.", stage=one.name))
            db().execute(delete(Stage).where(Stage.id == one.id))
    for slug, (position, name, goal, days, probability) in kept.items():
        values = {"position": position, "name": name, "goal": goal, "days": days, "probability": probability}
        made = insert(Stage).values(pipeline_id=there[0].pipeline_id, slug=slug, **values)
        db().execute(made.on_conflict_do_update(index_elements=["pipeline_id", "slug"], set_=values))
    return _saved("sales.stages", form.get("pipeline", ""))


@bp.post("/settings/sales/rates")
@requires("admin")
def rate() -> Response:
    """What another currency is worth from a day on; or a rate that was wrong goes."""
    form, day = request.form, _day(request.form.get("day", ""))
    if form.get("act") == "drop":
        rates.drop(db(), form.get("currency", ""), day)
    else:
        rates.put(db(), form.get("currency", ""), form.get("rate", ""), day=day, shop=settings().currency)
    db().execute(text("UPDATE leads SET check_at = :now WHERE open"), {"now": clock.now()})
    return _saved("sales.rate", form.get("currency", "").upper()[:3])


@bp.post("/settings/sales/form")
@requires("admin")
def make_form() -> str:
    """The signed address of a form; it is not kept, only signed."""
    form = Form(request.form.get("source", "").strip()[:200], request.form.get("campaign", "").strip()[:200], request.form.get("goes_to", "").strip()[:1000])
    if not form.source:
        raise InvalidError(_("Say where these leads come from."))
    url = f"{settings().base_url}/forms/{intake.token(Keys(settings().secret_key), form)}"
    return render_template("sales-settings.html", form_url=url, **_values())


@bp.get("/leads/sources")
@requires()
def sources() -> str:
    """Where leads came from, what one cost, how far they came."""
    now = clock.now()
    rows = board.sources(db(), shop=settings().currency, since=now - LATELY, now=now)
    return render_template("lead-sources.html", rows=rows, since=now - LATELY)


@bp.get("/leads/agreed")
@requires()
def agreed() -> str:
    """What sales agreed to take from marketing and how well that is kept; for a page of marketing, about one segment where it names one."""
    now, sales, about = clock.now(), rules.read(db()), request.args.get("segment")
    segments = [one for one in (sales.mql, sales.sql) if one]
    if not segments or (about and about not in segments):
        return ""
    names = {row.slug: row.name for row in db().execute(select(Segment.slug, Segment.name).where(Segment.slug.in_(segments)))}
    found = board.handed_over(db(), since=now - LATELY, now=now)
    return render_template("lead-agreed.html", rules=sales, names=names, found=found, since=now - LATELY, about=about)


def _values() -> dict[str, Any]:
    people = db().scalars(select(User).where(User.active, User.role.in_(users.SELLERS)).order_by(User.name)).all()
    return {
        "rules": rules.read(db()),
        "rule_words": RULES,
        "turns": TURNS,
        "people": people,
        "sellers": {one.user_id: one for one in db().scalars(select(Seller))},
        "segments": db().execute(select(Segment.slug, Segment.name).order_by(Segment.name)).all(),
        "kinds": {kind: one.title if one.own else _(one.title) for kind, one in scores.asked(db()).items()},
        "pipelines": [(one, deals.stages(db(), one.slug)) for one in board.pipelines(db())],
        "rates": rates.known(db()),
        "shop_currency": settings().currency,
        "today": clock.now().date(),
        "languages_": LANGUAGES,
        "words": words,
        "now": clock.now(),
    }


def _saved(action: str, subject: str) -> Response:
    users.audit(db(), user_id=me().user_id, action=action, subject=subject)
    db().commit()
    flash(_("Saved."), "ok")
    return redirect("/settings/sales")


def _rule(turn: int) -> dict[str, Any]:
    form = request.form
    named = [one.strip() for one in form.get(f"rule-{turn}-sources", "").split(",") if one.strip()]
    return {"kind": form[f"rule-{turn}"], "sources": named, "people": _numbers(f"rule-{turn}-people")}


def _numbers(name: str) -> list[int]:
    return [number for said in request.form.getlist(name) if (number := read_number(said)) is not None]


def _lines(name: str) -> list[str]:
    return [line.strip() for line in request.form.get(name, "").splitlines() if line.strip()][:50]


def _day(said: str) -> dt.date:
    try:
        return dt.date.fromisoformat(said)
    except ValueError as error:
        raise InvalidError(_("This is no day; write it as 2026-05-14.")) from error


def _minutes(said: str) -> int:
    try:
        at = dt.time.fromisoformat(said)
    except ValueError as error:
        raise InvalidError(_("This is no time of day; write it as 09:00.")) from error
    minutes = at.hour * 60 + at.minute
    return 1440 if minutes == 1439 else minutes  # a field of a form cannot say 24:00


def _whole(name: str, default: int) -> int:
    said = request.form.get(name, "")
    return min(int(said), 100_000) if said.isdecimal() and len(said) < 10 and int(said) > 0 else default


def _stage_numbers(place: int) -> tuple[int, float]:
    days, share = request.form.getlist("days")[place], request.form.getlist("probability")[place]
    if not days.isdecimal() or not share.isdecimal() or int(share) > 100 or len(days) > 3:
        raise InvalidError(_("Days and chance of a stage are whole numbers, the chance of a hundred."))
    return int(days), int(share) / 100
