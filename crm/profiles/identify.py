"""2 WHO: whose each accepted call is. Decided in memory in order of acceptance, then written in sets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.acts import is_act
from crm.events.models import SYSTEM_SOURCE
from crm.events.spec import Accepted, Happened, Ident, event_name
from crm.profiles import guards, identities, large
from crm.profiles import people as rows
from crm.profiles.guards import SHARED_FROM, Guards, taken_apart
from crm.profiles.move import Join, join
from crm.profiles.people import Key, Owned, Person


class StaleError(Exception):
    """Someone else took one of these identities meanwhile; roll back and run the batch again."""


ADDRESSES = frozenset({"email", "phone", "wa_id"})


@dataclass(slots=True)
class Known:
    """What a batch works on: people by id, who owns which identity, what changed."""

    people: dict[uuid.UUID, Person]
    owned: dict[Key, Owned]
    guards: Guards
    into: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict)
    joins: list[Join] = field(default_factory=list)
    large: set[uuid.UUID] = field(default_factory=set)  # profiles with too much to be moved in passing
    later: list[Join] = field(default_factory=list)
    fresh: dict[Key, dt.datetime] = field(default_factory=dict)  # identities to insert, first seen then
    changed: set[Key] = field(default_factory=set)

    def final(self, profile_id: uuid.UUID) -> uuid.UUID:
        """Where joins of this batch have led."""
        while self.into and profile_id in self.into:
            profile_id = self.into[profile_id]
        return profile_id

    def of(self, key: Key) -> Person | None:
        """Who owns an identity now. A shared device belongs to nobody who is known."""
        found = self.owned.get(key)
        if found is None:
            return None
        owner = self.people[self.final(found.owner)]
        return None if found.shared and owner.known else owner


@dataclass(slots=True)
class Placed:
    """One call on its way: its person, the profile its identities first led to, what leads nowhere."""

    call: Accepted
    person: Person
    given: uuid.UUID
    left: set[Key]


def identify(session: Session, batch: Sequence[Accepted], now: dt.datetime) -> tuple[list[Happened], Known]:
    """Give every call its profile: lock, look again, place, write. StaleError asks for another try.

    Returns the events in order of acceptance, each with its (final) profile, and the people touched, still to be saved. Of those born in this batch
    only who was joined into another at once has a row by then.
    """
    known = _load(session, batch)
    placed = [_place(known, call, now) for call in batch if not _about_nobody(known, call)]
    _write(session, known, now)
    return [_happened(known, each) for each in placed], known


def _load(session: Session, batch: Sequence[Accepted]) -> Known:
    keys = sorted({(i.kind, i.value) for call in batch for i in call.identities})
    named = _named(session, batch)
    people = rows.lock_owners(session, keys, named.values())
    owned = rows.owners(session, keys)
    if {each.owner for each in owned.values()} - people.keys():
        raise StaleError
    rows.load_ids(session, people, _weighed(batch, owned))
    known = Known(people, owned, guards.load(session, keys), large=large.among(session, _meeting(batch, owned)))
    remembered = {each for device in owned.values() for each in device.people}
    known.into = {old: new for old, new in (named | _led(session, remembered - people.keys())).items() if old != new}
    return known


def _meeting(batch: Sequence[Accepted], owned: Mapping[Key, Owned]) -> set[uuid.UUID]:
    """Profiles that a call of this batch may join with another."""
    led = ({owned[key].owner for i in call.identities if (key := (i.kind, i.value)) in owned} for call in batch if len(call.identities) > 1)
    return {each for owners in led if len(owners) > 1 for each in owners}


def _weighed(batch: Sequence[Accepted], owned: Mapping[Key, Owned]) -> set[uuid.UUID]:
    """Who is concerned by calls that may join people or add to them. An identity alone does neither, nor do several that all lead to one person:
    whatever makes them lead elsewhere meanwhile is a call of this batch that is not like that.
    """
    found: set[uuid.UUID] = set()
    for call in batch:
        if len(call.identities) > 1:
            each = [owned.get((i.kind, i.value)) for i in call.identities]
            leads = {None if one is None or one.shared else one.owner for one in each}
            if len(leads) > 1 or None in leads:
                found.update(one.owner for one in each if one)
    return found


def _named(session: Session, batch: Sequence[Accepted]) -> dict[uuid.UUID, uuid.UUID]:
    """Profiles that Kesher's own events name, and where joins have led them since."""
    return _led(session, {uuid.UUID(call.call.profile_id) for call in batch if call.call.profile_id and call.source_id == SYSTEM_SOURCE})


