"""A journey as drawn: nodes, ways between them, where it starts and what ends it; and what is wrong with it, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crm.core.errors import InvalidError
from journeys.kinds import NODES, TRIGGERS
from journeys.node import Node, Settings
from journeys.trigger import Trigger

NAME = r"^[a-z][a-z0-9_]{0,39}$"


class Part(BaseModel):
    """A plug-in as stored: its kind, its settings, and the schema number they were written under."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    kind: str
    settings_schema: int = Field(default=1, alias="schema")
    settings: dict[str, Any] = {}


class NodePart(Part):
    """A node on the canvas: `exits` leads from each way out to the next node; `name` is its label by language."""

    exits: dict[str, str] = {}
    name: dict[str, str] = {}


class Drawing(BaseModel):
    """The graph as stored and as written in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: dict[str, str] = Field(min_length=1)
    trigger: Part
    entry: str
    exit_on: list[str] = []
    nodes: dict[str, NodePart] = Field(min_length=1, max_length=200)


@dataclass(frozen=True, slots=True)
class Spot:
    """A node ready to decide: the plug-in with its validated settings and its ways out."""

    name: str
    node: Node[Any]
    settings: Settings
    exits: Mapping[str, str]
    label: Mapping[str, str]
    listens: frozenset[str]


@dataclass(frozen=True)
class Graph:
    """A checked drawing: nothing in it can be missing at run time."""

    drawing: Drawing
    trigger: Trigger[Any]
    trigger_settings: Settings
    nodes: Mapping[str, Spot]

    @property
    def entry(self) -> str:
        """The first node."""
        return self.drawing.entry

    @cached_property
    def key(self) -> str:
        """What tells one profile's runs apart."""
        return self.trigger.keyed_by(self.trigger_settings)

    @cached_property
    def exit_on(self) -> frozenset[str]:
        """Events that end a run at once."""
        return frozenset(self.drawing.exit_on)

    @cached_property
    def listens(self) -> frozenset[str]:
        """Every event name that can end or wake a run of this graph."""
        return self.exit_on.union(*(spot.listens for spot in self.nodes.values()))

    @cached_property
    def reads(self) -> frozenset[str]:
        """Facts its nodes need."""
        wanted: frozenset[str] = frozenset().union(*(spot.node.reads for spot in self.nodes.values()))
        return wanted if self.key == "cart" else wanted - {"cart"}

    @cached_property
    def loops(self) -> bool:
        """Whether a run can come to a node twice."""
        return bool(_cycle(self.nodes, lambda spot: True))


def parse(stored: object) -> Graph:
    """A graph that may run. Raises InvalidError with every problem, each naming its place."""
    graph, problems = read(stored)
    if graph is None or problems:
        raise InvalidError("; ".join(problems))
    return graph


def check(stored: object) -> list[str]:
    """What is wrong, as sentences; empty when it may be published."""
    return read(stored)[1]


def read(stored: object) -> tuple[Graph | None, list[str]]:
    """The graph where its parts could be read, and the problems."""
    try:
        drawing = Drawing.model_validate(stored)
    except ValidationError as error:
        return None, list(_sentences("the journey", error))
    problems: list[str] = []
    trigger = TRIGGERS.get(drawing.trigger.kind)
    if trigger is None:
        return None, [f"the trigger: there is no kind {drawing.trigger.kind!r}; choose one of {', '.join(TRIGGERS)}"]
    trigger_settings = _settings("the trigger", trigger.settings_type, dict(drawing.trigger.settings), problems)
    nodes = {name: spot for name, part in drawing.nodes.items() if (spot := _spot(name, part, problems))}
    if trigger_settings is None or len(nodes) < len(drawing.nodes):
        return None, problems
    graph = Graph(drawing, trigger, trigger_settings, nodes)
    return graph, problems + list(_problems(graph))


def _spot(name: str, part: NodePart, problems: list[str]) -> Spot | None:
    node = NODES.get(part.kind)
    if node is None:
        problems.append(f"node {name!r}: there is no kind {part.kind!r}; choose one of {', '.join(NODES)}")
        return None
    if part.settings_schema > node.schema:
        problems.append(f"node {name!r}: its settings come from a newer Kesher (schema {part.settings_schema}, here {node.schema}); update Kesher first")
        return None
    plain = dict(part.settings)
    if part.settings_schema < node.schema:
        plain = node.upgrade(plain, part.settings_schema)
    settings = _settings(f"node {name!r}", node.settings_type, plain, problems)
    if settings is None:
        return None
    return Spot(name, node, settings, part.exits, part.name, node.listens(settings))


def _settings(place: str, kind: type[Settings], plain: dict[str, Any], problems: list[str]) -> Settings | None:
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        problems.extend(_sentences(place, error))
        return None


def _sentences(place: str, error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in each["loc"])
        yield f"{place}: {where + ': ' if where else ''}{each['msg'].removeprefix('Value error, ')}"


def _problems(graph: Graph) -> Iterator[str]:
    if graph.entry not in graph.nodes:
        yield f"the journey: it begins at {graph.entry!r}, which is not one of its nodes"
        return
    for spot in graph.nodes.values():
        yield from _edge_problems(spot, graph.nodes)
    for name in graph.nodes.keys() - _reachable(graph):
        yield f"node {name!r}: no way leads to it; connect or remove it"
    loop = _cycle(graph.nodes, lambda spot: not spot.node.waits(spot.settings))
    if loop:
        yield f"node {loop!r}: the way comes back to it without a wait, so it would never end; put a wait into the loop"


def _edge_problems(spot: Spot, nodes: Mapping[str, Spot]) -> Iterator[str]:
    ways = spot.node.exits(spot.settings)
    for way in ways:
        if way not in spot.exits:
            yield f"node {spot.name!r}: its way out {way!r} leads nowhere; connect it to a node"
    for way, target in spot.exits.items():
        if way not in ways:
            yield f"node {spot.name!r}: it has no way out {way!r}; it has {', '.join(ways) or 'none'}"
        if target not in nodes:
            yield f"node {spot.name!r}: its way out {way!r} leads to {target!r}, which is not there"


def _reachable(graph: Graph) -> set[str]:
    seen: set[str] = set()
    ahead = [graph.entry]
    while ahead:
        name = ahead.pop()
        if name in graph.nodes and name not in seen:
            seen.add(name)
            ahead.extend(graph.nodes[name].exits.values())
    return seen


def _cycle(nodes: Mapping[str, Spot], through: Any) -> str | None:
    """A node on a cycle all of whose nodes satisfy `through`, else None: peel off what has no way in or out."""
    left = {name for name, spot in nodes.items() if through(spot)}
    while left:
        ends = {name for name in left if not left.intersection(nodes[name].exits.values())}
        if not ends:
            return min(_walk(nodes, left))
        left -= ends
    return None


def _walk(nodes: Mapping[str, Spot], left: set[str]) -> Iterable[str]:
    """From any of `left` onwards until a node comes again: those seen from there lie on the cycle."""
    path: list[str] = []
    name = min(left)
    while name not in path:
        path.append(name)
        name = min(left.intersection(nodes[name].exits.values()))
    return path[path.index(name) :]
