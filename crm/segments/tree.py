"""Rules joined by and, or, not, at any depth. As JSON: `{"all": […]}`, `{"any": […]}`, `{"not": …}`, `{"kind": …, settings}`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import ValidationError

import crm.segments.rules
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.mistakes import mistake
from crm.core.plugins import load
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

DEEPEST, MOST = 20, 200
MOST_PARTS = 1_000  # rules and groups: a few lines of YAML may name one part a million times


@dataclass(frozen=True, slots=True)
class Leaf:
    """One rule with its settings."""

    rule: Rule[Any]
    settings: Settings


@dataclass(frozen=True, slots=True)
class Group:
    """All of these, or any of them; `not` holds exactly one."""

    mode: Literal["all", "any", "not"]
    parts: tuple[Leaf | Group, ...]


Tree = Leaf | Group


@cache
def kinds() -> Mapping[str, Rule[Any]]:
    """The rules there are, by kind."""
    return load(crm.segments.rules, Rule)  # type: ignore[type-var, type-abstract]  # an abstract class is what plug-ins are checked against


def parse(said: object, place: str = "rule") -> Tree:
    """Read a tree; an InvalidError names the place that is wrong."""
    tree = _parse(said, place, 0, itertools.count(1))
    if len(leaves(tree)) > MOST:
        raise InvalidError(
            _l("%(place)s: more than %(most)s rules in one segment; split it into several, one of which names the others."), place=place, most=MOST
        )
    return tree


def write(tree: Tree) -> dict[str, Any]:
    """The tree as JSON that `parse` reads, without what is left at its default."""
    if isinstance(tree, Leaf):
        return {"kind": tree.rule.kind} | tree.settings.model_dump(mode="json", exclude_defaults=True)
    if tree.mode == "not":
        return {"not": write(tree.parts[0])}
    return {tree.mode: [write(part) for part in tree.parts]}


def compile_tree(tree: Tree, query: Query) -> Clause:
    """The tree as one condition over `profiles p`; its due time is the earliest of its parts'."""
    if isinstance(tree, Leaf):
        return tree.rule.sql(tree.settings, query)
    parts = [compile_tree(part, query) for part in tree.parts]
    dues = [part.due for part in parts if part.due]
    due = f"LEAST({', '.join(dues)})" if len(dues) > 1 else (dues[0] if dues else None)
    if tree.mode == "not":
        return Clause(f"(({parts[0].holds}) IS NOT TRUE)", due)
    if not parts:
        return Clause("true" if tree.mode == "all" else "false")
    return Clause("(" + (" AND " if tree.mode == "all" else " OR ").join(f"({part.holds})" for part in parts) + ")", due)


def read(tree: Tree, person: Person, now: dt.datetime) -> bool:
    """Whether one person satisfies it; the same answer as the SQL."""
    return holds(tree, lambda leaf: leaf.rule.read(leaf.settings, person, now))


def holds(tree: Tree, answer: Callable[[Leaf], bool]) -> bool:
    """Whether a tree whose rules answer like this is satisfied."""
    if isinstance(tree, Leaf):
        return answer(tree)
    if tree.mode == "not":
        return not holds(tree.parts[0], answer)
    return (all if tree.mode == "all" else any)(holds(part, answer) for part in tree.parts)


def reads(tree: Tree) -> Reads:
    """What can change its answer. A profile that begins matters where nothing known at all satisfies it."""
    found = Reads()
    for leaf in leaves(tree):
        found |= leaf.rule.reads(leaf.settings)
    nobody = read(tree, Person(), dt.datetime.now(dt.UTC))  # the empty person's answer does not depend on the moment
    drawn = any(leaf.rule.kind in {"bucket", "geography"} for leaf in leaves(tree))  # by chance, or by where the installation is
    return dataclasses.replace(found, birth=nobody or drawn)


def leaves(tree: Tree) -> list[Leaf]:
    """Every rule of the tree, in order."""
    return [tree] if isinstance(tree, Leaf) else [leaf for part in tree.parts for leaf in leaves(part)]


