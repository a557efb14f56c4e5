"""Mails that somebody who sells asks for: which templates such a mail can be made of, and what became of the last one."""

from __future__ import annotations

import datetime as dt
import re
import uuid

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.messages.models import Template, TemplateVersion
from crm.sales.models import Lead

SHOWN = dt.timedelta(days=7)
_NEEDS = re.compile(r"\{[{%][^}]*\b(?:cart|data|links\.(?:survey|mine))\b")  # what only a journey, or the person, brings along
_alone: dict[str, bool] = {}  # digest of a wording -> whether it can be filled in with a person alone


def templates(session: Session) -> list[str]:
    """E-mail templates that say what can be said to a person out of the blue: without a cart, an event or a question to answer."""
    latest = (TemplateVersion.name == Template.name) & (TemplateVersion.version == Template.version)
    shown = select(Template.name, TemplateVersion.digest).join(TemplateVersion, latest).where(Template.channel == "email").order_by(Template.name)
    rows = session.execute(shown).all()
    if new := {row.digest for row in rows} - _alone.keys():
        for digest, content in session.execute(select(TemplateVersion.digest, TemplateVersion.content).where(TemplateVersion.digest.in_(new))):
            _alone[digest] = not _NEEDS.search(dumps(content))
    return [row.name for row in rows if _alone[row.digest]]


def unsent(session: Session, profile_id: uuid.UUID, lead: Lead | None, *, now: dt.datetime) -> uuid.UUID | None:
    """The latest mail to this person that somebody here asked for and that did not go out; None where it did, or they were answered since."""
    since = max(now - SHOWN, lead.touched_at) if lead and lead.touched_at else now - SHOWN
    row = session.execute(text(_LATEST), {"id": profile_id, "since": since}).first()
    return row.id if row and row.status != "sent" else None


_LATEST = """
SELECT id, status FROM messages
WHERE profile_id = :id AND created_at > :since AND journey IS NULL AND data->>'by' IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1
"""
