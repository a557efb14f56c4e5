"""What a lead is, as a function of one person's events. Pure; the order of processing does not matter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crm.commerce import money
from crm.events.spec import BROWSER, Happened
from crm.sales.models import OPEN, STATUSES

CREATED, STATUS, ASSIGNED = "Lead Created", "Lead Status Changed", "Lead Assigned"
CALLED, DONE, WON, ORDERED, ENTERED = "Call Logged", "Task Done", "Deal Won", "Order Completed", "Segment Entered"
WITHDRAWN = "Call Withdrawn"  # a logged call is taken back
MAILED = "Email Sent"  # an answer, where somebody here had asked for it
LISTENS = (CREATED, STATUS, ASSIGNED, CALLED, DONE, WON, ORDERED, ENTERED, WITHDRAWN, MAILED)
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Definitions:
    """What marketing and sales agreed on: the segments, and whether an order is a sale."""

    mql: str = ""
    sql: str = ""
    order_wins: bool = True


@dataclass(slots=True)
class State:
    """A lead as its events tell it. `cost` adds up what trusted intakes say, in the currency of the first."""

    created_at: dt.datetime
    status_at: dt.datetime
    status: str = "new"
    source: str = ""
    campaign: str = ""
    cost: Decimal | None = None
    currency: str | None = None
    intakes: int = 0
    imported: bool = False
    owner_id: int | None = None
    owner_at: dt.datetime | None = None
    owner_by: str | None = None
    mql_at: dt.datetime | None = None
    sql_at: dt.datetime | None = None
    answered_at: dt.datetime | None = None
    unanswered: tuple[dt.datetime, ...] = ()  # moments that were answers until they were taken back

    @property
    def open(self) -> bool:
        return self.status in OPEN


def hears(event: Happened) -> bool:
    """Whether it may tell something of a lead; of the mails that went out only those that somebody here asked for."""
    return event.name in LISTENS and (event.name != MAILED or isinstance(event.properties.get("by"), int))


def state(events: Sequence[Happened], definitions: Definitions) -> State | None:
    """One person's lead; None where nothing ever made one. What happened before the first intake makes no lead, but counts for its segments."""
    found: State | None = None
    ordered, void = _void(sorted(filter(hears, events), key=lambda event: event.order))
    first = next((event for event in ordered if event.name == CREATED), None)
    if first is None:
        return None
    found = State(first.occurred_at, first.occurred_at, imported=first.origin != "live", unanswered=void)
    for event in ordered:
        _tell(found, event, definitions)
    return found


def _void(events: Sequence[Happened]) -> tuple[list[Happened], tuple[dt.datetime, ...]]:
    """Without the calls that were taken back and what they ended; and when those were said."""
    back: set[Any] = set()
    for event in events:
        voids = event.properties.get("voids")
        if event.name == WITHDRAWN and event.trusted and isinstance(voids, list):
            back.update(one for one in voids if isinstance(one, str))
    gone = [event.name in {CALLED, DONE} and event.message_id in back for event in events]
    return [one for one, void in zip(events, gone, strict=True) if not void], tuple(one.occurred_at for one, void in zip(events, gone, strict=True) if void)


def _tell(lead: State, event: Happened, definitions: Definitions) -> None:
    if event.name == ENTERED:
        if event.trusted:
            _entered(lead, event, definitions)
    elif event.occurred_at < lead.created_at:
        return
    elif event.name == CREATED:
        _came(lead, event)
    elif event.name == ORDERED:
        if definitions.order_wins and event.trust > BROWSER:  # from a file too
            _won(lead, event)
    elif event.trusted and event.name == WON:
        _won(lead, event)
    elif event.trusted:
        _decided(lead, event)


def _won(lead: State, event: Happened) -> None:
    if lead.open:
        lead.status, lead.status_at = "won", event.occurred_at


def _came(lead: State, event: Happened) -> None:
    said = event.properties
    lead.intakes += 1
    if lead.intakes == 1:
        lead.source, lead.campaign = word(said.get("source")), word(said.get("campaign"))
        owner = said.get("owner_id")
        if event.trusted and isinstance(owner, int):
            lead.owner_id, lead.owner_at, lead.owner_by = owner, event.occurred_at, word(said.get("by")) or None
    cost = money.amount(said.get("cost")) if event.trusted or event.origin != "live" else None
    unit = money.currency(said.get("currency"), "")
    if cost is not None and cost >= 0 and (lead.cost is None or unit == (lead.currency or "")):
        lead.cost, lead.currency = (lead.cost or Decimal(0)) + cost, lead.currency or unit or None
    if not lead.open:
        lead.status, lead.status_at, lead.answered_at, lead.imported = "new", event.occurred_at, None, event.origin != "live"


def _entered(lead: State, event: Happened, definitions: Definitions) -> None:
    segment = event.properties.get("segment")
    if definitions.mql and segment == definitions.mql:
        lead.mql_at = lead.mql_at or event.occurred_at
    if definitions.sql and segment == definitions.sql:
        lead.sql_at = lead.sql_at or event.occurred_at
        if lead.status in {"new", "working"} and event.occurred_at >= lead.created_at:
            lead.status, lead.status_at = "qualified", event.occurred_at


def _decided(lead: State, event: Happened) -> None:
    """A person's or rule's word: the later one counts."""
    said = event.properties
    if event.name == STATUS and said.get("status") in STATUSES:
        lead.status, lead.status_at = str(said["status"]), event.occurred_at
    elif event.name == ASSIGNED:
        owner = said.get("owner_id")
        lead.owner_id = owner if isinstance(owner, int) and not isinstance(owner, bool) else None
        lead.owner_at, lead.owner_by = event.occurred_at, word(said.get("by")) or None
    elif event.name in {CALLED, DONE, MAILED}:
        lead.answered_at = lead.answered_at or event.occurred_at
        if event.name != DONE and lead.status == "new":
            lead.status, lead.status_at = "working", event.occurred_at


def word(value: Any) -> str:
    """A short text, or nothing."""
    return str(value).strip().replace("\x00", "")[:LONGEST] if isinstance(value, str | int) and not isinstance(value, bool) else ""
