"""One reading of JSON values in two languages: each function here has an SQL twin that answers the same."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from crm.core.clock import parse_duration
from crm.core.errors import SaidError
from crm.core.i18n import _l

NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,9})?$"
DAY = r"[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|[12][0-9]{3}-(0[13-9]|1[0-2])-(29|30)|[12][0-9]{3}-(0[13578]|1[02])-31|(1[0-9]|2[0-9])(0[48]|[2468][048]|[13579][26])-02-29|(16|20|24|28)00-02-29"  # noqa: E501  reads best as one line
TIME = rf"^({DAY})([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{{1,6}})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?$"
_NUMBER, _TIME = re.compile(NUMBER), re.compile(TIME)
_UNITS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def write_duration(value: dt.timedelta) -> str:
    """`30d`: the largest unit that says it exactly."""
    seconds = int(value.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def _duration(value: object) -> object:
    if value is None or isinstance(value, dt.timedelta):
        return value
    if not isinstance(value, str):
        raise SaidError(_l("write a duration, for example 30d or 12h"))
    try:
        found = parse_duration(value)
    except OverflowError:
        found = dt.timedelta.max
    if not dt.timedelta(0) < found <= dt.timedelta(days=3660):
        raise SaidError(_l("write a duration between 1s and 3660d"))
    return found


Duration = Annotated[
    dt.timedelta, BeforeValidator(_duration), PlainSerializer(write_duration), WithJsonSchema({"type": "string", "pattern": r"^\d+\s*[smhdw]$"})
]


def dig(values: Mapping[str, Any], path: str) -> Any:
    """The value of this name, dots and all, else the one at `a.b.c`; None where there is none."""
    if path in values:
        return values[path]
    found: Any = values
    for part in path.split("."):
        if isinstance(found, list) and re.fullmatch(r"-?[0-9]{1,6}", part):
            found = found[int(part)] if -len(found) <= int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def fold(text: str) -> str:
    """Lower case letter by letter, as PostgreSQL does it: of İ, which Python makes two of, the i."""
    return "".join(letter.lower()[:1] for letter in text)


def number(value: Any) -> Decimal | None:
    """A JSON number, or a text that is plainly one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return Decimal(str(value)) if not isinstance(value, str) or _NUMBER.fullmatch(value) else None


def number_sql(json: str) -> str:
    """The twin of `number` over a jsonb expression."""
    word = f"({json} #>> '{{}}')"
    return f"CASE jsonb_typeof({json}) WHEN 'number' THEN {word}::numeric WHEN 'string' THEN CASE WHEN {word} ~ '{NUMBER}' THEN {word}::numeric END END"


def moment(value: Any) -> dt.datetime | None:
    """A text that is an ISO date or time; without a zone it is UTC."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    found = dt.datetime.fromisoformat(value)
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def moment_sql(json: str) -> str:
    """The twin of `moment`; the session speaks UTC."""
    word = f"({json} #>> '{{}}')"
    return f"CASE WHEN jsonb_typeof({json}) = 'string' AND {word} ~ '{TIME}' THEN {word}::timestamptz END"


def word(value: Any) -> str | None:
    """A text or a truth value as folded text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return fold(value) if isinstance(value, str) else None


def word_sql(json: str) -> str:
    """The twin of `word`."""
    return f"CASE WHEN jsonb_typeof({json}) IN ('string', 'boolean') THEN lower({json} #>> '{{}}') END"


def plain(value: Any) -> str | None:
    """A scalar as text, equal values alike: for counting different ones."""
    if isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    found = number(value)
    return None if found is None else format(found.normalize() + Decimal(0), "f")


def plain_sql(json: str) -> str:
    """The twin of `plain`."""
    return f"CASE jsonb_typeof({json}) WHEN 'number' THEN trim_scale(({json} #>> '{{}}')::numeric)::text WHEN 'string' THEN {json} #>> '{{}}' WHEN 'boolean' THEN {json} #>> '{{}}' END"  # noqa: E501  reads best as one line
