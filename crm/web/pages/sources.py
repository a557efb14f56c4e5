"""Sources: where events come from, their keys and settings, what comes in live."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select
from werkzeug.wrappers import Response

from crm.analytics.recent import recent_calls
from crm.consent.context import ADDRESS_OF
from crm.consent.models import Topic
from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.events import keys
from crm.events.models import SYSTEM_SOURCE, Source, WriteKey
from crm.web import auth, users
from crm.web.auth import MAKERS, requires
from crm.web.db import db, settings

bp = Blueprint("sources", __name__, url_prefix="/sources")
LIVE = 15


@bp.get("")
@requires(*MAKERS)
def index() -> str:
    """The list, and a form for a new one."""
    rows = db().scalars(select(Source).where(Source.id != SYSTEM_SOURCE).order_by(Source.name)).all()
    in_use = db().scalars(select(WriteKey.source_id).where(WriteKey.revoked_at.is_(None))).all()
    return render_template("sources.html", sources=rows, keys={row.id: in_use.count(row.id) for row in rows})


@bp.post("")
@requires(*MAKERS)
def create() -> Response:
    """A new source; its first key is made on its page."""
    name = request.form.get("name", "").strip()[:200]
    if not name or db().scalar(select(Source.id).where(Source.name == name)):
        flash(_("A source needs a name of its own, for example that of the shop."), "bad")
        return redirect("/sources")
    source = Source(name=name)
    db().add(source)
    db().flush()
    _note("source.created", source)
    db().commit()
    return redirect(f"/sources/{source.id}")


@bp.get("/<int:source_id>")
@requires(*MAKERS)
def show(source_id: int) -> str:
    """Keys, how to send, what comes in, settings."""
    return _page(_source(source_id), None)


@bp.get("/<int:source_id>/live")
@requires(*MAKERS)
def live(source_id: int) -> str:
    """The latest calls of this source."""
    return render_template("source-live.html", source=_source(source_id), recent=recent_calls(db(), now=clock.now(), source_id=source_id, limit=LIVE))


@bp.post("/<int:source_id>/keys")
@requires("admin")
def create_key(source_id: int) -> str:
    """A new write key, shown once."""
    source, kind = _source(source_id), request.form.get("kind", "")
    secret = keys.create(db(), source_name=source.name, kind=kind)
    _note("key.created", source, {"kind": kind, "ends_with": secret[-4:]})
    db().commit()
    return _page(source, secret)


@bp.post("/<int:source_id>/keys/<int:key_id>/revoke")
@requires("admin")
def revoke_key(source_id: int, key_id: int) -> Response:
    """It opens nothing any more."""
    source, key = _source(source_id), db().get(WriteKey, key_id)
    if key is None or key.source_id != source_id:
        raise NotFoundError(_("There is no such key in use."))
    keys.revoke(db(), key_id=key_id, now=clock.now())
    _note("key.revoked", source, {"kind": key.kind, "ends_with": key.hint})
    db().commit()
    flash(_("The key is revoked. Calls with it are refused within five seconds."), "ok")
    return redirect(f"/sources/{source_id}")


@bp.post("/<int:source_id>/settings")
@requires(*MAKERS)
def save(source_id: int) -> Response | tuple[str, int]:
    """Cart address, allowed origins, what tracking consent means for messages. What is refused stays in the form."""
    source = _source(source_id)
    try:
        wanted = _read(request.form.to_dict(), set(db().scalars(select(Topic.name))))
    except InvalidError as error:
        return _page(source, None, error), error.status
    source.settings = {**source.settings, **wanted}
    _note("source.settings", source, wanted)
    db().commit()
    flash(_("Saved."), "ok")
    return redirect(f"/sources/{source_id}")


def _read(form: dict[str, str], topics: set[str]) -> dict[str, object]:
    cart_url = form.get("cart_url", "").strip()
    if cart_url and urlsplit(cart_url).scheme not in {"http", "https"}:
        raise InvalidError(_("The cart's address begins with https:// and may hold {cart_id}, {items} and {currency}."), field="cart_url")
    origins = form.get("allowed_origins", "").split()
    if any(urlsplit(origin).scheme not in {"http", "https"} or not urlsplit(origin).netloc for origin in origins):
        raise InvalidError(_("An allowed origin looks like https://shop.example, one a line."), field="allowed_origins")
    lines = [line for line in form.get("consent_map", "").splitlines() if line.strip()]
    return {"cart_url": cart_url, "allowed_origins": origins, "consent_map": dict(_category(line, topics) for line in lines)}


def _category(line: str, topics: set[str]) -> tuple[str, dict[str, str]]:
    """`marketing = email offers` as (category, {"channel", "topic"})."""
    found = re.fullmatch(r"\s*(\S.*?)\s*=\s*(\w+)\s+(\S+)\s*", line)
    if not found or found[2] not in ADDRESS_OF or found[3] not in topics:
        words = {"channels": ", ".join(ADDRESS_OF), "topics": ", ".join(sorted(topics))}
        raise InvalidError(_("A line of consent reads: category = channel topic. Channels: %(channels)s. Topics: %(topics)s.", **words), field="consent_map")
    return found[1], {"channel": found[2], "topic": found[3]}


def _source(source_id: int) -> Source:
    source = db().get(Source, source_id)
    if source is None or source.id == SYSTEM_SOURCE:
        raise NotFoundError(_("There is no such source."))
    return source


def _page(source: Source, secret: str | None, wrong: InvalidError | None = None) -> str:
    mine = db().scalars(select(WriteKey).where(WriteKey.source_id == source.id).order_by(WriteKey.revoked_at.is_not(None), WriteKey.id.desc())).all()
    consent = source.settings.get("consent_map") or {}
    lines = "\n".join(f"{category} = {said['channel']} {said['topic']}" for category, said in consent.items())
    origins = "\n".join(source.settings.get("allowed_origins") or [])
    kept = {"cart_url": source.settings.get("cart_url", ""), "allowed_origins": origins, "consent_map": lines}
    told = {"typed": request.form, "wrong": {wrong.field: str(wrong)}} if wrong else {"typed": kept, "wrong": {}}
    recent = recent_calls(db(), now=clock.now(), source_id=source.id, limit=LIVE)
    return render_template("source.html", source=source, keys=mine, secret=secret, recent=recent, base_url=settings().base_url, **told)


def _note(action: str, source: Source, detail: dict[str, object] | None = None) -> None:
    users.audit(db(), user_id=auth.me().user_id, action=action, subject=source.name, detail=detail)
