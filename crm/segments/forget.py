"""What an erasure means for segments: the person is no member any more, and no size counts them."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.profiles.privacy import Subject
from crm.segments.refresh import drop_members


def forget(session: Session, who: Subject, keys: Keys, now: dt.datetime) -> None:
    """Out of every segment, at once."""
    drop_members(session, who.ids)
