"""What the segment builder offers for the fields of one rule: names and values that were seen, read from a small table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.commerce import computed
from crm.segments import seen
from crm.segments.models import List, Segment
from crm.segments.rules.journey import STARTED

OF_KIND = {"trait": seen.TRAITS, "anniversary": seen.TRAITS, "computed": seen.COMPUTED, "account": seen.ACCOUNTS}
ROWS = {"where": "event", "first_where": "first", "then_where": "then"}  # whose properties a rule's filters are about


def offers(session: Session, rule: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """For one rule as far as it is filled in: name of a list -> its words. Filters have a list of names, and one of values for each."""
    about = OF_KIND.get(str(rule.get("kind")), str(rule.get("event") or ""))
    known = bool(rule.get("event")) or rule.get("kind") in OF_KIND
    found: dict[str, Sequence[str]] = {
        "events": seen.event_names(session),
        "segments": list(session.scalars(select(Segment.slug).order_by(Segment.slug).limit(seen.MOST))),
        "lists": list(session.scalars(select(List.slug).order_by(List.slug).limit(seen.MOST))),
        "journeys": seen.values(session, STARTED, "journey"),
        "templates": seen.values(session, "Email Sent", "template"),
        "properties": _names(session, about) if known else [],
        "values": _values(session, rule, about),
    }
    for field, names in ROWS.items():
        event = str(rule.get(names) or "")
        if event:
            found[field] = seen.properties(session, event)
            rows = rule.get(field)
            for number, row in enumerate(rows if isinstance(rows, list) else []):
                found[f"{field}-{number}"] = seen.values(session, event, str(row.get("name", "")))
    return found


def _names(session: Session, about: str) -> Sequence[str]:
    names = seen.properties(session, about)
    return sorted({*names, *computed.BUILT_IN, *computed.titles(session)}) if about == seen.COMPUTED else names


def _values(session: Session, rule: Mapping[str, Any], about: str) -> Sequence[str]:
    if rule.get("kind") == "geography":
        return seen.values(session, seen.TRAITS, str(rule.get("of", "country")))
    return seen.values(session, about, str(rule.get("name") or "")) if rule.get("kind") in OF_KIND else []
