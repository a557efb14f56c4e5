"""The words of the import pages: states, meanings of columns, reasons."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from crm.core.i18n import _l
from crm.events.importing.models import Upload
from crm.events.importing.outcomes import BAD_CALL, BAD_VALUE, DUPLICATE, FUTURE, LATE, NO_EVENT, NO_IDENTITY, OUTSIDE, UNREADABLE
from crm.events.importing.rejects import LEFT_OUT, harmless
from crm.events.source import DETAILS as HELD
from crm.web.isolates import bdi, ltr, num
from crm.web.show import local
from crm.web.words import IDENTITIES

OWN_SOURCE = "Imports"
CHANGEABLE = frozenset({"new", "ready", "checked", "failed", "undone"})
ACTS = {"check": "checking", "run": "running", "cancel": "cancelled", "undo": "undoing", "stop": "ready", "discard": ""}
AUDITED = {"run": "import.started", "cancel": "import.cancelled", "undo": "import.undone", "discard": "import.discarded"}
STATES = {  # status -> (words, tone, icon)
    "new": (_l("Columns to choose"), "line", ""),
    "ready": (_l("Ready to check"), "line", ""),
    "checking": (_l("Dry run going on"), "acc", "clock"),
    "checked": (_l("Checked"), "acc", ""),
    "running": (_l("Importing"), "acc", "clock"),
    "folding": (_l("Being worked into profiles"), "acc", "clock"),
    "done": (_l("Imported"), "ok", "check"),
    "cancelled": (_l("Cancelled"), "warn", "ban"),
    "failed": (_l("Failed"), "bad", "alert-circle"),
    "undoing": (_l("Being undone"), "acc", "clock"),
    "undone": (_l("Undone"), "", "arrow-back-up"),
}
KINDS = {"people": _l("People"), "leads": _l("Leads"), "orders": _l("Orders"), "events": _l("Events")}
KIND_MEANS = {
    "people": _l("Each line is a person with their details."),
    "leads": _l("Each line is somebody who may buy, with what is known of them."),
    "orders": _l("Each line is an order, or one product of an order."),
    "events": _l("Each line is something a person did."),
}
ROLES = {
    "skip": _l("Leave out"),
    "name": _l("Full name"),
    "first_name": _l("First name"),
    "last_name": _l("Last name"),
    "email": _l("E-mail"),
    "phone": _l("Phone"),
    "city": _l("City"),
    "birthday": _l("Birthday"),
    "user_id": _l("User id"),
    "external_id": _l("Id in another system"),
    "time": _l("When"),
    "consent": _l("Consent to messages"),
    "trait": _l("Another detail"),
    "property": _l("Another property"),
    "order_id": _l("Order number"),
    "revenue": _l("Sum of the order"),
    "currency": _l("Currency"),
    "product_id": _l("Product code"),
    "product_name": _l("Product name"),
    "price": _l("Price of one"),
    "quantity": _l("Quantity"),
    "event": _l("Name of the event"),
    "source": _l("Source of the lead"),
    "campaign": _l("Campaign"),
    "cost": _l("Cost of the lead"),
}
FILLED = {  # who fills in a lead's column, and when
    "lead:entry": _l("the lead, on entering"),
    "marketing:entry": _l("marketing, on entering"),
    "marketing:later": _l("marketing, later"),
    "sales:later": _l("sales, while working on it"),
    "sales:outcome": _l("sales, after the outcome"),
    "unknown:unknown": _l("not known"),
}
TYPES = {"words": _l("Text"), "number": _l("Number"), "date": _l("Date"), "bool": _l("Yes or no")}
FORMATS = {"day_first": _l("day, month, year"), "month_first": _l("month, day, year")}
DELIMITERS = {",": _l("Comma"), ";": _l("Semicolon"), "\t": _l("Tab"), "|": _l("Vertical bar")}
REASONS = {
    NO_IDENTITY: _l("Says nobody: no usable e-mail, phone or id"),
    UNREADABLE: _l("Not a line of this table"),
    BAD_VALUE: _l("A value that is needed cannot be read"),
    OUTSIDE: _l("Its time is out of bounds"),
    FUTURE: _l("Its time has not come yet"),
    LATE: _l("Came too long after the other lines of its order"),
    BAD_CALL: _l("Not a call of the tracking API"),
    NO_EVENT: _l("No event is made of such lines"),
    DUPLICATE: _l("The same as an earlier line"),
    LEFT_OUT: _l("Taken without one value"),
}

_COLUMN = re.compile(r"('?)c(\d{1,6}): (.*)", re.DOTALL)
_DETAILS = tuple(  # what exactly is wrong with a line: the sentence, and what finds its slots in one that was written down
    (said, re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(said)), re.DOTALL))
    for said in (
        _l("%(value)s is not a whole number"),
        _l("%(value)s is not an amount"),
        _l("%(value)s is neither true nor false"),
        _l("%(value)s is a formula"),
        _l("%(value)s goes on for more than %(most)s characters"),
        _l("%(value)s is not a number"),
        _l("%(value)s is not an e-mail address"),
        _l("%(value)s is not a phone number"),
        _l("%(value)s is not a date"),
        _l("%(value)s is not a time in seconds"),
        _l("%(value)s is not a time written as %(form)s"),
        _l("%(value)s is not a time"),
        _l("%(value)s is out of the calendar"),
        _l("%(kinds)s missing or unusable"),
        _l("%(value)s had no line for %(many)s lines; raise group_within"),
        _l("%(value)s is empty"),
        _l("the event has no name"),
        _l("%(time)s has not come yet"),
        _l("%(time)s is not between %(earliest)s and %(latest)s"),
        _l("%(time)s is before 1990"),
        _l("%(field)s cannot be calculated: a column is empty"),
        _l("%(field)s cannot be calculated: %(value)s is no number"),
        _l("not written in %(encoding)s"),
        _l("%(found)s columns instead of %(wanted)s"),
        _l("a cell shows the error %(error)s"),
        *HELD.values(),
    )
)


def changeable(row: Upload) -> bool:
    """Whether its columns may still be chosen: nothing of it is in."""
    return row.status in CHANGEABLE and row.import_id is None


def source(name: str) -> Markup | str:
    """The source an import belongs to."""
    return str(_("Imports")) if name == OWN_SOURCE else bdi(name)


def file(name: str) -> Markup:
    """A file's name, its ending kept behind it in both directions; one of Latin letters is one word, which nothing may part."""
    if name.isascii():
        return bdi(name)
    stem, dot, ending = name.rpartition(".")
    return bdi(stem) + ltr(f".{ending}") if stem and dot and len(ending) <= 5 else bdi(name)


