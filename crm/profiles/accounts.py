"""Accounts (companies): folded from `group` calls and the company fields of orders, or kept by hand."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.ids import new_id
from crm.events import store
from crm.events.models import LIVE
from crm.events.spec import Happened
from crm.profiles.account_models import ROLES, Account, AccountMember
from crm.profiles.move import on_move, on_part

EVENTS = ("group", "Order Completed")
OUT = "out"  # the role by hand of whom somebody took out
LONGEST = 200
MAX_TRAITS = 300
OWN = frozenset({"name", "domain", "website", "parent", "parent_id", "parentId", "role"})  # of a group call's traits: not kept as traits
Stamp = list[int]
# Upper parts that read companies: which accounts changed for all their members, which people's own part may have, and whether only history did it.
on_change: list[Callable[[Session, Collection[uuid.UUID], Collection[uuid.UUID], bool], None]] = []


@dataclass(frozen=True, slots=True)
class Said:
    """What one event says about one company and one person's part in it."""

    key: str
    profile_id: uuid.UUID
    at: dt.datetime
    accepted: int
    trusted: bool
    role: str
    name: str | None
    domain: str | None
    parent: str | None
    traits: Mapping[str, Any]
    live: bool = True

    @property
    def stamp(self) -> Stamp:
        return [int(self.at.timestamp() * 1000), self.accepted]


def fold(session: Session, events: Sequence[Happened]) -> None:
    """Bring accounts and memberships up to date with a batch; nothing happens where none is about a company."""
    said = list(_said(events))
    if not said:
        return
    accounts = _ensure(session, said)
    live: set[uuid.UUID] = set()
    past: set[uuid.UUID] = set()
    for one in sorted(said, key=lambda each: each.stamp):
        if one.trusted and _learn(accounts[one.key], one):
            (live if one.live else past).add(accounts[one.key].id)
    session.flush()
    for one in sorted(said, key=lambda each: each.stamp):
        if one.trusted and one.parent:
            _put_under(session, accounts[one.key], accounts[one.parent], one.stamp)
    now = {(accounts[one.key].id, one.profile_id) for one in said if one.live}
    for part in _join_in(session, said, accounts):
        (live if part in now else past).add(part[0])
    present = {profile_id for _, profile_id in now}
    _tell(session, live, present)
    _tell(session, past, {one.profile_id for one in said} - present, past=True)


def _tell(session: Session, accounts: Collection[uuid.UUID], profiles: Collection[uuid.UUID], *, past: bool = False) -> None:
    for each in on_change if accounts or profiles else ():
        each(session, accounts, profiles, past)


def _said(events: Sequence[Happened]) -> Iterator[Said]:
    for event in events:
        if event.type == "group":
            yield from _group(event)
        elif event.name == "Order Completed":
            yield from _order(event)


def _group(event: Happened) -> Iterator[Said]:
    traits = event.properties.get("traits")
    traits = traits if isinstance(traits, dict) else {}
    if key := _text(event.properties.get("groupId")):
        parent = _text(traits.get("parent_id") or traits.get("parentId") or traits.get("parent"))
        kept = {name: value for name, value in traits.items() if name not in OWN and len(name) <= LONGEST}
        domain = _domain(traits.get("domain") or traits.get("website"))
        yield Said(key, event.profile_id, event.occurred_at, event.accepted, event.trusted, _role(traits.get("role"), "member"), _text(traits.get("name")),
                   domain, parent if parent != key else None, kept, event.origin == LIVE)  # fmt: skip


def _order(event: Happened) -> Iterator[Said]:
    company = event.properties.get("company")
    said = company if isinstance(company, dict) else {"name": company}
    key = _text(event.properties.get("company_id") or event.properties.get("companyId") or said.get("id") or said.get("name"))
    if key:
        name = _text(said.get("name") or event.properties.get("company_name"))
        role = _role(event.properties.get("company_role"), "buyer")
        yield Said(
            key, event.profile_id, event.occurred_at, event.accepted, event.trusted, role, name, _domain(said.get("domain")), None, {}, event.origin == LIVE
        )


