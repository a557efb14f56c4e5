"""A layered drawing of what flows downwards: rows, their order, columns, and ways that pass beside what lies between. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Item = str | tuple[int, int]  # a node, or the way with this number where it passes this row
Sides = dict[Item, list[Item]]
APART, LANE = 28, 12  # px between what stands side by side, and of a way that passes
MANY, LONG = 3_000, 24  # places of all ways from which on those to one node run together, and of how many rows such a way passes at least
SWEEPS, VISITS = 16, 160_000  # how often rows and columns are bettered, and how many items are looked at in that: a second or two for the largest graph


@dataclass(frozen=True, slots=True)
class Layers:
    """Rows from the top, nodes in the even ones; the middle of each item and the whole width; what every way passes, from its first node to its last."""

    rows: Sequence[Sequence[Item]]
    x: Mapping[Item, int]
    wide: int
    passes: Sequence[Sequence[Item]]


def layers(start: str, ways: Sequence[tuple[str, str]], node: int, labels: Sequence[int]) -> Layers:
    """Arrange what can be reached from `start`, to which nothing leads back; px wide are a node and, where a way leaves its first node, its label.

    Between two rows of nodes lies one where each way has its own place, so that its label has one too.
    """
    rank, back = _ranks(start, ways)
    passes = _joined([_chain(number, rank, *way, back=number in back) for number, way in enumerate(ways)], back)
    rows = _uncrossed(_rows(start, passes, back), links := _links(passes, back))
    wide = {item: node if isinstance(item, str) else LANE for row in rows for item in row}
    wide |= {chain[1]: max(LANE, label) for chain, label in zip(passes, labels, strict=True)}
    loose, straight = (_wishes(passes, links, back, each) for each in (1, 0))
    x = _columns(rows, [*loose * _sweeps(rows), *straight * 2, straight[0]], wide)
    return Layers(rows, x, max(round(x[item] + half / 2) for item, half in wide.items()), passes)


def _ranks(start: str, ways: Sequence[tuple[str, str]]) -> tuple[dict[str, int], set[int]]:
    """The row of each node, below all that lead to it; and the ways back, left aside in that."""
    out: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, (origin, target) in enumerate(ways):
        out[origin].append((number, target))
    done: dict[str, None] = {}
    back: set[int] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for number, target in out[name]:
            if target in path:
                back.add(number)
            elif target not in done:
                visit(target, (*path, target))
        done[name] = None

    visit(start, (start,))
    rank = dict.fromkeys(done, 0)
    for name in reversed(done):
        for number, target in out[name]:
            if number not in back:
                rank[target] = max(rank[target], rank[name] + 2)
    return rank, back


def _chain(number: int, rank: Mapping[str, int], origin: str, target: str, *, back: bool) -> list[Item]:
    """A way back goes up beside every row from its first node's to its last's."""
    passed = range(rank[origin], rank[target] - 1, -1) if back else range(rank[origin] + 1, rank[target])
    return [origin, *((number, row) for row in passed), target]


def _joined(passes: list[list[Item]], back: set[int]) -> list[list[Item]]:
    """Where there are so many that nobody could follow them, nor wait for the drawing, long ways down to one node run together below their words."""
    if sum(map(len, passes)) <= MANY:
        return passes
    lanes: dict[Item, int] = {}

    def joined(chain: list[Item]) -> list[Item]:
        lane = lanes.setdefault(chain[-1], -1 - len(lanes))  # no way has such a number
        return [*chain[:2], *((lane, item[1]) for item in chain[2:-1] if not isinstance(item, str)), chain[-1]]

    return [joined(chain) if number not in back and len(chain) > LONG else chain for number, chain in enumerate(passes)]


def _rows(start: str, passes: Sequence[Sequence[Item]], back: set[int]) -> list[list[Item]]:
    """Side by side as the ways above name them; a way back rises beside what lies below the node it leads to."""
    below: dict[Item, list[Item]] = defaultdict(list)
    beside: dict[Item, list[Item]] = defaultdict(list)
    for number, chain in enumerate(passes):
        for upper, lower in pairwise(reversed(chain[1:-1]) if number in back else chain):
            below[upper].append(lower)
        if number in back:
            beside[chain[-1]].append(chain[-2])
    rows: list[list[Item]] = [[start]]
    while found := dict.fromkeys(each for item in rows[-1] for child in below[item] for each in (child, *beside[child])):
        rows.append(list(found))
    return rows


def _links(passes: Sequence[Sequence[Item]], back: set[int]) -> list[tuple[Item, Item]]:
    """What should stand above what. A way back is held to the node it leads to by what stands above that."""
    uppers: dict[Item, list[Item]] = defaultdict(list)
    for number, chain in enumerate(passes):
        if number not in back:
            uppers[chain[-1]].append(chain[-2])
    found: list[tuple[Item, Item]] = []
    for number, chain in enumerate(passes):
        if number in back:
            found += pairwise(reversed(chain[1:-1]))
            found += [(upper, chain[-2]) for upper in uppers[chain[-1]]]
        else:
            found += pairwise(chain)
    return list(dict.fromkeys(found))  # ways that run together are linked once


def _sides(links: Iterable[tuple[Item, Item]]) -> tuple[Sides, Sides]:
    """What stands above each, and what below."""
    above: Sides = defaultdict(list)
    below: Sides = defaultdict(list)
    for upper, lower in links:
        above[lower].append(upper)
        below[upper].append(lower)
    return above, below


def _uncrossed(rows: list[list[Item]], links: Sequence[tuple[Item, Item]]) -> list[list[Item]]:
    """The rows in the order in which the fewest ways cross: each item moves towards the middle of its neighbours."""
    above, below = _sides(links)
    best, fewest = rows, _crossings(rows, below)
    tried = [list(row) for row in rows]
    for turn in range(_sweeps(rows)):
        if not fewest:
            break
        near, order = (above, range(1, len(rows))) if turn % 2 == 0 else (below, range(len(rows) - 2, -1, -1))
        for row in order:
            at = {item: place for place, item in enumerate(tried[row - 1 if near is above else row + 1])}
            own = {item: place for place, item in enumerate(tried[row])}
            tried[row].sort(key=lambda item, at=at, own=own, near=near: _mean([at[each] for each in near[item]], own[item]))  # type: ignore[misc]  # mypy takes no default of a lambda
        if (count := _crossings(tried, below)) < fewest:
            best, fewest = [list(row) for row in tried], count
    return best


def _sweeps(rows: Sequence[Sequence[Item]]) -> int:
    """Fewer where so many ways pass so many rows that a page would wait for it."""
    return max(1, min(SWEEPS, VISITS // sum(map(len, rows))))


def _crossings(rows: Sequence[Sequence[Item]], below: Mapping[Item, Sequence[Item]]) -> int:
    """How often ways cross between rows."""
    count = 0
    for upper, lower in pairwise(rows):
        at = {item: place for place, item in enumerate(lower)}
        ends = [sorted(at[each] for each in below.get(item, ())) for item in upper]
        met: list[int] = []  # in order, so that those beyond an end are counted and not looked at
        for some in ends:
            count += sum(len(met) - bisect_right(met, end) for end in some)
            for end in some:
                insort(met, end)
    return count


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _wishes(passes: Sequence[Sequence[Item]], links: Sequence[tuple[Item, Item]], back: set[int], loose: int) -> tuple[Sides, Sides]:
    """What each would stand beneath on the way down, and above on the way up.

    A way runs straight, and turns where it leaves its node or meets others; the looser, the more its ends are drawn to its nodes.
    """
    above, below = _sides(links)
    parting, meeting = Counter(chain[0] for chain in passes), Counter(chain[-1] for chain in passes)
    for number, chain in enumerate(passes):
        first, *more = reversed(chain[1:-1]) if number in back else chain[1:-1]
        upper, lower = (chain[-1], chain[0]) if number in back else (chain[0], chain[-1])
        if more:
            own = isinstance(more[0], str) or more[0][0] >= 0
            above[first] = [more[0]] * 2 + [upper] * loose if own else [upper]
            below[more[-1]] = [[first, *more][-2]] * 2 + [lower] * loose
        elif parting[chain[0]] > 1:
            above[first] = [lower] if meeting[lower] == 1 else [upper, lower]
    return above, below


def _columns(rows: Sequence[Sequence[Item]], wishes: Sequence[Sides], wide: Mapping[Item, int]) -> dict[Item, int]:
    """The middle of each item from the left edge, as near to each wish in turn, down and up, as its row lets it."""
    x: dict[Item, float] = {}
    for turn, near in enumerate(wishes):
        for row in rows[:: -1 if turn % 2 else 1]:
            wanted = [_mean([x[each] for each in near.get(item, ()) if each in x], x.get(item, 0.0)) for item in row]
            x |= zip(row, _placed(row, wanted, wide), strict=True)
    left = min(x[item] - wide[item] / 2 for item in x)
    return {item: round((at - left) / 2) * 2 for item, at in x.items()}


def _placed(row: Sequence[Item], wanted: Sequence[float], wide: Mapping[Item, int]) -> list[float]:
    """As near as can be to where each wants to stand (least squares), in their order and apart: neighbours that press each other move as one."""
    offsets = [0.0]
    for one, other in pairwise(row):
        offsets.append(offsets[-1] + (wide[one] + wide[other]) / 2 + APART)
    blocks: list[tuple[float, int]] = []  # where a block would begin, and how many stand in it
    for want, offset in zip(wanted, offsets, strict=True):
        begin, count = want - offset, 1
        while blocks and blocks[-1][0] > begin:
            before, many = blocks.pop()
            begin, count = (before * many + begin * count) / (many + count), many + count
        blocks.append((begin, count))
    begins = [begin for begin, count in blocks for _ in range(count)]
    return [begin + offset for begin, offset in zip(begins, offsets, strict=True)]
