"""What could not be taken is shown, and comes back where its reason is gone."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core import partitions
from crm.events import quarantine
from crm.events.inbox import Waiting
from crm.events.models import SYSTEM_SOURCE, InboxRow, QuarantinedCall
from crm.events.quarantine import Holding
from crm.events.read import read
from crm.events.source import HeldError
from crm.events.sources import segment
from crm.events.spec import event_name

GOOD = '{"type":"track","event":"Bought","userId":"u"}'


def held(session: Session, *bodies: str, at: dt.datetime, sent_at: dt.datetime | None = None, source_id: int = 10) -> list[int]:
    quarantine.hold(session, [Holding(at, source_id, True, "live", sent_at, "failed", "Because.", body) for body in bodies])
    return sorted(session.scalars(select(QuarantinedCall.id)).all())[-len(bodies) :]


def came_back(session: Session, now: dt.datetime) -> list[InboxRow]:
    partitions.ensure(session, "event_inbox", [partitions.day_bounds(now)])
    return list(session.scalars(select(InboxRow).order_by(InboxRow.id)))


def test_a_replayed_call_is_in_the_inbox_once_with_the_time_it_first_came(session: Session, now: dt.datetime) -> None:
    ids = held(session, GOOD, at=now - dt.timedelta(hours=2))
    assert quarantine.replay(session, ids=ids, now=now) == quarantine.Replayed(1, {})
    assert quarantine.replay(session, ids=ids, now=now) == quarantine.Replayed(0, {})
    (row,) = came_back(session, now)
    body = json.loads(row.body)
    assert (row.origin, row.trusted, row.received_at, row.sent_at) == ("live", True, now, None)
    assert (body["event"], dt.datetime.fromisoformat(body["timestamp"])) == ("Bought", now - dt.timedelta(hours=2))
    assert body["messageId"]
    assert quarantine.page(session) == []


def test_a_senders_wrong_clock_stays_corrected(session: Session, now: dt.datetime) -> None:
    ahead = now + dt.timedelta(days=1)
    body = json.dumps(json.loads(GOOD) | {"timestamp": (ahead - dt.timedelta(minutes=5)).isoformat()})
    ids = held(session, body, at=now - dt.timedelta(hours=2), sent_at=ahead)
    quarantine.replay(session, ids=ids, now=now)
    (row,) = came_back(session, now)
    assert dt.datetime.fromisoformat(json.loads(row.body)["timestamp"]) == now - dt.timedelta(hours=2, minutes=5)


def test_what_happened_more_than_a_day_ago_replays_as_history(session: Session, now: dt.datetime) -> None:
    long_ago = json.dumps(json.loads(GOOD) | {"timestamp": "2020-01-01T00:00:00Z"})
    ids = held(session, GOOD, at=now - dt.timedelta(days=1, seconds=1)) + held(session, long_ago, GOOD, at=now - dt.timedelta(hours=23))
    quarantine.replay(session, ids=ids, now=now)
    assert [row.origin for row in came_back(session, now)] == ["history", "history", "live"]


@pytest.mark.parametrize("trusted", [True, False])
def test_nobody_else_speaks_under_the_names_of_kesher(session: Session, now: dt.datetime, trusted: bool) -> None:
    forged = json.dumps({"type": "track", "event": "Segment Entered", "userId": "u", "properties": {"segment": "vip"}})
    with pytest.raises(HeldError, match="Only Kesher itself says “Segment Entered”"):
        segment.check(segment.read(forged), "track")
    for source_id in (10, SYSTEM_SOURCE):
        row = Waiting(1, now, source_id, trusted, "live", None, 0, None, forged)
        if source_id == SYSTEM_SOURCE:
            assert event_name(read(row).call) == "Segment Entered"
        else:
            with pytest.raises(HeldError) as caught:
                read(row)
            assert caught.value.reason == "reserved_name"
    assert quarantine.replay(session, ids=held(session, forged, at=now), now=now).count == 0


def test_what_would_only_be_held_again_stays_with_its_reason(session: Session, now: dt.datetime) -> None:
    nameless, broken, unnamed, good = held(session, '{"type":"track","userId":"u"}', '{"type":', '{"type":"page","profileId":"p"}', GOOD, at=now)
    done = quarantine.replay(session, ids=[nameless, broken, unnamed, good], now=now)
    assert done.count == 1
    said = {number: str(error) for number, error in done.refused.items()}
    assert "`event`" in said[nameless] and "not understood" in said[broken] and "userId" in said[unnamed]
    assert [call.id for call in quarantine.page(session)] == [unnamed, broken, nameless]


def test_keshers_own_call_needs_no_identity(session: Session, now: dt.datetime) -> None:
    ids = held(session, '{"type":"track","event":"Email Opened","profileId":"p"}', at=now, source_id=SYSTEM_SOURCE)
    assert quarantine.replay(session, ids=ids, now=now).count == 1


def test_a_chain_of_causes_goes_on_where_it_was(session: Session, now: dt.datetime) -> None:
    body = '{"type":"track","event":"Run Ended","profileId":"p"}'
    quarantine.hold(session, [Holding(now, SYSTEM_SOURCE, True, "live", None, "failed", "Because.", body, hops=7, cause="run:1")])
    quarantine.replay(session, ids=list(session.scalars(select(QuarantinedCall.id))), now=now)
    (row,) = came_back(session, now)
    assert (row.hops, row.cause) == (7, "run:1")


def test_pages_go_on_where_the_last_one_ended(session: Session, now: dt.datetime) -> None:
    ids = held(session, *[GOOD] * 5, at=now)
    other = held(session, GOOD, at=now, source_id=11)
    first = [call.id for call in quarantine.page(session, size=2, source_id=10)]
    second = [call.id for call in quarantine.page(session, size=3, source_id=10, before=first[-1])]
    assert first + second == ids[::-1]
    assert [call.id for call in quarantine.page(session, source_id=11)] == other


def test_discarded_calls_are_gone(session: Session, now: dt.datetime) -> None:
    ids = held(session, GOOD, GOOD, at=now)
    assert quarantine.discard(session, ids=ids) == 2
    assert quarantine.page(session) == []


def test_a_held_call_may_contain_nul(session: Session, now: dt.datetime) -> None:
    held(session, '{"a": "\x00"}', at=now)
    assert quarantine.page(session)[0].body == '{"a": ""}'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("7", "no_object"),
        ("{}", "no_type"),
        ('{"type": 1}', "wrong_type"),
        ('{"type": "track" 5}', "malformed"),
        ('{"type": "track"', "truncated"),
        ('{"type": "track", "properties": {"n": 1e999}}', "range"),
        ('{"type": "track", "x": ' + "[" * 9000 + "]" * 9000 + "}", "deep"),
        ('{"type": "track", "userId": "u", "event": "x", "properties": {"n": 99999999999999999999999}}', "wide"),
        ('{"type": "track", "userId": "u", "event": "x", "properties": ' + '{"n": ' * 300 + "1" + "}" * 301, "deep"),
        ('{"type": "track", "userId": "u", "event": "x", "properties": ' + '{"n": ' * 251 + "1" + "}" * 252, "deep"),  # a run with it could not call a webhook
    ],
)
def test_what_a_library_complains_of_is_kept_as_a_code_of_ours(body: str, code: str) -> None:
    with pytest.raises(HeldError) as refused:
        segment.check(call := segment.read(body), call.type)
    assert json.loads(refused.value.detail)["code"] == code
