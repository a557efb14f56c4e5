"""What a file of leads said of its columns: type, who fills each in, when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.scores.score_models import LeadColumn

NAMED = ("source", "campaign")  # roles that become traits of their own
UNKNOWN, ON_ENTERING = "unknown:unknown", "marketing:entry"


def declare(session: Session, choices: Sequence[Mapping[str, str]], *, upload_id: int, now: dt.datetime) -> int:
    """Keep what was said of each column that becomes a trait; the latest file's word counts. Returns how many."""
    rows = []
    for choice in choices:
        if choice["role"] == "trait" or choice["role"] in NAMED:
            other = choice["role"] == "trait"
            by, _colon, when = ((choice.get("filled") or UNKNOWN) if other else ON_ENTERING).partition(":")
            name, kind = (choice["name"].strip(), choice["type"]) if other else (choice["role"], "words")
            rows.append({"name": name, "type": kind, "filled_by": by, "filled_when": when, "upload_id": upload_id, "at": now})
    if rows:
        made = insert(LeadColumn)
        changed = {name: made.excluded[name] for name in ("type", "filled_by", "filled_when", "upload_id", "at")}
        session.execute(made.on_conflict_do_update(index_elements=["name"], set_=changed), rows)
    return len(rows)
