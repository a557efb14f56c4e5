"""Addresses nothing may be sent to, and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

STOPS_ALL = frozenset({"bounce", "complaint", "erased"})  # `unsubscribed` stops marketing alone


def suppress(session: Session, *, address_hash: bytes, channel: str, reason: str, detail: str, now: dt.datetime) -> bool:
    """Stop an address on a channel; False where it was stopped for this reason already."""
    params = {"hash": address_hash, "channel": channel, "reason": reason, "detail": detail, "now": now}
    return session.execute(text(_INSERT), params).first() is not None


def lift(session: Session, *, address_hash: bytes, channel: str, reason: str) -> bool:
    """Take a stop back (an explicit new consent lifts `unsubscribed`); False where there was none."""
    params = {"hash": address_hash, "channel": channel, "reason": reason}
    return session.execute(text(_DELETE), params).first() is not None


def reasons(session: Session, hashes: Collection[bytes], *, channel: str) -> dict[bytes, set[str]]:
    """The reasons that stop each address on this channel; addresses without any are absent."""
    found: dict[bytes, set[str]] = {}
    wanted = text("SELECT address_hash, reason FROM suppressions WHERE channel = :channel AND address_hash = ANY(CAST(:hashes AS bytea[]))")
    for address_hash, reason in session.execute(wanted, {"channel": channel, "hashes": list(hashes)}):
        found.setdefault(bytes(address_hash), set()).add(reason)
    return found


_DELETE = "DELETE FROM suppressions WHERE (address_hash, channel, reason) = (:hash, :channel, :reason) RETURNING 1"
_INSERT = """
INSERT INTO suppressions (address_hash, channel, reason, detail, at) VALUES (:hash, :channel, :reason, :detail, :now)
ON CONFLICT DO NOTHING RETURNING 1
"""
