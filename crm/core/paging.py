"""Pages by keyset: a position is a time and a tie breaker, written as one URL-safe word."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from dataclasses import dataclass
from typing import Generic, TypeVar

from crm.core.ids import read_id

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
T = TypeVar("T")
_EPOCH, _MICRO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and where the next ones begin (None on the last page)."""

    rows: list[T]
    next: str | None


def cursor(at: dt.datetime, identifier: object) -> str:
    """The position of a row."""
    return f"{(at - _EPOCH) // _MICRO}.{identifier}"


def read_cursor(value: str | None) -> tuple[dt.datetime, str] | None:
    """What `cursor` wrote; None where it is empty or not one of ours."""
    moment, _, identifier = (value or "").partition(".")
    if not re.fullmatch(r"-?[0-9]{1,16}", moment, re.ASCII) or not identifier:
        return None
    try:
        return _EPOCH + int(moment) * _MICRO, identifier
    except OverflowError:
        return None


def read_place(value: str | None) -> tuple[dt.datetime, uuid.UUID] | None:
    """What `cursor` wrote of a row known by an id like ours; None where it is empty or not one of those."""
    place = read_cursor(value)
    one = read_id(place[1]) if place else None
    return (place[0], one) if place and one else None
