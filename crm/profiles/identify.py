"""2 WHO: whose each accepted call is. Decided in memory in order of acceptance, then written in sets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.models import SYSTEM_SOURCE
from crm.events.spec import Accepted, Happened, Ident, event_name
from crm.profiles import people as rows
from crm.profiles.move import Join, join
from crm.profiles.people import Person

Key = tuple[str, str]


class StaleError(Exception):
    """Someone else took one of these identities meanwhile; roll back and run the batch again."""


@dataclass(slots=True)
class Known:
    """What a batch works on: people by id, who owns which identity, what changed."""

    people: dict[uuid.UUID, Person]
    owner: dict[Key, uuid.UUID]
    verified: dict[Key, bool]
    into: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict)
    joins: list[Join] = field(default_factory=list)
    fresh: dict[Key, dt.datetime] = field(default_factory=dict)  # identities to insert, first seen then
    moved: set[Key] = field(default_factory=set)
    proved: set[Key] = field(default_factory=set)

    def final(self, profile_id: uuid.UUID) -> uuid.UUID:
        """Where joins of this batch have led."""
        while profile_id in self.into:
            profile_id = self.into[profile_id]
        return profile_id

    def of(self, key: Key) -> Person | None:
        """Who owns an identity now."""
        found = self.owner.get(key)
        return None if found is None else self.people[self.final(found)]


def identify(session: Session, batch: Sequence[Accepted], now: dt.datetime) -> tuple[list[Happened], Known]:
    """Give every call its profile: lock, look again, place, write. StaleError asks for another try.

    Returns the events in order of acceptance, each with its (final) profile, and the people touched, still to be saved.
    """
    known = _load(session, batch)
    placed = [_place(known, call, now) for call in batch]
    _write(session, known, now)
    return [_happened(call, known.final(profile_id)) for call, profile_id in zip(batch, placed, strict=True)], known


def _load(session: Session, batch: Sequence[Accepted]) -> Known:
    keys = sorted({(i.kind, i.value) for call in batch for i in call.identities})
    found = rows.owners(session, keys)
    named = _named(session, batch)
    people = rows.lock(session, {owner for owner, _ in found.values()} | set(named.values()))
    again = rows.owners(session, keys)
    if {owner for owner, _ in again.values()} - people.keys():
        raise StaleError
    rows.load_ids(session, people)
    known = Known(people, {k: o for k, (o, _) in again.items()}, {k: v for k, (_, v) in again.items()})
    known.into = {old: new for old, new in named.items() if old != new}
    return known


def _named(session: Session, batch: Sequence[Accepted]) -> dict[uuid.UUID, uuid.UUID]:
    """Profiles that Kesher's own events name, and where joins have led them since."""
    wanted = {uuid.UUID(call.call.profile_id) for call in batch if call.call.profile_id and call.source_id == SYSTEM_SOURCE}
    if not wanted:
        return {}
    found = session.execute(text("SELECT id, coalesce(merged_into, id) AS into_id FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(wanted)})
    return {row.id: row.into_id for row in found}


def _place(known: Known, call: Accepted, now: dt.datetime) -> uuid.UUID:
    person = _named_person(known, call) or _whose(known, call, now)
    person.seen(call.occurred_at)
    return person.id


def _named_person(known: Known, call: Accepted) -> Person | None:
    if not call.call.profile_id or call.source_id != SYSTEM_SOURCE:
        return None
    return known.people.get(known.final(uuid.UUID(call.call.profile_id)))


def _whose(known: Known, call: Accepted, now: dt.datetime) -> Person:
    strong = [i for i in call.identities if i.kind != "anonymous_id"]
    devices = [i for i in call.identities if i.kind == "anonymous_id"]
    person = _by_strong(known, strong, devices) if strong else _by_device(known, devices)
    if person is None:
        person = rows.born(call.occurred_at, now)
        known.people[person.id] = person
    for ident in strong:
        person = _attach(known, person, ident, call)
    for ident in devices:
        person = _carry(known, person, ident, call, identified=bool(strong))
    return person


def _by_strong(known: Known, strong: Sequence[Ident], devices: Sequence[Ident]) -> Person | None:
    """The person these identifiers mean: the user id's; else one they lead to who is not somebody else; else the device's anonymous one."""
    said = {i.kind: i.value for i in strong}
    for ident in strong:
        owner = known.of((ident.kind, ident.value))
        if owner is not None and (ident.kind == "user_id" or not _other_user(owner, said)):
            return owner
    for ident in devices:
        owner = known.of((ident.kind, ident.value))
        if owner is not None and (not owner.known or _could_be(owner, said)):
            return owner
    return None


def _by_device(known: Known, devices: Sequence[Ident]) -> Person | None:
    return next((owner for i in devices if (owner := known.of((i.kind, i.value)))), None)


def _other_user(owner: Person, said: dict[str, str]) -> bool:
    """A user id was said, and this person has another."""
    return "user_id" in said and bool(owner.ids.get("user_id")) and said["user_id"] not in owner.ids["user_id"]


def _could_be(owner: Person, said: dict[str, str]) -> bool:
    """A known person on this device may be meant where nothing said contradicts what tells persons apart."""
    return not any(owner.ids.get(kind) and said[kind] not in owner.ids[kind] for kind in ("user_id", "email") if kind in said)


def _attach(known: Known, person: Person, ident: Ident, call: Accepted) -> Person:
    key = (ident.kind, ident.value)
    owner = known.of(key)
    if owner is None:
        _own(known, key, person, call.occurred_at)
        person.ids.setdefault(ident.kind, set()).add(ident.value)
        person.changed = True
    elif owner is not person:
        if not call.trusted or (owner.ids.get("user_id") and person.ids.get("user_id")):
            return person  # a public key joins no two known persons; two user ids stay two
        person = _join(known, owner, person, ident, call)
    if not person.known:
        person.known = person.changed = True
    if ident.verified and not known.verified.get(key):
        known.verified[key] = True
        known.proved.add(key)
    return person


def _carry(known: Known, person: Person, ident: Ident, call: Accepted, *, identified: bool) -> Person:
    """The device goes with the person it now identifies as; an anonymous past on it is joined."""
    key = (ident.kind, ident.value)
    owner = known.of(key)
    if owner is None:
        _own(known, key, person, call.occurred_at)
    elif owner is not person and identified:
        if owner.known:
            known.owner[key] = person.id
            known.moved.add(key)
        else:
            person = _join(known, owner, person, ident, call)
    return person


def _own(known: Known, key: Key, person: Person, at: dt.datetime) -> None:
    known.owner[key] = person.id
    known.fresh[key] = at


def _join(known: Known, one: Person, other: Person, ident: Ident, call: Accepted) -> Person:
    """The anonymous goes into the known; of two alike the younger into the older."""
    keep, gone = (one, other) if (not one.known, one.id) < (not other.known, other.id) else (other, one)
    keep.absorb(gone)
    known.into[gone.id] = keep.id
    reason = "alias" if call.call.type == "alias" else "identified"
    known.joins.append(Join(gone.id, keep.id, reason, call.id, {"kind": ident.kind, "value": ident.value}))
    return keep


def _write(session: Session, known: Known, now: dt.datetime) -> None:
    rows.insert(session, [p for p in known.people.values() if p.new])
    _write_identities(session, known)
    join(session, list(_settled(known)), now)
    for gone in known.into:
        known.people.pop(gone, None)


def _settled(known: Known) -> Iterator[Join]:
    for made in known.joins:
        yield Join(made.from_id, known.final(made.into_id), made.reason, made.accepted, made.detail)


def _write_identities(session: Session, known: Known) -> None:
    fresh = sorted(known.fresh)
    if fresh:
        params = {
            "kinds": [k for k, _ in fresh],
            "values": [v for _, v in fresh],
            "owners": [known.owner[key] for key in fresh],
            "verified": [known.verified.get(key, False) for key in fresh],
            "first": [known.fresh[key] for key in fresh],
        }
        if len(session.execute(text(_INSERT), params).all()) < len(fresh):
            raise StaleError
    if moved := sorted(known.moved - known.fresh.keys()):
        owners = [known.owner[key] for key in moved]
        session.execute(text(_MOVE), {"kinds": [k for k, _ in moved], "values": [v for _, v in moved], "owners": owners})
    if proved := sorted(known.proved - known.fresh.keys()):
        session.execute(text(_PROVE), {"kinds": [k for k, _ in proved], "values": [v for _, v in proved]})


def _happened(call: Accepted, profile_id: uuid.UUID) -> Happened:
    said = call.call
    traits = said.traits or {}
    properties = dict(said.properties or {})
    if said.type == "identify":
        properties = traits
    elif said.type == "group":
        properties = {"groupId": said.group_id, "traits": traits}
    elif said.type in {"page", "screen"}:
        properties.update({k: v for k, v in (("name", said.name), ("category", said.category)) if v is not None})
    return Happened(
        profile_id, call.occurred_at, call.id, call.source_id, said.type, event_name(said), call.origin, call.trusted, call.identities,
        properties, said.context or {}, traits if said.type == "identify" else {}, call.received_at, call.claimed_at, said.message_id, call.hops, call.cause,
    )  # fmt: skip


_INSERT = """
INSERT INTO identities (kind, value, profile_id, verified, first_seen)
SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[]), CAST(:owners AS uuid[]), CAST(:verified AS boolean[]), CAST(:first AS timestamptz[]))
ON CONFLICT DO NOTHING RETURNING 1
"""
_MOVE = """
UPDATE identities i SET profile_id = k.owner
FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[]), CAST(:owners AS uuid[])) k(kind, value, owner)
WHERE (i.kind, i.value) = (k.kind, k.value)
"""
_PROVE = """
UPDATE identities i SET verified = true
FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) k(kind, value) WHERE (i.kind, i.value) = (k.kind, k.value)
"""
