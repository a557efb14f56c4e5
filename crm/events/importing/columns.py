"""Cells into values: text, numbers, money, truth, addresses, days, moments."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Collection
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crm.core.errors import InvalidError
from crm.events.address import MAX_LENGTH, normalise_email, normalise_phone
from crm.events.importing.mapping import Column

Convert = Callable[[Any], Any]
LONGEST_WORDS = 2000
_YES = ("true", "yes", "1", "y", "on", "v", "✓", "כן", "נכון", "מאשר", "מאשרת", "אישר", "אישרה", "subscribed", "opt-in", "granted")
_NO = ("false", "no", "0", "n", "off", "✗", "לא", "לא נכון", "לא מאשר", "לא מאשרת", "הוסר", "unsubscribed", "opt-out", "refused")
_TRUTH = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}
_DAY = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_CONTROL = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0x200E, 0x200F, 0xFEFF])  # what spreadsheets leave between letters


class Bad(str):
    """Why a cell's value is none: what a column with `bad: note` holds instead."""

    __slots__ = ()


def converter(name: str, column: Column, empty: Collection[str]) -> Convert:
    """A function from a cell (text, or a JSON or Parquet value) to its value; None for an empty one, ValueError for a bad one."""
    inner = _moment(name, column) if column.type == "time" else _day(column) if column.type == "date" else _PLAIN[column.type]
    blank = frozenset(empty)
    if column.bad == "note":
        return _noting(inner, blank)

    def convert(cell: Any) -> Any:
        if cell is None or cell != cell or (isinstance(cell, str) and (cell in blank or cell.strip() in blank)):  # noqa: PLR0124  NaN
            return None
        return inner(cell)

    return convert


def _noting(inner: Convert, blank: Collection[str]) -> Convert:
    def convert(cell: Any) -> Any:
        if cell is None or (isinstance(cell, str) and cell.translate(_CONTROL).strip() in blank):
            return None
        try:
            return inner(cell)
        except ValueError as error:
            return Bad(error)

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


def _words(cell: Any) -> str:
    """Text of a person's file: without control characters, never a formula."""
    text = _text(cell).translate(_CONTROL).strip()
    if text.startswith("="):
        raise ValueError(f"{text[:60]!r} is a formula")
    if len(text) > LONGEST_WORDS:
        raise ValueError(f"{text[:60]!r} goes on for more than {LONGEST_WORDS} characters")
    return text


def _number(cell: Any) -> int | float:
    """`1,234.50`, `₪ 99` and `12%` are numbers; what JSON cannot carry exactly enough is none."""
    plain = re.sub(r"[\s,₪$€£%]", "", str(cell))
    try:
        found = Decimal(plain)
    except InvalidOperation:
        raise ValueError(f"{str(cell)[:60]!r} is not a number") from None
    if not found.is_finite() or abs(found) >= 10**15:
        raise ValueError(f"{str(cell)[:60]!r} is not a number")
    return int(found) if found == found.to_integral_value() else float(found)


def _price(cell: Any) -> Decimal:
    return _money(re.sub(r"[\s,₪$€£]", "", str(cell)))


def _email(cell: Any) -> str:
    text = _words(cell).removeprefix("mailto:").strip("<>;, ")
    found = normalise_email(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        raise ValueError(f"{text[:60]!r} is not an e-mail address")
    return found


def _phone(cell: Any) -> str:
    text = _text(cell).translate(_CONTROL).strip().lstrip("'=\"").rstrip('"')
    found = normalise_phone(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        raise ValueError(f"{text[:60]!r} is not a phone number")
    return found


def _day(column: Column) -> Convert:
    def convert(cell: Any) -> str:
        try:
            moment = cell if isinstance(cell, dt.date) else _read(str(cell).translate(_CONTROL).strip(), column.format)
        except ValueError:
            raise ValueError(f"{str(cell)[:60]!r} is not a date") from None
        return moment.isoformat()[:10]

    return convert


_PLAIN: dict[str, Convert] = {
    "text": _text, "int": _whole, "money": _money, "bool": _truth, "words": _words, "number": _number, "price": _price, "email": _email, "phone": _phone,
}  # fmt: skip


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
        written = "" if form in {"day_first", "month_first"} else f" written as {form}"
        raise ValueError(f"{str(cell)[:60]!r} is not a time{written}") from None
    try:
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError(f"{cell!r} is out of the calendar") from None


def _read(text: str, form: str) -> dt.datetime:
    if form in {"day_first", "month_first"}:
        return _many_ways(text, day_first=form == "day_first")
    return dt.datetime.fromisoformat(text) if form == "iso" else dt.datetime.strptime(text, form)  # noqa: DTZ007  the zone is the column's


def _many_ways(text: str, *, day_first: bool) -> dt.datetime:
    """`7.3.1985`, `07/03/85`, `1985-03-07`, with or without a time; which of day and month comes first is the column's."""
    found = _DAY.fullmatch(text)
    if found is None:
        return dt.datetime.fromisoformat(text)
    first, middle, last = int(found[1]), int(found[3]), int(found[4])
    if len(found[1]) == 4:
        year, month, day = first, middle, last
    elif len(found[4]) not in {2, 4}:
        raise ValueError(text)
    else:
        day, month = (first, middle) if day_first else (middle, first)
        year = last if len(found[4]) == 4 else _century(last)
    return dt.datetime(year, month, day, int(found[5] or 0), int(found[6] or 0), int(found[7] or 0))  # noqa: DTZ001  the zone is the column's


def _century(short: int) -> int:
    """Two digits of a year: up to thirty ahead of 2000, the rest before."""
    return 2000 + short if short <= 30 else 1900 + short
