"""What the gate and the templates need to know about a set of messages, read in sets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.commerce import standing
from crm.commerce.cart import CartState
from crm.commerce.carts import carts_at, is_open
from crm.consent import suppression
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.json import dumps
from crm.messages import caps, sending
from crm.messages.caps import Spent
from crm.messages.channel import registry
from crm.messages.gate import DUPLICATE_WINDOW, Facts
from crm.messages.render import Person
from crm.messages.sending import Later, SendingSettings
from crm.profiles.zones import zone_of

PAUSED = "marketing_paused"  # the trait that leaves a person alone; segments, imports and journeys set it like any other
Reference = tuple[str, str, str]  # address, template, what it is about


@dataclass(frozen=True, slots=True)
class Draft:
    """A message on its way, as claimed from the outbox."""

    id: uuid.UUID
    profile_id: uuid.UUID
    channel: str
    template: str
    topic: str
    purpose: str
    relevant_if: Mapping[str, Any] | None
    data: Mapping[str, Any]
    hops: int
    attempts: int
    waits_since: dt.datetime | None = None  # when it was asked for, or its journey went on after a pause

    @property
    def cart(self) -> Mapping[str, Any] | None:
        """The reference of the cart it is about."""
        return (self.relevant_if or {}).get("cart") or self.data.get("cart")

    def reference(self, address: str) -> Reference:
        """Two messages with the same one are duplicates. `reference` in the data names what else it is about than a cart: an alert, a deal."""
        return address, self.template, _about(self.relevant_if, self.data.get("reference"))


@dataclass(slots=True)
class Known:
    """What was read for a set of drafts: gate facts and cart for each message, the person for each profile."""

    facts: dict[uuid.UUID, Facts]
    carts: dict[uuid.UUID, CartState | None]
    people: dict[uuid.UUID, Person]
    spent: Spent
    now: dt.datetime

    def asked(self, draft: Draft) -> Facts:
        """The gate's facts, with what this set has sent meanwhile."""
        facts = self.facts[draft.id]
        if not self.spent.caps or not facts.address or draft.purpose != "marketing":
            return facts
        return replace(facts, room_at=self.spent.room_at(facts.address, draft.channel, self.now))

    def busy(self, draft: Draft) -> bool:
        """Somebody else is sending to its address: how much is too much cannot be told before that is over."""
        return draft.purpose == "marketing" and self.facts[draft.id].address in self.spent.busy

    def goes(self, draft: Draft) -> None:
        """One more message is on its way."""
        if draft.purpose == "marketing":
            self.spent.note(self.facts[draft.id].address or "", draft.channel, self.now)


def read(session: Session, drafts: Sequence[Draft], config: Config, now: dt.datetime, *, hold: bool = False) -> Known:
    """Read everything about these drafts. With `hold` consents, variants and counts per address stay as they are until this transaction ends."""
    keys, rules = Keys(config.secret_key), sending.read(session)
    people = _people(session, {d.profile_id for d in drafts})
    addresses = _addresses(session, drafts)
    hashes = {pair: keys.address_hash(*pair) for pair in set(addresses.values())}
    stops = {channel: suppression.reasons(session, list(hashes.values()), channel=channel) for channel in {d.channel for d in drafts}}
    consents = _consents(session, [(hashes[addresses[d.id]], d.channel, d.topic) for d in drafts if d.id in addresses], hold=hold)
    about = [d for d in drafts if d.cart]
    carts = dict(zip((d.id for d in about), carts_at(session, [(d.profile_id, d.cart or {}) for d in about]), strict=True)) if about else {}
    wanted = {d.id: (d.profile_id, ref) for d in drafts if (ref := (d.relevant_if or {}).get("product"))}
    spent = dict(zip(wanted, standing.over(session, list(wanted.values()), hold=hold), strict=True)) if wanted else {}
    recent = _recent(session, drafts, now)
    crowd = [addresses[d.id][1] for d in drafts if d.id in addresses and d.purpose == "marketing"]
    facts = {}
    for draft in drafts:
        pair = addresses.get(draft.id)
        address_hash = hashes[pair] if pair else b""
        later = _later(draft, people, rules, config.timezone, now)
        facts[draft.id] = Facts(
            purpose=draft.purpose,
            address=pair[1] if pair else None,
            suppressions=frozenset(stops[draft.channel].get(address_hash, ())),
            consent=consents.get((address_hash, draft.channel, draft.topic)),
            relevant=_relevant(draft, carts, spent),
            over=spent.get(draft.id) or "no_longer_relevant",
            paused=draft.profile_id in people and people[draft.profile_id].traits.get(PAUSED) in (True, "true"),
            repeats=pair is not None and draft.reference(pair[1]) in recent,
            patient_until=draft.waits_since + dt.timedelta(days=rules.patience) if draft.waits_since else None,
            good_at=later.until if later else None,
            good_why=later.reason if later else "",
        )
    return Known(facts, carts, people, caps.spent(session, rules.caps, crowd, now, hold=hold), now)