def state(status: str) -> tuple[str, str, str]:
    """Words, tone and icon of a state."""
    title, tone, sign = STATES[status]
    return _(title), tone, sign


def word(table: dict[str, str], code: str) -> str:
    """A code of one of the tables in words."""
    return str(_(table[code])) if code in table else code


def reason(code: str) -> str:
    """Why a line was not taken."""
    return word(REASONS, code)


def detail(text: str, names: Mapping[int, str]) -> str:
    """What exactly is wrong with a line, as text; it begins with the name of a column where it is one's. What we have no words for stays as it was written."""
    if column := _COLUMN.fullmatch(text):
        return f"{column[1]}{names.get(int(column[2]), f'c{column[2]}')}: {detail(column[3], names)}"
    for said, form in _DETAILS:
        if found := form.fullmatch(text):
            return str(_(said, **{slot: _slot(slot, value, names) for slot, value in found.groupdict().items()}))
    return text


def _slot(slot: str, value: str, names: Mapping[int, str]) -> str:
    """A column by its name in the file, kinds of identities in words, anything else as it is."""
    if slot == "kinds":
        return ", ".join(str(_(IDENTITIES[kind][0])) if kind in IDENTITIES else kind for kind in value.split(", "))
    return names.get(int(value[1:]), value) if re.fullmatch(r"c\d{1,6}", value) else value


def failure(error: str) -> str:
    """Why an import failed. It may name what stands in the file, so a template must escape it: `_` of a template does not."""
    return str(_(error))


def guarded(text: str) -> str:
    """Text for a spreadsheet, which must not calculate it."""
    return harmless(text)


def value(cell: Any) -> Markup | str:
    """A cell of the preview."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(_("yes") if cell else _("no"))
    if isinstance(cell, dt.datetime):
        return ltr(f"{local(cell):%Y-%m-%d %H:%M}")  # as the file says it: 1 August is not 31 July, 21:00
    if isinstance(cell, int | float | Decimal):
        return num(cell)
    return bdi(str(cell)[:200])
