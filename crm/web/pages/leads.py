"""Leads: one screen to work down, best first, with everything about the next one on it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, flash, redirect, render_template, request
from flask import session as cookie
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse

from crm.analytics.profile_view import ProfileView
from crm.analytics.profile_view import profile as profile_view
from crm.commerce import computed, rates
from crm.consent.models import Topic
from crm.core import clock
from crm.core.crypto import Keys
from crm.core.errors import ForbiddenError, NotFoundError
from crm.messages.log import message
from crm.profiles import accounts
from crm.profiles.models import Profile
from crm.profiles.timeline import timeline
from crm.sales import acts, bought, buying, calls, deals, mails, queue, rank, sharing, tasks
from crm.sales.acts import Next
from crm.sales.models import OPEN, STATUSES, Lead
from crm.sales.queue import Filters
from crm.scores.score_models import Score, ScorePast
from crm.web import looks, selling, users
from crm.web import sales_words as words
from crm.web.auth import me, requires
from crm.web.db import db, settings
from crm.web.show import midnight
from crm.web.titles import as_told
from crm.web.users import SELLERS

bp = Blueprint("leads", __name__, url_prefix="/leads")
PAGE = 30
EVENTS = 12
_WEEK = dt.timedelta(days=7)
ARGUMENTS = ("view", "status", "source", "band", "sort")


@bp.get("")
@requires()
def index() -> str:
    """The queue, with its first lead open."""
    return _page(None)


@bp.get("/<uuid:profile_id>")
@requires()
def show(profile_id: uuid.UUID) -> str | AnyResponse:
    """One lead beside the queue; alone where the page only asks for the lead."""
    if request.headers.get("HX-Target") == "lead" and "HX-History-Restore-Request" not in request.headers:
        return render_template("lead.html", **_lead(profile_id))
    return _page(profile_id)


@bp.get("/more")
@requires()
def more() -> str:
    """The next rows of the list."""
    found = _list()
    return render_template("lead-rows.html", **found)


@bp.post("/<uuid:profile_id>/call")
@requires(*SELLERS)
def call(profile_id: uuid.UUID) -> AnyResponse:
    """A call was made."""
    form = request.form
    acts.log_call(
        db(), profile_id, outcome=form.get("outcome", ""), note=form.get("note", ""), then=_next(form.get("then", "call")), by=me().user_id, now=clock.now()
    )
    return _done(profile_id, _("The call is in the timeline."), fresh=True)


@bp.post("/undo")
@requires(*SELLERS)
def undo() -> AnyResponse:
    """My last call was none."""
    call = calls.last(db(), by=me().user_id, now=clock.now())
    if call is None:
        raise NotFoundError(_("You logged no call within the last hour that could be taken back."))
    calls.take_back(db(), call.id, by=me().user_id, now=clock.now())
    said = _("The call no longer counts; the lead and its tasks stand as before. What journeys did meanwhile stays.")
    return _done(call.profile_id, said, trigger=f'{{"lead-undone": "{call.profile_id}"}}')


@bp.post("/<uuid:profile_id>/mail")
@requires(*SELLERS)
def mail(profile_id: uuid.UUID) -> AnyResponse:
    """A mail from a template, as far as the gate lets it."""
    acts.write(db(), profile_id, template=request.form.get("template", ""), by=me().user_id, now=clock.now())
    return _done(profile_id, _("Asked for. What the gate says stands beside the lead."), trigger="lead-asked")  # not done: the list does not cross it out


@bp.get("/mail/<uuid:message_id>")
@requires()
def fate(message_id: uuid.UUID) -> str:
    """What became of a mail sent from here: asked again until it is settled."""
    return render_template("lead-mail.html", x=message(db(), message_id), message_id=message_id)


@bp.post("/<uuid:profile_id>/next")
@requires(*SELLERS)
def plan(profile_id: uuid.UUID) -> AnyResponse:
    """The next action."""
    if (then := _next(request.form.get("kind", "call"))) is None:
        return _done(profile_id, _("Choose when, so that it is not forgotten."), kind="bad")
    acts.plan(db(), profile_id, then=then, by=me().user_id, now=clock.now())
    return _done(profile_id, _("Planned."))


@bp.post("/<uuid:profile_id>/later")
@requires(*SELLERS)
def later(profile_id: uuid.UUID) -> AnyResponse:
    """Not now."""
    then = _next("call")
    if then is None:
        return _done(profile_id, _("Choose when, so that it is not forgotten."), kind="bad")
    acts.later(db(), profile_id, until=then.due_at, by=me().user_id, now=clock.now())
    return _done(profile_id, _("Put off."))


@bp.post("/<uuid:profile_id>/status")
@requires(*SELLERS)
def status(profile_id: uuid.UUID) -> AnyResponse:
    """How it stands."""
    acts.set_status(db(), profile_id, request.form.get("status", ""), by=me().user_id, now=clock.now())
    return _done(profile_id, _("Saved."))


@bp.post("/<uuid:profile_id>/owner")
@requires(*SELLERS)
def owner(profile_id: uuid.UUID) -> AnyResponse:
    """Whose it is."""
    acts.hand_to(db(), profile_id, selling.seller(request.form.get("owner", "")), by=me().user_id, now=clock.now())
    return _done(profile_id, _("Saved."))


@bp.post("/<uuid:profile_id>/take")
@requires(*SELLERS)
def take(profile_id: uuid.UUID) -> AnyResponse:
    """It is mine now, if it was nobody's."""
    if me().user_id not in selling.sellers():
        raise ForbiddenError(_("You take no leads; an admin can change that in the settings of sales."))
    acts.take(db(), profile_id, by=me().user_id, now=clock.now())
    return _done(profile_id, _("It is yours."))


