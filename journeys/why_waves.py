"""Why somebody was not told that a product is back or cheaper: their place in the waves, or what cost them it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.i18n import _l
from journeys.node import Sentence

LATEST = 5  # occasions looked at
PASSED = {
    "bought": _l("Passed over in the waves of “%(product)s”: bought it meanwhile."),
    "taken_back": _l("Passed over in the waves of “%(product)s”: no longer waits for it."),
    "twice": _l("Passed over in the waves of “%(product)s”: told already, under another profile that is now the same person."),
}
ENDED = {
    "sold_out": _l("The waves of “%(product)s” ended at place %(place)s, before their turn: it was sold out again."),
    "price_rose": _l("The waves of “%(product)s” ended at place %(place)s, before their turn: the price rose again."),
    "again": _l("The waves of “%(product)s” ended at place %(place)s, before their turn: it came back once more, with new waves."),
    "dropped": _l("The waves of “%(product)s” ended at place %(place)s, before their turn: when the journey was resumed, what had come due was to end."),
}


def places(session: Session, journey_id: int, profile_id: uuid.UUID) -> Iterator[Sentence]:
    """The latest occasions of this journey that concerned the profile; that none did is one, too."""
    rows = session.execute(text(_PLACES), {"journey": journey_id, "profile": profile_id, "latest": LATEST}).all()
    if not rows:
        yield Sentence(_l("No product the profile asked for, or looked at, has set off this journey."))
    for row in rows:
        if row.number is None and (said := _said(row)):
            yield Sentence(said, {"product": row.name or row.variant_id, "place": row.place})


def _said(row: Row[tuple[object, ...]]) -> str | None:
    if row.passed:
        return PASSED.get(row.passed)
    return ENDED.get(row.ended) if row.ended else _l("Waits at place %(place)s in the waves of “%(product)s”.")


_PLACES = """
SELECT w.variant_id, v.name, w.ended, p.place, p.number, p.passed
FROM wave_people p JOIN waves w ON w.id = p.wave_id LEFT JOIN variants v ON v.id = w.variant_id
WHERE w.journey_id = :journey AND p.profile_id = :profile ORDER BY w.opened_at DESC, w.id DESC LIMIT :latest
"""
