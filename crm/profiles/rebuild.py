"""Who everybody is by the log and the links alone: what live state must equal, and what an undone join restores it from."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.acts import ACTS
from crm.events.spec import trust_of
from crm.profiles.fold import tell
from crm.profiles.people import Person, display_name

MOST_TOLD = 20  # differences in one answer


@dataclass(frozen=True, slots=True)
class Edge:
    """A link that counts: nothing has undone it."""

    id: int
    from_id: uuid.UUID
    into_id: uuid.UUID


def edges(session: Session, profile_ids: Collection[uuid.UUID] | None = None) -> list[Edge]:
    """The links that count, all of them or those between these profiles."""
    return [Edge(*row) for row in session.execute(text(_EDGES), {"ids": None if profile_ids is None else list(profile_ids)})]


def roots(found: Iterable[Edge]) -> dict[uuid.UUID, uuid.UUID]:
    """For every profile that was joined: where that leads in the end. Each has one link at most, since only who stands alone can be joined."""
    into = {edge.from_id: edge.into_id for edge in found}

    def end(profile_id: uuid.UUID) -> uuid.UUID:
        while profile_id in into:
            profile_id = into[profile_id]
        return profile_id

    return {profile_id: end(profile_id) for profile_id in into}


def side_of(found: Iterable[Edge], profile_id: uuid.UUID) -> set[uuid.UUID]:
    """This profile and whoever was joined into it, directly or through others."""
    members = {profile_id}
    ordered = sorted(found, key=lambda edge: edge.id, reverse=True)  # a profile is joined into others only after everybody joined it
    for edge in ordered:
        if edge.into_id in members:
            members.add(edge.from_id)
    return members


def from_log(session: Session, profile_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Person]:
    """When these people were first and last seen, what they told, and whether they are known; only those of whom the log holds events."""
    ids = {"ids": list(profile_ids)}
    known = set(session.scalars(text(_KNOWN), ids))
    found = {row.profile_id: Person(row.profile_id, 0, row.profile_id in known, "", {}, {}, row.first, row.last) for row in session.execute(text(_TIMES), ids)}
    for row in session.execute(text(_TOLD), ids):
        trust = trust_of(trusted=row.trusted, origin=row.origin, cause=row.cause)
        tell(found[row.profile_id], row.properties, occurred_at=row.occurred_at, accepted=row.accepted, trust=trust)
    return found


def restore(session: Session, people: Mapping[uuid.UUID, Person]) -> None:
    """Make these people, in memory, what the log says of them now; carts and orders are to be folded anew."""
    rebuilt = from_log(session, people.keys())
    for person in people.values():
        if of_log := rebuilt.get(person.id):
            person.traits, person.traits_at, person.known = of_log.traits, of_log.traits_at, of_log.known
            person.first_seen, person.last_seen = of_log.first_seen, of_log.last_seen
        person.commerce_at = person.commerce_accepted = None
        person.changed = person.refold = True


def differences(session: Session, profile_ids: Collection[uuid.UUID] | None = None) -> list[str]:
    """Where live state is not what log and links say, each as a sentence; of everybody, or of these people (who stand alone). Empty is well."""
    everybody = profile_ids is None
    ids = list(session.scalars(text("SELECT id FROM profiles WHERE merged_into IS NULL")) if profile_ids is None else profile_ids)
    live = {row.id: row.merged_into for row in session.execute(text(_MERGED), {"ids": ids})}
    led = roots(edges(session, None if everybody else {*ids, *live}))
    told = [*_pointers(live, led), *_owners(session, led, ids), *_identities(session, led, ids, everybody=everybody), *_people(session, ids)]
    return told[:MOST_TOLD]


def _pointers(live: Mapping[uuid.UUID, uuid.UUID], led: Mapping[uuid.UUID, uuid.UUID]) -> Iterable[str]:
    for profile_id in sorted(live.keys() | led.keys()):
        if live.get(profile_id) != led.get(profile_id):
            yield f"profile {profile_id} points to {live.get(profile_id)}, its links lead to {led.get(profile_id)}"


def _owners(session: Session, led: Mapping[uuid.UUID, uuid.UUID], ids: Collection[uuid.UUID]) -> Iterable[str]:
    for given, owner, count in session.execute(text(_OWNED), {"ids": list(ids)}):
        if led.get(given, given) != owner:
            yield f"{count} events first of {given} are with {owner}, its links lead to {led.get(given, given)}"


def _identities(session: Session, led: Mapping[uuid.UUID, uuid.UUID], ids: Collection[uuid.UUID], *, everybody: bool) -> Iterable[str]:
    """Whose identifiers are. Some people's own events say it for those they have; only the whole log can tell which they lack."""
    live = {(row.kind, row.value): row for row in session.execute(text(_IDENTITIES), {"ids": list(ids)})}
    said = _said(session, ids)
    for key in sorted(live.keys() & said.keys()):  # of others, the events that said so are gone from the log
        row, (given, verified) = live[key], said[key]
        if (row.given, row.profile_id, row.verified) != (given, led.get(given, given), verified):
            yield f"{key[0]} {key[1]} is of {row.given} with {row.profile_id} (verified: {row.verified}), the log says {given} (verified: {verified})"
    for key in sorted(said.keys() - live.keys()) if everybody else ():
        yield f"{key[0]} {key[1]} was said by {said[key][0]} and is nobody's"


