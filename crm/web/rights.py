"""Field-level rights: a role that may not see phones, e-mail addresses or revenue gets no page and no answer that holds one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask, Response, g, has_request_context
from flask_login import current_user
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from crm.commerce.computed import definitions
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.json import dumps, loads
from crm.web.db import db
from crm.web.models import ROLES, HiddenField

FIELDS = {"email": _l("E-mail addresses"), "phone": _l("Phone numbers"), "revenue": _l("Revenue")}
LIMITED = tuple(role for role in ROLES if role != "admin")  # an admin sees everything
TRAITS = frozenset({"revenue", "average_order"})  # computed traits that are money
SUMS = frozenset(  # keys of events and of the API that hold money
    ("revenue", "gross", "net", "refunded", "refunds", "refund", "total", "subtotal", "amount", "price", "shipping", "tax", "discount", "worth")
)
VEIL = "•••"
READABLE = ("text/", "application/json", "application/yaml")  # what an answer says to people and programs
EMAIL = re.compile(r"(?<![\w.+-])([\w+-])[\w.+-]*(?:@|%40)[\w-]+(?:\.[\w-]+)+")
PHONE = re.compile(  # +972 50-555 0142, 00972…, 972505550142 as WhatsApp has it, (050) 555.0142
    r"(?<![\w.-])(?:(?:\+|00)\d[\d\s().-]{7,}\d|972[\s().-]?(?:[23489]|[57]\d)[\s().-]?\d{3}[\s().-]?\d{4}"
    r"|0(?:[23489]|[57]\d)\)?[\s./-]{0,2}\d{3}[\s.-]?\d{4})(?!\w)"
)
_QUOTE = '(?:&#34;|""|")'  # as JSON has it, as a page writes it, as a CSV does
SUM = re.compile(rf"({_QUOTE}(?:{'|'.join(sorted(SUMS))}){_QUOTE}\s*:\s*){_QUOTE}?-?[\d.,]+{_QUOTE}?")  # money in a text that is JSON


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


def money_traits() -> frozenset[str]:
    """Computed traits that are money: ours, and those of the company's own that put a sum's property together."""
    if "money_traits" not in g:
        own = (each.name for each in definitions(db()) if each.property in SUMS and each.aggregate not in {"count", "distinct"})
        g.money_traits = TRAITS.union(own)
    found: frozenset[str] = g.money_traits
    return found


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


def refuse_veiled(rule: object) -> None:
    """What was veiled on its way out does not come back as if it were what somebody wrote."""
    if VEIL in dumps(rule):
        raise InvalidError(_l("A hidden address or number (•••) stands in this rule. Write it out, or have somebody save it who may see it."))


def veil(text: str, fields: frozenset[str], keep: str = "") -> str:
    """A text without the addresses, numbers and sums these fields are about; `keep` is the reader's own address."""
    if "email" in fields:
        text = EMAIL.sub(lambda found: found[0] if found[0] == keep else f"{found[1]}{VEIL}@{VEIL}", text)
    if "revenue" in fields:
        text = SUM.sub(rf"\1{VEIL}", text)
    return PHONE.sub(lambda found: f"{VEIL}{found[0][-2:]}", text) if "phone" in fields else text


def _of(session: Session, role: str) -> Iterable[str]:
    return session.scalars(select(HiddenField.field).where(HiddenField.role == role)).all()


def _veiled(response: Response) -> Response:
    if not (response.mimetype or "").startswith(READABLE) or response.direct_passthrough or "unveiled" in g or not (fields := hidden()):
        return response
    keep = getattr(current_user, "email", "")
    if response.is_streamed:
        response.response = (veil(part if isinstance(part, str) else part.decode(), fields, keep) for part in response.response)
    elif response.mimetype == "application/json":
        response.set_data(dumps(_of_json(loads(response.get_data()), fields, keep)))
    else:
        response.set_data(veil(response.get_data(as_text=True), fields, keep))
    return response


def _of_json(value: Any, fields: frozenset[str], keep: str) -> Any:
    """The same of JSON, text by text: what is veiled as it is written may end in the middle of an escape."""
    if isinstance(value, Mapping):
        money = sums(value) if "revenue" in fields else ()
        return {veil(key, fields, keep): None if key in money else _of_json(inner, fields, keep) for key, inner in value.items()}
    if isinstance(value, list):
        return [_of_json(one, fields, keep) for one in value]
    if isinstance(value, int) and veil(str(value), fields) != str(value):
        return None  # a phone that was sent as a number
    return veil(value, fields, keep) if isinstance(value, str) else value


def sums(value: Mapping[str, Any]) -> list[str]:
    """The keys of a mapping under which a sum stands: by their names, by that of a computed trait, by the currency beside it (but in a rule)."""
    name = value.get("name")  # a journey's is a mapping by language
    also = isinstance(name, str) and name in money_traits() or ("currency" in value and "kind" not in value)
    return [key for key, inner in value.items() if (key in SUMS or (also and key == "value")) and not isinstance(inner, dict | list)]
