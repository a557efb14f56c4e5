"""Where each node of a graph stands on the page: it flows downwards, branches lie side by side, no way goes through a node. Pure."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from journeys.graph import Graph, Spot
from journeys.layers import layers
from journeys.routes import routes
from journeys.view import StepRow

WIDE, TALL, LABEL, EDGE = 256, 54, 20, 16  # px: a node's width and height, a label's height, room around all
LETTER, ROOM = 7, 44  # px of a letter on a label, and of what stands around its words: a number, the edges
TRIGGER = "trigger"
START = ""  # the trigger while placing: a node may be called like it, but never this


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


def draw(graph: Graph, said: Callable[[Graph, str, str], str]) -> Picture:
    """The picture of a graph; `said` is what will stand on a way out of a node."""
    ways = [(START, "", graph.entry), *((name, way, target) for name in _reached(graph) for way, target in _ways(graph, name))]
    labels = [LETTER * len(said(graph, name, way)) + ROOM if name else 0 for name, way, _ in ways]
    found = layers(START, [(name, target) for name, _, target in ways], WIDE, labels)
    labelled = {chain[1] for chain, label in zip(found.passes, labels, strict=True) if label}
    tall = [TALL if row % 2 == 0 else LABEL if labelled.intersection(items) else 0 for row, items in enumerate(found.rows)]
    led = routes(found, tall)
    at = {item: (EDGE + found.x[item], EDGE + led.tops[row]) for row, items in enumerate(found.rows) for item in items}
    middle = {item: at[item][1] + tall[row] // 2 for row, items in enumerate(found.rows) for item in items}
    places = [Place(name or TRIGGER, *at[name], graph.nodes.get(name)) for name in at if isinstance(name, str)]
    lines = [[(EDGE + x, EDGE + y) for x, y in corners] for corners in led.corners]
    edges = [
        Edge(name or TRIGGER, way, target, *_line(corners), at[chain[1]][0], middle[chain[1]])
        for (name, way, target), corners, chain in zip(ways, lines, found.passes, strict=True)
    ]
    return Picture(places, edges, found.wide + 2 * EDGE, led.height + 2 * EDGE)


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


def _reached(graph: Graph) -> list[str]:
    """The nodes that can be reached, each once."""
    found = {graph.entry: None}
    for name in (waiting := [graph.entry]):  # grows while it is read
        fresh = dict.fromkeys(target for _, target in _ways(graph, name) if target not in found)
        found |= fresh
        waiting += fresh
    return waiting


def _line(corners: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """A path through the corners, and its arrow into the node below."""
    (x, y), *more = corners
    path = f"M{x} {y}"
    for to_x, to_y in more:
        path += f" H{to_x}" if to_y == y else f" V{to_y}"
        y = to_y
    end_x, end_y = corners[-1]
    return path, f"M{end_x - 5} {end_y - 8} l5 8 l5 -8z"
