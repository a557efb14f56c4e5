"""Lists by hand: make one, put people on it by search, by addresses or from an import, take them off."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import select
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError
from crm.core.ids import read_id
from crm.events.address import normalise
from crm.events.importing.models import Upload
from crm.profiles.search import by_ids, search
from crm.segments import list_jobs, lists
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db

bp = Blueprint("lists", __name__, url_prefix="/lists")
PAGE = 50
MOST_ADDRESSES = 10_000
SHOWN = 20  # addresses nobody has, named in the answer


@bp.get("")
@requires()
def index() -> str:
    """All of them, with how many are on each."""
    return render_template("lists.html", rows=lists.all_lists(db()))


@bp.post("")
@requires(*MAKERS)
def create() -> Response:
    """A new list; its slug comes from its name."""
    name = request.form.get("name", "").strip()
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or f"list-{uuid.uuid4().hex[:6]}"
    if any(one.slug == slug for one in lists.all_lists(db())):
        slug = f"{slug}-{uuid.uuid4().hex[:4]}"
    lists.create(db(), slug=slug, name=name, now=clock.now())
    _note("list.created", slug)
    return redirect(f"/lists/{slug}")


@bp.get("/<slug>")
@requires()
def show(slug: str) -> str:
    """One list: who is on it, and ways to put more on."""
    return _page(slug, missing=[])


@bp.get("/<slug>/find")
@requires(*MAKERS)
def find(slug: str) -> str:
    """People to put on it, as one types."""
    words = request.args.get("q", "").strip()[:200]
    found = search(db(), words, limit=20, who="all").rows if words else []
    return render_template("list-find.html", row=lists.find(db(), slug), words=words, found=found)


@bp.post("/<slug>/people")
@requires(*MAKERS)
def people(slug: str) -> Response:
    """Put the chosen people on it, or take them off."""
    ids = [one for said in request.form.getlist("profile")[:1000] if (one := read_id(said))]
    act = request.form.get("act")
    if act == "remove":
        gone = lists.remove(db(), slug, ids, now=clock.now())
        flash(ngettext("%(num)s person taken off.", "%(num)s people taken off.", gone), "ok")
    else:
        flash(_added(lists.add(db(), slug, ids, now=clock.now())), "ok")
    _note(f"list.{'removed' if act == 'remove' else 'added'}", slug, people=len(ids))
    return redirect(f"/lists/{slug}")


@bp.post("/<slug>/addresses")
@requires(*MAKERS)
def addresses(slug: str) -> str | Response:
    """Put on it whoever these e-mail addresses belong to; says whose are not known."""
    said = list(dict.fromkeys(re.findall(r"[^\s,;<>\"]+@[^\s,;<>\"]+", request.form.get("addresses", ""))))
    if not said or len(said) > MOST_ADDRESSES:
        raise InvalidError(_("Paste e-mail addresses, one a line or with commas between them, at most %(most)s at a time.", most=f"{MOST_ADDRESSES:,}"))
    normal = {one: normalise("email", one) for one in said}
    known = lists.by_addresses(db(), [one for one in normal.values() if one])
    count = lists.add(db(), slug, known.values(), now=clock.now())
    missing = [one for one, value in normal.items() if value not in known]
    _note("list.added", slug, addresses=len(said), unknown=len(missing))
    flash(_added(count), "ok")
    return _page(slug, missing=missing) if missing else redirect(f"/lists/{slug}")


@bp.post("/<slug>/import")
@requires(*MAKERS)
def from_import(slug: str) -> Response:
    """Put everybody on it whom a finished import brought or told us about."""
    number = request.form.get("upload", "")
    upload = db().get(Upload, int(number[:9])) if number.isdecimal() else None
    if upload is None or upload.status != "done":
        raise InvalidError(_("Choose an import that is done."))
    count, more = list_jobs.begin(db(), slug, upload=upload, now=clock.now())
    _note("list.added", slug, upload=upload.id, people=count, more=more)
    flash(_so_far(count) if more else _added(count), "ok")
    return redirect(f"/lists/{slug}")


@bp.post("/<slug>/empty")
@requires(*MAKERS)
def empty(slug: str) -> Response:
    """Take everybody off."""
    count, more = list_jobs.begin(db(), slug, upload=None, now=clock.now())
    _note("list.emptied", slug, people=count, more=more)
    flash(_so_far(count) if more else ngettext("%(num)s person taken off.", "%(num)s people taken off.", count), "ok")
    return redirect(f"/lists/{slug}")


@bp.post("/<slug>/delete")
@requires(*MAKERS)
def delete(slug: str) -> Response:
    """Remove a list no segment names."""
    if naming := lists.used_by(db(), slug):
        raise InvalidError(_("It is used by these: %(names)s. Change them first.", names=", ".join(one.name for one in naming)))
    lists.delete(db(), slug)
    _note("list.deleted", slug)
    return redirect("/lists")


def _page(slug: str, *, missing: Sequence[str]) -> str:
    row, after = lists.find(db(), slug), read_id(request.args.get("after", ""))
    found = lists.members(db(), slug, after=after, limit=PAGE + 1)
    shown = dict(found[:PAGE])
    size = next(one.size for one in lists.all_lists(db()) if one.slug == slug)
    uploads = db().scalars(select(Upload).where(Upload.status == "done").order_by(Upload.id.desc()).limit(20)).all()
    return render_template(
        "list.html",
        row=row,
        size=size,
        people=by_ids(db(), shown),
        since=shown,
        more=str(found[PAGE - 1][0]) if len(found) > PAGE else "",
        after=after,
        uploads=uploads,
        going_on=list_jobs.going_on(db(), slug),
        used_by=lists.used_by(db(), slug),
        missing=missing[:SHOWN],
        more_missing=max(0, len(missing) - SHOWN),
    )


def _added(count: int) -> str:
    return str(ngettext("%(num)s person put on the list.", "%(num)s people put on the list.", count))


def _so_far(count: int) -> str:
    if not count:  # something else is still being done to this list, or the first of them change nothing
        return str(_("It goes on in the background and is done within minutes."))
    return str(_("The first %(num)s are done; the others follow within minutes.", num=f"{count:,}"))


def _note(action: str, slug: str, **detail: Any) -> None:
    users.audit(db(), user_id=me().user_id, action=action, subject=slug, detail=detail)
    db().commit()
