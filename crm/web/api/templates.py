"""`/templates`: what there is to send, and how it would look for one person."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.core.paging import Page
from crm.messages.models import Template
from crm.messages.preview import Preview, preview
from crm.profiles.timeline import follow
from crm.web.api.operation import Items, Wanted, blueprint, items, operation
from crm.web.db import settings

bp = blueprint("templates")


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A message's words under one name; `version` is the latest."""

    name: str
    channel: str
    topic: str
    purpose: str
    version: int


class PreviewWanted(Wanted):
    profile_id: uuid.UUID | None = Field(None, description="As this person would get it; without it, the template's sample person.")
    language: Literal["he", "en"] | None = Field(None, description="Without it, the person's own.")


@operation(bp, "/templates", answer=Items[TemplateView], summary="The templates")
def templates(session: Session, *, now: dt.datetime) -> Items[TemplateView]:
    columns = (Template.name, Template.channel, Template.topic, Template.purpose, Template.version)
    return items(Page([TemplateView(*row) for row in session.execute(select(*columns).order_by(Template.name))], None))


@operation(bp, "/templates/<name>/preview", answer=Preview, query=PreviewWanted, summary="A template filled in for one person; nothing is sent")
def template_preview(session: Session, *, name: str, query: PreviewWanted, now: dt.datetime) -> Preview:
    owner = follow(session, query.profile_id) if query.profile_id else None
    if query.profile_id and owner is None:
        raise NotFoundError("There is no profile with this id. Leave profile_id out to see the template's sample.")
    return preview(session, settings(), name=name.replace("\x00", ""), language=query.language, profile_id=owner)
