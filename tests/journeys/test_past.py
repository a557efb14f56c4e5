"""Runs long over: one compact row each, which still counts and still answers."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import partitions
from crm.messages import retention
from journeys import past, publish, view
from journeys.engine import wake_due
from journeys.view import RunFilters, RunView
from journeys.why import why_not
from tests.journeys.test_entry import CONFIG, WAIT, drawing, go, hour, refused, runs, signed
from tests.makers import identify, track

LATER = past.KEEP + dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def once(session: Session, now: dt.datetime) -> None:
    partitions.ensure(session, "events", [partitions.month_bounds(now + LATER)])
    publish.publish(session, "once", drawing(WAIT | {"which": SPLIT}), now=now)


SHARES = [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}]
SPLIT = {"kind": "split", "settings": {"salt": "s", "shares": SHARES}, "exits": {"a": "end", "b": "end"}}


def begin_and_end(session: Session, now: dt.datetime, who: str = "anna") -> None:
    go(session, now, signed(now, who))
    wake_due(session, now + hour, 10, CONFIG)


def seen(session: Session) -> list[RunView]:
    return list(view.runs(session, RunFilters()).rows)


def counted(session: Session, table: str) -> int:
    return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def test_its_way_and_its_reasons_read_as_before(session: Session, now: dt.datetime) -> None:
    begin_and_end(session, now)
    before = seen(session)
    assert before[0].status == "done"
    assert any(step.detail for step in before[0].steps)

    assert past.fold(session, now + LATER) == 1

    assert (counted(session, "runs"), counted(session, "run_steps"), counted(session, "past_runs")) == (0, 0, 1)
    assert seen(session) == before
    assert view.start_of(session, before[0].id)["name"] == "Signed Up"


def test_it_still_counts_for_once(session: Session, now: dt.datetime) -> None:
    begin_and_end(session, now)
    later = now + LATER
    past.fold(session, later)
    go(session, later, signed(later))
    assert runs(session) == []
    assert refused(session) == ["already_in"]
    who = session.scalar(text("SELECT id FROM profiles"))
    assert "There was a run that is over." in [each.text for each in why_not(session, "once", who, later)]


def test_what_is_recent_active_or_failed_stays(session: Session, now: dt.datetime) -> None:
    begin_and_end(session, now)
    assert past.fold(session, now + past.KEEP - hour) == 0
    session.execute(text("UPDATE runs SET status = 'failed'"))
    go(session, now + LATER, signed(now + LATER, "bela"))
    assert past.fold(session, now + LATER) == 0
    assert counted(session, "runs") == 2


def test_it_follows_a_join(session: Session, now: dt.datetime) -> None:
    go(session, now, identify(at=now, user_id="dana"))
    go(session, now, track("Signed Up", at=now, anonymous_id="device"))
    wake_due(session, now + hour, 10, CONFIG)
    later = now + LATER
    past.fold(session, later)
    go(session, later, identify(at=later, user_id="dana", anonymous_id="device"))
    assert session.scalar(text("SELECT count(*) FROM past_runs r JOIN profiles p ON p.id = r.profile_id AND p.merged_into IS NULL AND p.known")) == 1
    go(session, later, signed(later, "dana"))
    assert refused(session) == ["already_in"]


def test_its_details_are_emptied_like_any_other_runs(session: Session, now: dt.datetime) -> None:
    go(session, now, signed(now, total=5))
    wake_due(session, now + hour, 10, CONFIG)
    past.fold(session, now + LATER)
    retention.keep(session, {"runs": 130})
    retention.sweep(session, now + dt.timedelta(days=131))
    assert session.execute(text("SELECT start->'properties', why FROM past_runs")).one() == ({}, {})
    assert [step.node for step in seen(session)[0].steps] == ["wait", "which", "end"]
