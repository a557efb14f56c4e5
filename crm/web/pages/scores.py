"""Scores: which there are, how good each is, what was left out, labels of the company's own, a person's reasons."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError
from crm.scores import jobs, read
from crm.scores.score import Label
from crm.scores.score_models import ScorePast
from crm.segments import seen
from crm.web import plots, users
from crm.web import score_words as said
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db

bp = Blueprint("scores", __name__, url_prefix="/scores")
SELLERS = ("admin", "marketer", "sales")
GOALS = ("event", "deal", "column")


@bp.get("")
@requires()
def index() -> str:
    """Every score, whether a model or rules are in use, and how many people are in each band."""
    return render_template("scores.html", lines=read.lines(db()), said=said, may=me().may(*MAKERS))


@bp.get("/new")
@requires(*MAKERS)
def new() -> str:
    """What counts as success."""
    return _form({})


@bp.post("/new")
@requires(*MAKERS)
def make() -> str | Response:
    """Keep a label of the company's own and train it."""
    form = request.form
    try:
        kind = read.make_label(db(), title=form.get("title", ""), label=_label(), user_id=me().user_id, now=clock.now())
    except InvalidError as error:
        return _form(form.to_dict(), _(str(error)))
    users.audit(db(), user_id=me().user_id, action="score.created", subject=kind, detail=_label().as_dict())
    db().commit()
    flash(_("Saved. It is being trained; until then rules stand in."), "ok")
    return redirect(f"/scores/{kind}")


@bp.get("/<kind>")
@requires()
def show(kind: str) -> str:
    """How good a score is; `version` shows an earlier one."""
    return _page(kind, "score.html")


@bp.get("/<kind>/card")
@requires()
def card(kind: str) -> str:
    """The model card: what it is for, what it learned from, how it was judged, what it does not know."""
    return _page(kind, "score-card.html")


@bp.get("/<kind>/job")
@requires()
def job(kind: str) -> str | Response:
    """How far a training is; asks for the whole page anew when it is over."""
    found = read.view(db(), kind).job
    if found is None or found.status not in {"waiting", "running"}:
        return Response(status=204, headers={"HX-Refresh": "true"})
    return render_template("score-job.html", kind=kind, job=found, said=said)


@bp.post("/<kind>")
@requires(*MAKERS)
def act(kind: str) -> Response:
    """Train, score everybody, use rules or the model, approve a column or leave it out again, remove an own score."""
    wish, now, session = request.form.get("act", ""), clock.now(), db()
    score = read.view(session, kind).score
    feature = request.form.get("feature", "")
    if wish == "train" and score.label is not None:
        jobs.ask(session, kind, user_id=me().user_id, now=now)
    elif wish == "apply":
        jobs.score_everybody(session, kind, now=now)
    elif wish in {"rules", "model"}:
        jobs.use_rules(session, kind, rules=wish == "rules", now=now)
    elif wish in {"approve", "disapprove"}:
        read.approve(session, kind, feature, yes=wish == "approve", user_id=me().user_id, now=now)
    elif wish == "remove" and score.own:
        read.drop(session, kind)
    else:
        raise InvalidError(_("This is not something a score can do."))
    users.audit(session, user_id=me().user_id, action=f"score.{wish}", subject=kind, detail={"feature": feature} if feature else {})
    session.commit()
    if wish == "apply":
        flash(_("Everybody is being scored."), "ok")
    return redirect("/scores" if wish == "remove" else f"/scores/{kind}")


@bp.get("/of/<uuid:profile_id>")
@requires()
def of(profile_id: uuid.UUID) -> str:
    """A person's scores with their reasons, for other pages; `kind` asks for one, `part=wrong` only for the way to contradict it."""
    wanted, part = request.args.get("kind", ""), request.args.get("part", "")
    return _of(profile_id, wanted, part)


@bp.post("/of/<uuid:profile_id>/wrong")
@requires(*SELLERS)
def wrong(profile_id: uuid.UUID) -> str:
    """Somebody who knows the person contradicts a score, or takes that back."""
    kind, will, by = request.form.get("kind", ""), request.form.get("will", ""), me().user_id
    if will == "back":
        read.take_back(db(), profile_id, kind)
        users.audit(db(), user_id=by, action="score.not_wrong", subject=str(profile_id), detail={"kind": kind})
    else:
        read.say_wrong(db(), profile_id, kind, positive=will == "yes", user_id=by, now=clock.now())
        users.audit(db(), user_id=by, action="score.wrong", subject=str(profile_id), detail={"kind": kind, "will": will == "yes"})
    db().commit()
    return _of(profile_id, kind, "wrong")


@bp.post("/of/<uuid:profile_id>/past/<int:past_id>")
@requires()
def ask(profile_id: uuid.UUID, past_id: int) -> str:
    """How did an earlier score come about? The scoring process works it out again."""
    row = read.ask_past(db(), profile_id, past_id, now=clock.now())
    db().commit()
    return _past(row)


@bp.get("/of/<uuid:profile_id>/past/<int:past_id>")
@requires()
def answer(profile_id: uuid.UUID, past_id: int) -> str:
    """The answer, or that it is waited for."""
    return _past(read.past_row(db(), profile_id, past_id))


def _past(row: ScorePast) -> str:
    return render_template("score-past.html", row=row, said=said, number=read.numbers(db(), [row]).get(row.version_id or 0))


def _of(profile_id: uuid.UUID, wanted: str, part: str) -> str:
    rows = [row for row in read.of(db(), profile_id) if not wanted or row[0].kind == wanted]
    values = {"part": part, "one": bool(wanted), "said": said, "may": me().may(*SELLERS), "told": read.contradicted(db(), profile_id, now=clock.now())}
    numbers = read.numbers(db(), [row for _score, _now, past in rows for row in past]) if part != "wrong" else {}
    return render_template("scores-of.html", rows=rows, profile_id=profile_id, numbers=numbers, **values)


def _page(kind: str, template: str) -> str:
    asked = request.args.get("version", "")
    view = read.view(db(), kind, int(asked) if asked.isdecimal() and len(asked) < 10 else None)
    values: dict[str, Any] = {"v": view, "said": said, "may": me().may(*MAKERS), "figures": view.shown.metrics if view.shown else None}
    return render_template(template, plots=plots, **values)


def _label() -> Label:
    form = request.form
    goal, days = form.get("goal", ""), form.get("days", "30").strip()
    if goal not in GOALS:
        raise InvalidError(_("Say what counts as success: an event, a stage of deals, or a column and its value."))
    number = int(days) if days.isdecimal() and len(days) < 5 else 0
    if goal == "column":
        values = [one.strip() for one in form.get("values", "").split(",") if one.strip()]
        return Label(column=form.get("column", "").strip(), values=tuple(values[:20]), days=number or 30)
    if goal == "deal":
        stage = form.get("stage", "").strip()[:200]
        return Label(events=_deal_events() if stage else (), stage=stage or None, days=number)
    name = form.get("event", "").strip()[:200]
    return Label(events=(name,) if name else (), days=number)


def _deal_events() -> tuple[str, ...]:
    """The events that tell of a deal's stage."""
    return ("Deal Stage Changed", "Deal Won", "Deal Created")


def _form(form: dict[str, str], error: str = "") -> str:
    columns = read.columns(db())
    offers = {one.name: read.values_of(db(), one.name) for one in columns[:60]}
    return render_template("score-new.html", form=form, error=error, columns=columns, offers=offers, events=seen.event_names(db()))