def _said(session: Session, ids: Collection[uuid.UUID]) -> dict[tuple[str, str], tuple[uuid.UUID, bool]]:
    """Whose each identity is by these people's events: a person's is the first's to say it, a device is the last one's."""
    said: dict[tuple[str, str], tuple[uuid.UUID, bool]] = {}
    for kind, value, verified, given in session.execute(text(_SAID), {"ids": list(ids)}):
        before = said.get((kind, value))
        stays = before is not None and kind != "anonymous_id"
        said[kind, value] = (before[0] if stays and before else given, verified or bool(before and before[1]))
    return said


def _people(session: Session, ids: Collection[uuid.UUID]) -> Iterable[str]:
    rebuilt = from_log(session, ids)
    for row in session.execute(text("SELECT * FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id"), {"ids": list(ids)}):
        want = rebuilt.get(row.id)
        if want is None:
            continue  # the log no longer holds any event of theirs
        live = (row.first_seen, row.last_seen, row.traits_at, row.traits, row.known, row.name)
        said = (want.first_seen, want.last_seen, want.traits_at, want.traits, want.known, display_name(want.traits))
        for name, is_, was in zip(("first seen", "last seen", "times of traits", "traits", "known", "name"), live, said, strict=True):
            if is_ != was:
                yield f"profile {row.id}: {name} is {is_!r}, the log says {was!r}"


_EDGES = """
SELECT l.id, l.from_id, l.into_id FROM links l
WHERE l.undoes IS NULL AND NOT EXISTS (SELECT FROM links u WHERE u.undoes = l.id)
  AND (CAST(:ids AS uuid[]) IS NULL OR l.from_id = ANY(CAST(:ids AS uuid[])) OR l.into_id = ANY(CAST(:ids AS uuid[])))
ORDER BY l.id
"""
_TIMES = f"""
SELECT e.profile_id, min(e.occurred_at) AS first, coalesce(max(e.occurred_at) FILTER (WHERE {ACTS}), min(e.occurred_at)) AS last
FROM events e WHERE e.profile_id = ANY(CAST(:ids AS uuid[])) GROUP BY e.profile_id
"""  # noqa: S608  constants of ours
_TOLD = """
SELECT profile_id, occurred_at, accepted, properties, trusted, origin, cause FROM events
WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND type = 'identify' ORDER BY position
"""
_KNOWN = "SELECT DISTINCT profile_id FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND kind <> 'anonymous_id'"
_MERGED = "SELECT id, merged_into FROM profiles WHERE merged_into = ANY(CAST(:ids AS uuid[]))"
_OWNED = "SELECT coalesce(given_id, profile_id), profile_id, count(*) FROM events WHERE profile_id = ANY(CAST(:ids AS uuid[])) GROUP BY 1, 2"
_IDENTITIES = """
SELECT kind, value, profile_id, coalesce(given_id, profile_id) AS given, verified FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[]))
"""
_SAID = """
SELECT i->>0, i->>1, CAST(i->>2 AS boolean), coalesce(e.given_id, e.profile_id)
FROM events e CROSS JOIN LATERAL jsonb_array_elements(e.identities) i
WHERE e.profile_id = ANY(CAST(:ids AS uuid[])) AND jsonb_array_length(i) = 3 ORDER BY e.position
"""
