"""Who is one person and why: the graph on a profile's page, joining by hand, taking a join back, guards and their settings."""

from __future__ import annotations

import datetime as dt
import uuid

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.ids import read_id
from crm.messages import joining
from crm.profiles import large
from crm.profiles import settings as identity_settings
from crm.profiles.compare import Comparison, compare
from crm.profiles.find import find
from crm.profiles.graph import graph, held, mark_seen
from crm.profiles.guards import LIMITS
from crm.profiles.models import KINDS
from crm.profiles.suggest import queue
from crm.profiles.suggest.judge import CERTAIN, LIKELY
from crm.profiles.undo import SUGGESTED
from crm.web import auth, looks, users
from crm.web.auth import MAKERS, requires
from crm.web.db import db, settings

bp = Blueprint("identity", __name__)
LONGEST = 300
QUEUE = 50  # pairs in the list
LEVELS = (CERTAIN, LIKELY)


@bp.get("/people/<uuid:profile_id>/identity")
@requires()
def show(profile_id: uuid.UUID) -> str:
    """The graph, a part of the profile's page."""
    found = graph(db(), profile_id)
    if found is None:
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    return render_template("identity-graph.html", graph=found, may=auth.me().may(*MAKERS))


@bp.get("/people/<uuid:profile_id>/join")
@requires(*MAKERS)
def choose(profile_id: uuid.UUID) -> str | Response:
    """Name the other profile, then see both side by side."""
    words = request.args.get("with", "").strip()[:LONGEST]
    other = _named(words) if words else None
    if words and other is None:
        flash(_("Nobody has this identifier. Write an e-mail address, a phone number, a user id or the address of the profile's page."), "bad")
    both = _both(profile_id, other) if other else None
    if other and both is None:
        flash(_("Both are one profile already."), "bad")
        return redirect(f"/people/{profile_id}")
    _looked(both)
    return render_template("join.html", profile_id=profile_id, words=words, both=both)


@bp.post("/people/<uuid:profile_id>/join")
@requires(*MAKERS)
def join(profile_id: uuid.UUID) -> Response:
    """Make both one."""
    other, said = request.form.get("other", type=uuid.UUID), request.form.get("said", "").strip()[:LONGEST]
    if other is None:
        raise InvalidError(_("Choose the other profile first."))
    now, by = clock.now(), auth.me().name
    kept = joining.again_if_stale(db(), lambda: joining.merge(db(), profile_id, other, by=by, said=said, now=now, currency=settings().currency))
    users.audit(db(), user_id=auth.me().user_id, action="people.joined", subject=str(kept), detail={"from": [str(profile_id), str(other)]})
    db().commit()
    flash(_joined(kept), "ok")
    return redirect(f"/people/{kept}")


@bp.post("/links/<int:link_id>/undo")
@requires(*MAKERS)
def undo(link_id: int) -> Response:
    """Take a join back."""
    said, now, by = request.form.get("said", "").strip()[:LONGEST], clock.now(), auth.me().name
    alone, rest = joining.again_if_stale(db(), lambda: joining.unmerge(db(), link_id, by=by, said=said, now=now, currency=settings().currency))
    users.audit(db(), user_id=auth.me().user_id, action="people.parted", subject=str(alone), detail={"link": link_id, "from": str(rest)})
    db().commit()
    if large.waits(db(), alone):
        flash(_("They have very many events: they become two profiles again within minutes."), "ok")
    else:
        flash(_("They are two profiles again. Nothing joins them by itself any more."), "ok")
    return redirect(f"/people/{alone}")


@bp.get("/people/same")
@requires(*MAKERS)
def same() -> str:
    """Who may be known twice, one pair side by side, the others in a list."""
    level = request.args.get("level") if request.args.get("level") in LEVELS else None
    rows = queue.waiting(db(), level=level, limit=QUEUE)
    chosen = next((row for row in rows if str(row.one_id) == request.args.get("one") and str(row.other_id) == request.args.get("other")), None)
    shown = chosen or (rows[0] if rows else None)
    both = compare(db(), shown.one_id, shown.other_id) if shown else None
    _looked(both)
    return render_template("same.html", rows=rows, shown=shown, both=both, level=level, counts=queue.counts(db()), most=QUEUE)


