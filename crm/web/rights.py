"""Field-level rights: a role that may not see phones, e-mail addresses or revenue gets no page and no answer that holds one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask, Response, g, has_request_context
from flask_login import current_user
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from crm.core.i18n import _l
from crm.core.json import dumps, loads
from crm.web.db import db
from crm.web.models import ROLES, HiddenField

FIELDS = {"email": _l("E-mail addresses"), "phone": _l("Phone numbers"), "revenue": _l("Revenue")}
LIMITED = tuple(role for role in ROLES if role != "admin")  # an admin sees everything
TRAITS = frozenset({"revenue", "average_order"})  # computed traits that are money
SUMS = frozenset({"revenue", "gross", "net", "refunded", "refunds", "total", "subtotal"})  # keys of the API that hold money
VEIL = "•••"
EMAIL = re.compile(r"(?<![\w.+-])([\w+-])[\w.+-]*@[\w-]+(?:\.[\w-]+)+")
PHONE = re.compile(r"(?<![\w.-])(?:\+\d[\d\s().-]{7,}\d|0(?:[23489]|5\d|7\d)[-\s]?\d{3}[-\s]?\d{4})(?!\w)")


def install(app: Flask) -> None:
    """The last gate of every answer: whatever a page or operation wrote, hidden fields do not leave."""
    app.after_request(_veiled)


def hidden() -> frozenset[str]:
    """The fields that whoever asks may not see; nothing where nobody is signed in."""
    if not has_request_context():
        return frozenset()
    if "hidden_fields" not in g:
        token = g.get("token")
        role = token.role if token else getattr(current_user, "role", None)
        g.hidden_fields = frozenset(_of(db(), role)) if role in LIMITED else frozenset()
    fields: frozenset[str] = g.hidden_fields
    return fields


def unveiled() -> None:
    """This answer is no data of a profile but a drawing that is saved again as it came; veiled, it would come back damaged."""
    g.unveiled = True


def all_hidden(session: Session) -> set[tuple[str, str]]:
    """(role, field) for everything hidden."""
    return {(row.role, row.field) for row in session.execute(select(HiddenField.role, HiddenField.field))}


def hide(session: Session, shut: Iterable[tuple[str, str]]) -> None:
    """Hide exactly these (role, field)."""
    session.execute(delete(HiddenField))
    if rows := [{"role": role, "field": field} for role, field in sorted(shut)]:
        session.execute(insert(HiddenField), rows)


def veil(text: str, fields: frozenset[str], keep: str = "") -> str:
    """A text without the addresses and numbers these fields are about; `keep` is the reader's own address."""
    if "email" in fields:
        text = EMAIL.sub(lambda found: found[0] if found[0] == keep else f"{found[1]}{VEIL}@{VEIL}", text)
    return PHONE.sub(lambda found: f"{VEIL}{found[0][-2:]}", text) if "phone" in fields else text


def _of(session: Session, role: str) -> Iterable[str]:
    return session.scalars(select(HiddenField.field).where(HiddenField.role == role)).all()


def _veiled(response: Response) -> Response:
    kind = response.mimetype
    if kind not in {"text/html", "application/json"} or response.direct_passthrough or "unveiled" in g or not (fields := hidden()):
        return response
    text = response.get_data(as_text=True)
    if kind == "application/json" and "revenue" in fields:
        text = dumps(_without_sums(loads(text)))
    response.set_data(veil(text, fields, getattr(current_user, "email", "")))
    return response


def _without_sums(value: Any) -> Any:
    if isinstance(value, Mapping):
        name = value.get("name")  # a journey's is a mapping by language
        if isinstance(name, str) and name in TRAITS and "value" in value:
            return {**value, "value": None}
        return {key: None if key in SUMS and not isinstance(inner, dict | list) else _without_sums(inner) for key, inner in value.items()}
    return [_without_sums(one) for one in value] if isinstance(value, list) else value
