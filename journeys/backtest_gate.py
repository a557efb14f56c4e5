"""Would the message have gone? The gate's own questions over what the stored rows say of then."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.messages import sending
from crm.messages.caps import Spent
from crm.messages.channel import registry
from crm.messages.facts import PAUSED
from crm.messages.gate import DUPLICATE_WINDOW, Facts, Hold, Send, decide
from crm.profiles.zones import zone_of

TURNS = 40  # times a message that is held comes before the gate again; each is a moment later, and few need more than two
State = tuple[bytes, str, str]  # address hash, channel, topic


@dataclass(frozen=True, slots=True)
class Wish:
    """A message a run asked for. `cart_open` is whether its cart waited then, None where it does not ask."""

    profile_id: uuid.UUID
    journey_id: int
    at: dt.datetime
    channel: str
    template: str
    about: str
    cart_open: bool | None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a wish: sent at a time (later than asked with a reason), else why not. `agreed_since`: it lacked consent then and has it now."""

    wish: Wish
    sent_at: dt.datetime | None
    reason: str = ""
    agreed_since: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A row of the past: since when it holds, and what."""

    at: dt.datetime
    what: str


class Past:
    """What the database tells of the addresses of some people, with times."""

    def __init__(self, session: Session, people: Collection[uuid.UUID], keys: Keys, *, consent_now: bool, timezone: str = "UTC") -> None:
        self.consent_now = consent_now
        self.rules = sending.read(session)
        self.zones = {row.id: zone_of(row.traits, timezone) for row in session.execute(_TRAITS, {"ids": list(people)})} if self.rules.quiet else {}
        self.timezone = timezone
        self.pauses: dict[uuid.UUID, list[tuple[dt.datetime, bool]]] = defaultdict(list)
        for row in session.execute(_PAUSES, {"ids": list(people), "trait": PAUSED}):
            self.pauses[row.profile_id].append((row.occurred_at, row.value in (True, "true")))
        self.templates = {row.name: (row.topic, row.purpose) for row in session.execute(text("SELECT name, topic, purpose FROM templates"))}
        self.addresses: dict[uuid.UUID, list[tuple[dt.datetime, str, str]]] = defaultdict(list)
        self.hashes: dict[tuple[str, str], bytes] = {}
        for row in session.execute(_ADDRESSES, {"ids": list(people)}):
            self.addresses[row.profile_id].append((row.first_seen, row.kind, row.value))
            self.hashes.setdefault((row.kind, row.value), keys.address_hash(row.kind, row.value))
        hashes = {"hashes": list(self.hashes.values())}
        self.consents: dict[State, list[Said]] = defaultdict(list)
        for row in session.execute(_CONSENTS, hashes):
            self.consents[bytes(row.address_hash), row.channel, row.topic].append(Said(row.at, row.action))
        self.stops: dict[tuple[bytes, str], list[Said]] = defaultdict(list)
        for row in session.execute(_STOPS, hashes):
            self.stops[bytes(row.address_hash), row.channel].append(Said(row.at, row.reason))

    def address(self, wish: Wish) -> tuple[str, str] | None:
        """Where it would have gone: as the gate chooses, among the addresses known by then."""
        known: dict[str, str] = {}
        for first_seen, kind, value in self.addresses.get(wish.profile_id, ()):
            if first_seen <= wish.at:
                known.setdefault(kind, value)
        return next(((kind, known[kind]) for kind in registry()[wish.channel].address_kinds if kind in known), None)

    def facts(self, wish: Wish, address: tuple[str, str] | None, at: dt.datetime, *, repeats: bool, spent: Spent) -> Facts:
        """What the gate would have looked at then; `at` is later than the wish where the message waited."""
        topic, purpose = self.templates[wish.template]
        hashed = self.hashes[address] if address else b""
        marketing = purpose == "marketing"
        later = self.later(wish, at) if marketing else None
        return Facts(
            purpose=purpose,
            address=address[1] if address else None,
            suppressions=frozenset(stop.what for stop in self.stops.get((hashed, wish.channel), ()) if stop.at <= at),
            consent=self.consent((hashed, wish.channel, topic), None if self.consent_now else at),
            relevant=wish.cart_open,
            repeats=repeats,
            paused=next((paused for since, paused in reversed(self.pauses.get(wish.profile_id, ())) if since <= at), False),
            room_at=spent.room_at(address[1], wish.channel, at) if marketing and address else None,
            patient_until=wish.at + dt.timedelta(days=self.rules.patience),
            good_at=later.until if later else None,
            good_why=later.reason if later else "",
        )

    def later(self, wish: Wish, at: dt.datetime) -> sending.Later | None:
        """When marketing would have gone instead, by the clock the person has today."""
        return sending.later(self.rules, channel=wish.channel, moment=at, zone=self.zones.get(wish.profile_id, self.timezone))

    def consent(self, state: State, at: dt.datetime | None) -> str | None:
        """The last word by then, or of all."""
        return next((said.what for said in reversed(self.consents.get(state, ())) if at is None or said.at <= at), None)


def judge(past: Past, wishes: Sequence[Wish]) -> Iterator[Fate]:
    """The fate of each wish of some people; one person's in order of time."""
    gone: dict[tuple[str, str, str], dt.datetime] = {}
    spent = Spent(past.rules.caps)
    for wish in sorted(wishes, key=lambda each: each.at):
        if (reason := _impossible(past, wish)) is not None:
            yield Fate(wish, None, reason)
            continue
        address = past.address(wish)
        reference = (address[1] if address else "", wish.template, wish.about)
        last = gone.get(reference)
        fate = _decided(past, wish, address, last, spent)
        if fate.sent_at is not None:
            gone[reference] = fate.sent_at
            if address and past.templates[wish.template][1] == "marketing":
                spent.note(address[1], wish.channel, fate.sent_at)
        yield fate


def _impossible(past: Past, wish: Wish) -> str | None:
    if wish.channel not in registry():
        return "channel_missing"
    return None if wish.template in past.templates else "template_missing"


def _decided(past: Past, wish: Wish, address: tuple[str, str] | None, last: dt.datetime | None, spent: Spent) -> Fate:
    """The gate, asked again whenever a message that it held wakes."""
    at, held = wish.at, ""
    for _turn in range(TURNS):
        repeats = last is not None and at - last < DUPLICATE_WINDOW
        answer, _ = decide(past.facts(wish, address, at, repeats=repeats, spent=spent))
        if isinstance(answer, Send):
            return Fate(wish, at, held)
        if not isinstance(answer, Hold):
            break
        at, held = answer.until, held or answer.reason
    else:
        return Fate(wish, None, held)
    topic = past.templates[wish.template][0]
    since = answer.reason == "no_consent" and address is not None and past.consent((past.hashes[address], wish.channel, topic), None) == "granted"
    return Fate(wish, None, answer.reason, agreed_since=since)


_ADDRESSES = text("""
    SELECT profile_id, kind, value, first_seen FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND kind <> 'anonymous_id'
    ORDER BY verified DESC, first_seen, value
""")
_TRAITS = text("SELECT id, traits FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))")
_PAUSES = text("""
    SELECT profile_id, occurred_at, properties->:trait AS value FROM events
    WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND name = 'identify' AND type = 'identify' AND jsonb_exists(properties, :trait) ORDER BY position
""")
_CONSENTS = text("SELECT address_hash, channel, topic, action, at FROM consent_ledger WHERE address_hash = ANY(CAST(:hashes AS bytea[])) ORDER BY id")
_STOPS = text("SELECT address_hash, channel, reason, at FROM suppressions WHERE address_hash = ANY(CAST(:hashes AS bytea[]))")
