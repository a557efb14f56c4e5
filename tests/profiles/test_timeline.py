"""One person's events, newest first, whole and in pages."""

from __future__ import annotations

import datetime as dt
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, update
from sqlalchemy.orm import Session

from crm.core import partitions
from crm.core.ids import new_id
from crm.events.models import Event
from crm.profiles.models import Profile
from crm.profiles.timeline import KINDS, follow, kind_of, timeline


def person(session: Session, now: dt.datetime, merged_into: uuid.UUID | None = None) -> uuid.UUID:
    profile_id = new_id()
    session.execute(insert(Profile).values(id=profile_id, bucket=0, first_seen=now, last_seen=now, merged_into=merged_into))
    return profile_id


def happened(session: Session, profile_id: uuid.UUID, *times: dt.datetime, name: str = "Page Viewed") -> None:
    partitions.ensure(session, "events", {partitions.month_bounds(at) for at in times})
    rows = [
        {
            "profile_id": profile_id,
            "occurred_at": at,
            "accepted": 1000 + n,
            "received_at": at,
            "source_id": 1,
            "message_id": str(n),
            "type": "track",
            "name": name,
            "origin": "live",
            "trusted": True,
            "identities": [["email", "a@b.co", True]],
            "properties": {"n": n},
            "context": {},
            "hops": 0,
        }
        for n, at in enumerate(times)
    ]
    session.execute(insert(Event), rows)
    session.execute(update(Profile).where(Profile.id == profile_id).values(first_seen=func.least(Profile.first_seen, min(times))))


def test_a_timeline_reaches_back_over_empty_years(session: Session, now: dt.datetime) -> None:
    dana, old = person(session, now), dt.datetime(2010, 12, 1, tzinfo=dt.UTC)
    happened(session, dana, old, now - dt.timedelta(days=400), now - dt.timedelta(days=3), now)
    entries = timeline(session, dana, now=now)
    assert [entry.occurred_at for entry in entries] == [now, now - dt.timedelta(days=3), now - dt.timedelta(days=400), old]
    assert entries[0].source == "kesher"


def test_pages_of_a_timeline_show_each_event_once_even_within_one_moment(session: Session, now: dt.datetime) -> None:
    dana = person(session, now)
    happened(session, dana, *[now - dt.timedelta(days=40 * (n // 4)) for n in range(23)])
    seen, before = [], None
    while entries := timeline(session, dana, before=before, limit=5, now=now):
        seen += entries
        before = entries[-1].cursor
    assert [(entry.occurred_at, entry.accepted) for entry in seen] == sorted(((entry.occurred_at, entry.accepted) for entry in seen), reverse=True)
    assert len({entry.accepted for entry in seen}) == len(seen) == 23


def test_a_joined_profile_shows_whom_it_became(session: Session, now: dt.datetime) -> None:
    dana = person(session, now)
    between = person(session, now, merged_into=dana)
    first = person(session, now, merged_into=between)
    happened(session, dana, now)
    assert follow(session, first) == dana
    assert len(timeline(session, first, now=now)) == 1
    assert follow(session, new_id()) is None
    assert timeline(session, new_id(), now=now) == []


def test_only_the_kinds_asked_for_are_shown(session: Session, now: dt.datetime) -> None:
    dana = person(session, now)
    for n, name in enumerate(
        ["Product Viewed", "Product Added", "Order Completed", "Email Opened", "Run Ended", "Consent Granted", "identify", "Quiz Finished"]
    ):
        happened(session, dana, now - dt.timedelta(hours=n), name=name)
    by_kind = {kind: [entry.name for entry in timeline(session, dana, kinds=[kind], now=now)] for kind in KINDS}
    assert all(len(names) == 1 for names in by_kind.values())
    assert by_kind["other"] == ["Quiz Finished"]
    assert all(kind_of(names[0]) == kind for kind, names in by_kind.items())
    assert len(timeline(session, dana, kinds=["orders", "other"], now=now)) == 2


@settings(max_examples=50)
@given(before=st.text(max_size=40) | st.from_regex(r"-?[0-9]{1,18}\.[0-9]{1,20}", fullmatch=True))
def test_no_cursor_breaks_a_timeline(session: Session, now: dt.datetime, before: str) -> None:
    assert timeline(session, person(session, now), before=before, now=now) == []
