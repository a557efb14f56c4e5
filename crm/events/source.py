"""What a source makes of a request: rows for the inbox, and calls held back with their reason."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.json import dumps, loads
from crm.events.spec import OWN

DETAILS = {  # code -> what exactly is wrong with a call that is held
    "bytes": _l("The event has %(size)s bytes; the limit is %(limit)s."),
    "name_length": _l("The name of the event has %(size)s characters, %(limit)s at most; put what varies into `properties`."),
    "unreadable": _l("The event is not understood: %(why)s"),
    "wrong_type": _l("The event is not understood: `%(where)s` is of type %(got)s, expected is %(wanted)s."),
    "no_object": _l("The event is not understood: it is of type %(got)s and must be a JSON object."),
    "no_type": _l("`type` is missing; it says which kind of call this is, such as track."),
    "malformed": _l("The event is not understood: from byte %(byte)s on it is no valid JSON."),
    "truncated": _l("The event is not understood: its JSON ends too early."),
    "deep": _l("The event is nested too deeply."),
    "range": _l("`%(where)s` is a number too large to be read."),
    "wide": _l("The event holds a number beyond the 64-bit range; send it as text."),
    "not_text": _l("A text in the event is no valid UTF-8."),
    "type": _l("`type` is “%(type)s”; it must be one of %(types)s."),
    "nobody": _l("The call says nobody: `userId` or `anonymousId` is missing."),
    "unusable": _l("None of userId, anonymousId, e-mail or phone is usable."),
    "reserved": _l("Only Kesher itself says “%(event)s”; send it under another name."),
    "missing": _l("`%(field)s` is missing; calls of type %(type)s need it."),
    "unstorable": _l("The call cannot be stored: %(why)s."),
    "ninety_days": _l("It happened %(at)s, over 90 days before it came; import it as history."),
    "no_sum": _l("`%(field)s` of “%(event)s” is “%(value)s”; it must be a number, such as 99.90."),
    "no_count": _l("`%(field)s` of “%(event)s” is “%(value)s”; it must be a whole number, such as 5."),
    "no_currency": _l("`%(field)s` of “%(event)s” is “%(value)s”; it must be three letters, such as ILS."),
    "before_1990": _l("It happened %(at)s, before 1990."),
}

_COMPLAINTS = tuple(  # of the libraries that read and write JSON, as they word them; the first that fits counts
    (re.compile(said), code)
    for said, code in (
        (r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)` - at `(?P<where>[^`]+)`", "wrong_type"),
        (r"Expected `object`, got `(?P<got>[^`]+)`", "no_object"),
        (r"Object missing required field `type`", "no_type"),
        (r"JSON is malformed: .*\(byte (?P<byte>\d+)\)", "malformed"),
        (r"Input data was truncated", "truncated"),
        (r"it is nested too deeply|Recursion limit reached", "deep"),
        (r"Number out of range - at `(?P<where>[^`]+)`", "range"),
        (r"Integer exceeds 64-bit range", "wide"),
        (r"str is not valid UTF-8: .*", "not_text"),
    )
)


class HeldError(InvalidError):
    """A call that cannot be taken: alone it is refused with this text, in a batch it goes to quarantine under `reason`; `code` is one of `DETAILS`."""

    def __init__(self, reason: str, code: str, **slots: object) -> None:
        super().__init__(DETAILS[code] % slots)
        self.reason = reason
        self.detail = dumps({"code": code, "slots": {name: str(value) for name, value in slots.items()}})


def foreign(name: str) -> None:
    """Nobody else's event bears a name under which Kesher speaks; HeldError says so."""
    if name in OWN:
        raise HeldError("reserved_name", "reserved", event=name)


def misunderstood(said: str, otherwise: str = "unreadable") -> HeldError:
    """What a library complains of, in our words where we have them; else under `otherwise`, with its own."""
    for complaint, code in _COMPLAINTS:
        if found := complaint.fullmatch(said):
            return HeldError("bad_json", code, **found.groupdict())
    return HeldError("bad_json", otherwise, why=said)


def detail_of(stored: str) -> tuple[str, dict[str, Any]]:
    """The sentence of a stored detail and what fills its slots; one that is plain text (older ones, and errors of ours) has none."""
    try:
        said = loads(stored) if stored.startswith('{"code":') else {}
    except ValueError:
        said = {}
    if isinstance(said.get("slots"), dict) and said.get("code") in DETAILS:
        return DETAILS[said["code"]], said["slots"]
    return "%(said)s", {"said": stored}


@dataclass(frozen=True, slots=True)
class Row:
    """One call ready for the inbox: its lane, the sender's clock, its JSON text in UTF-8 (with a messageId)."""

    lane: int
    sent_at: dt.datetime | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """One call of a batch that goes to quarantine instead; `detail` as `detail_of` reads it."""

    reason: str
    detail: str
    sent_at: dt.datetime | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one request holds, in the order it came."""

    rows: Sequence[Row]
    held: Sequence[Held] = ()
