"""The picture of a journey: no way goes through a node or over the words of another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeys import drawing
from journeys import layers as arranging
from journeys.files import recipes
from journeys.graph import Graph, parse
from journeys.layers import Layers, layers
from journeys.routes import routes

Box = tuple[float, float, float, float]  # left, top, right, bottom
WAYS = {
    "a_way_over_four_rows": {"a": ["b", "c", "e"], "b": ["c"], "c": ["d"], "d": ["e"], "e": []},
    "loops_in_loops": {"a": ["b"], "b": ["c", "d"], "c": ["a", "e"], "d": ["b", "e"], "e": []},
    "ways_that_cross": {"a": ["b", "c"], "b": ["d", "e", "f"], "c": ["f", "e", "a"], "d": ["g"], "e": ["g"], "f": ["g"], "g": []},
}


def branching(ways: dict[str, list[str]]) -> dict[str, Any]:
    """A journey of waits before branches, so that it may loop."""
    nodes: dict[str, Any] = {}
    for name, targets in ways.items():
        exits = {f"to_{number}": target for number, target in enumerate(targets[1:])} | ({"otherwise": targets[0]} if targets else {})
        when = [{"of": "trait", "name": "city", "op": "is", "value": "Haifa"}]
        branch = {"kind": "branch", "settings": {"ways": [{"exit": way, "when": when} for way in exits if way != "otherwise"]}, "exits": exits}
        last = {"kind": "wait", "settings": {"for": "1h"}, "exits": {"next": targets[0]}} if targets else {"kind": "stop"}
        nodes[name] = {"kind": "wait", "settings": {"for": "1h"}, "exits": {"next": f"{name}_of"}} if len(targets) > 1 else last
        nodes |= {f"{name}_of": branch} if len(targets) > 1 else {}
    return {"name": {"en": "N"}, "trigger": {"kind": "event", "settings": {"event": "Asked", "key": "event"}}, "entry": "a", "nodes": nodes}


def words(graph: Graph, node: str, way: str) -> str:
    return f"{node} {way}"


def strokes(path: str) -> list[Box]:
    """The straight pieces of an SVG path of M, H and V."""
    x, y = 0.0, 0.0
    found = []
    for letter, rest in re.findall(r"([MHV])([-\d. ]+)", path):
        numbers = [float(each) for each in rest.split()]
        to_x, to_y = numbers if letter == "M" else (numbers[0], y) if letter == "H" else (x, numbers[0])
        if letter != "M":
            found.append((min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y)))
        x, y = to_x, to_y
    return found


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def crossed(paths: Sequence[Sequence[Box]], boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """Which way goes through which box; a way may touch an edge."""
    grown = [[(a - 0.5, b - 0.5, c + 0.5, d + 0.5) for a, b, c, d in path] for path in paths]
    inner = [(a + 1, b + 1, c - 1, d - 1) for a, b, c, d in boxes]
    return [(way, box) for way, path in enumerate(grown) for box, each in enumerate(inner) if any(overlap(piece, each) for piece in path)]


@pytest.mark.parametrize("name", [*recipes(), *WAYS])
def test_no_drawn_way_goes_through_a_node_or_over_words_that_are_not_its_own(name: str) -> None:
    picture = drawing.draw(parse(recipes()[name] if name not in WAYS else branching(WAYS[name])), words)
    nodes = [(place.x - 128.0, float(place.y), place.x + 128.0, place.y + 54.0) for place in picture.places]
    paths = [strokes(edge.path) for edge in picture.edges]
    labels = [
        (edge.x - 3.5 * len(f"{edge.origin} {edge.exit}") - 12, edge.y - 10.0, edge.x + 3.5 * len(f"{edge.origin} {edge.exit}") + 12, edge.y + 10.0)
        for edge in picture.edges[1:]
    ]
    assert crossed(paths, nodes) == []
    assert crossed(paths[1:], labels) == [(number, number) for number in range(len(labels))]
    boxes = [*nodes, *labels]
    assert [pair for at, one in enumerate(boxes) for pair in boxes[at + 1 :] if overlap(one, pair)] == []
    assert all(left >= 0 and right <= picture.width and bottom <= picture.height for left, _, right, bottom in boxes)


def test_every_way_comes_from_its_node_and_ends_at_the_one_it_leads_to() -> None:
    for drawn in (*recipes().values(), *map(branching, WAYS.values())):
        picture = drawing.draw(parse(drawn), words)
        at = {place.name: (place.x, place.y) for place in picture.places}
        for edge in picture.edges:
            (from_x, from_y), (to_x, to_y) = at[edge.origin], at[edge.target]
            assert edge.path.startswith(f"M{from_x} {from_y + 54} ")
            assert edge.path.endswith(f"V{to_y}") and strokes(edge.path)[-1][0] == to_x


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 11)), max_size=24), st.booleans())
def test_whatever_is_drawn_nothing_goes_through_a_node_and_apart_ways_never_run_on_one_line(jumps: list[tuple[int, int]], together: bool) -> None:
    ways = [(f"n{at}", f"n{at + 1}") for at in range(11)] + [(f"n{one}", f"n{other}") for one, other in jumps if one != other]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arranging, "MANY", 0 if together else arranging.MANY)
        patch.setattr(arranging, "LONG", 4)
        found = layers("n0", ways, 256, [90] * len(ways))
    led = routes(found, [54 if row % 2 == 0 else 20 for row in range(len(found.rows))])
    paths = [[(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])) for a, b in pairwise(corners)] for corners in led.corners]
    assert crossed([[tuple(map(float, piece)) for piece in path] for path in paths], nodes_of(found, led.tops)) == []  # type: ignore[misc]  # pieces have four
    for one, path in enumerate(paths):
        for other in range(one):
            if not {*ways[one]} & {*ways[other]}:
                assert not any(same_line(a, b) for a in path for b in paths[other]), (ways[one], ways[other])


def nodes_of(found: Layers, tops: Sequence[int]) -> list[Box]:
    return [
        (found.x[each] - 128.0, float(tops[row]), found.x[each] + 128.0, tops[row] + 54.0)
        for row, items in enumerate(found.rows)
        for each in items
        if isinstance(each, str)
    ]


def same_line(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two pieces lie on each other for more than a point."""
    if one[1] == one[3] == other[1] == other[3]:
        return min(one[2], other[2]) > max(one[0], other[0])
    return one[0] == one[2] == other[0] == other[2] and min(one[3], other[3]) > max(one[1], other[1])


