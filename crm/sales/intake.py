"""Leads from outside, as calls for the inbox: by API, and by signed forms whose fields anybody may fill in."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.events import inbox
from crm.events.address import normalise
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Call
from crm.sales.lead_state import CREATED

PURPOSE = "lead form"
TRAITS = {"name": "name", "first_name": "firstName", "last_name": "lastName", "company": "company", "city": "city", "language": "language"}
TRAP = "website"  # a field people do not see; programs fill it in
WAYS = ("email", "phone")  # to answer; one that cannot be read stays with the lead as it was typed
MOST, LONGEST = 30, 1000


@dataclass(frozen=True, slots=True)
class Form:
    """What the signature of a form vouches for: where its leads come from, and where the browser goes on to."""

    source: str
    campaign: str = ""
    goes_to: str = ""


@dataclass(frozen=True, slots=True)
class NewLead:
    """A lead as a system of the company's tells it; at least one way to know the person."""

    user_id: str | None = None
    email: str | None = None
    phone: str | None = None
    traits: Mapping[str, Any] | None = None
    source: str = ""
    campaign: str = ""
    cost: str | None = None
    currency: str | None = None
    owner_id: int | None = None
    message_id: str = ""


def token(keys: Keys, form: Form) -> str:
    """The end of a form's address."""
    return keys.sign(PURPOSE, {"s": form.source, "c": form.campaign, "g": form.goes_to})


def read(keys: Keys, said: str) -> Form:
    """What the token vouches for; NotFoundError where it is not ours."""
    found = keys.read(PURPOSE, said) if said.isascii() and len(said) < 4000 else None
    if found is None:
        raise NotFoundError(_l("This form is not one of ours; copy its address again."))
    return Form(str(found.get("s", "")), str(found.get("c", "")), str(found.get("g", "")))


def from_form(session: Session, form: Form, fields: Mapping[str, str], now: dt.datetime) -> bool:
    """Take a filled-in form; False where a program filled it in. What it says proves nothing: it joins nobody who is vouched for.

    The same words on the same day are one lead, so that a double click counts once.
    """
    if fields.get(TRAP):
        return False
    known = {name: value for name in WAYS if (value := normalise(name, fields.get(name, "")))}
    if not known:
        raise InvalidError(_l("Leave an e-mail address or a phone number, so that we can answer."))
    kept = {name[:100]: value.replace("\x00", "")[:LONGEST] for name, value in list(fields.items())[:MOST] if value.strip() and name not in known}
    traits = {TRAITS[name]: value for name, value in kept.items() if name in TRAITS}
    number = hashlib.sha256(dumps([form.source, form.campaign, known, kept, now.date().isoformat()]).encode()).hexdigest()[:32]
    said = {name: value for name, value in kept.items() if name not in TRAITS} | {"source": form.source, "campaign": form.campaign}
    who = {"anonymous_id": f"form-{number}"}
    calls = [
        Call(type="identify", message_id=f"form-{number}-who", traits={**known, **traits}, **who),  # type: ignore[arg-type]  # who is one identifier, by its name
        Call(type="track", event=CREATED, message_id=f"form-{number}", properties=said, context={"traits": known}, **who),  # type: ignore[arg-type]  # who is one identifier, by its name
    ]
    source = _source(session, "forms")
    inbox.append(session, [NewRow(source, trusted=False, origin=LIVE, body=call) for call in calls], now)
    return True


def from_api(session: Session, new: NewLead, now: dt.datetime) -> str:
    """Take a lead from one of the company's systems; returns the number under which it counts once."""
    if not (new.user_id or normalise("email", new.email or "") or normalise("phone", new.phone or "")):
        raise InvalidError("user_id, email or phone: at least one must say who it is.")
    number = new.message_id or f"lead-{hashlib.sha256(dumps([new.user_id, new.email, new.phone, new.source, now.isoformat()]).encode()).hexdigest()[:32]}"
    known = {name: value for name, value in (("email", new.email), ("phone", new.phone)) if value}
    said = {
        "source": new.source,
        "campaign": new.campaign,
        "cost": new.cost,
        "currency": new.currency,
        "owner_id": new.owner_id,
        "by": "api" if new.owner_id else None,
    }
    properties = {name: value for name, value in said.items() if value not in {None, ""}}
    anonymous = None if new.user_id else f"lead-{number}"
    calls = [
        Call(type="identify", message_id=f"{number}-who", user_id=new.user_id, anonymous_id=anonymous, traits={**(new.traits or {}), **known}),
        Call(
            type="track", event=CREATED, message_id=number, user_id=new.user_id, anonymous_id=anonymous, properties=properties,
            context={"traits": known} if known else None,
        ),
    ]  # fmt: skip
    source = _source(session, "api")
    inbox.append(session, [NewRow(source, trusted=True, origin=LIVE, body=call) for call in calls], now)
    return number


def _source(session: Session, name: str) -> int:
    made = "INSERT INTO sources (name) VALUES (:name) ON CONFLICT (name) DO NOTHING"
    session.execute(text(made), {"name": name})
    found: int = session.execute(text("SELECT id FROM sources WHERE name = :name"), {"name": name}).scalar_one()
    return found