def _led(session: Session, wanted: set[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    if not wanted:
        return {}
    found = session.execute(text("SELECT id, coalesce(merged_into, id) FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(wanted)})
    return {row[0]: row[1] for row in found}


def _about_nobody(known: Known, call: Accepted) -> bool:
    """Kesher's own event about somebody who is gone: erased meanwhile, or known only by an import that was undone."""
    named = call.call.profile_id if call.source_id == SYSTEM_SOURCE and not call.identities else None
    return bool(named) and known.final(uuid.UUID(named)) not in known.people


def _place(known: Known, call: Accepted, now: dt.datetime) -> Placed:
    placed = _named_person(known, call) or _plainly(known, call) or _whose(known, call, now)
    placed.person.seen(call.occurred_at, act=is_act(call.source_id, call.call.event, call.call.properties))
    return placed


def _named_person(known: Known, call: Accepted) -> Placed | None:
    """One of Kesher's own events names its profile; the address it carries tells on which side of a join it is."""
    if not call.call.profile_id or call.source_id != SYSTEM_SOURCE:
        return None
    named = uuid.UUID(call.call.profile_id)
    person = known.people.get(known.final(named))
    if person is None:
        return None
    given = next((known.owned[key].given for i in call.identities if known.of(key := (i.kind, i.value)) is person), named)
    return Placed(call, person, given, {(i.kind, i.value) for i in call.identities})


def _plainly(known: Known, call: Accepted) -> Placed | None:
    """What most calls come to, found without weighing anything: all it carries is known to be one person's, and stays as it is."""
    lead, identified = None, call.identities[0].kind != "anonymous_id" if call.identities else False
    if known.guards.blocked or known.guards.patterns:
        return None
    for ident in call.identities:
        owned = known.owned.get((ident.kind, ident.value))
        if owned is None or owned.shared or (ident.verified and not owned.verified):
            return None
        lead = lead or owned
        if owned.owner != lead.owner:
            return None
        if identified and ident.kind == "anonymous_id" and (owned.given != lead.given or known.final(owned.owner) not in owned.people):
            return None
    if lead is None:
        return None
    person = known.people[known.final(lead.owner)]
    return Placed(call, person, lead.given, set()) if person.known or not identified else None


def _whose(known: Known, call: Accepted, now: dt.datetime) -> Placed:
    left = {(i.kind, i.value) for i in call.identities if known.guards.is_blocked(i.kind, i.value)}
    strong = [i for i in call.identities if i.kind != "anonymous_id" and (i.kind, i.value) not in left]
    devices = [i for i in call.identities if i.kind == "anonymous_id" and (i.kind, i.value) not in left]
    leads = _by_strong(known, strong, devices) if strong else _by_device(known, devices)
    if leads is None:
        person = rows.born(call.occurred_at, now)
        known.people[person.id] = person
        placed = Placed(call, person, person.id, left)
    else:
        placed = Placed(call, known.people[known.final(known.owned[leads].owner)], known.owned[leads].given, left)
    for ident in strong:
        _attach(known, placed, ident)
    for ident in devices:
        _carry(known, placed, ident, identified=bool(strong))
    return placed


def _by_strong(known: Known, strong: Sequence[Ident], devices: Sequence[Ident]) -> Key | None:
    """What leads to the person these mean: the user id; else one whose owner is not somebody else; else the device of an anonymous one."""
    said = {i.kind: i.value for i in strong}
    for ident in strong:
        owner = known.of(key := (ident.kind, ident.value))
        if owner is not None and (ident.kind == "user_id" or not _other_user(owner, said)):
            return key
    for ident in devices:
        owner = known.of(key := (ident.kind, ident.value))
        if owner is not None and not known.owned[key].shared and (not owner.known or _could_be(owner, said)):
            return key
    return None


def _by_device(known: Known, devices: Sequence[Ident]) -> Key | None:
    return next((key for i in devices if known.of(key := (i.kind, i.value))), None)


def _other_user(owner: Person, said: dict[str, str]) -> bool:
    """A user id was said, and this person has another."""
    return "user_id" in said and bool(owner.ids.get("user_id")) and said["user_id"] not in owner.ids["user_id"]


def _could_be(owner: Person, said: dict[str, str]) -> bool:
    """A known person on this device may be meant where nothing said contradicts what tells persons apart."""
    return not any(owner.ids.get(kind) and said[kind] not in owner.ids[kind] for kind in ("user_id", "email") if kind in said)


def _attach(known: Known, placed: Placed, ident: Ident) -> None:
    """A person's identifier becomes theirs; where it is another's, the two are one person, unless a guard says no."""
    key, person = (ident.kind, ident.value), placed.person
    owner = known.of(key)
    if owner is None:
        if not placed.call.trusted and person.vouched and ident.kind in ADDRESSES:
            _leave(known, placed, key, "unproven", None)  # else anybody who knows a user id could have that person's mail sent to themselves
            return
        if not _own(known, placed, key):
            return
        person.ids.setdefault(ident.kind, set()).add(ident.value)
        person.changed = True
    elif owner is not person:
        if refused := _refusal(known, owner, person, trusted=placed.call.trusted):
            _leave(known, placed, key, refused, owner)
            return
        if not _join(known, owner, placed, key):
            return
    if not placed.person.known:
        placed.person.known = placed.person.changed = True
    placed.person.vouched |= ident.verified
    if ident.verified and not known.owned[key].verified:
        known.owned[key].verified = True
        known.changed.add(key)


def _refusal(known: Known, owner: Person, person: Person, *, trusted: bool) -> str | None:
    """Why two persons are not joined by themselves though one call names both; None where they may be."""
    if not trusted:
        return "unproven"  # a public key joins no two known persons
    return guards.refusal(known.guards, owner, person)


def _carry(known: Known, placed: Placed, ident: Ident, *, identified: bool) -> None:
    """The device goes with the person it now identifies as; an anonymous past on it is joined."""
    key, person = (ident.kind, ident.value), placed.person
    device, owner = known.owned.get(key), known.of(key)
    if identified and device is not None and (device.shared or _third(known, placed, key, device)):
        placed.left.add(key)
    elif owner is None:
        _own(known, placed, key)
    elif owner is not person and identified:
        refused = None if owner.known else _anonymous_stays(known, owner, person)
        if refused == "limit" or (owner.known and known.guards.full(person, ident.kind)):
            _leave(known, placed, key, "limit", owner)
        elif owner.known or refused:
            _take(known, placed, key)
        else:
            _join(known, owner, placed, key)
    if identified and key not in placed.left:
        _remember(known, placed, key)


def _anonymous_stays(known: Known, owner: Person, person: Person) -> str | None:
    if taken_apart(owner, person):
        return "apart"
    return "limit" if known.guards.too_many(owner, person) else None


def _third(known: Known, placed: Placed, key: Key, device: Owned) -> bool:
    """Somebody new identifies on it who is one too many: from now on it is shared."""
    if placed.person.id in device.people or len(device.people) < SHARED_FROM - 1:
        return False
    before = {known.final(each) for each in device.people}
    if placed.person.id in before or len(before) < SHARED_FROM - 1:
        return False
    device.shared = True
    device.people.append(placed.person.id)
    known.changed.add(key)
    known.guards.report("shared", placed.person, key[0], key[1], known.people.get(known.final(device.owner)))
    return True


def _remember(known: Known, placed: Placed, key: Key) -> None:
    """Who identified on a device, and that it is theirs from here on."""
    device = known.owned[key]
    if device.given != placed.given and known.final(device.owner) == placed.person.id:
        device.given = placed.given
        known.changed.add(key)
    if placed.person.id not in device.people:  # though joined with one who is: an undone join makes them two
        device.people.append(placed.person.id)
        known.changed.add(key)


def _own(known: Known, placed: Placed, key: Key) -> bool:
    """A new identity, or a shared device's own past, comes to this person, if they may have one more."""
    if known.guards.full(placed.person, key[0]):
        _leave(known, placed, key, "limit", None)
        return False
    if key in known.owned:
        _take(known, placed, key)
        return True
    known.owned[key] = Owned(placed.person.id, placed.given)
    known.fresh[key] = placed.call.occurred_at
    placed.person.counts[key[0]] = placed.person.counts.get(key[0], 0) + 1
    return True


def _take(known: Known, placed: Placed, key: Key) -> None:
    device = known.owned[key]
    before = known.people[known.final(device.owner)]
    before.counts[key[0]] = max(0, before.counts.get(key[0], 0) - 1)
    placed.person.counts[key[0]] = placed.person.counts.get(key[0], 0) + 1
    device.owner, device.given = placed.person.id, placed.given
    known.changed.add(key)


def _leave(known: Known, placed: Placed, key: Key, reason: str, other: Person | None) -> None:
    """It leads nowhere in this call, and that is told."""
    placed.left.add(key)
    known.guards.report(reason, placed.person, key[0], key[1], other)


def _join(known: Known, owner: Person, placed: Placed, key: Key) -> bool:
    """The anonymous goes into the known; of two alike the younger into the older. False where that is for later, since there is too much to move."""
    keep, gone = older_known(owner, placed.person)
    call = placed.call
    reason = "alias" if call.call.type == "alias" else "identified"
    join = Join(gone.id, keep.id, reason, call.id, {"kind": key[0], "value": key[1], "message_id": call.call.message_id})
    if gone.id in known.large:
        known.later.append(join)
        placed.left.add(key)
        return False
    keep.absorb(gone)
    known.into[gone.id] = keep.id
    known.joins.append(join)
    placed.person = keep
    return True


def older_known(one: Person, other: Person) -> tuple[Person, Person]:
    """Of two persons who become one, who stays and who goes."""
    return (one, other) if (not one.known, one.id) < (not other.known, other.id) else (other, one)


def _write(session: Session, known: Known, now: dt.datetime) -> None:
    if not _write_identities(session, known):
        raise StaleError
    rows.insert(session, [known.people[gone] for gone in known.into if gone in known.people and known.people[gone].new])
    guards.write(session, known.guards, now)
    join(session, known.joins, now)
    large.postpone(session, known.later, now)
    for gone in known.into:
        known.people.pop(gone, None)


def _write_identities(session: Session, known: Known) -> bool:
    def final(keys: Sequence[Key]) -> Iterator[tuple[Key, Owned]]:
        return ((key, replace(known.owned[key], owner=known.final(known.owned[key].owner))) for key in keys)

    fresh = sorted(known.fresh)
    written = identities.insert(session, list(final(fresh)), [known.fresh[key] for key in fresh])
    identities.update(session, list(final(sorted(known.changed - known.fresh.keys()))))
    return written == len(fresh)


def _happened(known: Known, placed: Placed) -> Happened:
    call, said = placed.call, placed.call.call
    traits = said.traits or {}
    properties = said.properties or {}
    if said.type == "identify":
        properties = traits
    elif said.type == "group":
        properties = {"groupId": said.group_id, "traits": traits}
    elif said.type in {"page", "screen"}:
        properties = properties | {k: v for k, v in (("name", said.name), ("category", said.category)) if v is not None}
    profile_id = known.final(placed.person.id)
    idents = tuple(replace(i, left=True) if (i.kind, i.value) in placed.left else i for i in call.identities) if placed.left else call.identities
    return Happened(
        profile_id, call.occurred_at, call.id, call.source_id, said.type, event_name(said), call.origin, call.trusted, idents,
        properties, said.context or {}, traits if said.type == "identify" else {}, call.received_at, call.claimed_at, said.message_id, call.hops, call.cause,
        None if placed.given == profile_id else placed.given,
    )  # fmt: skip
