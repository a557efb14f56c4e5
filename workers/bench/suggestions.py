"""How well suggestions find who is known twice, on the made-up population and its judging seeds."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

from crm.core import clock
from crm.core.config import Config
from crm.profiles.suggest.facts import Facts, facts_of, keys_of
from crm.profiles.suggest.judge import CERTAIN, judge
from crm.profiles.suggest.queue import CROWD
from crm.profiles.suggest.settle import settle
from workers.bench import Measure
from workers.demo.twice import JUDGING_SEEDS, Known, population

QUICK = 3  # seeds


def run(_config: Config, quick: bool) -> list[Measure]:
    """`suggest_precision`, `suggest_recall`: of what is called certain, over all seeds and of the worst one, in percent; `suggest_rate`: profiles/s."""
    seeds = list(JUDGING_SEEDS)[:QUICK] if quick else list(JUDGING_SEEDS)
    started, profiles, found = time.perf_counter(), 0, []
    for seed in seeds:
        people = population(seed)
        profiles += len(people)
        found.append(judged(people))
        print(f"seed {seed}: precision {found[-1][0]:.4f}, recall {found[-1][1]:.4f}")  # the table of 20 is the point of this bench
    rate = profiles / (time.perf_counter() - started)
    now = clock.now()
    shares = {"precision": [100 * each[0] for each in found], "recall": [100 * each[1] for each in found]}
    means = [Measure(f"suggest_{what}", sum(each) / len(each), "%", None, None, now) for what, each in shares.items()]
    worst = [Measure(f"suggest_{what}_worst", min(each), "%", None, None, now) for what, each in shares.items()]
    return [*means, *worst, Measure("suggest_rate", rate, "profiles/s", None, None, now)]


def judged(people: Iterable[Known]) -> tuple[float, float]:
    """Precision and recall of the pairs called certain."""
    by_id = {one.id: one for one in people}
    facts = {one.id: _facts(one) for one in by_id.values()}
    said = {pair: found for pair in _meeting(facts) if (found := judge(facts[pair[0]], facts[pair[1]]))}
    certain = [pair for pair, found in settle(said, facts).items() if found.level == CERTAIN]
    right = sum(by_id[a].person == by_id[b].person for a, b in certain)
    persons: dict[int, int] = defaultdict(int)
    for one in by_id.values():
        persons[one.person] += 1
    pairs = sum(n * (n - 1) // 2 for n in persons.values())
    return right / max(1, len(certain)), right / max(1, pairs)


def _facts(one: Known) -> Facts:
    """As the queue reads them: an address or number another profile owns is only a trait here."""
    return facts_of(one.traits, [(kind, value) for kind, value in (("email", one.email), ("phone", one.phone)) if value])


def _meeting(facts: dict[int, Facts]) -> set[tuple[int, int]]:
    blocks: dict[str, list[int]] = defaultdict(list)
    for number, each in facts.items():
        for key in keys_of(each):
            blocks[key].append(number)
    return {(min(pair), max(pair)) for block in blocks.values() if len(block) <= CROWD for pair in combinations(block, 2)}