def _ensure(session: Session, said: Sequence[Said]) -> dict[str, Account]:
    """The accounts named, made where they are missing, locked in the order of their keys."""
    keys = sorted({one.key for one in said} | {one.parent for one in said if one.parent})
    session.execute(text(_MAKE), {"ids": [new_id() for _ in keys], "keys": keys})
    found = session.scalars(select(Account).where(Account.key.in_(keys)).order_by(Account.key).with_for_update().execution_options(populate_existing=True))
    return {account.key: account for account in found}


def _learn(account: Account, one: Said) -> bool:
    """Take over what is said later than what is known; whether anything changed."""
    before = (account.traits, account.name, account.domain)
    traits, traits_at = dict(account.traits), dict(account.traits_at)
    for name, value in {"name": one.name, "domain": one.domain, **one.traits}.items():
        if (value is None and name in {"name", "domain"}) or traits_at.get(name, [-1]) >= one.stamp or (name not in traits_at and len(traits_at) >= MAX_TRAITS):
            continue
        traits_at[name] = one.stamp
        if name in {"name", "domain"}:
            setattr(account, name, value)
        elif value is None:
            traits.pop(name, None)
        else:
            traits[name] = value
    if traits_at != account.traits_at:
        account.traits, account.traits_at = traits, traits_at
    return before != (account.traits, account.name, account.domain)


def _put_under(session: Session, account: Account, parent: Account, stamp: Stamp) -> bool:
    """Set the company above where nothing later was said; one that stands below already would make a circle and is left out."""
    if account.traits_at.get("parent", [-1]) >= stamp:
        return True
    if account.parent_id != parent.id and account.id in above(session, parent.id):
        return False
    _set_parent(session, account, parent.id, stamp)
    return True


def _set_parent(session: Session, account: Account, parent_id: uuid.UUID | None, stamp: Stamp) -> None:
    account.parent_id, account.traits_at = parent_id, {**account.traits_at, "parent": stamp}
    session.flush()


def put_on_top(session: Session, account: Account, now: dt.datetime) -> None:
    """No company stands above this one, until something later says so."""
    _set_parent(session, account, None, [int(now.timestamp() * 1000), 0])


def above(session: Session, account_id: uuid.UUID) -> list[uuid.UUID]:
    """An account and the ones over it, nearest first."""
    return list(session.scalars(text(_ABOVE), {"id": account_id}))


