"""Where each node of a graph stands on the page: it flows downwards, branches lie side by side. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from journeys.graph import Graph, Spot
from journeys.view import StepRow

STEP_X, STEP_Y, TALL, TOP = 300, 128, 54, 16  # px between columns and rows, a node's height, the first row
BESIDE = 108  # px between labels of ways that share their line
TRIGGER = "trigger"


@dataclass(frozen=True, slots=True)
class Place:
    """A node's middle and upper edge, px from the start side and the top."""

    name: str
    x: int
    y: int
    spot: Spot | None  # None for the trigger


@dataclass(frozen=True, slots=True)
class Edge:
    """A way between two nodes: an SVG path, its arrow, and where its label stands."""

    origin: str
    exit: str
    target: str
    path: str
    arrow: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to draw, and how large it is in px."""

    places: Sequence[Place]
    edges: Sequence[Edge]
    width: int
    height: int


def draw(graph: Graph) -> Picture:
    """The picture of a graph."""
    rows = _rows(graph)
    width = max(len(row) for row in rows.values()) * STEP_X
    at = {TRIGGER: (width // 2, TOP)}
    for depth, names in rows.items():
        for column, name in enumerate(names):
            at[name] = ((2 * column + 1) * width // (2 * len(names)), TOP + (depth + 1) * STEP_Y)
    places = [Place(name, x, y, graph.nodes.get(name) if name != TRIGGER or y != TOP else None) for name, (x, y) in at.items()]
    ways = [(TRIGGER, "", graph.entry)]
    ways += [(name, way, target) for names in rows.values() for name in names for way, target in graph.nodes[name].exits.items()]
    meeting = Counter(target for _, _, target in ways)
    edges = _apart([_edge(each, at, shared=meeting[each[2]] > 1) for each in ways])
    return Picture(places, edges, width, TOP + len(rows) * STEP_Y + TALL + TOP)


@dataclass(frozen=True, slots=True)
class Walked:
    """The way of one run: the edges it took, and for each node when it passed it."""

    edges: frozenset[tuple[str, str]]
    times: Mapping[str, Sequence[dt.datetime]]


def walked(graph: Graph, steps: Sequence[StepRow]) -> Walked:
    """What of the picture one run has seen; the way from the trigger on."""
    times: dict[str, list[dt.datetime]] = defaultdict(list)
    for step in steps:
        times[step.node].append(step.at)
    return Walked(frozenset({(TRIGGER, "")} | {(step.node, step.exit) for step in steps if step.node in graph.nodes}), times)


def outline(graph: Graph) -> list[tuple[int, str, str, str, bool]]:
    """The graph as a list for narrow screens: (depth, node and way that lead here, node, met before), each node told once."""
    told: set[str] = set()
    lines: list[tuple[int, str, str, str, bool]] = []

    def tell(name: str, origin: str, way: str, depth: int) -> None:
        lines.append((depth, origin, way, name, name in told))
        if name in told:
            return
        told.add(name)
        ways = _ways(graph, name)
        for exit_name, target in ways:
            tell(target, name, exit_name, depth + (len(ways) > 1))

    tell(graph.entry, TRIGGER, "", 0)
    return lines


def _ways(graph: Graph, name: str) -> list[tuple[str, str]]:
    """The exits in the order the node names them."""
    spot = graph.nodes[name]
    return [(way, spot.exits[way]) for way in spot.node.exits(spot.settings)]


def _rows(graph: Graph) -> dict[int, list[str]]:
    """depth -> names: each node below all that lead to it, ways back left aside, in the order of the exits."""
    order: list[str] = []
    back: set[tuple[str, str]] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for _, target in _ways(graph, name):
            if target in (*path, name):
                back.add((name, target))
            elif target not in order:
                visit(target, (*path, name))
        order.append(name)

    visit(graph.entry, ())
    depth = dict.fromkeys(order, 0)
    for name in reversed(order):
        for _, target in _ways(graph, name):
            if (name, target) not in back:
                depth[target] = max(depth[target], depth[name] + 1)
    rows: dict[int, list[str]] = defaultdict(list)
    for name in reversed(order):
        rows[depth[name]].append(name)
    return {level: _in_order(graph, rows[level], rows.get(level - 1, [])) for level in sorted(rows)}


def _in_order(graph: Graph, names: list[str], above: list[str]) -> list[str]:
    """Side by side as the nodes above name them."""
    wanted = [target for name in above for _, target in _ways(graph, name) if target in names]
    return list(dict.fromkeys([*wanted, *names]))


def _apart(edges: Sequence[Edge]) -> list[Edge]:
    """Labels of ways that lead from one node to the same next stand side by side."""
    together = Counter((edge.origin, edge.target) for edge in edges)
    met: Counter[tuple[str, str]] = Counter()
    found = []
    for edge in edges:
        pair = edge.origin, edge.target
        found.append(replace(edge, x=edge.x + round((met[pair] - (together[pair] - 1) / 2) * BESIDE)))
        met[pair] += 1
    return found


def _edge(between: tuple[str, str, str], at: dict[str, tuple[int, int]], *, shared: bool) -> Edge:
    """A way down with its label before the target; where several ways meet there, on the stretch that is this one's own."""
    origin, way, target = between
    (x1, y1), (x2, y2) = at[origin], at[target]
    down, end = y1 + TALL, y2 - 2
    arrow = f"M{x2 - 5} {end - 6} l5 8 l5 -8z"
    if y2 <= y1:  # a way back: round the outer side
        side = max(x1, x2) + STEP_X // 2 - 8
        return Edge(origin, way, target, f"M{x1} {down} V{down + 14} H{side} V{y2 - 18} H{x2} V{end}", arrow, side, (y1 + y2) // 2)
    middle = end - 44
    path = f"M{x1} {down} V{middle} H{x2} V{end}"
    if shared and x1 != x2:
        return Edge(origin, way, target, path, arrow, (x1 + x2) // 2, middle)
    return Edge(origin, way, target, path, arrow, x2, middle + 8 if x1 == x2 else middle + 14)
