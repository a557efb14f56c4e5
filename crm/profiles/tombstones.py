"""The erased stay erased: what would bring them back is dropped before anybody is identified, and a restored backup is told who left."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import os
import uuid
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.clock import parse_time
from crm.core.crypto import Keys
from crm.events.models import HISTORY, SYSTEM_SOURCE
from crm.events.spec import Accepted
from crm.profiles.remains import DEVICE

LOCK = 0x67726176  # shared by every batch of the pipeline, taken alone by whoever erases
PROFILE = "profile"  # the kind under which a profile's own id is buried
LIST = "erased.list"  # in the home: one line a hash; keep it beside the backups, not in them
PAGE = 20_000

Buried = dict[bytes, dt.datetime]


def hash_of(key: bytes, kind: str, value: str) -> bytes:
    """The HMAC of one identity; `key` is `Keys.derive("erased")`."""
    return hmac.digest(key, f"{kind}:{value}".encode(), "sha256")


def hashes_of(keys: Keys, ids: Iterable[uuid.UUID], identities: Iterable[tuple[str, str]]) -> list[bytes]:
    """One hash per identity and profile id."""
    key = keys.derive("erased")
    return sorted({hash_of(key, kind, value) for kind, value in [*identities, *((PROFILE, str(one)) for one in ids)]})


def exclude_batches(session: Session) -> None:
    """Wait until no batch of the pipeline is under way, and let none begin before this transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, 0)"), {"lock": LOCK})


def bury(session: Session, hashes: Sequence[bytes], at: dt.datetime) -> None:
    """Remember these hashes; a later burial of the same one counts."""
    if hashes:
        session.execute(text(_BURY), {"hashes": list(hashes), "at": at})


def living(session: Session, batch: Sequence[Accepted], keys: Keys) -> Sequence[Accepted]:
    """The batch without the calls of the erased: imported ones, and those that happened before they left. The others make new, empty profiles.

    What is dropped is counted at its hash, and its text is taken out of the inbox.
    """
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock, 0)"), {"lock": LOCK})
    if not session.scalar(text("SELECT EXISTS (SELECT FROM tombstones)")):
        return batch
    key = keys.derive("erased")
    hashes = {one: hash_of(key, *one) for call in batch for one in _said(call)}
    buried = _at(session, hashes.values())
    if not buried:
        return batch
    doomed = {call.id: found for call in batch if (found := _doom(call, hashes, buried))}
    _count(session, doomed)
    return [call for call in batch if call.id not in doomed]


def _said(call: Accepted) -> list[tuple[str, str]]:
    """What says whose a call is: Kesher's own name a profile; of other identities, those that tell persons apart count before a device."""
    if call.call.profile_id and call.source_id == SYSTEM_SOURCE:
        return [(PROFILE, call.call.profile_id)]
    known = [(i.kind, i.value) for i in call.identities]
    return [one for one in known if one[0] != DEVICE] or known


def _doom(call: Accepted, hashes: dict[tuple[str, str], bytes], buried: Buried) -> bytes | None:
    """The hash because of which a call is dropped."""
    for one in _said(call):
        at = buried.get(hashes[one])
        if at is not None and (one[0] == PROFILE or call.origin == HISTORY or call.occurred_at <= at):
            return hashes[one]
    return None


def _at(session: Session, hashes: Collection[bytes]) -> Buried:
    rows = session.execute(text("SELECT hash, at FROM tombstones WHERE hash = ANY(CAST(:hashes AS bytea[]))"), {"hashes": list(set(hashes))})
    return {bytes(found): at for found, at in rows}


def _count(session: Session, doomed: dict[int, bytes]) -> None:
    if doomed:
        per_hash = {found: list(doomed.values()).count(found) for found in set(doomed.values())}
        session.execute(text(_DROPPED), {"hashes": list(per_hash), "counts": list(per_hash.values())})
        session.execute(text("UPDATE event_inbox SET body = '{}' WHERE id = ANY(CAST(:ids AS bigint[]))"), {"ids": list(doomed)})


def write_list(home: Path, hashes: Sequence[bytes], at: dt.datetime) -> None:
    """Append to the list that outlives the database; on disk before the erasure commits. A line that a full disk cut off before takes none of these along."""
    home.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(home / LIST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as out:
        out.writelines(["\n", *(f"{at.isoformat()} {base64.b64encode(one).decode()}\n" for one in hashes)])
        out.flush()
        os.fsync(out.fileno())


def read_list(home: Path) -> Buried:
    """The list; a line cut off by a crash is left out."""
    file = home / LIST
    buried: Buried = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        moment, _space, code = line.partition(" ")
        at = parse_time(moment)
        if at is not None and len(code) == 44:  # 32 bytes in base64
            buried[base64.b64decode(code)] = at
    return buried


def unknown(session: Session, home: Path) -> Buried:
    """What the list says and the database does not: it was restored from a backup older than these erasures."""
    listed = read_list(home)
    known = _at(session, listed) if listed else {}
    return {one: at for one, at in listed.items() if one not in known or known[one] < at}


def back_again(session: Session, buried: Buried, keys: Keys) -> list[uuid.UUID]:
    """Profiles with an identity on this list that was first seen before it was erased. Reads every identity once, in pages."""
    key, found, after = keys.derive("erased"), set[uuid.UUID](), ("", "")
    while rows := session.execute(text(_IDENTITIES), {"kind": after[0], "value": after[1], "limit": PAGE}).all():
        after = (rows[-1].kind, rows[-1].value)
        found |= {row.profile_id for row in rows if (at := buried.get(hash_of(key, row.kind, row.value))) and row.first_seen <= at}
    return sorted(found)


_BURY = """
INSERT INTO tombstones (hash, at) SELECT hash, CAST(:at AS timestamptz) FROM unnest(CAST(:hashes AS bytea[])) h(hash)
ON CONFLICT (hash) DO UPDATE SET at = greatest(tombstones.at, excluded.at)
"""
_DROPPED = """
UPDATE tombstones t SET dropped = t.dropped + c.count FROM unnest(CAST(:hashes AS bytea[]), CAST(:counts AS integer[])) c(hash, count) WHERE t.hash = c.hash
"""
_IDENTITIES = """
SELECT kind, value, profile_id, first_seen FROM identities WHERE (kind, value) > (CAST(:kind AS text), CAST(:value AS text)) ORDER BY kind, value LIMIT :limit
"""
