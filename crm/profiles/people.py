"""The profiles of a batch while it is worked on: loaded under lock, changed in memory, written back in sets."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.ids import new_id
from crm.core.json import array, dumps
from crm.profiles.search import VECTORS, WORDS

BUCKETS = 10_000
UNPROVEN = "unproven"  # ends the stamp of a trait that a public key told
Key = tuple[str, str]  # kind and value of an identity


@dataclass(slots=True)
class Person:
    """A profile's row in memory. `stamp` of a trait is [epoch ms, accepted], with UNPROVEN behind it where a public key told it."""

    id: uuid.UUID
    bucket: int
    known: bool
    name: str
    traits: dict[str, Any]
    traits_at: dict[str, Any]
    first_seen: dt.datetime
    last_seen: dt.datetime
    commerce_at: dt.datetime | None = None
    commerce_accepted: int | None = None
    apart: list[int] | None = None  # undone links on whose one side it stands
    new: bool = False  # has no row yet
    born: bool = False  # in this batch
    touched: bool = False  # times only
    changed: bool = False  # anything a search or a page shows
    refold: bool = False  # carts and orders must be folded again from the log
    ids: dict[str, set[str]] = field(default_factory=dict)  # kind -> values, for the kinds that tell persons apart
    counts: dict[str, int] = field(default_factory=dict)  # kind -> how many identities
    vouched: bool = False  # a server key or a proof of ours stands behind one of them

    def seen(self, at: dt.datetime, *, act: bool = True) -> None:
        """Widen first and last seen; the latter only by what the person did."""
        if at < self.first_seen:
            self.first_seen, self.touched = at, True
        if act and at > self.last_seen:
            self.last_seen, self.touched = at, True

    def learn(self, name: str, value: Any, stamp: list[Any]) -> None:
        """Last writer wins by event time, an unproven one never over another; None forgets the trait but remembers when."""
        if name in self.traits_at and weight(self.traits_at[name]) >= weight(stamp):
            return
        self.traits_at[name] = stamp
        if value is None:
            self.traits.pop(name, None)
        else:
            self.traits[name] = value
        self.changed = True

    def absorb(self, other: Person) -> None:
        """Become both: the later trait wins, carts are folded anew. Whose bucket counts is settled when the join is written."""
        for name, stamp in other.traits_at.items():
            self.learn(name, other.traits.get(name), stamp)
        for kind, values in other.ids.items():
            self.ids.setdefault(kind, set()).update(values)
        self.vouched |= other.vouched
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        self.apart = [*(self.apart or ()), *(other.apart or ())] or None
        self.seen(other.first_seen)
        self.seen(other.last_seen)
        self.known = self.known or other.known
        self.changed = self.refold = True


def weight(stamp: list[Any]) -> tuple[bool, list[Any]]:
    """What is compared of two stamps: the later word, one with trust first."""
    return stamp[-1] != UNPROVEN, stamp[:2]


def born(at: dt.datetime, now: dt.datetime) -> Person:
    """A new, anonymous profile with its bucket drawn."""
    return Person(new_id(int(now.timestamp() * 1000)), random.randrange(BUCKETS), False, "", {}, {}, at, at, new=True, born=True)  # noqa: S311  no secret


def lock(session: Session, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Person]:
    """Lock these profiles in id order and load them: the one lock per person."""
    return _people(session, _LOCK, {"ids": array(list(ids))}) if ids else {}


def lock_owners(session: Session, keys: Collection[Key], ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Person]:
    """The same for whoever owns one of these identities now, and for these profiles; ownership must be looked up again under the lock."""
    return _people(session, _LOCK_OWNERS, _keys(keys) | {"ids": array(list(ids))})


def _people(session: Session, statement: str, params: dict[str, Any]) -> dict[uuid.UUID, Person]:
    return {row[0]: Person(*row) for row in session.execute(text(statement), params).all()}


@dataclass(slots=True)
class Owned:
    """An identity's row in memory: whose it is, and whose it was before joins."""

    owner: uuid.UUID
    given: uuid.UUID
    verified: bool = False
    people: list[uuid.UUID] = field(default_factory=list)  # of a device: who identified on it
    shared: bool = False


def owners(session: Session, keys: Collection[Key]) -> dict[Key, Owned]:
    """(kind, value) -> its row, for the identities that exist."""
    if not keys:
        return {}
    rows = session.execute(text(_OWNERS), _keys(keys)).all()
    return {(row[0], row[1]): Owned(row[2], row[3] or row[2], row[4], row[5] or [], row[6]) for row in rows}


def _keys(keys: Collection[Key]) -> dict[str, Any]:
    return {"kinds": array([k for k, _ in keys]), "values": array([v for _, v in keys])}


def load_ids(session: Session, people: dict[uuid.UUID, Person], wanted: Collection[uuid.UUID]) -> None:
    """Fill in what tells some of these persons apart, their user ids and e-mail addresses, and how many identities they have of each kind."""
    if wanted:
        for profile_id, kind, count, values, verified in session.execute(text(_IDS), {"ids": array(list(wanted))}).all():
            people[profile_id].counts[kind] = count
            people[profile_id].vouched |= verified
            if values:
                people[profile_id].ids[kind] = set(values)


