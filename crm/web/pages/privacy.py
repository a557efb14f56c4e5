"""Privacy: what we know of one person to take away, people who leave, which roles see which fields, who looked at whom."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import func, select
from werkzeug.wrappers import Response as AnyResponse

from crm.core import clock
from crm.core.crypto import Keys
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import LANGUAGES, _l
from crm.messages import retention
from crm.profiles import erasure, privacy
from crm.profiles.privacy_models import ASKED, Erasure, Tombstone
from crm.web import auth, looks, rights, users
from crm.web.auth import requires
from crm.web.db import db, settings
from crm.web.person_file import as_file

bp = Blueprint("privacy", __name__)
STATES = {
    "asked": (_l("Asked for by link"), "warn"),
    "waiting": (_l("Waiting"), ""),
    "running": (_l("Under way"), "acc"),
    "done": (_l("Erased"), "ok"),
    "refused": (_l("Refused"), "bad"),
}


@bp.get("/people/<uuid:profile_id>/export.<any(json, html):form>")
@requires("admin")
def export(profile_id: uuid.UUID, form: str) -> AnyResponse:
    """Everything about one person as a file."""
    known = _known(profile_id)
    looks.at()  # noted as what it is
    users.audit(db(), user_id=auth.me().user_id, action="profile.exported", subject=known["profile_id"], detail={"form": form})
    db().commit()
    language = request.args.get("language", "")
    return as_file(known, form, language if language in LANGUAGES else settings().locale)


@bp.post("/people/<uuid:profile_id>/erase")
@requires("admin")
def erase(profile_id: uuid.UUID) -> AnyResponse:
    """Forget this person; the work is a job, shown under Settings."""
    job = erasure.request(db(), profile_id, by=f"user:{auth.me().user_id}", now=clock.now())
    if job is None:
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    users.audit(db(), user_id=auth.me().user_id, action="profile.erased", subject=str(job.subject_id))
    db().commit()
    flash(_("The person is being erased; within seconds nothing is left."), "ok")
    return redirect("/settings/privacy")


@bp.get("/settings/privacy")
@requires("admin")
def index() -> str:
    """Requests and their progress, fields per role, what tombstones kept out."""
    return _page()


def _page(wrong: InvalidError | None = None) -> str:
    """The page; with the ages as they were typed, and why they are refused, where they are."""
    told = {"ages": request.form, "wrong": {wrong.field: _(str(wrong))}} if wrong else {"ages": retention.ages(db()), "wrong": {}}
    buried, dropped = db().execute(select(func.count(), func.coalesce(func.sum(Tombstone.dropped), 0)).select_from(Tombstone)).one()
    jobs = erasure.progress(db())
    return render_template(
        "privacy.html", jobs=jobs, states=STATES, buried=buried, dropped=dropped, fields=rights.FIELDS, roles=rights.LIMITED, shut=rights.all_hidden(db()),
        kinds=retention.KINDS, **told,
    )  # fmt: skip


@bp.post("/settings/privacy/requests/<int:erasure_id>")
@requires("admin")
def decide(erasure_id: int) -> AnyResponse:
    """Agree to, or refuse, what was asked for by link."""
    job = db().get(Erasure, erasure_id)
    if job is None or job.status != ASKED:
        raise NotFoundError(_("There is no such request waiting for an answer."))
    agreed = request.form.get("act") == "erase"
    if agreed:
        erasure.request(db(), job.subject_id, by=f"user:{auth.me().user_id}", now=clock.now())
    else:
        erasure.refuse(db(), erasure_id, clock.now())
    users.audit(db(), user_id=auth.me().user_id, action="profile.erased" if agreed else "erasure.refused", subject=str(job.subject_id))
    db().commit()
    return redirect("/settings/privacy")


@bp.post("/settings/privacy/fields")
@requires("admin")
def fields() -> AnyResponse:
    """Which roles see which fields."""
    shut = {(role, field) for role in rights.LIMITED for field in rights.FIELDS if f"{role}.{field}" not in request.form}
    rights.hide(db(), shut)
    detail = {role: ", ".join(sorted(field for of, field in shut if of == role)) for role in rights.LIMITED}
    users.audit(db(), user_id=auth.me().user_id, action="fields.changed", subject="", detail={role: said for role, said in detail.items() if said})
    db().commit()
    flash(_("Saved. It counts from the next page on."), "ok")
    return redirect("/settings/privacy")


@bp.post("/settings/privacy/retention")
@requires("admin")
def keep() -> AnyResponse | tuple[str, int]:
    """How long details are kept. What is refused stays in the form."""
    said = {kind: request.form.get(kind, "").strip() for kind in retention.KINDS}
    wanted = {kind: int(days) if days.isascii() and days.isdigit() and len(days) < 6 else None if not days else -1 for kind, days in said.items()}
    try:
        retention.keep(db(), wanted)
    except InvalidError as error:
        return _page(error), error.status
    users.audit(db(), user_id=auth.me().user_id, action="retention.changed", subject="", detail=retention.as_detail(wanted))
    db().commit()
    flash(_("Saved. What is older goes within a day."), "ok")
    return redirect("/settings/privacy")


def _known(profile_id: uuid.UUID) -> dict[str, Any]:
    who = privacy.subject(db(), profile_id)
    if who is None:
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    return privacy.export(db(), who, Keys(settings().secret_key), clock.now())