def smallest_change(tree: Tree, answer: Callable[[Leaf], bool], *, wanted: bool = True) -> list[tuple[Leaf, bool]] | None:
    """The fewest rules that would have to change, each with the answer it would need; None where nothing can do it."""
    if holds(tree, answer) == wanted:
        return []
    if isinstance(tree, Leaf):
        return None if tree.rule.kind == "bucket" else [(tree, wanted)]
    if tree.mode == "not":
        return smallest_change(tree.parts[0], answer, wanted=not wanted)
    ways = [smallest_change(part, answer, wanted=wanted) for part in tree.parts]
    if (tree.mode == "all") == wanted:
        return None if any(way is None for way in ways) else [one for way in ways if way for one in way]
    return min((way for way in ways if way is not None), key=len, default=None)


def sentence(leaf: Leaf) -> Sentence:
    """One rule in words."""
    return leaf.rule.sentence(leaf.settings)


def _parse(said: object, place: str, depth: int, parts_so_far: Iterator[int]) -> Tree:
    if depth > DEEPEST:
        raise InvalidError(_l("%(place)s: groups lie more than %(most)s deep; flatten them."), place=place, most=DEEPEST)
    if next(parts_so_far) > MOST_PARTS:
        raise InvalidError(_l("%(place)s: more than %(most)s rules and groups in one segment; split it into several."), place=place, most=MOST_PARTS)
    if not isinstance(said, Mapping):
        example = "{kind: did, event: Order Completed}"
        raise InvalidError(
            _l("%(place)s: expected a rule or a group, got %(said)s; write for example %(example)s."), place=place, said=_short(said), example=example
        )
    for mode in ("all", "any"):
        if mode in said:
            _alone(said, mode, place)
            parts = said[mode]
            if not isinstance(parts, list):
                raise InvalidError(_l("%(place)s: expected a list of rules."), place=f"{place}.{mode}")
            return Group(
                "all" if mode == "all" else "any", tuple(_parse(part, f"{place}.{mode}[{n}]", depth + 1, parts_so_far) for n, part in enumerate(parts))
            )
    if "not" in said:
        _alone(said, "not", place)
        return Group("not", (_parse(said["not"], f"{place}.not", depth + 1, parts_so_far),))
    return _leaf(said, place)


def _alone(said: Mapping[str, Any], mode: str, place: str) -> None:
    if more := sorted(map(str, set(said) - {mode})):
        raise InvalidError(_l("%(place)s: beside %(mode)s there may be nothing else, found %(more)s."), place=place, mode=mode, more=repr(more[0]))


def _leaf(said: Mapping[str, Any], place: str) -> Leaf:
    kind = said.get("kind")
    if not isinstance(kind, str) or kind not in kinds():
        raise InvalidError(
            _l("%(place)s: there is no rule %(kind)s; choose one of %(kinds)s."), place=f"{place}.kind", kind=_short(kind), kinds=", ".join(sorted(kinds()))
        )
    rule = kinds()[kind]
    try:
        return Leaf(rule, rule.settings_type.model_validate({key: value for key, value in said.items() if key != "kind"}))
    except ValidationError as error:
        one = error.errors()[0]
        place = ".".join([place, *map(str, one["loc"])])
        field = str(one["loc"][0]) if one["loc"] else ""
        raise InvalidError(_l("%(place)s: %(what)s."), field=field, place=place, what=mistake(one), title=_title(rule, field)) from error


def _title(rule: Rule[Any], field: str) -> str:
    """What a form calls the field that is wrong; the rule, where it is none of its fields."""
    about = rule.settings_type.model_fields.get(field)
    return about.title if about is not None and about.title else rule.title


def _short(said: object) -> str:
    """A wrong value in a sentence; of a list only that it is one, for it may hold itself many times over."""
    return repr(said)[:80] if said is None or isinstance(said, str | int | float) else f"a {type(said).__name__}"
