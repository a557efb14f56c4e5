"""Tracking consent that a source maps to message consent: `context.consent.categoryPreferences` (Segment spec).

It counts only where the source maps the category to a channel and topic, the call carries the address, and a server key vouches for it;
it never lifts a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.consent.ledger import GRANTED, REFUSED, Change
from crm.consent.models import Topic
from crm.events.models import Source
from crm.events.spec import Happened

ADDRESS_OF = {"email": "email", "sms": "phone", "whatsapp": "phone"}


def changes(session: Session, events: Sequence[Happened]) -> list[Change]:
    """What the events of a batch say about consent, in their order; nothing is written."""
    said = [(event, preferences) for event in events if event.trusted and (preferences := _preferences(event.context))]
    if not said:
        return []
    maps = _maps(session, {event.source_id for event, _ in said})
    purposes = {topic.name: topic.purpose for topic in session.scalars(select(Topic))}
    return [change for event, preferences in said for change in _of(event, preferences, maps.get(event.source_id, {}), purposes)]


def _of(event: Happened, preferences: Mapping[str, Any], mapping: Mapping[str, Any], purposes: Mapping[str, str]) -> Iterator[Change]:
    addresses = {ident.kind: ident.value for ident in event.identities}
    for category, answer in preferences.items():
        target = mapping.get(category)
        if not isinstance(answer, bool) or not isinstance(target, dict) or target.get("topic") not in purposes:
            continue
        kind = ADDRESS_OF.get(target.get("channel", ""), "")
        if address := addresses.get(kind):
            action = GRANTED if answer else REFUSED
            proof = {"message_id": event.message_id, "category": category, "ip": event.context.get("ip"), "user_agent": event.context.get("userAgent")}
            yield Change(kind, address, target["channel"], target["topic"], purposes[target["topic"]], action, "context", explicit=False, proof=proof)


def _preferences(context: Mapping[str, Any]) -> dict[str, Any]:
    consent = context.get("consent")
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    return preferences if isinstance(preferences, dict) else {}


def _maps(session: Session, sources: set[int]) -> dict[int, dict[str, Any]]:
    found = session.execute(select(Source.id, Source.settings).where(Source.id.in_(sources)))
    return {source_id: value if isinstance(value := settings.get("consent_map"), dict) else {} for source_id, settings in found}
