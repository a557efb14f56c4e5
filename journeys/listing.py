"""What runs do to lists, in sets. A list that is gone breaks its journey, never the batch."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.segments import lists
from journeys.node import ChangeList
from journeys.passage import Passage


def change(session: Session, passages: Sequence[Passage], now: dt.datetime) -> dict[int, str]:
    """Do what these runs ask for, the last word of each counting; returns journey -> what is wrong with it."""
    asked: dict[tuple[str, uuid.UUID], tuple[Passage, bool]] = {}
    for passage in passages:
        for _, _, effect in passage.effects:
            if isinstance(effect, ChangeList):
                asked[effect.list, passage.profile_id] = passage, effect.add
    groups: dict[tuple[str, bool, str, int], list[Passage]] = defaultdict(list)
    for (name, _), (passage, add) in asked.items():
        groups[name, add, passage.slug, passage.hops].append(passage)
    problems = {}
    for name, add, slug, hops in sorted(groups):
        mine = groups[name, add, slug, hops]
        try:
            (lists.add if add else lists.remove)(session, name, {p.profile_id for p in mine}, now=now, cause=f"journey:{slug}", hops=hops + 1)
        except NotFoundError:
            problems[mine[0].journey_id] = f"there is no list {name!r}; make it, or choose another in the journey"
    return problems
