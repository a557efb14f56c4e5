"""The words events are written in: the Segment spec's calls, and what the pipeline makes of one.

Source: Segment's HTTP tracking API and common fields (segment.com/docs/connections/spec).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
import zlib
from typing import Any

import msgspec

from crm.core.value import value

LANES = 64
TYPES = ("track", "page", "screen", "identify", "group", "alias")
BROWSER, IMPORTED, SERVER = range(3)  # how far an event's word goes: a public key's, a file's, the shop's own system's
IMPORT_CAUSE = "import:"  # how the cause of what a file says begins; no sender can write a cause
OWN = frozenset({  # names under which Kesher alone speaks: it acts on them, and nobody else can know
    "Segment Entered", "Segment Left", "List Joined", "List Left", "Score Band Changed", "Journey Requested", "Journey Started", "Journey Ended",
    "Journey Held Out", "Audience Reached", "Date Reached", "Webhook Answered", "NPS Answered", "Product Back In Stock", "Product Price Dropped",
    "Back In Stock Notified", "Order Changed",
})  # fmt: skip
MAX_EVENT, MAX_BATCH = 32 * 1024, 500 * 1024  # bytes after gunzip


class Call(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One call of the tracking API. `profileId` is ours alone: read only from Kesher's own source."""

    type: str
    message_id: str = ""
    anonymous_id: str | int | None = None
    user_id: str | int | None = None
    previous_id: str | int | None = None
    group_id: str | int | None = None
    profile_id: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    timestamp: str | None = None
    sent_at: str | None = None
    external_ids: list[dict[str, Any]] | None = None


@value
class Ident:
    """One identifier as a call carried it: kind, normalised value, and whether the call proves it."""

    kind: str
    value: str
    verified: bool = False
    left: bool = False  # a guard kept it from leading to anybody


@value
class Accepted:
    """One call out of the inbox, read and put in order of acceptance (`id`)."""

    id: int
    received_at: dt.datetime
    source_id: int
    trusted: bool
    origin: str
    hops: int
    cause: str | None
    occurred_at: dt.datetime
    claimed_at: dt.datetime | None
    identities: tuple[Ident, ...]
    call: Call


@value
class Happened:
    """One event of the log, with the profile it belongs to: what folds, segments and journeys read.

    `order` sorts a person's events: time, ties by acceptance.
    """

    profile_id: uuid.UUID
    occurred_at: dt.datetime
    accepted: int
    source_id: int
    type: str
    name: str
    origin: str
    trusted: bool
    identities: tuple[Ident, ...]
    properties: dict[str, Any]
    context: dict[str, Any]
    traits: dict[str, Any]
    received_at: dt.datetime
    claimed_at: dt.datetime | None = None
    message_id: str = ""
    hops: int = 0
    cause: str | None = None
    given_id: uuid.UUID | None = None  # the profile its identities first led to, where joins have led further since

    @property
    def order(self) -> tuple[dt.datetime, int]:
        """Sorts one person's events."""
        return self.occurred_at, self.accepted

    @property
    def trust(self) -> int:
        """BROWSER, IMPORTED or SERVER: whose word counts where two contradict each other."""
        return trust_of(trusted=self.trusted, origin=self.origin, cause=self.cause)


def trust_of(*, trusted: bool, origin: str, cause: str | None) -> int:
    """How far an event's word goes, by what the log keeps of it."""
    if trusted:
        return SERVER if origin == "live" else IMPORTED
    return IMPORTED if (cause or "").startswith(IMPORT_CAUSE) else BROWSER


def event_name(call: Call) -> str:
    """The name an event has in the log: the track call's own, `Page Viewed`, `Screen Viewed`, else the type."""
    if call.type == "track":
        return call.event or ""
    return {"page": "Page Viewed", "screen": "Screen Viewed"}.get(call.type, call.type)


def lane_of(identity: str) -> int:
    """The lane of a call: work is spread by it, and one identity's calls keep their order."""
    return zlib.crc32(identity.encode()) % LANES


def event_key(source_id: int, message_id: str) -> uuid.UUID:
    """Under what a call is counted once."""
    return uuid.UUID(event_hex(source_id, message_id))


def event_hex(source_id: int, message_id: str) -> str:
    """The same as PostgreSQL reads it too: 32 digits."""
    return hashlib.sha256(f"{source_id}:{message_id}".encode()).hexdigest()[:32]