@bp.post("/share")
@requires(*SELLERS)
def share() -> AnyResponse:
    """Leads that nobody has, to some of us in turn."""
    among = [one for said in request.form.getlist("people") if (one := selling.seller(said))]
    said, now = request.form.get("most", ""), clock.now()
    most = int(said) if said.isdecimal() and len(said) < 5 else sharing.MOST
    given = sharing.share(db(), _asked(), among=among, most=most, zone=settings().timezone, by=me().user_id, now=now)
    users.audit(db(), user_id=me().user_id, action="leads.given", subject="leads", detail={"people": len(given), "to": sorted(set(given.values()))})
    db().commit()
    cookie["given"] = {"at": now.isoformat(), "to": sorted(set(given.values())), "many": len(given), "by": me().user_id}
    flash(
        ngettext("%(num)s lead given.", "%(num)s leads given.", len(given)) if given else _("Whoever was chosen has no room for more."),
        "ok" if given else "bad",
    )
    return redirect(f"/leads?{_query()}")


@bp.post("/share/undo")
@requires(*SELLERS)
def unshare() -> AnyResponse:
    """What I gave just now is nobody's again, as far as nobody worked on it."""
    given = _given()
    if given is None:
        raise NotFoundError(_("You gave no leads within the last hour that could be taken back."))
    many = sharing.take_back(db(), dt.datetime.fromisoformat(given["at"]), given["to"], by=me().user_id, now=clock.now())
    users.audit(db(), user_id=me().user_id, action="leads.taken_back", subject="leads", detail={"people": many})
    db().commit()
    del cookie["given"]
    flash(ngettext("%(num)s lead is nobody’s again.", "%(num)s leads are nobody’s again.", many), "ok")
    return redirect(f"/leads?{_query()}")


@bp.post("/filters")
@requires()
def keep_filter() -> AnyResponse:
    """Keep this view of the list, or forget one."""
    form = request.form
    if form.get("forget", "").isdecimal():
        queue.forget(db(), me().user_id, int(form["forget"][:9]))
    else:
        queue.save(db(), me().user_id, "leads", name=form.get("name", ""), query=_query())
    db().commit()
    return redirect(f"/leads?{_query()}")


@bp.get("/buying/<uuid:account_id>")
@requires()
def company(account_id: uuid.UUID) -> str:
    """A company's buying group, for its page."""
    found = buying.group(db(), account_id, now=clock.now(), score=selling.rules().score)
    if found is None:
        raise NotFoundError(_("There is no such account."))
    return render_template("buying.html", group=found, words=words, sellers=selling.sellers(), may=me().may(*SELLERS))


@bp.post("/buying/<uuid:account_id>")
@requires(*SELLERS)
def company_owners(account_id: uuid.UUID) -> AnyResponse:
    """Who looks after the company, the first one first."""
    buying.set_owners(db(), account_id, [one for said in request.form.getlist("owners") if (one := selling.seller(said))])
    users.audit(db(), user_id=me().user_id, action="account.changed", subject=str(account_id))
    db().commit()
    return redirect(f"/accounts/{account_id}")


def _page(profile_id: uuid.UUID | None) -> str:
    found = _list()
    first = found["page"].rows[0].profile_id if found["page"].rows else None
    chosen = profile_id or first
    shown = _lead(chosen) if chosen else {"profile": None}
    today = queue.day(db(), me().user_id, since=midnight(clock.now()))
    return render_template(
        "leads.html",
        opened=profile_id is not None,
        today=today,
        filters=queue.saved(db(), me().user_id, "leads"),
        sources=queue.sources(db()),
        undo=_undoable(),
        given=_given(),
        ownerless=len(queue.ownerless(db(), _asked(), limit=sharing.MOST)) if found["asked"].view == "nobody" and me().may(*SELLERS) else 0,
        **found | shown,
    )


def _list() -> dict[str, Any]:
    asked, sales, after = _asked(), selling.rules(), request.args.get("after", "")
    page = queue.page(db(), asked, shop=settings().currency, now=clock.now(), after=after, limit=PAGE, score=sales.score)
    return {
        "page": page,
        "asked": asked,
        "query": _query(),
        "after": after,
        "place": "&".join(filter(None, (_query(), urlencode({"after": after}) if after else ""))),
        "words": words,
        "open_statuses": OPEN,
        "now": clock.now(),
        "currency": settings().currency,
        "sellers": selling.sellers(),
    }


