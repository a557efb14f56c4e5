"""Whom a file would bring, before anything is imported: the pipeline's way to tell people apart, counted in memory."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.spec import Call

Key = tuple[str, str]
_AT_ONCE = 10_000
Who = uuid.UUID | int  # a profile there is, or the number of one there would be


class Census:
    """Collects the identities of each call; `counts` then says how many people are known, new, or met two people at once.

    An estimate: who comes or changes until the import runs is not in it.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[Key, ...]] = []

    def add(self, call: Call) -> None:
        """Note whom a call names."""
        self._calls.append(tuple(_keys(call)))

    def counts(self, session: Session) -> dict[str, int]:
        """{"known": profiles there are, "new": profiles there would be, "apart": lines whose identities belong to several people}."""
        owner = _owners(session, {key for keys in self._calls for key in keys})
        users = _user_ids(session, {who for who in owner.values() if isinstance(who, uuid.UUID)})
        met: set[Who] = set()
        numbers, apart = itertools.count(), 0
        for keys in self._calls:
            who = _whose(keys, owner, users)
            if who is None:
                who = next(numbers)
            met.add(who)
            apart += any(owner.setdefault(key, who) != who for key in keys)
            users.setdefault(who, set()).update(value for kind, value in keys if kind == "user_id" and owner[kind, value] == who)
        known = sum(isinstance(who, uuid.UUID) for who in met)
        return {"known": known, "new": len(met) - known, "apart": apart}


def _keys(call: Call) -> Iterator[Key]:
    traits = (call.context or {}).get("traits") or {}
    pairs = [("user_id", call.user_id), ("email", traits.get("email")), ("phone", traits.get("phone"))]
    pairs += [(f"external:{one.get('type')}", one.get("id")) for one in call.external_ids or ()]
    return ((kind, str(value)) for kind, value in pairs if value is not None)


def _whose(keys: Sequence[Key], owner: dict[Key, Who], users: dict[Who, set[str]]) -> Who | None:
    """The first identity that leads to somebody who has no other user id than the one said."""
    said = {value for kind, value in keys if kind == "user_id"}
    for key in keys:
        who = owner.get(key)
        if who is not None and (key[0] == "user_id" or not (said and users.get(who) and not said & users[who])):
            return who
    return None


def _owners(session: Session, keys: Iterable[Key]) -> dict[Key, Who]:
    found: dict[Key, Who] = {}
    each = iter(sorted(keys))
    while some := list(itertools.islice(each, _AT_ONCE)):
        rows = session.execute(text(_OWNERS), {"kinds": [kind for kind, _ in some], "values": [value for _, value in some]})
        found.update({(row.kind, row.value): row.profile_id for row in rows})
    return found


def _user_ids(session: Session, people: set[uuid.UUID]) -> dict[Who, set[str]]:
    found: dict[Who, set[str]] = {}
    wanted = text("SELECT profile_id, value FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND kind = 'user_id'")
    for profile_id, value in session.execute(wanted, {"ids": list(people)}):
        found.setdefault(profile_id, set()).add(value)
    return found


_OWNERS = """
SELECT kind, value, profile_id FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) k(kind, value) JOIN identities USING (kind, value)
"""
