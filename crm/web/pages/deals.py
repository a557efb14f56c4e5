"""Deals: the board, one deal, what they will bring and how wrong that was before."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from decimal import Decimal
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.commerce import money, rates
from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.ids import read_id
from crm.profiles import people
from crm.profiles.models import Profile
from crm.sales import board, deals, forecast
from crm.sales.deal_models import Deal, Pipeline
from crm.sales.deals import By, NewDeal
from crm.web import looks, selling
from crm.web import sales_words as words
from crm.web.auth import me, requires
from crm.web.db import db, settings
from crm.web.users import SELLERS

bp = Blueprint("deals", __name__, url_prefix="/deals")
Page = str | Response | tuple[str, int]
LATELY = dt.timedelta(days=180)
_CURRENCY = re.compile("[A-Z]{3}")


@bp.get("")
@requires()
def index() -> str:
    """The board of one pipeline."""
    pipeline, mine = _pipeline(), request.args.get("who") == "mine"
    columns = board.board(db(), pipeline.slug, owner=me().user_id if mine else None, shop=settings().currency, now=clock.now())
    coming = forecast.coming(db(), pipeline.id, shop=settings().currency, now=clock.now())
    before = forecast.past(db(), pipeline.id, shop=settings().currency, zone=settings().timezone, now=clock.now())
    return render_template("deals.html", columns=columns, coming=coming, error=forecast.mean_error(before), months=len(before), mine=mine, **_common(pipeline))


@bp.get("/report")
@requires()
def report() -> str:
    """The forecast beside what came, the stage log, sources, why deals were lost."""
    pipeline, now, shop = _pipeline(), clock.now(), settings().currency
    since = now - LATELY
    before = forecast.past(db(), pipeline.id, shop=shop, zone=settings().timezone, now=now)
    return render_template(
        "deals-report.html",
        coming=forecast.coming(db(), pipeline.id, shop=shop, now=now),
        past=before,
        error=forecast.mean_error(before),
        stages=forecast.stage_log(db(), pipeline.id, since=since),
        closed=forecast.closed(db(), pipeline.id, since=since),
        by_source=forecast.by_source(db(), pipeline.id, shop=shop, since=since),
        reasons=forecast.lost_reasons(db(), pipeline.id, since=since),
        since=since,
        **_common(pipeline),
    )


@bp.get("/new")
@requires(*SELLERS)
def new() -> str:
    """An empty deal with a person."""
    wanted = read_id(request.args.get("person", ""))
    person = db().get(Profile, wanted) if wanted else None
    if person is None:
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    return _form(None, person.id, _pipeline(), currency=settings().currency)


@bp.post("/new")
@requires(*SELLERS)
def create() -> Page:
    """Open it; what cannot be read is shown again beside its mistake."""
    person = read_id(request.form.get("person", ""))
    if person is None or not people.lock(db(), [person]):
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    try:
        deal = _open(person)
    except InvalidError as mistake:
        return _form(None, person, _pipeline(request.form.get("pipeline", "")), **_wrong(mistake)), mistake.status
    db().commit()
    flash(_("Opened."), "ok")
    return redirect(f"/deals/{deal.id}" if deal else "/deals")


def _open(person: uuid.UUID) -> Deal | None:
    form, items = request.form, _items()
    made = NewDeal(
        person,
        form.get("title", ""),
        _currency(),
        _amount(items),
        items,
        form.get("pipeline", ""),
        form.get("stage", ""),
        owner_id=selling.seller(form.get("owner", "")),
        closes_on=_day(),
    )
    return deals.open_deal(db(), made, by=By(me().user_id), now=clock.now())


@bp.get("/<uuid:deal_id>")
@requires()
def show(deal_id: uuid.UUID) -> str:
    """One deal."""
    return _shown(_there(deal_id))


def _shown(deal: Deal, **told: Any) -> str:
    return _form(deal, deal.profile_id, db().get_one(Pipeline, deal.pipeline_id), **{"currency": deal.currency, **told})


def _form(deal: Deal | None, person: uuid.UUID, pipeline: Pipeline, **told: Any) -> str:
    looks.at(person)
    moves = deals.moves(db(), deal.id) if deal else []
    return render_template("deal.html", **{**_common(pipeline), "deal": deal, "person": db().get(Profile, person), "moves": moves, **told})


def _wrong(mistake: InvalidError) -> dict[str, Any]:
    """The form as it was typed, with the sentence beside its field."""
    if not mistake.field:
        raise mistake
    return {"typed": request.form, "wrong": {mistake.field: str(mistake)}, "currency": request.form.get("currency", "")}


@bp.post("/<uuid:deal_id>")
@requires(*SELLERS)
def change(deal_id: uuid.UUID) -> Page:
    """Other words, products or sums; what cannot be read is shown again beside its mistake."""
    deal = _lock(deal_id)
    try:
        _change(deal)
    except InvalidError as mistake:
        return _shown(deal, **_wrong(mistake)), mistake.status
    db().commit()
    flash(_("Saved."), "ok")
    return redirect(f"/deals/{deal_id}")


def _change(deal: Deal) -> None:
    items, owner, had = _items(), request.form.get("owner", ""), deal.owner_id
    deals.change(
        db(),
        deal.id,
        title=request.form.get("title", ""),
        amount=_amount(items) or deals.total(items),
        currency=_currency(),
        items=items,
        owner_id=had if had and owner == str(had) else selling.seller(owner),
        closes_on=_day(),
        by=By(me().user_id),
        now=clock.now(),
    )


@bp.post("/<uuid:deal_id>/stage")
@requires(*SELLERS)
def move(deal_id: uuid.UUID) -> Page:
    """Another stage, or its end."""
    deal = _lock(deal_id)
    to, reason, by, now = request.form.get("stage", ""), request.form.get("reason", ""), By(me().user_id), clock.now()
    if to == "lost" and not reason.strip():
        return _shown(deal, wrong={"reason": _("Say why it was lost; the reasons are counted.")}), InvalidError.status
    if to in {"won", "lost"}:
        deals.close(db(), deal_id, won=to == "won", by=by, now=now, reason=reason)
    else:
        deals.move(db(), deal_id, to=to, by=by, now=now)
    db().commit()
    flash(_("Moved."), "ok")
    back = request.form.get("back", "")
    return redirect(back if back == f"/deals/{deal_id}" else f"/deals?{request.query_string.decode()}")


def _common(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "pipelines": board.pipelines(db()),
        "stages_": deals.stages(db(), pipeline.slug),
        "sellers": selling.sellers(),
        "may": me().may(*SELLERS),
        "reasons_": selling.rules().lost_reasons,
        "now": clock.now(),
        "words": words,
        "query": request.query_string.decode(),
        "worth": rates.at(db(), clock.now().date()),
        "shop_currency": settings().currency,
        "typed": None,
        "wrong": {},
    }


def _pipeline(slug: str = "") -> Pipeline:
    there, wanted = board.pipelines(db()), slug or request.args.get("pipeline")
    return next((one for one in there if one.slug == wanted), there[0])


def _there(deal_id: uuid.UUID) -> Deal:
    deal = db().get(Deal, deal_id)
    if deal is None:
        raise NotFoundError(_("There is no such deal."))
    return deal


def _lock(deal_id: uuid.UUID) -> Deal:
    people.lock(db(), [_there(deal_id).profile_id])
    return deals.find(db(), deal_id)


def _items() -> list[dict[str, Any]]:
    form = request.form
    rows = zip(form.getlist("item"), form.getlist("quantity"), form.getlist("price"), strict=False)
    found = []
    for name, quantity, price in rows:
        if name.strip():
            found.append({"name": name.strip()[:200], "quantity": str(_number(quantity or "1", "items")), "price": str(_number(price or "0", "items"))})
    if money.amount(deals.total(found[:50])) is None:
        raise InvalidError(_("Together these products cost more than a deal can hold. Look at quantities and prices."), field="items")
    return found[:50]


def _number(said: str, field: str) -> Decimal:
    found = money.amount(said.replace(",", ""))
    if found is None or found < 0:
        raise InvalidError(_("“%(said)s” is no number of this kind.", said=said[:50]), field=field)
    return found


def _amount(items: list[dict[str, Any]]) -> Decimal | None:
    said = request.form.get("amount", "").strip()
    return _number(said, "amount") if said and not items else None


def _currency() -> str:
    said = request.form.get("currency", "").strip().upper()
    if not _CURRENCY.fullmatch(said):
        raise InvalidError(_("Write the currency as three letters, for example ILS."), field="currency")
    return said


def _day() -> dt.date | None:
    said = request.form.get("closes_on", "")
    try:
        return dt.date.fromisoformat(said) if said else None
    except ValueError as error:
        raise InvalidError(_("This is no day; write it as 2026-05-14."), field="closes_on") from error
