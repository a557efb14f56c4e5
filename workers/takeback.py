"""An import taken back: its events leave the log, and the people they touched become what the rest of the log says of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, text, update
from sqlalchemy.orm import Session

from crm.commerce import carts, computed, order, orders, requests
from crm.consent import ledger
from crm.consent.ledger import REFUSED, Change
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import Base
from crm.events import store
from crm.events.importing.models import Upload
from crm.events.models import HISTORY, SYSTEM_SOURCE, Import
from crm.events.spec import event_key
from crm.profiles import accounts
from crm.profiles import people as rows
from crm.profiles.people import Person
from crm.profiles.rebuild import restore
from crm.profiles.search import refresh_search
from crm.sales import leads
from crm.segments.refresh import drop_members, look_again

PEOPLE = 300  # of one transaction
SAYS_THE_LOG = frozenset({"events", "identities", "memberships", "segment_lapses"})  # tables that go with the events, beside those that are folded from them
WORKED_OUT = frozenset(
    {"account_roles", "wave_people", "journey_arms", "split_arms", "surveys", "entry_refusals", "alerts"}
)  # and what Kesher noted on the way: a run or a message binds
FOLDED = frozenset({"refold", "recompute", "lead"})  # what a table declares that is folded


def take_back(session: Session, upload_id: int, *, config: Config, now: dt.datetime) -> bool:
    """Take back what one batch of people got from this import; False once nothing is left, and the upload stands as undone. The caller commits."""
    upload = session.get_one(Upload, upload_id, with_for_update=True)
    counts = Counter({name: int(count) for name, count in upload.undone.items() if isinstance(count, int)})
    wanted = _which(upload)
    ids = list(session.scalars(text(_WHOSE), wanted | {"limit": PEOPLE})) if upload.import_id else []
    if ids:
        counts += _from_people(session, ids, wanted, config, now)
    else:
        counts["consents"] += _consents(session, upload, config, now)
        _end(session, upload, wanted, now)
    upload.undone, upload.progress_at = dict(counts), now
    upload.position = counts["events"]
    return bool(ids)


def _which(upload: Upload) -> dict[str, Any]:
    """What its events look like: by name and time, which the log's index knows, and by the file's part of their message ids."""
    first = dt.datetime.fromisoformat(upload.counts["first"]) if "first" in upload.counts else dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
    return {"source": upload.source_id, "names": list(upload.counts.get("events", {})), "first": first, "prefix": f"{bytes(upload.file_digest).hex()[:32]}:"}


def _from_people(session: Session, ids: Sequence[uuid.UUID], wanted: Mapping[str, Any], config: Config, now: dt.datetime) -> Counter[str]:
    people = rows.lock(session, ids)
    gone = session.execute(text(_DELETE), {**wanted, "ids": list(people)}).all()
    session.execute(text("DELETE FROM event_keys WHERE key = ANY(CAST(:keys AS uuid[]))"), {"keys": [event_key(wanted["source"], e.message_id) for e in gone]})
    session.execute(text(_INBOX), {"ids": [e.accepted for e in gone], "times": [e.received_at for e in gone]})
    _forget_identities(session, gone)
    with_events = set(session.scalars(text(_LIVED), {"ids": list(people), "ours": SYSTEM_SOURCE, "history": HISTORY}))
    bound = _bound(session, people.keys() - with_events)
    empty = people.keys() - with_events - bound
    stay = {profile_id: person for profile_id, person in people.items() if profile_id not in empty}
    restore(session, stay)
    for profile_id in bound:
        _blank(stay[profile_id])
    orders.tell(session, _refold_orders(session, people, gone, wanted["source"], config.currency), now)
    carts.fold(session, [], stay, currency=config.currency)
    refresh_search(session, rows.save(session, stay.values()))
    computed.mark(session, stay, history=True)
    leads.refold(session, leads.known(session, stay), now)
    requests.refold(session, stay)
    accounts.look_again(session, stay)
    look_again(session, stay.keys(), "import undone", now, config)
    _vanish(session, empty)
    return Counter(events=len(gone), vanished=len(empty), changed=len(stay), kept=len(bound))


def _forget_identities(session: Session, gone: Sequence[Any]) -> None:
    """Identities these events carried go where no other event of the same person carries them."""
    carried = {(e.profile_id, i[0], i[1]) for e in gone for i in e.identities}
    if carried:
        ordered = sorted(carried)
        columns = {"ids": [p for p, _, _ in ordered], "kinds": [k for _, k, _ in ordered], "values": [v for _, _, v in ordered]}
        session.execute(text(_IDENTITIES), columns)


def _bound(session: Session, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """People without any event who still cannot vanish: they were written to, are on a journey, or were joined with somebody."""
    found: set[uuid.UUID] = set()
    for table in Base.metadata.sorted_tables:
        column = table.c.get("profile_id")
        if ids and column is not None and column.info.get("moves") and not _is_folded(table.name, column):
            named = f"SELECT DISTINCT profile_id FROM {table.name} WHERE profile_id = ANY(CAST(:ids AS uuid[]))"  # noqa: S608  our own table names
            found |= set(session.scalars(text(named), {"ids": list(ids)}))
    if ids:
        found |= set(session.scalars(text(_LINKED), {"ids": list(ids)}))
    return found


def _is_folded(table: str, column: Column[Any]) -> bool:
    return table in SAYS_THE_LOG | WORKED_OUT or column.info.get("moves") in FOLDED


def _blank(person: Person) -> None:
    """Nothing is known of them any more but what happened to them."""
    person.traits, person.traits_at, person.known = {}, {}, False
    person.changed = True


def _refold_orders(session: Session, people: Mapping[uuid.UUID, Person], gone: Sequence[Any], source_id: int, currency: str) -> orders.Elsewhere:
    """The orders these events told of, from what is left; returns whose they are of those who are not looked at anyway."""
    keys = {(source_id, str(event.order_id)) for event in gone if event.order_id}
    if not keys:
        return {}
    ordered = sorted(keys)
    before = session.execute(text(_ORDERS), {"sources": [s for s, _ in ordered], "numbers": [n for _, n in ordered]}).all()
    left = store.of_people(session, list(people), order.EVENTS, as_acted=True)
    theirs = {event.accepted for event in left} | {event.accepted for event in gone}
    odd = {(source_id, row.order_id) for row in before if row.profile_id not in people or _told_by_others(row, theirs)}
    told = [event for event in left if order.natural_key(event) in keys - odd]
    if odd:
        told += [event for event in store.of_orders(session, [number for _, number in odd], order.EVENTS) if order.natural_key(event) in odd]
    lost = sorted(keys - {order.natural_key(event) for event in told})
    session.execute(text(_FORGET_ORDERS), {"sources": [s for s, _ in lost], "numbers": [n for _, n in lost]})
    elsewhere = orders.fold(session, told, currency=currency, anew=True)
    return {owner: event for owner, event in elsewhere.items() if owner not in people}


def _told_by_others(row: Any, theirs: Collection[int]) -> bool:
    """Somebody else's event is among what an order is made of; a cancellation keeps no number, so it always may be."""
    return row.cancelled_at is not None or row.version_accepted not in theirs or any(refund[3] not in theirs for refund in row.refunds.values())


