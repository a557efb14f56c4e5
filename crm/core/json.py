"""JSON the way the product writes it: orjson, Decimal as text, text (not bytes) for PostgreSQL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson

ROOM, DEEPEST = 54, 200  # levels of JSON that ours take, and what is left for others
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # the escape, not an escaped backslash before "u0000"


def _other(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def dumps(value: Any) -> str:
    """JSON text PostgreSQL accepts: the NUL character, which jsonb refuses, is dropped."""
    return without_nul(orjson.dumps(value, default=_other, option=orjson.OPT_NON_STR_KEYS)).decode()


def without_nul(body: bytes) -> bytes:
    """This JSON without the character PostgreSQL's text cannot hold."""
    return _NUL.sub(rb"\1", body) if b"\\u0000" in body else body


def keepable(value: Any) -> None:
    """TypeError where this cannot be kept among other things: JSON is written to 254 levels, of which rows, runs, messages and calls take some."""
    text = orjson.dumps(value)
    if text.count(b"{") + text.count(b"[") > DEEPEST:
        for _ in range(ROOM):
            value = [value]
        orjson.dumps(value)


def moment(at: dt.datetime) -> str:
    """A moment in UTC as ISO 8601 text, in half of what `isoformat` takes."""
    return orjson.dumps(at)[1:-1].decode()


def array(values: Sequence[Any]) -> str:
    """These values as text for `CAST(:x AS …[])`: a tenth of what the driver takes to write a list. JSON and array text differ in escapes only."""
    text = orjson.dumps(list(values), default=_other).decode()
    return "{%s}" % (",".join(map(_element, values)) if "\\" in text else text[1:-1])


def _element(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return orjson.dumps(value, default=_other).decode()


def copied(text: str) -> str:
    """A text as a field of COPY's text format."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def copied_json(text: str) -> str:
    """The same for JSON as we write it, which holds no tab and no end of line."""
    return text.replace("\\", "\\\\")


NULL = "\\N"  # as a field of the same
loads = orjson.loads
