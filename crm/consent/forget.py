"""What an erasure means for consent: every yes becomes a no, the address is stopped until it says yes again by itself."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.consent import ledger
from crm.consent.ledger import GRANTED, REFUSED, Change
from crm.consent.suppression import suppress
from crm.core.crypto import Keys
from crm.profiles.privacy import Subject

CHANNELS = {"email": ("email",), "phone": ("sms", "whatsapp"), "wa_id": ("whatsapp",)}


def forget(session: Session, who: Subject, keys: Keys, now: dt.datetime) -> None:
    """Refuse what the person's addresses agreed to and stop them; the addresses written as evidence go with the rest of the evidence."""
    changes = [change for kind, value in who.identities if kind in CHANNELS for change in _refusals(session, kind, value, keys)]
    ledger.record(session, changes, keys, now)
    for kind, value in who.identities:
        for channel in CHANNELS.get(kind, ()):
            suppress(session, address_hash=keys.address_hash(kind, value), channel=channel, reason="erased", detail="", now=now)


def _refusals(session: Session, kind: str, value: str, keys: Keys) -> list[Change]:
    rows = session.execute(text(_GRANTED), {"hash": keys.address_hash(kind, value), "granted": GRANTED})
    return [Change(kind, value, row.channel, row.topic, row.purpose, REFUSED, "erasure", explicit=True) for row in rows]


_GRANTED = """
SELECT s.channel, s.topic, l.purpose FROM consents_current s JOIN consent_ledger l ON l.id = s.entry_id
WHERE s.address_hash = :hash AND s.action = :granted
"""
