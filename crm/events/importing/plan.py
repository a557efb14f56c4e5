"""A mapping made ready to run: names become places, expressions become functions. What is wrong is said before a line is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crm.core.errors import InvalidError
from crm.core.json import dumps
from crm.events.importing import values
from crm.events.importing.columns import Convert, converter
from crm.events.importing.mapping import IDENTITIES, Mapping, Rule
from crm.events.importing.values import Index, Row, Test, Value

LINE, ROW = "@line", "@row"  # the line's number, the digest of its cells: columns every file has


@dataclass(frozen=True, slots=True)
class RulePlan:
    """One rule: when it takes a line, and what it makes of one line or of a group."""

    type: str
    event: str | None
    named_by: int | None
    test: Test
    also: bool
    group: tuple[int, ...]
    time: int | None
    time_name: str
    id: Value | None
    identities: Sequence[tuple[str, Value]]
    properties: Value
    traits: Value
    context: Value

    @property
    def name(self) -> str:
        """What it is counted under."""
        return self.event or self.type


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole mapping, ready."""

    mapping: Mapping
    names: Sequence[str]
    converters: Sequence[Convert]
    left_out: Sequence[tuple[str, Test]]
    shared: Sequence[tuple[str, Value]]  # identities of every rule; empty where a rule has its own
    rules: Sequence[RulePlan]
    digests_rows: bool
    noting: Sequence[int]  # places of columns whose bad values are left out and counted


def compile_plan(mapping: Mapping) -> Plan:
    """Compile; an InvalidError names the place in the mapping."""
    index = {name: place for place, name in enumerate([*mapping.columns, LINE, ROW])}
    alike = all(not rule.identities for rule in mapping.events)
    return Plan(
        mapping=mapping,
        names=list(mapping.columns),
        converters=[converter(name, column, mapping.empty) for name, column in mapping.columns.items()],
        left_out=[(one.reason, values.tests(one.when, index, f"leave_out.{number}")) for number, one in enumerate(mapping.leave_out, 1)],
        shared=_identities(mapping.identities, index, "identities") if alike else (),
        rules=[_rule(rule, mapping, index, f"events.{number}") for number, rule in enumerate(mapping.events, 1)],
        noting=[place for place, column in enumerate(mapping.columns.values()) if column.bad == "note"],
        digests_rows=f"{{{ROW}}}" in dumps(mapping.model_dump(mode="json")),
    )


def _rule(rule: Rule, mapping: Mapping, index: Index, where: str) -> RulePlan:
    time = rule.time or mapping.time or ""
    place = values.column(time, index, f"{where}.time") if time else None
    if time in mapping.columns and mapping.columns[time].type != "time":
        raise InvalidError(f"In the mapping, at columns.{time}: it says when {rule.event or rule.type} happened, so its type must be time.")
    return RulePlan(
        type=rule.type,
        event=rule.event,
        named_by=values.column(rule.named_by, index, f"{where}.named_by") if rule.named_by else None,
        test=values.tests(rule.when, index, where),
        also=rule.also,
        group=tuple(values.column(name, index, f"{where}.group_by") for name in rule.group_by),
        time=place,
        time_name=time,
        id=values.value(rule.id, index, f"{where}.id") if rule.id else None,
        identities=_identities(rule.identities or mapping.identities, index, f"{where}.identities"),
        properties=values.record(rule.properties, index, f"{where}.properties"),
        traits=values.record(rule.traits, index, f"{where}.traits"),
        context=values.record(rule.context, index, f"{where}.context"),
    )


def _identities(spec: dict[str, Any], index: Index, where: str) -> Sequence[tuple[str, Value]]:
    for kind in spec:
        if kind not in IDENTITIES and not (kind.startswith("external:") and len(kind) > len("external:")):
            raise InvalidError(f"In the mapping, at {where}.{kind}: an identity is {', '.join(IDENTITIES)} or external:NAME.")
    return [(kind, values.value(one, index, f"{where}.{kind}")) for kind, one in spec.items()]


def convert(plan: Plan, cells: Sequence[Any]) -> Row:
    """A line's cells as values; ValueError names the column."""
    try:
        return [one(cell) for one, cell in zip(plan.converters, cells, strict=True)]
    except ValueError:
        for name, one, cell in zip(plan.names, plan.converters, cells, strict=True):
            try:
                one(cell)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        raise
