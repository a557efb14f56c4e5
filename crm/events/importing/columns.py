"""Cells into values: text, whole numbers, money, truth, moments."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Collection
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crm.core.errors import InvalidError
from crm.events.importing.mapping import Column

Convert = Callable[[Any], Any]
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def converter(name: str, column: Column, empty: Collection[str]) -> Convert:
    """A function from a cell (text, or a JSON or Parquet value) to its value; None for an empty one, ValueError for a bad one."""
    inner = _moment(name, column) if column.type == "time" else _PLAIN[column.type]
    blank = frozenset(empty)

    def convert(cell: Any) -> Any:
        if cell is None or cell != cell or (isinstance(cell, str) and (cell in blank or cell.strip() in blank)):  # noqa: PLR0124  NaN
            return None
        return inner(cell)

    return convert


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _whole(cell: Any) -> int:
    if isinstance(cell, float) and not cell.is_integer():
        raise ValueError(f"{cell} is not a whole number")
    try:
        return int(cell)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{cell!r} is not a whole number") from None


def _money(cell: Any) -> Decimal:
    try:
        amount = Decimal(str(cell).strip())
    except InvalidOperation:
        raise ValueError(f"{cell!r} is not an amount") from None
    if not amount.is_finite():
        raise ValueError(f"{cell!r} is not an amount")
    return amount


def _truth(cell: Any) -> bool:
    if isinstance(cell, bool):
        return cell
    known = _TRUTH.get(str(cell).strip().lower())
    if known is None:
        raise ValueError(f"{cell!r} is neither true nor false")
    return known


_PLAIN: dict[str, Convert] = {"text": _text, "int": _whole, "money": _money, "bool": _truth}


def _moment(name: str, column: Column) -> Convert:
    try:
        zone = ZoneInfo(column.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidError(f"In the mapping, at columns.{name}.zone: there is no time zone {column.zone!r}; write one like Asia/Jerusalem.") from None
    if column.format in {"unix", "unix_ms"}:
        divisor = 1000 if column.format == "unix_ms" else 1
        return lambda cell: _epoch(cell, divisor)
    return functools.lru_cache(maxsize=4096)(lambda cell: _written(cell, column.format, zone))


def _epoch(cell: Any, divisor: int) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(float(cell) / divisor, dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise ValueError(f"{cell!r} is not a time in seconds") from None


def _written(cell: Any, form: str, zone: ZoneInfo) -> dt.datetime:
    try:
        moment = cell if isinstance(cell, dt.datetime) else _read(str(cell).strip(), form)
    except ValueError:
        raise ValueError(f"{cell!r} is not a time written as {form}") from None
    try:
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError(f"{cell!r} is out of the calendar") from None


def _read(text: str, form: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text) if form == "iso" else dt.datetime.strptime(text, form)  # noqa: DTZ007  the zone is the column's
