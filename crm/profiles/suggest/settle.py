"""What many profiles together say of each pair: somebody who contradicts makes it less sure, a third who is both makes it certain. Pure.

Being one person is an equivalence: who weighs pairs one by one (Fellegi and Sunter, A Theory for Record Linkage, 1969) throws away what the third
says. Of a name and an address alone the two to tell apart are not strangers but relatives of one name, so there the doubt comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import TypeVar
from uuid import UUID

from crm.profiles.suggest.facts import Facts
from crm.profiles.suggest.judge import CERTAIN, LIKELY, Judgement, against, implied

T = TypeVar("T", int, UUID)
Pairs = Mapping[tuple[T, T], Judgement]


def settle(said: Pairs[T], facts: Mapping[T, Facts]) -> dict[tuple[T, T], Judgement]:
    """What each pair is by itself, made less sure or surer by the others."""
    certain = {pair: each for pair, each in said.items() if each.level == CERTAIN}
    unsure = _contradicted(certain, facts)
    found = {pair: replace(each, level=LIKELY) if pair in unsure else each for pair, each in said.items()}
    return found | {pair: implied(facts[pair[0]], facts[pair[1]]) for pair in _joined(certain.keys() - unsure, facts)}


def _contradicted(certain: Pairs[T], facts: Mapping[T, Facts]) -> set[tuple[T, T]]:
    """Pairs that only an address makes certain, where one of the two would also be somebody who contradicts the other: a son of his father's name."""
    partners = _partners(certain)
    found = set()
    for pair, each in certain.items():
        if not {"birthday", "phone"} & set(each.agrees):
            one, other = pair
            thirds = [(other, third) for third in partners[one] - {other}] + [(one, third) for third in partners[other] - {one}]
            if any(against(facts[a], facts[b]) for a, b in thirds):
                found.add(pair)
    return found


def _joined(certain: set[tuple[T, T]], facts: Mapping[T, Facts]) -> Iterator[tuple[T, T]]:
    """Who are both certainly one third, and nothing says that they are not one."""
    for both in _partners(certain).values():
        for one, other in combinations(sorted(both), 2):
            if (one, other) not in certain and not against(facts[one], facts[other]):
                yield one, other


def _partners(pairs: Iterable[tuple[T, T]]) -> dict[T, set[T]]:
    partners: dict[T, set[T]] = defaultdict(set)
    for one, other in pairs:
        partners[one].add(other)
        partners[other].add(one)
    return partners
