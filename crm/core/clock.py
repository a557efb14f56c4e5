"""Time: aware UTC moments, and durations that a demo may shorten."""

from __future__ import annotations

import datetime as dt
import re

from crm.core.errors import SaidError
from crm.core.i18n import _l

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def now() -> dt.datetime:
    """The present, aware, UTC. Read by processes only; functions get it as an argument."""
    return dt.datetime.now(dt.UTC)


def scaled(duration: dt.timedelta, scale: float) -> dt.timedelta:
    """A duration as `--time-scale` shortens it, for writing a due time."""
    return duration / scale


def parse_duration(text: str) -> dt.timedelta:
    """`90s`, `5m`, `1h`, `3d`, `2w`; anything else is a ValueError."""
    match = re.fullmatch(r"(\d+)\s*([smhdw])", text.strip())
    if not match:
        raise SaidError(_l("%(text)s is not a duration; write for example 30m, 1h or 2d"), text=repr(text))
    return dt.timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def parse_time(value: object) -> dt.datetime | None:
    """An ISO 8601 text as an aware UTC moment; None where it is none. A time without zone is UTC."""
    if not isinstance(value, str):
        return None
    try:
        parsed = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    try:
        if parsed.tzinfo is dt.UTC:
            return parsed
        return parsed.replace(tzinfo=dt.UTC) if parsed.tzinfo is None else parsed.astimezone(dt.UTC)
    except OverflowError:
        return None
