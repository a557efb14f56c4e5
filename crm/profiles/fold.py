"""Traits out of identify calls: the last word by event time wins, a public key's never over one with trust."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from crm.events.spec import BROWSER, Happened
from crm.profiles.people import UNPROVEN, Person

MAX_TRAITS = 300
MOST_UNPROVEN = 200  # so that public keys leave room for what the shop knows
MAX_NAME = 200


def learn(events: Sequence[Happened], people: Mapping[uuid.UUID, Person]) -> None:
    """Fold the traits that a batch's identify calls carry into their people, in memory."""
    for event in events:
        if event.traits:
            tell(people[event.profile_id], event.traits, occurred_at=event.occurred_at, accepted=event.accepted, trust=event.trust)


def tell(person: Person, traits: Mapping[str, Any], *, occurred_at: dt.datetime, accepted: int, trust: int) -> None:
    """Fold the traits of one identify call into its person."""
    stamp = [int(occurred_at.timestamp() * 1000), accepted] + ([UNPROVEN] if trust == BROWSER else [])
    most = MOST_UNPROVEN if trust == BROWSER else MAX_TRAITS
    for name, value in traits.items():
        if len(name) <= MAX_NAME and (name in person.traits_at or len(person.traits_at) < most):
            person.learn(name, value, stamp)