def _join_in(session: Session, said: Sequence[Said], accounts: Mapping[str, Account]) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Memberships: the role of the latest event, since the earliest; what was set by hand stays, until something later who was taken out too.

    Returns the new ones, as account and person.
    """
    out = {(row.account_id, row.profile_id): row.at for row in session.execute(text(_WERE_OUT), {"ids": list({one.profile_id for one in said})})}
    latest: dict[tuple[uuid.UUID, uuid.UUID], Said] = {}
    first: dict[tuple[uuid.UUID, uuid.UUID], dt.datetime] = {}
    for one in said:
        key = (accounts[one.key].id, one.profile_id)
        if key in out and one.at <= out[key]:
            continue
        first[key] = min(first.get(key, one.at), one.at)
        if key not in latest or latest[key].stamp < one.stamp:
            latest[key] = one
    if not latest:
        return set()
    rows = [(*key, one.role, first[key], one.at, one.accepted) for key, one in sorted(latest.items())]
    names = ("accounts", "profiles", "roles", "since", "at", "accepted")
    kept = session.execute(text(_MEMBERS), dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True)))
    return {(row.account_id, row.profile_id) for row in kept if row.fresh}


def refold(session: Session, profile_ids: Collection[uuid.UUID]) -> None:
    """The memberships of these profiles anew: from the log, and from what was given by hand, which wins."""
    ids = sorted(profile_ids)
    session.execute(text("DELETE FROM account_members WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids})
    said = list(_said(store.of_people(session, ids, EVENTS)))
    if said:
        _join_in(session, said, _ensure(session, said))
    session.execute(text(_BY_HAND), {"ids": ids})


def look_again(session: Session, profile_ids: Collection[uuid.UUID]) -> None:
    """`refold`, and the members of every account these people were or are in hear of it, as history."""
    before = _accounts_of(session, profile_ids)
    refold(session, profile_ids)
    _tell(session, {*before, *_accounts_of(session, profile_ids)}, (), past=True)


def save(  # each is a field of the form
    session: Session, *, key: str, name: str | None, domain: str | None, parent: str | None, traits: Mapping[str, Any], now: dt.datetime
) -> Account:
    """Make or change an account by hand or by API; InvalidError where the company above stands below it."""
    if not _text(key):
        raise InvalidError(_l("An account needs a key: what your systems call the company."))
    one = Said(_text(key) or "", uuid.UUID(int=0), now, 0, True, "member", _text(name), _domain(domain), _text(parent), traits)
    accounts = _ensure(session, [one])
    changed = _learn(accounts[one.key], one)
    session.flush()
    if changed:
        _tell(session, {accounts[one.key].id}, ())
    if one.parent and (one.parent == one.key or not _put_under(session, accounts[one.key], accounts[one.parent], one.stamp)):
        raise InvalidError(_l("This company stands above that one already; a circle has no top."))
    return accounts[one.key]


def set_member(session: Session, *, account_id: uuid.UUID, profile_id: uuid.UUID, role: str, now: dt.datetime) -> None:
    """Give a person a part in an account by hand; InvalidError where the role is unknown."""
    if role not in ROLES:
        raise InvalidError(_l("There is no such role in an account."))
    if session.get(Account, account_id) is None:
        raise NotFoundError(_l("There is no such account."))
    session.execute(text(_GIVE), {"account": account_id, "profile": profile_id, "role": role, "now": now})
    session.execute(text(_BY_HAND), {"ids": [profile_id]})
    _tell(session, {account_id}, {profile_id})


def remove_member(session: Session, *, account_id: uuid.UUID, profile_id: uuid.UUID, now: dt.datetime) -> bool:
    """Take a person out; what happens later may bring them in again, counting the log anew does not. False where they had no part."""
    part = {"account": account_id, "profile": profile_id}
    session.execute(text("DELETE FROM account_roles WHERE account_id = :account AND profile_id = :profile"), part)
    gone = text("DELETE FROM account_members WHERE account_id = :account AND profile_id = :profile RETURNING 1")
    was_in = session.execute(gone, part).first() is not None
    if was_in:
        session.execute(text(_GIVE), {**part, "role": OUT, "now": now})
        _tell(session, {account_id}, {profile_id})
    return was_in


def leave(session: Session, profile_ids: Collection[uuid.UUID]) -> int:
    """These people are no longer there: they have no part in any account, and its other members hear of it, as history. Returns how many parts that was."""
    gone = text("DELETE FROM account_members WHERE profile_id = ANY(CAST(:ids AS uuid[])) RETURNING account_id")
    left = session.scalars(gone, {"ids": list(profile_ids)}).all()
    _tell(session, set(left), (), past=True)
    return len(left)


def of_profile(session: Session, profile_id: uuid.UUID) -> list[tuple[Account, AccountMember]]:
    """The accounts a person has a part in, by name."""
    joined = select(Account, AccountMember).join(AccountMember, AccountMember.account_id == Account.id)
    return [(account, member) for account, member in session.execute(joined.where(AccountMember.profile_id == profile_id).order_by(Account.name, Account.id))]


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip().replace("\x00", "")[:LONGEST] or None


def _domain(value: Any) -> str | None:
    """`https://www.Acme.co.il/about` becomes `acme.co.il`."""
    said = (_text(value) or "").lower().split("//")[-1].split("/")[0].removeprefix("www.")
    return said if "." in said and " " not in said and "@" not in said else None


def _role(value: Any, default: str) -> str:
    said = (_text(value) or "").lower()
    return said if said in ROLES else default


def _moved(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    """After a join the person has every part either had."""
    if _any(session, people := {one for pair in pairs for one in pair}):
        look_again(session, people)


def _parted(session: Session, owner: uuid.UUID, to: uuid.UUID, given: Collection[uuid.UUID], now: dt.datetime) -> None:
    if _any(session, {owner, to}):
        look_again(session, {owner, to})


def _accounts_of(session: Session, ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    return list(session.scalars(select(AccountMember.account_id).where(AccountMember.profile_id.in_(list(ids))).distinct()))


def _any(session: Session, ids: Collection[uuid.UUID]) -> bool:
    return bool(session.scalar(text("SELECT EXISTS (SELECT FROM account_members WHERE profile_id = ANY(CAST(:ids AS uuid[])))"), {"ids": list(ids)}))


on_move.append(_moved)
on_part.append(_parted)
_MAKE = """
INSERT INTO accounts (id, key, name) SELECT id, key, key FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[])) k(id, key) ON CONFLICT (key) DO NOTHING
"""
_ABOVE = """
WITH RECURSIVE way AS (
    SELECT id, parent_id, 0 AS steps FROM accounts WHERE id = :id
    UNION ALL
    SELECT a.id, a.parent_id, way.steps + 1 FROM way JOIN accounts a ON a.id = way.parent_id WHERE way.steps < 100
) SELECT id FROM way ORDER BY steps
"""
_MEMBERS = """
INSERT INTO account_members AS m (account_id, profile_id, role, since, said_at, said_accepted)
SELECT * FROM unnest(CAST(:accounts AS uuid[]), CAST(:profiles AS uuid[]), CAST(:roles AS text[]), CAST(:since AS timestamptz[]), CAST(:at AS timestamptz[]),
                     CAST(:accepted AS bigint[]))