def insert(session: Session, people: Sequence[Person]) -> None:
    """Write profiles born in this batch, whose identities are in, with the search words of those who are more than a device."""
    if people:
        told = array([p.id for p in people if p.changed])
        session.execute(text(_INSERT), _columns(people) | {"told": told})
        for person in people:
            person.new = False


def save(session: Session, people: Iterable[Person]) -> list[uuid.UUID]:
    """Write who is new, and what changed; returns the profiles whose search words may have."""
    dirty = [p for p in people if p.new or p.changed or p.touched]
    for person in dirty:
        if person.changed:
            person.name = display_name(person.traits)
    changed = [p for p in dirty if p.changed and not p.new]
    touched = [p for p in dirty if not p.changed and not p.new]
    insert(session, [p for p in dirty if p.new])
    if changed:
        session.execute(text(_UPDATE), _columns(changed))
    if touched:
        session.execute(text(_TOUCH), _times(touched))
    return [p.id for p in changed]


def display_name(traits: dict[str, Any]) -> str:
    """`name`, else first and last name, else nothing."""
    if isinstance(whole := traits.get("name"), str) and whole.strip():
        return whole.strip()[:200]
    parts = (traits.get("firstName") or traits.get("first_name"), traits.get("lastName") or traits.get("last_name"))
    return " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())[:200]


def _times(people: Sequence[Person]) -> dict[str, Any]:
    return {
        "ids": array([p.id for p in people]),
        "first": array([p.first_seen for p in people]),
        "last": array([p.last_seen for p in people]),
        "commerce": array([p.commerce_at for p in people]),
        "accepted": array([p.commerce_accepted for p in people]),
    }


def _columns(people: Sequence[Person]) -> dict[str, Any]:
    return _times(people) | {
        "buckets": array([p.bucket for p in people]),
        "known": array([p.known for p in people]),
        "names": array([p.name for p in people]),
        "traits": array([dumps(p.traits) for p in people]),
        "traits_at": array([dumps(p.traits_at) for p in people]),
    }


_TIMES = "CAST(:first AS timestamptz[]), CAST(:last AS timestamptz[]), CAST(:commerce AS timestamptz[]), CAST(:accepted AS bigint[])"
_JSON = "CAST(CAST(:traits AS text[]) AS jsonb[]), CAST(CAST(:traits_at AS text[]) AS jsonb[])"
_ALL = f"CAST(:ids AS uuid[]), CAST(:buckets AS smallint[]), CAST(:known AS boolean[]), CAST(:names AS text[]), {_JSON}, {_TIMES}"
_NAMES = "id, bucket, known, name, traits, traits_at, first_seen, last_seen, commerce_at, commerce_accepted"
_LOCK = f"SELECT {_NAMES}, apart FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"  # noqa: S608  our own fragments
_LOCK_OWNERS = f"""
SELECT {_NAMES}, apart FROM profiles WHERE id = ANY(ARRAY(
  SELECT profile_id FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) k(kind, value) JOIN identities USING (kind, value)
  UNION SELECT unnest(CAST(:ids AS uuid[]))
)) ORDER BY id FOR UPDATE
"""  # noqa: S608  our own fragments
_OWNERS = """
SELECT kind, value, profile_id, given_id, verified, people, shared
FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) k(kind, value) JOIN identities USING (kind, value)
"""
_IDS = """
SELECT profile_id, kind, count(*), array_agg(value) FILTER (WHERE kind IN ('user_id', 'email')), bool_or(verified)
FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) GROUP BY profile_id, kind
"""
_INSERT = f"""
WITH born AS MATERIALIZED (SELECT * FROM unnest({_ALL}) AS u({_NAMES})),
named AS (SELECT p.id, {WORDS} AS words FROM born p WHERE p.id = ANY(CAST(:told AS uuid[]))),
{VECTORS.replace(":ids", ":told")}
INSERT INTO profiles ({_NAMES}, search) SELECT b.*, v.search FROM born b LEFT JOIN vectors v ON v.id = b.id
"""  # noqa: S608  our own fragments
_UPDATE = f"""
UPDATE profiles p SET (bucket, known, name, traits, traits_at, first_seen, last_seen, commerce_at, commerce_accepted) =
  (u.bucket, u.known, u.name, u.traits, u.traits_at, u.first_seen, u.last_seen, u.commerce_at, u.commerce_accepted)
FROM unnest({_ALL}) AS u({_NAMES}) WHERE p.id = u.id
"""  # noqa: S608  our own fragments
_TOUCH = f"""
UPDATE profiles p SET (first_seen, last_seen, commerce_at, commerce_accepted) = (u.first_seen, u.last_seen, u.commerce_at, u.commerce_accepted)
FROM unnest(CAST(:ids AS uuid[]), {_TIMES}) AS u(id, first_seen, last_seen, commerce_at, commerce_accepted) WHERE p.id = u.id
"""  # noqa: S608  our own fragments