def test_the_largest_journey_is_bettered_less_often_so_that_its_page_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    placed = arranging._placed

    def counted(row: Sequence[Any], *more: Any) -> list[float]:
        nonlocal seen
        seen += len(row)
        return placed(row, *more)

    monkeypatch.setattr(arranging, "_placed", counted)
    ways = [("n0", "n1")] + [way for at in range(1, 200) for way in ((f"n{at}", f"n{at + 1}"), (f"n{at}", "end"))]
    assert sum(map(len, layers("n0", ways, 256, [90] * len(ways)).rows)) < 1_500  # long ways to one node run together
    assert seen < 3 * arranging.VISITS
    monkeypatch.setattr(arranging, "MANY", 1_000_000)
    seen = 0
    found = layers("n0", ways, 256, [0] + [90] * (len(ways) - 1))
    assert sum(map(len, found.rows)) > 40_000
    assert seen < 3 * arranging.VISITS


@given(st.lists(st.lists(st.integers(0, 7), max_size=4), max_size=8))
def test_crossings_are_counted_one_by_one(ends: list[list[int]]) -> None:
    rows = [[f"u{at}" for at in range(len(ends))], [f"l{at}" for at in range(8)]]
    below = {f"u{at}": [f"l{end}" for end in some] for at, some in enumerate(ends)}
    links = [(at, end) for at, some in enumerate(ends) for end in some]
    assert arranging._crossings(rows, below) == sum(1 for one in links for other in links if one[0] < other[0] and one[1] > other[1])
