"""Everything about one person as a file to take away: JSON for programs, a page for people."""

from __future__ import annotations

from typing import Any

from flask import Response, render_template
from flask_babel import force_locale

from crm.core.clock import parse_time
from crm.core.i18n import _l, direction
from crm.core.json import dumps

TITLES = {  # tables in words, in the order of the readable export; the rest follows
    "identities": _l("Identities"),
    "profiles": _l("Traits"),
    "computed_traits": _l("Computed traits"),
    "account_members": _l("Companies"),
    "orders": _l("Orders"),
    "carts": _l("Carts"),
    "consents_current": _l("Consent"),
    "consent_ledger": _l("Consent, every change"),
    "consent_evidence": _l("Consent, the evidence"),
    "suppressions": _l("Stops"),
    "messages": _l("Messages"),
    "mailbox": _l("Mailbox"),
    "runs": _l("Journeys"),
    "events": _l("What happened"),
    "event_inbox": _l("Calls as they came"),
    "quarantine": _l("Quarantine"),
}
MACHINE = ("_id", "id", "accepted", "position", "lane", "hops", "traits_at", "bucket", "version_at", "version_accepted", "round")  # ends of names nobody reads


def as_file(known: dict[str, Any], form: str, language: str) -> Response:
    """An export to download: JSON for programs, a page for people."""
    text, kind = (dumps(known), "application/json") if form == "json" else (readable(known, language), "text/html; charset=utf-8")
    name = f"person-{known['profile_id'][-12:]}.{form}"
    return Response(text, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def readable(known: dict[str, Any], language: str) -> str:
    """An export as a page of its own, in one of our languages."""
    tables = known["tables"]
    order = [name for name in TITLES if name in tables] + [name for name in tables if name not in TITLES]
    parts = [(TITLES.get(name, name), name, [_shown(row) for row in tables[name]]) for name in order if name != "events"]
    events = [(parse_time(row["occurred_at"]), row["name"], row["properties"]) for row in tables.get("events", ())]
    made = parse_time(known["made_at"])
    with force_locale(language):
        return render_template(
            "person-export.html", known=known, parts=parts, events=events, language=language, dir_=direction(language), made=made, whole=_whole
        )


def _whole(value: Any) -> str:
    """A value with nothing cut off."""
    return value if isinstance(value, str) else dumps(value)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """What a person would read: no keys of ours, nothing empty; traits as fields of their own."""
    flat = {**row, **row["traits"]} if isinstance(row.get("traits"), dict) else row
    return {name: value for name, value in flat.items() if value not in (None, "", [], {}) and not name.endswith(MACHINE) and name != "traits"}
