"""Whose clock: the time zone of a profile, in Python and as SQL, and local days. Pure."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping
from functools import cache
from typing import Any

from babel.core import get_global

TRAITS = frozenset({"timezone", "country", "address"})  # what the zone of a profile is read from


def zone_of(traits: Mapping[str, Any], otherwise: str) -> str:
    """The trait `timezone`, else the zone of a country that has only one, else the installation's."""
    said = traits.get("timezone")
    if isinstance(said, str) and said in known():
        return said
    code = country_of(traits)
    return single().get(code.upper(), otherwise) if code and re.fullmatch("[A-Za-z]{2}", code) else otherwise


def country_of(traits: Mapping[str, Any]) -> str | None:
    """What the profile says its country is: the trait, else that of its address."""
    return placed(traits, "country")


def placed(traits: Mapping[str, Any], name: str) -> str | None:
    """A text among the traits, else in the address; None where neither has one."""
    address = traits.get("address")
    found = (traits.get(name), address.get(name) if isinstance(address, Mapping) else None)
    return next((one for one in found if isinstance(one, str) and one), None)


def placed_sql(column: str, name: str) -> str:
    """The twin of `placed` over a jsonb column of traits; `name` is a word of ours."""
    texts = (f"{column}->'{name}'", f"{column}#>'{{address,{name}}}'")
    said = ", ".join(f"CASE WHEN jsonb_typeof({one}) = 'string' THEN nullif({one} #>> '{{}}', '') END" for one in texts)
    return f"coalesce({said})"


@cache
def known() -> frozenset[str]:
    """The names of zones."""
    return frozenset(zoneinfo.available_timezones())


@cache
def single() -> Mapping[str, str]:
    """Country -> its zone, for the countries that have only one."""
    return {str(code): str(zones[0]) for code, zones in get_global("territory_zones").items() if len(zones) == 1 and zones[0] in known()}


def local_day(now: dt.datetime, zone: str) -> dt.date:
    """Which day it is there."""
    return now.astimezone(zoneinfo.ZoneInfo(zone)).date()


def midnight(day: dt.date, zone: str) -> dt.datetime:
    """When that day begins there, in UTC; where the clocks skip midnight, the moment they do."""
    return dt.datetime.combine(day, dt.time(), zoneinfo.ZoneInfo(zone)).astimezone(dt.UTC)


def local(day: dt.date, clock: dt.time, zone: str) -> dt.datetime:
    """That moment in UTC; an hour the clocks skip is the one after it, one they repeat is its first."""
    return dt.datetime.combine(day, clock, zoneinfo.ZoneInfo(zone)).astimezone(dt.UTC)
