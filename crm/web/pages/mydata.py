"""“My data”: whoever owns a verified address sees what is known under it, takes it along, or asks to be erased. Nobody signs in here."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, Response, render_template, request
from flask_babel import force_locale, ngettext
from flask_babel import gettext as _
from sqlalchemy import func, select
from werkzeug.wrappers import Response as AnyResponse

from crm.core import clock
from crm.core.crypto import Keys
from crm.core.i18n import LANGUAGES, _l, direction
from crm.events.address import normalise
from crm.events.models import Event
from crm.messages import feedback, links, outbox
from crm.messages.mime import name_and_address
from crm.messages.models import Message
from crm.messages.outbox import Request
from crm.profiles import erasure, privacy
from crm.profiles.models import Identity
from crm.profiles.privacy import Subject
from crm.web import users
from crm.web.db import db, settings
from crm.web.isolates import ltr, sentence
from crm.web.person_file import as_file
from crm.web.security import csrf, limiter

bp = Blueprint("mydata", __name__, url_prefix="/mine")
TEMPLATE = "my_data"
VALID = dt.timedelta(days=2)
HEADERS = {"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer", "Vary": "Accept-Language"}


@bp.get("")
def ask() -> AnyResponse:
    """The form; it says nothing about anybody."""
    return _page(_language(None), "ask")


@bp.post("")
@limiter.limit("5 per hour")
def send() -> AnyResponse:
    """A link by mail where the address is known and verified; the answer is the same where it is not."""
    address = normalise("email", request.form.get("email", ""))
    owner = db().scalar(select(Identity.profile_id).where(Identity.kind == "email", Identity.value == address, Identity.verified)) if address else None
    if owner is not None:
        outbox.queue(db(), [Request(owner, "email", TEMPLATE, cause="my data")], clock.now())
        db().commit()
    return _page(_language(None), "sent")


@bp.get("/<token>")
def show(token: str) -> AnyResponse:
    """What there is, in numbers, and what can be done. Link scanners that follow it learn nothing and change nothing."""
    message, who = _who(token)
    if message is None or who is None:
        return _page(_language(message), "gone", status=404)
    return _page(_language(message), "choose", message, who)


@bp.post("/<token>")
@limiter.limit("30 per hour")
def act(token: str) -> AnyResponse:
    """Hand it over, or take the request to be erased; somebody here confirms it."""
    message, who = _who(token)
    if message is None or who is None:
        return _page(_language(message), "gone", status=404)
    wish, language = request.form.get("act"), _language(message)
    if wish == "erase" and request.form.get("sure"):
        erasure.request(db(), who.id, by="link", now=clock.now(), confirmed=False)
        db().commit()
        return _page(language, "asked")
    if wish in {"read", "json"}:
        users.audit(db(), user_id=None, action="profile.exported", subject=str(who.id), detail={"by": "link"})
        db().commit()
        return as_file(privacy.export(db(), who, Keys(settings().secret_key), clock.now()), "json" if wish == "json" else "html", language)
    return _page(language, "choose", message, who)


csrf.exempt(bp)  # asking reveals nothing and is limited; beyond that the signed link is the proof


def _who(token: str) -> tuple[Message | None, Subject | None]:
    """Whose link this is; nobody where it is not ours, older than two days, or the person is gone."""
    followed = links.read(Keys(settings().secret_key), links.MINE, token)
    message = feedback.find(db(), followed.message_id) if followed and followed.message_id else None
    if message is None or message.address is None or clock.now() - message.created_at > VALID:
        return message, None
    who = privacy.subject(db(), message.profile_id)
    return message, who if who and ("email", message.address) in who.identities else None


def _language(message: Message | None) -> str:
    wanted = (message.language if message else None) or request.accept_languages.best_match(list(LANGUAGES)) or settings().locale
    return wanted if wanted in LANGUAGES else "en"


def _page(language: str, form: str, message: Message | None = None, who: Subject | None = None, *, status: int = 200) -> Response:
    with force_locale(language):
        titles = {
            "ask": _("My data"),
            "sent": _("Look at your mail"),
            "gone": _("This link leads nowhere"),
            "choose": _("My data"),
            "asked": _("Your request has arrived"),
        }
        sender = name_and_address(settings().mail_from)[0]
        values = {"language": language, "dir": direction(language), "sender": sender, "title": titles[form], "form": form}
        html = render_template("public/mine.html", **values, lines=_lines(form, message, who))
    return Response(html, status=status, headers=HEADERS)


def _lines(form: str, message: Message | None, who: Subject | None) -> list[str]:
    if form == "choose" and message and who:
        events = db().scalar(select(func.count()).select_from(Event).where(Event.profile_id.in_(who.ids))) or 0
        return [
            sentence(_l("This link was sent to %(address)s and is valid for two days."), address=ltr(message.address)),
            ngettext(
                "We keep %(num)s event about you, with everything that follows from it.", "We keep %(num)s events about you, with all that follows.", events
            ),
        ]
    said = {
        "ask": _("We send a link to your address, if it is one we know and that was verified. With it you see what we know about you."),
        "sent": _("If we know this address, a link is on its way to it. It is valid for two days."),
        "gone": _("It is older than two days, or was cut off on its way. Ask for a new one."),
        "asked": _("Somebody here confirms it, then everything about you is erased and nothing more is sent to you."),
    }
    return [said[form]]
