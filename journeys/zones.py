"""Whose clock: the time zone of a profile, and local moments. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import get_global


def zone_of(traits: Mapping[str, Any], otherwise: str) -> str:
    """The trait `timezone`, else the zone of a country that has only one, else the installation's."""
    said = traits.get("timezone")
    if isinstance(said, str) and _known(said):
        return said
    address = traits.get("address")
    country = traits.get("country") or (address.get("country") if isinstance(address, Mapping) else None)
    zones = get_global("territory_zones").get(country.upper(), []) if isinstance(country, str) and len(country) == 2 else []
    return str(zones[0]) if len(zones) == 1 else otherwise


def _known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def local(day: dt.date, clock: dt.time, zone: str) -> dt.datetime:
    """That moment in UTC; an hour the clocks skip is the one after it, one they repeat is its first."""
    moment = dt.datetime.combine(day, clock, ZoneInfo(zone))
    return moment.astimezone(dt.UTC)


def next_at(after: dt.datetime, clock: dt.time, weekdays: Collection[int], zone: str) -> dt.datetime:
    """The first moment not before `after` at which it is `clock` on one of `weekdays` (Monday is 0) in that zone."""
    day = after.astimezone(ZoneInfo(zone)).date()
    for ahead in range(9):
        moment = local(day + dt.timedelta(days=ahead), clock, zone)
        if moment >= after and (day + dt.timedelta(days=ahead)).weekday() in weekdays:
            return moment
    raise ValueError("no weekday was chosen")


def day_in(value: object) -> dt.date | None:
    """The date a trait tells: `1985-03-14`, or a time whose first ten characters are one."""
    if not isinstance(value, str):
        return None
    try:
        return dt.date.fromisoformat(value[:10])
    except ValueError:
        return None
