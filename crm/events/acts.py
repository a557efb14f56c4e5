"""What a person did, among all that is in their log: not what Kesher did about them. Pure, beside its twin in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.events.models import SYSTEM_SOURCE

_ANSWERS = (" Opened", " Clicked")
ACTS = f"""
(e.source_id <> {SYSTEM_SOURCE} OR ((e.name LIKE '% Opened' OR e.name LIKE '% Clicked') AND coalesce(e.properties->>'machine', 'false') <> 'true'))
"""


def is_act(source_id: int, name: str | None, properties: Mapping[str, Any] | None) -> bool:
    """Of Kesher's own events only an opening or a click by a human is the person's doing."""
    if source_id != SYSTEM_SOURCE:
        return True
    return (name or "").endswith(_ANSWERS) and (properties or {}).get("machine") not in {True, "true"}
