"""Traits that are counted: recomputed in sets for the profiles events have changed, and in rounds for what time alone changes."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, sessionmaker

from crm.commerce import computed_sql as sql
from crm.commerce.computed_models import AGGREGATES, ComputedDefinition, ComputedRun, ComputedTrait
from crm.core.config import Config
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.json import array, dumps
from crm.events.models import HISTORY, SYSTEM_SOURCE
from crm.events.spec import Happened
from crm.profiles.move import on_move, on_part
from crm.profiles.tombstones import LOCK as ERASING
from crm.profiles.zones import zone_of

AT_ONCE = 500  # profiles of one transaction
PAGE = 5_000  # profiles of one step of a round
ROUND = dt.timedelta(hours=1)
LEAST = 5  # buyers before quintiles mean anything
BUILT_IN = (*sql.ORDERS, *sql.SEEN, *sql.HABITS, *sql.AFFINITY, *sql.STANDING)
# Upper parts that read computed traits: which of them changed for whom, and for which of these people only history did it.
on_change: list[Callable[[Session, Mapping[str, Collection[uuid.UUID]], Collection[uuid.UUID]], None]] = []
_LOCK = 0x636F6D70  # one worker computes at a time, so that no older state overwrites a newer one


@dataclass(frozen=True, slots=True)
class Computed:
    """A computed trait as others see it: the value, since when, from how many events."""

    name: str
    value: Any
    since: dt.datetime | None
    events: int
    computed_at: dt.datetime


def mark(session: Session, profile_ids: Collection[uuid.UUID], *, history: bool = False) -> None:
    """These profiles' computed traits may have changed; called by the pipeline in its transaction."""
    if profile_ids:
        marked = text("INSERT INTO computed_dirty (profile_id, history) SELECT unnest(CAST(:ids AS uuid[])), :history")
        session.execute(marked, {"ids": array(list(profile_ids)), "history": history})


def mark_changed(session: Session, events: Sequence[Happened]) -> None:
    """Whoever did something; apart where only history tells of it."""
    counted = [event for event in events if counts(event)]
    live = {event.profile_id for event in counted if event.origin != HISTORY}
    mark(session, live)
    mark(session, {event.profile_id for event in counted} - live, history=True)


def counts(event: Happened) -> bool:
    """Whether an event can change a computed trait: something the person did, not something Kesher did (but to their orders)."""
    return event.source_id != SYSTEM_SOURCE or event.name.endswith(("Opened", "Clicked", "Order Changed"))


def work(sessions: sessionmaker[Session], config: Config, now: Callable[[], dt.datetime]) -> int:
    """One step: some changed profiles, else some of a round that is due; committed. 0 where nothing is left or another worker is at it."""
    with sessions() as session:
        if not session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock, 0)"), {"lock": _LOCK}):
            return 0
        session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock, 0)"), {"lock": ERASING})  # nobody is erased in between
        claimed = session.execute(text(_CLAIM), {"limit": AT_ONCE}).all()
        ids = [row.profile_id for row in claimed]
        if ids:
            live = {row.profile_id for row in claimed if not row.history}
            recompute(session, sorted(set(ids)), config, now(), past=set(ids) - live)
        elif not (ids := go_round(session, config, now())):
            return 0
        session.commit()
    return len(ids)


def recompute(session: Session, ids: Sequence[uuid.UUID], config: Config, now: dt.datetime, *, past: Collection[uuid.UUID] = ()) -> int:
    """All traits of these profiles from what is known now; those of profiles joined into others or erased go. Returns how many rows changed.

    `past` are those of whom only history told something.
    """
    zones = _zones(session, ids, config.timezone)
    if gone := [one for one in ids if one not in zones]:
        session.execute(delete(ComputedTrait).where(ComputedTrait.profile_id.in_(gone)))
    if not zones:
        return 0
    common = {"ids": list(zones), "zones": list(zones.values()), "now": now, "currency": config.currency, "bounds": dumps(_bounds(session))}
    built_in = ((sql.ORDERS_SQL, sql.ORDERS), (sql.SEEN_SQL, sql.SEEN), (sql.HABITS_SQL, sql.HABITS), (sql.AFFINITY_SQL, sql.AFFINITY))
    changed = [row for query, names in (*built_in, (sql.STANDING_SQL, sql.STANDING)) for row in _apply(session, query, names, common)]
    changed += [row for each in definitions(session) for row in _apply(session, *_own(each, common))]
    _tell(session, changed, past)
    return len(changed)


def go_round(session: Session, config: Config, now: dt.datetime) -> list[uuid.UUID]:
    """One step of the round over everybody: bounds of the ranks first, then who became silent or lost by waiting. Empty where no round is due."""
    row = session.get(ComputedRun, "rfm")
    if row is not None and row.after is None and row.began_at > now - ROUND:
        return []
    if row is None:  # the very first: whoever was here before
        session.execute(text("INSERT INTO computed_dirty (profile_id, history) SELECT id, true FROM profiles WHERE merged_into IS NULL"))
    if row is None or row.after is None:
        bounds = session.scalar(text(sql.BOUNDS_SQL), {"currency": config.currency, "least": LEAST}) or {}
        row = session.merge(ComputedRun(name="rfm", began_at=now, after=uuid.UUID(int=0), bounds=bounds))
    ids = list(session.scalars(text(_NEXT), {"after": row.after, "limit": PAGE}))
    if ids:
        common = {"ids": ids, "now": now, "currency": config.currency, "bounds": dumps(row.bounds)}
        changed = _apply(session, sql.STANDING_SQL, sql.STANDING, common)
        for each in definitions(session):
            if each.days is not None:
                changed += _apply(session, *_own(each, common))
        _tell(session, changed, ())
    row.after = ids[-1] if len(ids) == PAGE else None
    session.flush()
    return ids or [uuid.UUID(int=0)]


