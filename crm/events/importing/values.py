"""The few expressions a mapping may use, compiled to functions of a group's lines.

A value is a constant, a text with columns in braces (`"{Country}"` alone keeps the column's type), `{product: [a, b]}`,
`{sum: a}` over the group's lines, `{lines: {key: a, …}}` (a list with one object per line), or an object of values.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from crm.core.errors import InvalidError
from crm.events.importing.mapping import Condition

Row = Sequence[Any]
Value = Callable[[Sequence[Row]], Any]
Test = Callable[[Row], bool]
Index = Mapping[str, int]


class EmptyValueError(ValueError):
    """A column a calculation needs is empty."""


def value(spec: Any, index: Index, where: str) -> Value:
    """Compile one value; `where` is named when it cannot be."""
    if isinstance(spec, str):
        return _text(spec, index, where)
    if isinstance(spec, Mapping):
        operator = next(iter(spec)) if len(spec) == 1 else None
        return _OPERATORS[operator](spec[operator], index, where) if operator in _OPERATORS else record(spec, index, where)
    if isinstance(spec, Sequence):
        parts = [value(part, index, where) for part in spec]
        return lambda rows: [part(rows) for part in parts]
    return lambda rows: spec


def record(spec: Any, index: Index, where: str) -> Value:
    """Compile an object; keys whose value is empty are left out of it."""
    if not isinstance(spec, Mapping):
        raise InvalidError(f"In the mapping, at {where}: write keys and values here.")
    fields = [(str(key), value(part, index, f"{where}.{key}")) for key, part in spec.items()]

    def build(rows: Sequence[Row]) -> dict[str, Any]:
        return {key: found for key, part in fields if (found := part(rows)) is not None}

    return build


def column(name: str, index: Index, where: str) -> int:
    """Where a column stands in a row."""
    if name not in index:
        raise InvalidError(f"In the mapping, at {where}: there is no column {name!r}; the columns are {', '.join(index)}.")
    return index[name]


def _text(spec: str, index: Index, where: str) -> Value:
    try:
        parts = list(string.Formatter().parse(spec))
    except ValueError as error:
        raise InvalidError(f"In the mapping, at {where}: {error} (a brace itself is written twice).") from error
    if any(form or conversion for _, _, form, conversion in parts):
        raise InvalidError(f"In the mapping, at {where}: inside braces stands a column's name and nothing else.")
    names = [name for _, name, _, _ in parts if name is not None]
    places = [column(name, index, where) for name in names]
    if not names:
        constant = "".join(literal for literal, *_ in parts)
        return lambda rows: constant
    if spec == f"{{{names[0]}}}":
        place = places[0]
        return lambda rows: rows[0][place]
    literals = [literal for literal, *_ in parts]

    def join(rows: Sequence[Row]) -> str:
        said = ["" if (cell := rows[0][place]) is None else str(cell) for place in places]
        return "".join(literal + (said[n] if n < len(said) else "") for n, literal in enumerate(literals))

    return join


def _product(spec: Any, index: Index, where: str) -> Value:
    if not isinstance(spec, list) or not spec:
        raise InvalidError(f"In the mapping, at {where}: `product` takes a list of values.")
    factors = [value(part, index, where) for part in spec]

    def multiply(rows: Sequence[Row]) -> Any:
        result: Any = 1
        for factor in factors:
            result = result * number(factor(rows), where)
        return result

    return multiply


def _sum(spec: Any, index: Index, where: str) -> Value:
    inner = value(spec, index, where)
    return lambda rows: sum(number(inner((row,)), where) for row in rows)


def _lines(spec: Any, index: Index, where: str) -> Value:
    inner = record(spec, index, where)
    return lambda rows: [inner((row,)) for row in rows]


_OPERATORS: dict[Any, Callable[[Any, Index, str], Value]] = {"product": _product, "sum": _sum, "lines": _lines}


def number(found: Any, where: str) -> Any:
    """What is calculated with: int or Decimal, never float."""
    if isinstance(found, bool) or not isinstance(found, int | Decimal | float):
        raise EmptyValueError(f"{where.rpartition('.')[2]} cannot be calculated: {'a column is empty' if found is None else f'{found!r} is no number'}")
    return Decimal(str(found)) if isinstance(found, float) else found


def tests(conditions: Sequence[Condition], index: Index, where: str) -> Test:
    """All of the conditions."""
    compiled = [_test(condition, index, f"{where}.when") for condition in conditions]
    return lambda row: all(test(row) for test in compiled)


def _test(condition: Condition, index: Index, where: str) -> Test:
    place = column(condition.column, index, where)
    name, wanted = condition.operator
    if name in _ORDERED:
        ordered, limit = _ORDERED[name], Decimal(str(wanted))
        return lambda row: row[place] is not None and ordered(number(row[place], where), limit)
    compare = _COMPARE[name]
    return lambda row: compare(row[place], wanted)


_ORDERED: dict[str, Callable[[Any, Decimal], bool]] = {
    "above": lambda cell, limit: cell > limit,
    "below": lambda cell, limit: cell < limit,
    "at_least": lambda cell, limit: cell >= limit,
    "at_most": lambda cell, limit: cell <= limit,
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda cell, wanted: cell == wanted,
    "is_not": lambda cell, wanted: cell != wanted,
    "in": lambda cell, wanted: cell in wanted,
    "starts_with": lambda cell, wanted: isinstance(cell, str) and cell.startswith(wanted),
    "not_starts_with": lambda cell, wanted: not (isinstance(cell, str) and cell.startswith(wanted)),
    "present": lambda cell, wanted: (cell is not None) == wanted,
}
