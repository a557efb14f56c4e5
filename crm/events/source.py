"""What a source makes of a request: rows for the inbox, and calls held back with their reason."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from crm.core.errors import InvalidError


class HeldError(InvalidError):
    """A call that cannot be taken: alone it is refused with this text, in a batch it goes to quarantine under `reason`."""

    def __init__(self, reason: str, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.reason, self.status = reason, status


@dataclass(frozen=True, slots=True)
class Row:
    """One call ready for the inbox: its lane, the sender's clock, its JSON text in UTF-8 (with a messageId)."""

    lane: int
    sent_at: dt.datetime | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """One call of a batch that goes to quarantine instead; `detail` is a sentence."""

    reason: str
    detail: str
    sent_at: dt.datetime | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one request holds, in the order it came."""

    rows: Sequence[Row]
    held: Sequence[Held] = ()