ON CONFLICT (account_id, profile_id) DO UPDATE SET
    since = least(m.since, excluded.since),
    role = CASE WHEN NOT m.by_hand AND (excluded.said_at, excluded.said_accepted) > (m.said_at, m.said_accepted) THEN excluded.role ELSE m.role END,
    said_at = greatest(m.said_at, excluded.said_at),
    said_accepted = CASE WHEN (excluded.said_at, excluded.said_accepted) > (m.said_at, m.said_accepted) THEN excluded.said_accepted ELSE m.said_accepted END
RETURNING account_id, profile_id, xmax = 0 AS fresh
"""
_GIVE = """
INSERT INTO account_roles (account_id, profile_id, role, at) VALUES (:account, :profile, :role, :now)
ON CONFLICT (account_id, coalesce(given_id, profile_id)) DO UPDATE SET (role, at) = (excluded.role, excluded.at)
"""
_BY_HAND = """
INSERT INTO account_members (account_id, profile_id, role, by_hand, since, said_at, said_accepted)
SELECT account_id, profile_id, role, true, at, at, 0 FROM (
    SELECT DISTINCT ON (account_id, profile_id) account_id, profile_id, role, at
    FROM account_roles WHERE profile_id = ANY(CAST(:ids AS uuid[])) ORDER BY account_id, profile_id, at DESC, id DESC
) latest WHERE role <> 'out'
ON CONFLICT (account_id, profile_id) DO UPDATE SET (role, by_hand) = (excluded.role, true)
"""
_WERE_OUT = """
SELECT account_id, profile_id, at FROM (
    SELECT DISTINCT ON (account_id, profile_id) account_id, profile_id, role, at
    FROM account_roles WHERE profile_id = ANY(CAST(:ids AS uuid[])) ORDER BY account_id, profile_id, at DESC, id DESC
) latest WHERE role = 'out'
"""
