"""`/consents`: record what an address agreed to, with the proof; read what holds."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.analytics.profile_view import ConsentView, IdentityView, StopView, consents, stops
from crm.consent import ledger, suppression
from crm.consent.models import ConsentEntry, Topic
from crm.core.crypto import Keys
from crm.core.errors import InvalidError
from crm.events import inbox
from crm.events.address import normalise
from crm.profiles.find import find
from crm.profiles.people import lock
from crm.web.api.operation import Wanted, blueprint, operation
from crm.web.db import settings

bp = blueprint("consents")
Channel = Literal["email", "sms", "whatsapp"]
KIND_OF = {"email": "email", "sms": "phone", "whatsapp": "phone"}
RECORDERS = ("admin", "marketer", "sales", "agent")
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]


class Proof(BaseModel):
    """How the person said so; at least one of these. Further fields are kept as they are."""

    model_config = ConfigDict(extra="allow")
    ip: str | None = Field(None, max_length=100)
    url: str | None = Field(None, max_length=2000, description="The page with the form.")
    user_agent: str | None = Field(None, max_length=1000)
    form: str | None = Field(None, max_length=500)
    recording: str | None = Field(None, max_length=2000, description="Where a call or paper is kept.")


class NewConsent(Wanted):
    address: Annotated[str, StringConstraints(min_length=1, max_length=320)] = Field(description="An e-mail address or a phone number, in any spelling.")
    channel: Channel = "email"
    topic: str = Field(max_length=100, description="One of the installation's topics, for example `offers`.")
    action: Literal["granted", "refused"]
    wording: Text | None = Field(None, description="What the person agreed to, word for word or by its id; needed to grant.")
    source: Text = Field(description="Where it was said: `checkout`, `call centre`, …")
    proof: Proof = Field(default_factory=lambda: Proof.model_validate({}), description="Needed to grant.")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What holds now for the address; `changed` is false where it already held."""

    changed: bool
    consents: list[ConsentView]
    stops: list[StopView]


class ConsentsWanted(Wanted):
    address: str = Field(min_length=1, max_length=320, description="An e-mail address or a phone number.")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change in the ledger."""

    id: int
    at: dt.datetime
    channel: str
    topic: str
    purpose: str
    action: str
    wording: str | None
    source: str


@dataclass(frozen=True, slots=True)
class AddressConsents:
    """What one address said: now, and in order; and what stops messages to it."""

    kind: str
    address: str
    consents: list[ConsentView]
    stops: list[StopView]
    history: list[HistoryEntry]


@operation(
    bp,
    "/consents",
    answer=Recorded,
    body=NewConsent,
    roles=RECORDERS,
    summary="Record a consent or refusal with its proof; an explicit grant lifts an earlier refusal",
)
def record(session: Session, *, body: NewConsent, now: dt.datetime) -> Recorded:
    kind, address = _address(body.address)
    topic = _topic(session, body.topic)
    proof = {name: value for name, value in body.proof.model_dump(mode="json").items() if value is not None}
    _check(body, kind, proof)
    owner = find(session, kind, address)
    if owner:
        lock(session, [owner])
    keys = Keys(settings().secret_key)
    said = ledger.Change(
        kind, address, body.channel, topic.name, topic.purpose, body.action, f"api: {body.source}", explicit=True, wording=body.wording, proof=proof
    )
    changed = bool(ledger.record(session, [said], keys, now))
    hashed = keys.address_hash(kind, address)
    if body.action == ledger.GRANTED:
        for stop in ("unsubscribed", "erased") if topic.purpose == "marketing" else ("erased",):  # somebody who left and comes back says yes anew
            suppression.lift(session, address_hash=hashed, channel=body.channel, reason=stop)
    if changed and owner:
        properties = {"channel": body.channel, "topic": topic.name, "source": said.source}
        event = inbox.system_event(f"Consent {body.action.capitalize()}", owner, properties, email=address if kind == "email" else None, cause="api", hops=0)
        inbox.append(session, [event], now)
    known = {hashed: IdentityView(kind, address, verified=False, first_seen=now)}
    return Recorded(changed, consents(session, known), stops(session, known))


@operation(bp, "/consents", answer=AddressConsents, query=ConsentsWanted, summary="What an address agreed to, now and before")
def of_address(session: Session, *, query: ConsentsWanted, now: dt.datetime) -> AddressConsents:
    kind, address = _address(query.address)
    hashed = Keys(settings().secret_key).address_hash(kind, address)
    known = {hashed: IdentityView(kind, address, verified=False, first_seen=now)}
    return AddressConsents(kind, address, consents(session, known), stops(session, known), _history(session, hashed))


def _address(said: str) -> tuple[str, str]:
    kind = "email" if "@" in said else "phone"
    normal = normalise(kind, said)
    if normal is None:
        raise InvalidError("address: this is neither an e-mail address nor a phone number.")
    return kind, normal


def _topic(session: Session, name: str) -> Topic:
    topics = {topic.name: topic for topic in session.scalars(select(Topic).order_by(Topic.name))}
    if name not in topics:
        raise InvalidError(f"topic: there is no {name!r}; choose one of {', '.join(topics)}.")
    return topics[name]


def _check(body: NewConsent, kind: str, proof: dict[str, Any]) -> None:
    if KIND_OF[body.channel] != kind:
        raise InvalidError(f"channel: {body.channel} needs {'an e-mail address' if KIND_OF[body.channel] == 'email' else 'a phone number'}.")
    if body.action == ledger.GRANTED and not body.wording:
        raise InvalidError("wording: say what the person agreed to; consent without it proves nothing.")
    if body.action == ledger.GRANTED and not proof:
        raise InvalidError("proof: send at least one of ip, url, user_agent, form or recording; consent without it proves nothing.")


def _history(session: Session, hashed: bytes) -> list[HistoryEntry]:
    columns = (
        ConsentEntry.id,
        ConsentEntry.at,
        ConsentEntry.channel,
        ConsentEntry.topic,
        ConsentEntry.purpose,
        ConsentEntry.action,
        ConsentEntry.wording,
        ConsentEntry.source,
    )
    return [HistoryEntry(*row) for row in session.execute(select(*columns).where(ConsentEntry.address_hash == hashed).order_by(ConsentEntry.id))]