def _asked() -> Filters:
    values = request.values
    view = values.get("view", "")
    return Filters(
        view="all" if view == "all" else "nobody" if view == "nobody" else "mine",
        owner=me().user_id,
        status=values.get("status", "") if values.get("status") in OPEN else "",
        source=values.get("source", "")[:200],
        band=values.get("band", "") if values.get("band") in words.BANDS else "",
        sort="due" if values.get("sort") == "due" else "best",
    )


def _query() -> str:
    asked = _asked()
    default = Filters()
    return urlencode({name: value for name in ARGUMENTS if (value := getattr(asked, name)) != getattr(default, name)})


def _undoable() -> dict[str, Any] | None:
    """My last call that can still be taken back, and with whom it was."""
    call = calls.last(db(), by=me().user_id, now=clock.now()) if me().may(*SELLERS) else None
    return {"name": db().scalar(select(Profile.name).where(Profile.id == call.profile_id))} if call else None


def _given() -> dict[str, Any] | None:
    """The leads I gave together within the last hour, in this browser."""
    given: dict[str, Any] | None = cookie.get("given")
    mine = given and given["many"] and given["by"] == me().user_id and dt.datetime.fromisoformat(given["at"]) > clock.now() - calls.WITHIN
    return given if mine else None


def _lead(profile_id: uuid.UUID) -> dict[str, Any]:
    now, config = clock.now(), settings()
    person = profile_view(db(), profile_id, keys=Keys(config.secret_key), now=now, past=False)
    if person is None:
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    looks.at(person.id)
    sales = selling.rules()
    lead = db().get(Lead, person.id)
    companies = accounts.of_profile(db(), person.id)
    score, before = _score(person, sales.score, now)
    counted = {one.name: one.value for one in computed.of(db(), person.id)}
    return {
        "profile": person,
        "person": person,
        "lead": lead,
        "rank": rank.one(db(), person.id, rules=sales, shop=config.currency, now=now),
        "score": score,
        "before": before,
        "usual_hour": (usual := counted.get("preferred_hour")),
        "best_hour": None if usual is None else sales.hours(config.timezone).nearest(usual),
        "events": [as_told(entry) for entry in timeline(db(), person.id, limit=EVENTS, now=now, echoes=False)],
        "companies": companies,
        "groups": buying.of_profile(db(), person.id, now=now, score=sales.score) if companies else [],
        "deals": (mine := deals.of_profile(db(), person.id)),
        "open_sums": rates.total(db(), [(one.amount, one.currency) for one, _stage in mine if one.status == "open"], day=now.date(), shop=config.currency),
        "tasks": tasks.open_of(db(), person.id),
        "task_kinds": tasks.KINDS,
        "outcomes": acts.OUTCOMES,
        "templates": mails.templates(db()),
        "topics": {row.name: row.title for row in db().execute(select(Topic.name, Topic.title))} if person.consents else {},
        "sellers": selling.sellers(),
        "words": words,
        "statuses": STATUSES,
        "now": now,
        "currency": config.currency,
        "may": me().may(*SELLERS),
        "query": _query(),
        "score_kind": sales.score,
        "message_id": mails.unsent(db(), person.id, lead, now=now),
        "bought": bought.within_a_year(db(), person.id, shop=config.currency, zone=config.timezone, now=now),
    }


def _score(person: ProfileView, kind: str, now: dt.datetime) -> tuple[Score | None, float | None]:
    """The score, and what it was a week ago where that was of the same nature: points are no chance."""
    score = db().get(Score, (person.id, kind))
    past = select(ScorePast.probability, ScorePast.version_id).where(ScorePast.profile_id == person.id, ScorePast.kind == kind, ScorePast.at <= now - _WEEK)
    before = db().execute(past.order_by(ScorePast.at.desc(), ScorePast.id.desc()).limit(1)).first()
    alike = score is not None and before is not None and (score.version_id is None) == (before.version_id is None)
    return score, before.probability if before is not None and alike else None


def _next(kind: str) -> Next | None:
    form = request.form
    due = words.moment(form.get("when", ""), form.get("at", ""), hours=selling.rules().hours(settings().timezone), now=clock.now())
    return Next(kind, due, form.get("title", "")[:200], form.get("task_note", "")[:2000]) if due else None


def _done(  # each is a part of the answer
    profile_id: uuid.UUID, said: str, *, kind: str = "ok", fresh: bool = False, trigger: str = "lead-done"
) -> AnyResponse:
    """The lead as it stands now, in its place, with what was done as a toast; a whole page where no script asked."""
    db().commit()
    if request.headers.get("HX-Target") != "lead":
        flash(said, kind)
        return redirect(f"/leads/{profile_id}?{_query()}")
    page = render_template("lead.html", **_lead(profile_id)) + render_template("lead-toast.html", sentence=said, undo=_undoable(), fresh=fresh, query=_query())
    return Response(page, headers={"HX-Trigger": trigger} if kind == "ok" else {})
