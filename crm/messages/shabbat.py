"""Shabbat and the holidays on which no work is done, from candle lighting to nightfall, at one place. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

from pyluach.dates import GregorianDate

from crm.core.i18n import _l
from crm.messages.sun import evening

NIGHTFALL = -8.5  # degrees of the sun at which three small stars are seen: nightfall as most calendars print it
SATURDAY = 5
DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose sunset counts, and whether holidays last one day there, as in Israel, or two."""

    title: str
    latitude: float
    longitude: float
    zone: str
    israel: bool = True


PLACES: Mapping[str, Place] = MappingProxyType(
    {
        "jerusalem": Place(_l("Jerusalem"), 31.778, 35.235, "Asia/Jerusalem"),
        "tel_aviv": Place(_l("Tel Aviv"), 32.085, 34.782, "Asia/Jerusalem"),
        "haifa": Place(_l("Haifa"), 32.794, 34.99, "Asia/Jerusalem"),
        "beer_sheva": Place(_l("Beer Sheva"), 31.252, 34.791, "Asia/Jerusalem"),
        "eilat": Place(_l("Eilat"), 29.557, 34.952, "Asia/Jerusalem"),
        "london": Place(_l("London"), 51.507, -0.128, "Europe/London", israel=False),
        "paris": Place(_l("Paris"), 48.857, 2.352, "Europe/Paris", israel=False),
        "new_york": Place(_l("New York"), 40.713, -74.006, "America/New_York", israel=False),
    }
)


def rest(moment: dt.datetime, place: Place, candles: int) -> tuple[dt.datetime, dt.datetime] | None:
    """The rest this moment lies in: from `candles` minutes before sunset of its eve to nightfall of its last day; None on a working day."""
    today = moment.astimezone(ZoneInfo(place.zone)).date()
    for day in (today - DAY, today, today + DAY):
        if is_rest(day, place.israel):
            begins, ends = _around(day, place, candles)
            if begins <= moment < ends:
                return begins, ends
    return None


@lru_cache(maxsize=4096)
def is_rest(day: dt.date, israel: bool) -> bool:
    """Saturdays, and holidays on which no work is done."""
    return day.weekday() == SATURDAY or GregorianDate.from_pydate(day).to_heb().festival(israel=israel, include_working_days=False) is not None


@lru_cache(maxsize=4096)
def _around(day: dt.date, place: Place, candles: int) -> tuple[dt.datetime, dt.datetime]:
    """A holiday that touches Shabbat is one rest with it."""
    first = last = day
    while is_rest(first - DAY, place.israel):
        first -= DAY
    while is_rest(last + DAY, place.israel):
        last += DAY
    begins = evening(first - DAY, place.latitude, place.longitude) - dt.timedelta(minutes=candles)
    return _minute(begins), _minute(evening(last, place.latitude, place.longitude, NIGHTFALL)) + dt.timedelta(minutes=1)


def _minute(moment: dt.datetime) -> dt.datetime:
    return moment.replace(second=0, microsecond=0)
