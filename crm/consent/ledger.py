"""The consent ledger: only a change writes a row, a refusal is lifted only by an explicit act."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.core.json import dumps

GRANTED, REFUSED = "granted", "refused"
_LOCK = 0x6C656467  # advisory lock of one address's first row, and of the sealing
StateKey = tuple[bytes, str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What an address says: `kind` email or phone, `address` normalised; `explicit` acts (form, API with proof, unsubscribe) may lift a refusal."""

    kind: str
    address: str
    channel: str
    topic: str
    purpose: str
    action: str
    source: str
    explicit: bool
    wording: str | None = None
    proof: dict[str, Any] = field(default_factory=dict)


def record(session: Session, changes: Sequence[Change], keys: Keys, now: dt.datetime) -> int:
    """Write what changes something, in the order given; returns how many rows that was."""
    hashed = [((keys.address_hash(c.kind, c.address), c.channel, c.topic), c) for c in changes]
    states = current(session, {key for key, _ in hashed})
    if not any(_counts(states.get(key), c) for key, c in hashed):
        return 0
    _lock(session, sorted({key for key, _ in hashed}))
    states = current(session, {key for key, _ in hashed})
    written = 0
    for key, change in hashed:
        if _counts(states.get(key), change):
            _write(session, key, change, now)
            states[key] = change.action
            written += 1
    return written


def current(session: Session, wanted: Collection[StateKey]) -> dict[StateKey, str]:
    """What holds now for (address hash, channel, topic); absent where nothing was ever said."""
    ordered = sorted(wanted)
    params = {"hashes": [h for h, _, _ in ordered], "channels": [c for _, c, _ in ordered], "topics": [t for _, _, t in ordered]}
    return {(bytes(h), c, t): action for h, c, t, action in session.execute(text(_CURRENT), params)}


def seal(session: Session, limit: int = 10_000) -> int:
    """Append committed entries to the hash chain, in order of their ids; returns how many. Called by the clock alone."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, 0)"), {"lock": _LOCK})
    number, previous = session.execute(text("SELECT number, hash FROM consent_chain ORDER BY number DESC LIMIT 1")).one_or_none() or (0, b"")
    rows = session.execute(text(_UNSEALED), {"limit": limit}).all()
    for row in rows:
        number, previous = number + 1, _link(bytes(previous), row)
        session.execute(text("INSERT INTO consent_chain (number, entry_id, hash) VALUES (:n, :e, :h)"), {"n": number, "e": row.id, "h": previous})
    return len(rows)


def broken_seal(session: Session) -> int | None:
    """The id of the first entry that was altered or removed after sealing; None where the chain holds."""
    previous = b""
    rows = session.execute(text(_CHAIN).execution_options(yield_per=5000))
    for number, row in enumerate(rows, 1):
        if row.number != number or row.id is None or (previous := _link(previous, row)) != bytes(row.hash):
            return int(row.entry_id)
    return None


def _counts(state: str | None, change: Change) -> bool:
    return change.action != state and (state != REFUSED or change.explicit)


def _lock(session: Session, keys: Sequence[StateKey]) -> None:
    """One writer per address at a time, in order; the gate holds the state rows themselves."""
    for number in sorted({int.from_bytes(h[:4], signed=True) for h, _, _ in keys}):
        session.execute(text("SELECT pg_advisory_xact_lock(:a, :b)"), {"a": _LOCK, "b": number})


def _write(session: Session, key: StateKey, change: Change, now: dt.datetime) -> None:
    address_hash, channel, topic = key
    evidence = dumps({"address": change.address, "proof": change.proof})
    params = {
        "hash": address_hash, "channel": channel, "topic": topic, "purpose": change.purpose, "action": change.action, "wording": change.wording,
        "source": change.source, "digest": hashlib.sha256(evidence.encode()).digest(), "at": now,
    }  # fmt: skip
    entry = session.scalar(text(_INSERT), params)
    session.execute(
        text("INSERT INTO consent_evidence (entry_id, address, proof) VALUES (:entry, :address, CAST(:proof AS jsonb))"),
        {"entry": entry, "address": change.address, "proof": dumps(change.proof)},
    )
    session.execute(text(_SET), params | {"entry": entry})


def _link(previous: bytes, row: Any) -> bytes:
    said = (row.channel, row.topic, row.purpose, row.action, row.wording, row.source)
    fields = (row.id, row.address_hash.hex(), *said, row.evidence_digest.hex(), row.at.isoformat())
    return hashlib.sha256(previous + dumps(fields).encode()).digest()


_FIELDS = "l.id, l.address_hash, l.channel, l.topic, l.purpose, l.action, l.wording, l.source, l.evidence_digest, l.at"
_CURRENT = """
SELECT s.address_hash, s.channel, s.topic, s.action
FROM unnest(CAST(:hashes AS bytea[]), CAST(:channels AS text[]), CAST(:topics AS text[])) k(address_hash, channel, topic)
JOIN consents_current s USING (address_hash, channel, topic)
"""
_INSERT = """
INSERT INTO consent_ledger (address_hash, channel, topic, purpose, action, wording, source, evidence_digest, at)
VALUES (:hash, :channel, :topic, :purpose, :action, :wording, :source, :digest, :at) RETURNING id
"""
_SET = """
INSERT INTO consents_current (address_hash, channel, topic, action, entry_id, at) VALUES (:hash, :channel, :topic, :action, :entry, :at)
ON CONFLICT (address_hash, channel, topic) DO UPDATE SET (action, entry_id, at) = (excluded.action, excluded.entry_id, excluded.at)
"""
_UNSEALED = f"SELECT {_FIELDS} FROM consent_ledger l WHERE NOT EXISTS (SELECT FROM consent_chain c WHERE c.entry_id = l.id) ORDER BY l.id LIMIT :limit"  # noqa: S608  our own fragments
_CHAIN = f"SELECT c.number, c.entry_id, c.hash, {_FIELDS} FROM consent_chain c LEFT JOIN consent_ledger l ON l.id = c.entry_id ORDER BY c.number"  # noqa: S608  our own fragments