@bp.post("/people/same")
@requires(*MAKERS)
def decide() -> Response:
    """Yes makes both one, no is remembered; then the next pair."""
    one, other = request.form.get("one", type=uuid.UUID), request.form.get("other", type=uuid.UUID)
    if one is None or other is None:
        raise InvalidError(_("Choose a pair first."))
    state, now, by = "confirmed" if request.form.get("act") == "yes" else "rejected", clock.now(), auth.me().name
    kept = joining.again_if_stale(db(), lambda: _decide(one, other, state=state, by=by, now=now))
    if kept is None:
        flash(_("Somebody has decided about this pair already."), "bad")
    elif state == "confirmed":
        flash(_joined(kept), "ok")
    else:
        flash(_("Remembered: they are two people."), "ok")
    db().commit()
    return redirect("/people/same" + (f"?level={request.form['level']}" if request.form.get("level") in LEVELS else ""))


def _decide(one: uuid.UUID, other: uuid.UUID, *, state: str, by: str, now: dt.datetime) -> uuid.UUID | None:
    """Who they are now; None where somebody was faster."""
    if not queue.decide(db(), one, other, state=state, by=by, now=now):
        return None
    if state == "rejected":
        users.audit(db(), user_id=auth.me().user_id, action="suggestion.rejected", subject=str(one), detail={"other": str(other)})
        return one
    kept = joining.merge(db(), one, other, by=by, said="", now=now, currency=settings().currency, reason=SUGGESTED)
    users.audit(db(), user_id=auth.me().user_id, action="people.joined", subject=str(kept), detail={"from": [str(one), str(other)], "suggested": True})
    return kept


@bp.get("/people/held")
@requires(*MAKERS)
def reports() -> str:
    """What guards kept from being joined, and which large joins raised an error."""
    found = held(db())
    mark_seen(db(), clock.now())
    db().commit()
    return render_template("held.html", rows=found, failed=large.failed(db()))


@bp.get("/settings/identity")
@requires(*MAKERS)
def rules() -> str:
    """Limits and blocked identifiers."""
    return _rules()


def _rules(wrong: InvalidError | None = None) -> str:
    """The page; with what was typed, and why it is refused, where it is."""
    typed = request.form if wrong else {}
    told = {"typed": typed, "wrong": {wrong.field: _(str(wrong))} if wrong else {}}
    limits = {kind: typed.get(kind, most) for kind, most in identity_settings.limits(db()).items()}
    return render_template("identity-settings.html", limits=limits, ours=LIMITS, blocked=identity_settings.blocked(db()), kinds=KINDS, **told)


@bp.post("/settings/identity/limits")
@requires(*MAKERS)
def save_limits() -> Response | tuple[str, int]:
    """Other numbers; from the next event on. What is refused stays in the form."""
    try:
        for kind in LIMITS:
            identity_settings.set_limit(db(), kind=kind, most=request.form.get(kind, 0, type=int))
    except InvalidError as error:
        db().rollback()
        return _rules(error), error.status
    _note("identity.limits", "", {kind: request.form.get(kind) for kind in LIMITS})
    flash(_("Saved."), "ok")
    return redirect("/settings/identity")


@bp.post("/settings/identity/blocked")
@requires(*MAKERS)
def block() -> Response | tuple[str, int]:
    """Add an identifier to the list, or take one off. What is refused stays in the form."""
    kind, value = request.form.get("kind", ""), request.form.get("value", "").strip()[:LONGEST]
    try:
        if request.form.get("act") == "remove":
            identity_settings.unblock(db(), kind=kind, value=value)
            _note("identity.unblocked", value, {"kind": kind})
        else:
            stored = identity_settings.block(db(), kind=kind, value=value, note=request.form.get("note", "").strip(), by=auth.me().name, now=clock.now())
            _note("identity.blocked", stored, {"kind": kind})
        flash(_("Saved."), "ok")
    except InvalidError as error:
        return _rules(error), error.status
    return redirect("/settings/identity")


def _joined(kept: uuid.UUID) -> str:
    waits = large.waits(db(), kept)
    said: str = (
        _("They have very many events: they become one profile within minutes.")
        if waits
        else _("They are one profile now. It can be taken back under “Identity”.")
    )
    return said


def _note(action: str, subject: str, detail: dict[str, object]) -> None:
    users.audit(db(), user_id=auth.me().user_id, action=action, subject=subject, detail=detail)
    db().commit()


def _both(profile_id: uuid.UUID, other: uuid.UUID) -> Comparison | None:
    return compare(db(), profile_id, other)


def _looked(both: Comparison | None) -> None:
    """Who sees two people side by side has looked at both."""
    looks.at(*(side.id for side in both.sides) if both else ())


def _named(words: str) -> uuid.UUID | None:
    """A profile by its page's address, its id, or an identifier."""
    return read_id(words.rstrip("/").rpartition("/")[2]) or next((owner for kind in KINDS if (owner := find(db(), kind, words))), None)