def of(session: Session, profile_id: uuid.UUID) -> list[Computed]:
    """A profile's computed traits, built-in ones in their order, then the company's own."""
    rows = session.scalars(select(ComputedTrait).where(ComputedTrait.profile_id == profile_id).order_by(ComputedTrait.name)).all()
    place = {name: number for number, name in enumerate(BUILT_IN)}
    ordered = sorted(rows, key=lambda row: place.get(row.name, len(place)))
    return [Computed(row.name, row.value, row.since, row.events, row.computed_at) for row in ordered]


def definitions(session: Session) -> Sequence[ComputedDefinition]:
    """The company's own traits."""
    return session.scalars(select(ComputedDefinition).order_by(ComputedDefinition.name)).all()


def titles(session: Session) -> dict[str, str]:
    """The company's own traits in its own words."""
    return {row.name: row.title for row in definitions(session)}


def define(  # each is a field of the form
    session: Session, *, name: str, title: str, event: str, aggregate: str, property_: str | None, days: int | None
) -> None:
    """Add or change a trait of the company's own; whoever ever did the event, or had it, is computed anew where it means something else.

    InvalidError names the field.
    """
    name = name.strip().lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or name in BUILT_IN:
        raise InvalidError(_l("Name: small letters, digits and _ only, and not the name of a built-in trait."))
    if aggregate not in AGGREGATES:
        raise InvalidError(_l("Choose how the events are put together."))
    if not event.strip() or (aggregate != "count" and not (property_ or "").strip()):
        raise InvalidError(_l("Say which event; everything but a count also needs a property."))
    if days is not None and not 1 <= days <= 3650:  # ten years
        raise InvalidError(_l("Days: from 1 to 3650, or empty for all time."))
    values = {"title": title.strip()[:200] or name, "event": event.strip()[:200], "aggregate": aggregate, "days": days}
    values |= {"property": (property_ or "").strip()[:200] or None}
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, 0)"), {"lock": _LOCK})
    meant = select(ComputedDefinition.event, ComputedDefinition.aggregate, ComputedDefinition.days, ComputedDefinition.property)
    before = session.execute(meant.where(ComputedDefinition.name == name)).one_or_none()
    statement = upsert(ComputedDefinition).values(name=name, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
    if before is None or any(values[key] != was for key, was in before._mapping.items()):
        session.execute(text(_ANEW), {"name": name, "event": values["event"]})


def drop(session: Session, name: str) -> bool:
    """Take a trait of the company's own away, with its values, which starts nothing; False where there is none."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, 0)"), {"lock": _LOCK})  # else who is just computed would have it again
    gone = session.execute(delete(ComputedDefinition).where(ComputedDefinition.name == name).returning(ComputedDefinition.name)).first()
    if gone is not None:
        had = session.scalars(delete(ComputedTrait).where(ComputedTrait.name == name).returning(ComputedTrait.profile_id)).all()
        _tell(session, [(one, name) for one in had], set(had))
    return gone is not None


def _apply(session: Session, query: str, names: Sequence[str], params: dict[str, Any]) -> list[tuple[uuid.UUID, str]]:
    rows = session.execute(text(sql.APPLY.format(query=query)), {**params, "names": list(names)})
    return [(row.profile_id, row.name) for row in rows]


def _tell(session: Session, changed: Sequence[tuple[uuid.UUID, str]], past: Collection[uuid.UUID]) -> None:
    by_name: dict[str, set[uuid.UUID]] = defaultdict(set)
    for profile_id, name in changed:
        by_name[name].add(profile_id)
    for each in on_change if by_name else ():
        each(session, by_name, past)


def _own(each: ComputedDefinition, common: dict[str, Any]) -> tuple[str, Sequence[str], dict[str, Any]]:
    since = common["now"] - dt.timedelta(days=each.days) if each.days else dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return sql.OWN_SQL.format(value=sql.ONE_OF[each.aggregate]), [each.name], common | {
        "name": each.name, "event": each.event, "property": each.property, "from": since,
    }  # fmt: skip


def _zones(session: Session, ids: Sequence[uuid.UUID], default: str) -> dict[uuid.UUID, str]:
    """The time zone of each of these profiles that still stands for itself."""
    rows = session.execute(text(_STANDING), {"ids": list(ids)})
    return {profile_id: zone_of({"timezone": zone, "country": country, "address": address}, default) for profile_id, zone, country, address in rows}


def _bounds(session: Session) -> dict[str, Any]:
    return session.scalar(select(ComputedRun.bounds).where(ComputedRun.name == "rfm")) or {}


def _moved(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    """A join changes both."""
    mark(session, sorted({one for pair in pairs for one in pair}))


def _parted(session: Session, owner: uuid.UUID, to: uuid.UUID, given: Collection[uuid.UUID], now: dt.datetime) -> None:
    """So does its undoing."""
    mark(session, sorted({owner, to, *given}))


on_move.append(_moved)
on_part.append(_parted)
_CLAIM = """
DELETE FROM computed_dirty WHERE id IN (SELECT id FROM computed_dirty ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING profile_id, history
"""
_ANEW = """
INSERT INTO computed_dirty (profile_id, history)
SELECT profile_id, true FROM computed_traits WHERE name = :name UNION SELECT profile_id, true FROM events WHERE name = :event
"""
_STANDING = """
SELECT id, traits->'timezone', traits->'country', traits->'address' FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) AND merged_into IS NULL
"""
_NEXT = """
SELECT DISTINCT profile_id FROM computed_traits WHERE name = 'lifecycle' AND profile_id > :after ORDER BY profile_id LIMIT :limit
"""
