"""From a waiting row to an accepted call: parse, put on our clock, list its identities. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgspec

from crm.core.clock import parse_time
from crm.events import goods, sums
from crm.events.address import normalise
from crm.events.inbox import Waiting
from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.source import HeldError, foreign, misunderstood
from crm.events.spec import TYPES, Accepted, Call, Ident, event_name

LIVE_LIMIT = dt.timedelta(days=90)
MAX_NAME = 500  # characters of an event's name: the log is indexed by it
MAX_KIND = 100  # characters of an external id's type, which is half of its key
EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
_decode = msgspec.json.Decoder(Call).decode


def read(row: Waiting) -> Accepted:
    """Parse one row; HeldError says why not (`bad_json`, `no_name`, `reserved_name`, `no_identity`, `odd_value`, `too_old`)."""
    try:
        call = _decode(row.body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise misunderstood(str(error)) from error
    if call.type not in TYPES:
        raise HeldError("bad_type", "type", type=call.type[:40], types=", ".join(TYPES))
    if not (name := event_name(call)):
        raise HeldError("no_name", "missing", field="event", type=call.type)
    if len(name) > MAX_NAME:
        raise HeldError("too_large", "name_length", size=len(name), limit=MAX_NAME)
    if row.source_id != SYSTEM_SOURCE:
        foreign(name)
    identities = tuple(identities_of(call, trusted=row.trusted))
    if not identities and call.profile_id is None and not (row.trusted and goods.variant_of(name, call.properties)):
        raise HeldError("no_identity", "unusable")
    sums.check(name, call.properties)
    occurred, claimed = occurred_at(call, row)
    if row.origin == LIVE and occurred < row.received_at - LIVE_LIMIT:
        raise HeldError("too_old", "ninety_days", at=occurred.isoformat())
    if occurred < EARLIEST:
        raise HeldError("too_old", "before_1990", at=occurred.isoformat())
    return Accepted(row.id, row.received_at, row.source_id, row.trusted, row.origin, row.hops, row.cause, occurred, claimed, identities, call)


def occurred_at(call: Call, row: Waiting) -> tuple[dt.datetime, dt.datetime | None]:
    """When it happened by our clock, and the client's own value where that differs (DESIGN: time)."""
    claimed = parse_time(call.timestamp)
    if claimed is None:
        return row.received_at, None
    sent = row.sent_at or parse_time(call.sent_at)
    try:
        corrected = row.received_at - (sent - claimed) if sent is not None and row.origin == LIVE else claimed
    except OverflowError:
        corrected = row.received_at
    corrected = min(corrected, row.received_at)
    return corrected, (claimed if corrected != claimed else None)


def identities_of(call: Call, *, trusted: bool) -> Iterator[Ident]:
    """Every identifier the call carries, persons' before devices'. Verified means: a server key says so."""
    pairs: list[tuple[str, Any]] = [("user_id", call.user_id)]
    said = call.context.get("traits") if call.context else None
    if (traits := call.traits if call.type == "identify" else None) or said:
        hints = {**(said if isinstance(said, dict) else {}), **(traits or {})}
        pairs += (("email", hints.get("email")), ("phone", hints.get("phone")))
    if call.external_ids:
        pairs += ((f"external:{kind}", item.get("id")) for item in call.external_ids if (kind := _external(item.get("type"))))
    for kind, value in pairs:
        if value is not None and (normal := normalise(kind, value)):
            yield Ident(kind, normal, trusted)
    if call.type == "alias" and call.previous_id is not None and (normal := normalise("anonymous_id", call.previous_id)):
        yield Ident("anonymous_id", normal)  # what it was called before it identified (Segment spec: alias)
    if call.anonymous_id is not None and (normal := normalise("anonymous_id", call.anonymous_id)):
        yield Ident("anonymous_id", normal)


def _external(kind: object) -> str | None:
    """Whose number an external id is, where it says so in a word."""
    return kind.strip().replace("\x00", "") or None if isinstance(kind, str) and len(kind) <= MAX_KIND else None
