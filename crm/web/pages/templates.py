"""Templates: what we say, previewed as anybody, in both languages, at both widths."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request
from flask_babel import gettext as _
from sqlalchemy import func, select

from crm.consent.models import Topic
from crm.core import clock
from crm.core.errors import NotFoundError
from crm.core.ids import read_id
from crm.messages import sending
from crm.messages.models import Message, Template, TemplateVersion
from crm.messages.preview import preview, sampled
from crm.messages.sending import Later
from crm.profiles.models import Profile
from crm.profiles.search import search
from crm.profiles.zones import zone_of
from crm.web import looks
from crm.web.auth import requires
from crm.web.db import db, settings
from crm.web.i18n import language
from crm.web.security import framed

bp = Blueprint("templates", __name__, url_prefix="/templates")
WIDTHS = {"phone": 375, "desktop": 680}
FOUND = 8


@bp.get("")
@requires()
def index() -> str:
    """The list."""
    latest = (TemplateVersion.name == Template.name) & (TemplateVersion.version == Template.version)
    rows = db().execute(select(Template, TemplateVersion).outerjoin(TemplateVersion, latest).order_by(Template.name)).all()
    counted = select(Message.template, func.count().label("messages")).where(Message.status == "sent").group_by(Message.template)
    sent = {row.template: row.messages for row in db().execute(counted)}
    subjects = {version.name: sampled(version, settings(), language()).subject for _template, version in rows if version}
    return render_template("templates.html", rows=rows, sent=sent, topics=_topics(), subjects=subjects)


@bp.get("/<name>")
@requires()
def show(name: str) -> str:
    """One template, filled in as a profile or with its sample."""
    template = db().get(Template, name)
    if template is None:
        raise NotFoundError(_("There is no such template."))
    as_whom = _profile()
    made = preview(db(), settings(), name=name, language=request.args.get("language"), profile_id=as_whom.id if as_whom else None)
    width = request.args.get("width", "phone")
    words = request.args.get("q", "").strip()[:200]
    people = search(db(), words, limit=FOUND).rows if words else []
    return render_template(
        "template.html", template=template, made=made, as_whom=as_whom, width=width if width in {*WIDTHS, "text"} else "phone", widths=WIDTHS,
        words=words, people=people, topics=_topics(), later=_later(template, as_whom),
    )  # fmt: skip


@bp.get("/<name>/body")
@requires()
def body(name: str) -> Response:
    """The mail alone, as a document that can do nothing."""
    as_whom = _profile()
    made = preview(db(), settings(), name=name, language=request.args.get("language"), profile_id=as_whom.id if as_whom else None)
    return framed(made.html)


def _later(template: Template, whom: Profile | None) -> Later | None:
    """When it would go to them if it came due now, where that is not at once."""
    if template.purpose != "marketing" or whom is None:
        return None
    zone = zone_of(whom.traits, settings().timezone)
    return sending.later(sending.read(db()), channel=template.channel, moment=clock.now(), zone=zone)


def _profile() -> Profile | None:
    wanted = read_id(request.args.get("profile", ""))
    found = db().get(Profile, wanted) if wanted else None
    if found is not None:
        looks.at(found.id)
    return found


def _topics() -> dict[str, dict[str, str]]:
    return {row.name: row.title for row in db().execute(select(Topic.name, Topic.title))}
