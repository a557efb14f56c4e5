"""Pieces of a sentence that keep their own direction: names, numbers, amounts, ids."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from babel.dates import format_timedelta
from babel.numbers import format_currency, format_decimal
from babel.units import format_unit
from flask_babel import gettext
from markupsafe import Markup

from crm.core.i18n import _l
from crm.segments.values import write_duration
from crm.web.db import settings
from crm.web.i18n import is_rtl, region
from crm.web.rights import VEIL, hidden

LARGEST = 10**15
UNITS = {"d": "duration-day", "h": "duration-hour", "m": "duration-minute", "s": "duration-second"}
# CLDR's Hebrew puts the figure before the noun, as nobody does
ONE = {"1w": _l("1 week"), "1d": _l("1 day"), "1h": _l("1 hour"), "1m": _l("1 minute"), "1s": _l("1 second")}


def bdi(text: object) -> Markup:
    """A name or quoted text, whatever its direction."""
    return Markup("<bdi>{}</bdi>").format(text)


def ltr(text: object, cls: str = "") -> Markup:
    """An id, phone, address or time: always left to right."""
    return Markup('<bdi dir="ltr" class="{}">{}</bdi>').format(cls, text) if cls else Markup('<bdi dir="ltr">{}</bdi>').format(text)


def num(value: float | Decimal) -> Markup:
    """A number as this language writes it; one too large for anything but an id as it came."""
    return bdi(format_decimal(value, locale=region())) if -LARGEST < value < LARGEST else ltr(value)


def duration(value: dt.timedelta) -> str:
    """`5 minutes`: exactly as it was set."""
    amount = write_duration(value)
    if amount in ONE:
        return str(gettext(ONE[amount]))
    if amount[-1] == "w":  # CLDR's units have no weeks in Hebrew, its time spans have
        return str(format_timedelta(value, granularity="week", threshold=10**9, locale=region()))
    return str(format_unit(int(amount[:-1]), UNITS[amount[-1]], locale=region()))


def money(value: Decimal | float | str, currency: str | None = None, *, cents: bool = True) -> Markup:
    """An amount with its currency; without cents for sums that are only looked at."""
    if "revenue" in hidden():
        return bdi(VEIL)
    amount = Decimal(str(value))
    digits = {} if cents else {"currency_digits": False, "format": "\u200f#,##0\u00a0\u200f¤" if is_rtl() else "¤#,##0"}
    return bdi(format_currency(amount, currency or settings().currency, locale=region(), **digits))  # type: ignore[arg-type]  # the types of the two words differ


def sentence(message: str, **slots: object) -> Markup:
    """A translated sentence whose slots may be pieces of this module; everything else in them is escaped."""
    said = Markup(gettext(message))  # noqa: S704  our own words
    return said % slots if slots else said
