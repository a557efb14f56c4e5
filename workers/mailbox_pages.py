"""`/mailbox`: what the local mailbox caught, to be looked at as its reader would."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from flask import Blueprint, Response, render_template, request
from flask_babel import gettext as _
from sqlalchemy import or_, select
from sqlalchemy.orm import load_only

from crm.core.errors import ForbiddenError, NotFoundError
from crm.web.auth import MAKERS, requires
from crm.web.db import db
from crm.web.rights import hidden
from crm.web.security import framed
from workers.models import Mail

bp = Blueprint("mailbox", __name__, url_prefix="/mailbox")
PAGE = 40
HEADERS = ("Subject", "From", "To", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "Reply-To")
WIDTHS = {"phone": 375, "desktop": 680}


@bp.get("")
@requires(*MAKERS)
def index() -> str:
    """The latest mails; the first is open."""
    return _page(None)


@bp.get("/<int:mail_id>")
@requires(*MAKERS)
def show(mail_id: int) -> str:
    """One mail beside the list."""
    return _page(mail_id)


@bp.get("/<int:mail_id>/body")
@requires(*MAKERS)
def body(mail_id: int) -> Response:
    """Its HTML alone, as a document that can do nothing."""
    return framed(_part(_parsed(_mail(mail_id)), "html"), links=True)


@bp.get("/<int:mail_id>/source")
@requires(*MAKERS)
def source(mail_id: int) -> Response:
    """The message as it came over SMTP; its parts are encoded, so that nothing in them could be veiled."""
    if hidden():
        raise ForbiddenError(_("Your role may not see some fields, and a message’s source holds them. Look at the message itself, or ask an admin."))
    return Response(_mail(mail_id).raw, content_type="text/plain; charset=utf-8")


def _page(mail_id: int | None) -> str:
    words, before = request.args.get("q", "").strip()[:200], request.args.get("before", type=int)
    rows = _rows(words, before)
    shown = rows[:PAGE]
    wanted = mail_id if mail_id is not None else (shown[0].id if shown else None)
    mail = _mail(wanted) if wanted is not None else None
    width = request.args.get("width", "phone")
    parsed = _parsed(mail) if mail else None
    return render_template(
        "mailbox.html", rows=shown, more=shown[-1].id if len(rows) > PAGE else None, before=before, words=words, mail=mail, chosen=mail_id is not None,
        width=width if width in {*WIDTHS, "text", "headers"} else "phone", widths=WIDTHS, text=_part(parsed, "plain") if parsed else "",
        headers=[(name, str(parsed[name])) for name in HEADERS if parsed[name]] if parsed else [],
    )  # fmt: skip


def _rows(words: str, before: int | None) -> list[Mail]:
    statement = select(Mail).options(load_only(Mail.id, Mail.received_at, Mail.recipient, Mail.subject)).order_by(Mail.id.desc()).limit(PAGE + 1)
    if before is not None:
        statement = statement.where(Mail.id < before)
    if words:
        statement = statement.where(or_(Mail.recipient.icontains(words, autoescape=True), Mail.subject.icontains(words, autoescape=True)))
    return list(db().scalars(statement))


def _mail(mail_id: int) -> Mail:
    mail = db().get(Mail, mail_id)
    if mail is None:
        raise NotFoundError(_("There is no such mail. The mailbox may have been emptied."))
    return mail


def _parsed(mail: Mail) -> EmailMessage:
    return email.message_from_bytes(mail.raw, policy=email.policy.default)


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
