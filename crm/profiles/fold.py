"""Traits out of identify calls: the last word by event time wins."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from crm.events.spec import Happened
from crm.profiles.people import Person

MAX_TRAITS = 300
MAX_NAME = 200


def learn(events: Sequence[Happened], people: Mapping[uuid.UUID, Person]) -> None:
    """Fold the traits that a batch's identify calls carry into their people, in memory."""
    for event in events:
        stamp = [int(event.occurred_at.timestamp() * 1000), event.accepted]
        for name, value in event.traits.items():
            person = people[event.profile_id]
            if len(name) <= MAX_NAME and (name in person.traits_at or len(person.traits_at) < MAX_TRAITS):
                person.learn(name, value, stamp)