def _vanish(session: Session, ids: Collection[uuid.UUID]) -> None:
    """Those whom only this import knew were never here."""
    if not ids:
        return
    drop_members(session, ids)
    accounts.leave(session, ids)
    for table in Base.metadata.sorted_tables:
        column = table.c.get("profile_id")
        if column is not None and _is_folded(table.name, column):
            session.execute(text(f"DELETE FROM {table.name} WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)})  # noqa: S608  our own table names
    session.execute(text("DELETE FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)})


def _consents(session: Session, upload: Upload, config: Config, now: dt.datetime) -> int:
    """Consent that holds by this import's word alone is refused from now on; the ledger keeps both entries."""
    given = session.execute(text(_GIVEN), {"import": str(upload.id)}).all()
    back = [
        Change("email" if g.channel == "email" else "phone", g.address, g.channel, g.topic, g.purpose, REFUSED, "import", explicit=False,
               proof={"import": upload.id, "file": upload.file_name, "undone": True})
        for g in given
    ]  # fmt: skip
    return ledger.record(session, back, Keys(config.secret_key), now)


def _end(session: Session, upload: Upload, wanted: Mapping[str, Any], now: dt.datetime) -> None:
    quarantined = {"source": wanted["source"], "origin": HISTORY, "like": f'%"messageId":"{wanted["prefix"]}%'}
    session.execute(text("DELETE FROM quarantine WHERE source_id = :source AND origin = :origin AND body LIKE :like"), quarantined)
    row, upload.import_id = upload.import_id, None
    upload.status, upload.ended_at = "undone", now
    session.flush()
    if row is not None:
        session.execute(update(Import).where(Import.id == row).values(done=0, finished_at=None))


_OURS = "source_id = :source AND name = ANY(CAST(:names AS text[])) AND occurred_at >= :first AND starts_with(message_id, :prefix)"
_WHOSE = f"SELECT DISTINCT profile_id FROM events WHERE {_OURS} LIMIT :limit"  # noqa: S608  our own fragments
_DELETE = f"""
DELETE FROM events WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND {_OURS}
RETURNING profile_id, message_id, identities, accepted, received_at, properties->>'order_id' AS order_id
"""  # noqa: S608  our own fragments
_INBOX = """
DELETE FROM event_inbox i USING unnest(CAST(:ids AS bigint[]), CAST(:times AS timestamptz[])) u(id, at)
WHERE i.id = u.id AND i.received_at = u.at
"""
_IDENTITIES = """
DELETE FROM identities i USING unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:values AS text[])) k(profile_id, kind, value)
WHERE (i.kind, i.value, i.profile_id) = (k.kind, k.value, k.profile_id) AND NOT EXISTS (
    SELECT FROM events e WHERE e.profile_id = k.profile_id AND (
        e.identities @> jsonb_build_array(jsonb_build_array(k.kind, k.value, true))
        OR e.identities @> jsonb_build_array(jsonb_build_array(k.kind, k.value, false))
    )
)
"""
_LINKED = "SELECT into_id FROM links WHERE into_id = ANY(CAST(:ids AS uuid[])) UNION SELECT from_id FROM links WHERE from_id = ANY(CAST(:ids AS uuid[]))"
# Its rows stay where they are: somebody who is not looked at here may be waiting for one, to tell more of it.
_ORDERS = """
SELECT o.* FROM unnest(CAST(:sources AS integer[]), CAST(:numbers AS text[])) k(source_id, order_id) JOIN orders o USING (source_id, order_id)
ORDER BY source_id, order_id FOR UPDATE OF o
"""
_FORGET_ORDERS = """
DELETE FROM orders o USING unnest(CAST(:sources AS integer[]), CAST(:numbers AS text[])) k(source_id, order_id)
WHERE (o.source_id, o.order_id) = (k.source_id, k.order_id)
"""
_LIVED = """
SELECT DISTINCT profile_id FROM events WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND NOT (source_id = :ours AND origin = :history)
"""  # what Kesher itself said of an import does not keep anybody
_GIVEN = """
SELECT e.address, l.channel, l.topic, l.purpose FROM consent_evidence e
JOIN consent_ledger l ON l.id = e.entry_id AND l.action = 'granted'
JOIN consents_current c ON c.entry_id = l.id
WHERE e.proof->>'import' = :import
"""