def _later(draft: Draft, people: Mapping[uuid.UUID, Person], rules: SendingSettings, timezone: str, now: dt.datetime) -> Later | None:
    """When marketing goes instead of now, on the person's clock."""
    if draft.purpose != "marketing" or not (rules.quiet or rules.rest):
        return None
    person = people.get(draft.profile_id)
    return sending.later(rules, channel=draft.channel, moment=now, zone=zone_of(person.traits if person else {}, timezone))


def _relevant(draft: Draft, carts: Mapping[uuid.UUID, CartState | None], spent: Mapping[uuid.UUID, str | None]) -> bool | None:
    """An unknown kind of condition counts as not met: better silent than wrong."""
    if not draft.relevant_if:
        return None
    if not set(draft.relevant_if) <= {"cart", "product"} or spent.get(draft.id):
        return False
    return "cart" not in draft.relevant_if or is_open(carts.get(draft.id))


def _people(session: Session, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Person]:
    rows = session.execute(text("SELECT id, name, traits FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)})
    return {row.id: Person(str(row.id), row.name, row.traits) for row in rows}


def _addresses(session: Session, drafts: Sequence[Draft]) -> dict[uuid.UUID, tuple[str, str]]:
    """For each message (kind, address): what was asked for, else of the kinds its channel can write to the best, verified before unverified, oldest first."""
    channels = registry()
    found: dict[uuid.UUID, dict[str, str]] = {}
    for row in session.execute(text(_ADDRESSES), {"ids": list({d.profile_id for d in drafts})}):
        found.setdefault(row.profile_id, {}).setdefault(row.kind, row.value)
    chosen = {}
    for draft in drafts:
        kinds = channels[draft.channel].address_kinds if draft.channel in channels else ()
        owned = {kinds[0]: str(draft.data["to"])} if kinds and draft.data.get("to") else found.get(draft.profile_id, {})
        if kind := next((kind for kind in kinds if kind in owned), None):
            chosen[draft.id] = (kind, owned[kind])
    return chosen


def _consents(session: Session, wanted: Sequence[tuple[bytes, str, str]], *, hold: bool) -> dict[tuple[bytes, str, str], str]:
    ordered = sorted(set(wanted))
    params = {"hashes": [h for h, _, _ in ordered], "channels": [c for _, c, _ in ordered], "topics": [t for _, _, t in ordered]}
    rows: Sequence[Row[Any]] = session.execute(text(_CONSENTS + (" FOR SHARE OF s" if hold else "")), params).all()
    return {(bytes(row.address_hash), row.channel, row.topic): row.action for row in rows}


def _recent(session: Session, drafts: Sequence[Draft], now: dt.datetime) -> set[Reference]:
    params = {
        "profiles": list({d.profile_id for d in drafts}),
        "templates": list({d.template for d in drafts}),
        "ids": [d.id for d in drafts],
        "since": now - DUPLICATE_WINDOW,
    }
    return {(row.address, row.template, _about(row.relevant_if, row.reference)) for row in session.execute(text(_RECENT), params)}


def _about(relevant_if: Mapping[str, Any] | None, reference: object) -> str:
    return dumps([_sorted(relevant_if), str(reference or "")])


def _sorted(value: Any) -> Any:
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, Mapping) else value


_ADDRESSES = """
SELECT profile_id, kind, value FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND kind <> 'anonymous_id'
ORDER BY verified DESC, first_seen, value
"""
_CONSENTS = """
SELECT s.address_hash, s.channel, s.topic, s.action
FROM unnest(CAST(:hashes AS bytea[]), CAST(:channels AS text[]), CAST(:topics AS text[])) k(address_hash, channel, topic)
JOIN consents_current s USING (address_hash, channel, topic) ORDER BY s.address_hash, s.channel, s.topic
"""
# What was sent while two profiles were one counts for both after they were parted; the address tells whom it concerns.
_RECENT = """
SELECT address, template, relevant_if, data->>'reference' AS reference FROM messages
WHERE (profile_id = ANY(CAST(:profiles AS uuid[])) OR profile_id IN (
    SELECT coalesce(p.merged_into, p.id) FROM links l JOIN profiles p ON p.id IN (l.from_id, l.into_id)
    WHERE l.undoes IS NOT NULL AND (l.from_id = ANY(CAST(:profiles AS uuid[])) OR l.into_id = ANY(CAST(:profiles AS uuid[])))
  )) AND template = ANY(CAST(:templates AS text[])) AND NOT id = ANY(CAST(:ids AS uuid[]))
  AND address IS NOT NULL AND status IN ('sending', 'sent', 'unknown') AND coalesce(sent_at, created_at) > :since
"""
