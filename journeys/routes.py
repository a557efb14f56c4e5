"""How ways run between the rows of a drawing: down, across where nothing else runs at that height, and down. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from journeys.layers import Item, Layers

GAP, TRACK = 28, 10  # px between two rows, and between two ways that run across there
Track = Mapping[tuple[Item, Item], int]  # which way, at which height


@dataclass(frozen=True, slots=True)
class Routes:
    """The upper edge of each row, the corners of each way from its first node down to its last, and where everything ends; px from the first row."""

    tops: Sequence[int]
    corners: Sequence[Sequence[tuple[int, int]]]
    height: int


def routes(found: Layers, tall: Sequence[int]) -> Routes:
    """Lead every way of an arrangement whose rows are so tall."""
    rows = {item: number for number, row in enumerate(found.rows) for item in row}
    across = _across(found, rows)
    tracks = [_tracks(across[row]) for row in range(len(found.rows))]
    tops = [0]
    for row, height in enumerate(tall):
        tops.append(tops[row] + height + GAP + TRACK * max(tracks[row].values(), default=0))
    ends = tops.pop() - (0 if tracks[-1] else GAP)

    def corners(chain: Sequence[Item]) -> list[tuple[int, int]]:
        way = [(found.x[chain[0]], tops[rows[chain[0]]] + tall[rows[chain[0]]])]
        for one, other in pairwise(chain):
            if (one, other) in tracks[row := _beneath(rows, one, other)]:
                y = tops[row] + tall[row] + GAP // 2 + TRACK * tracks[row][one, other]
                way += [(found.x[one], y), (found.x[other], y)]
        return [*way, (found.x[chain[-1]], tops[rows[chain[-1]]])]

    return Routes(tops, [corners(chain) for chain in found.passes], ends)


@dataclass(frozen=True, slots=True)
class _Across:
    """Where a way changes its column: from where it hangs, from the row above, to where it goes down; a way back turns, with both ends on one side."""

    one: Item
    other: Item
    begin: int
    end: int
    above: Sequence[int]
    below: Sequence[int]

    def apart(self, other: _Across) -> bool:
        """Whether they have neither end in common: ways out of one node, or into one, may run together."""
        return not {self.one, self.other} & {other.one, other.other}

    def meets(self, other: _Across) -> bool:
        """Whether the two must not run at one height."""
        return self.apart(other) and self.begin <= other.end and other.begin <= self.end

    def under(self, other: _Across) -> bool:
        """Whether it must run below the other, which hangs where this one goes down."""
        return self.apart(other) and any(abs(x - at) < TRACK for x in self.below for at in other.above)


def _beneath(rows: Mapping[Item, int], one: Item, other: Item) -> int:
    """Beneath which row a way goes from one to the other; a way back leaves its node below, and comes to the other from above."""
    above, below = sorted((rows[one], rows[other]))
    return above if above != below or isinstance(one, str) else above - 1


def _across(found: Layers, rows: Mapping[Item, int]) -> Mapping[int, list[_Across]]:
    """What runs across beneath each row."""
    across: dict[int, list[_Across]] = defaultdict(list)
    for one, other in dict.fromkeys(pair for chain in found.passes for pair in pairwise(chain)):
        begin, end = sorted((found.x[one], found.x[other]))
        if begin != end:
            row = _beneath(rows, one, other)
            above, below = ([found.x[item] for item in (one, other) if (rows[item] == row) == upper] for upper in (True, False))
            across[row].append(_Across(one, other, begin, end, above, below))
    return across


def _tracks(across: Sequence[_Across]) -> Track:
    """At which height each runs, counted from the top: the short ones first, each below what it must not cut off."""
    waiting = sorted(across, key=lambda each: (each.end - each.begin, each.begin))
    placed: list[tuple[_Across, int]] = []
    while waiting:
        each = next((one for one in waiting if not any(one.under(other) for other in waiting)), waiting[0])
        waiting.remove(each)
        level = max((at + 1 for other, at in placed if each.under(other)), default=0)
        while any(at == level and each.meets(other) for other, at in placed):
            level += 1
        placed.append((each, level))
    return {(each.one, each.other): level for each, level in placed}
