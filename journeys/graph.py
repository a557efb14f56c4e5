"""A journey as drawn: nodes, ways between them, where it starts and what ends it; and what is wrong with it, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crm.commerce.cart import cart_id
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.mistakes import mistake
from journeys.entry import ExitRule, Holdout, Limit, Reentry, rule_for
from journeys.kinds import NODES, TRIGGERS
from journeys.node import Node, RunEvent, Settings
from journeys.trigger import Trigger

TRIGGER = "trigger"
UNKNOWN = _l("there is no kind %(kind)s; choose one of %(kinds)s")
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


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to mend before publishing: where (a node, `trigger`, or None for the whole), what, and an example of what would happen."""

    node: str | None
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    level: str = "error"
    example: str = ""

    def __str__(self) -> str:
        place = {None: "the journey", TRIGGER: "the trigger"}.get(self.node, f"node {self.node!r}")
        return f"{place}: {self.text % self.values}"


class Drawing(BaseModel):
    """The graph as stored and as written in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: dict[str, str] = Field(min_length=1)
    about: dict[str, str] = {}
    trigger: Part
    entry: str
    exit_on: list[str | ExitRule] = Field(default=[], max_length=20)
    reentry: Reentry | None = None
    holdout: Holdout | None = None
    limit: Limit | None = None
    nodes: dict[str, NodePart] = Field(max_length=200)


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
    def reentry(self) -> Reentry:
        """Who may come again, and how many runs go on at once."""
        return self.drawing.reentry or rule_for(self.key)

    @cached_property
    def remembers(self) -> bool:
        """Whether runs that are over say who may enter."""
        return self.reentry.again in {"once", "after_interval"} and self.key != "event"

    @cached_property
    def exits(self) -> tuple[ExitRule, ...]:
        """What ends a run at once, and what of it is the goal."""
        return tuple(ExitRule(event=each) if isinstance(each, str) else each for each in self.drawing.exit_on)

    @cached_property
    def exit_on(self) -> frozenset[str]:
        """Names of the events that may end a run at once."""
        return frozenset(rule.event for rule in self.exits)

    def ends(self, start: RunEvent, event: RunEvent) -> ExitRule | None:
        """The first rule by which this event ends a run that began with `start`."""
        fit = (rule for rule in self.exits if rule.fits(event) and not self.about_another(start, event, rule.keyed))
        return next(fit, None) if event.name in self.exit_on else None

    def about_another(self, start: RunEvent, event: RunEvent, keyed: Collection[str]) -> bool:
        """Whether the event names a cart, or a value of the key property, that is surely not the run's, where that key matters.

        Another source may count its carts differently, so its names of carts prove nothing.
        """
        if self.key not in keyed:
            return False
        if self.key == "cart":
            theirs, mine = cart_id(dict(event.properties)), cart_id(dict(start.properties))
            return event.source_id == start.source_id and theirs is not None and mine is not None and theirs != mine
        about = self.trigger.about(self.trigger_settings, event)
        return about is not None and about != self.trigger.about(self.trigger_settings, start)

    @cached_property
    def listens(self) -> frozenset[str]:
        """Every event name that can end or wake a run of this graph."""
        return self.exit_on.union(*(spot.listens for spot in self.nodes.values()))

    @cached_property
    def reads(self) -> frozenset[str]:
        """Facts its nodes need."""
        wanted: frozenset[str] = frozenset().union(*(spot.node.reads for spot in self.nodes.values()))
        return wanted if self.key == "cart" else wanted - {"cart"}

    def leads(self, origin: str, target: str) -> bool:
        """Whether a way leads from one node to another."""
        return target in _reachable(self, self.nodes[origin].exits.values())

    @cached_property
    def loops(self) -> bool:
        """Whether a run can come to a node twice."""
        return bool(_cycle(self.nodes, lambda spot: True))


def parse(stored: object) -> Graph:
    """A graph that may run. Raises InvalidError with every problem, each naming its place."""
    graph, problems = read(stored)
    if graph is None or problems:
        raise InvalidError("; ".join(str(each) for each in problems))
    return graph


def check(stored: object) -> list[str]:
    """What is wrong, as sentences; empty when it may be published."""
    return [str(each) for each in read(stored)[1]]


def read(stored: object) -> tuple[Graph | None, list[Problem]]:
    """The graph where its parts could be read, and the problems."""
    try:
        drawing = Drawing.model_validate(stored)
    except ValidationError as error:
        return None, list(_sentences(None, error))
    problems: list[Problem] = []
    trigger = TRIGGERS.get(drawing.trigger.kind)
    if trigger is None:
        return None, [
            Problem(TRIGGER, _l("there is no kind %(kind)s; choose one of %(kinds)s"), {"kind": repr(drawing.trigger.kind), "kinds": ", ".join(TRIGGERS)})
        ]
    trigger_settings = _settings(TRIGGER, trigger.settings_type, dict(drawing.trigger.settings), problems)
    nodes = {name: spot for name, part in drawing.nodes.items() if (spot := read_spot(name, part, problems))}
    if trigger_settings is None or len(nodes) < len(drawing.nodes):
        return None, problems
    graph = Graph(drawing, trigger, trigger_settings, nodes)
    return graph, problems + list(_problems(graph))


def read_spot(name: str, part: NodePart, problems: list[Problem]) -> Spot | None:
    """One node ready to decide; None, and why in `problems`, where its settings are not valid."""
    node = NODES.get(part.kind)
    if node is None:
        problems.append(Problem(name, UNKNOWN, {"kind": repr(part.kind), "kinds": ", ".join(NODES)}))
        return None
    if part.settings_schema > node.schema:
        said = {"theirs": part.settings_schema, "ours": node.schema}
        problems.append(Problem(name, _l("its settings come from a newer Kesher (schema %(theirs)s, here %(ours)s); update Kesher first"), said))
        return None
    plain = dict(part.settings)
    if part.settings_schema < node.schema:
        plain = node.upgrade(plain, part.settings_schema)
    settings = _settings(name, node.settings_type, plain, problems)
    if settings is None:
        return None
    return Spot(name, node, settings, part.exits, part.name, node.listens(settings))


def _settings(place: str, kind: type[Settings], plain: dict[str, Any], problems: list[Problem]) -> Settings | None:
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        problems.extend(_sentences(place, error))
        return None


def _sentences(place: str | None, error: ValidationError) -> Iterator[Problem]:
    for each in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in each["loc"])
        yield Problem(place, "%(field)s: %(said)s" if where else "%(said)s", {"field": where, "said": mistake(each)})


def _problems(graph: Graph) -> Iterator[Problem]:
    if not graph.nodes:
        yield Problem(None, _l("nothing is drawn yet; add a first step"))
        return
    if graph.entry not in graph.nodes:
        yield Problem(None, _l("it begins at %(node)s, which is not one of its nodes"), {"node": repr(graph.entry)})
        return
    for spot in graph.nodes.values():
        yield from _edge_problems(spot, graph.nodes)
    for name in graph.nodes.keys() - _reachable(graph):
        yield Problem(name, _l("no way leads to it; connect or remove it"))
    loop = _cycle(graph.nodes, lambda spot: not spot.node.waits(spot.settings))
    if loop:
        yield Problem(loop, _l("the way comes back to it without a wait, so it would never end; put a wait into the loop"))


def _edge_problems(spot: Spot, nodes: Mapping[str, Spot]) -> Iterator[Problem]:
    ways = spot.node.exits(spot.settings)
    for way in ways:
        if way not in spot.exits:
            yield Problem(spot.name, _l("its way out %(way)s leads nowhere; connect it to a node"), {"way": repr(way)})
    for way, target in spot.exits.items():
        if way not in ways:
            yield Problem(spot.name, _l("it has no way out %(way)s; it has %(ways)s"), {"way": repr(way), "ways": ", ".join(ways) or "–"})
        if target not in nodes:
            yield Problem(spot.name, _l("its way out %(way)s leads to %(node)s, which is not there"), {"way": repr(way), "node": repr(target)})


def _reachable(graph: Graph, begin: Iterable[str] = ()) -> set[str]:
    seen: set[str] = set()
    ahead = [*begin] or [graph.entry]
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
