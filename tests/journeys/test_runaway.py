"""A run that goes round too fast is stopped, visibly, and can go on once its waits are longer."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from journeys import graph, passage, publish, simulate
from journeys.engine import MANY, wake_due
from journeys.simulate import tell
from tests.makers import accepted, config, track
from workers import pipeline

CONFIG = config()


def round_and_round(wait: str) -> dict[str, Any]:
    rest = {"kind": "wait", "settings": {"for": wait}, "exits": {"next": "say"}}
    say = {"kind": "set_trait", "settings": {"trait": "rounds", "value": 1}, "exits": {"next": "rest"}}
    trigger = {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}}
    return {"name": {"en": "R"}, "trigger": trigger, "entry": "rest", "nodes": {"rest": rest, "say": say}, "exit_on": ["Gone"]}


def spin(session: Any, now: dt.datetime, seconds: float, rounds: int) -> Any:
    pipeline.run(session, [accepted(track("Signed Up", at=now, user_id="dana"), now)], now, CONFIG)
    for number in range(1, rounds + 1):
        wake_due(session, now + dt.timedelta(seconds=seconds * number), 10, CONFIG)
    return session.execute(text("SELECT status, end_reason, error, steps FROM runs")).one()


def test_a_run_away_is_parked_with_its_reason(session, now):
    publish.publish(session, "round", round_and_round("1s"), now=now)
    row = spin(session, now, 1, 60)
    assert (row.status, row.end_reason) == ("failed", "too_many_steps")
    assert passage.MAX_A_MINUTE <= row.steps <= passage.MAX_A_MINUTE + 1
    assert "within a minute" in row.error
    assert publish.retry(session, "round", now=now + dt.timedelta(minutes=5)) == 1
    wake_due(session, now + dt.timedelta(minutes=5), 10, CONFIG)
    assert session.scalar(text("SELECT status FROM runs")) == "active"


def test_a_run_away_goes_on_by_the_longer_waits_that_were_published(session, now):
    publish.publish(session, "round", round_and_round("1s"), now=now)
    assert spin(session, now, 1, 60).status == "failed"
    done = publish.publish_moving(session, "round", round_and_round("30s"), choice=publish.Choice("same"), now=now + dt.timedelta(minutes=5))
    assert done.moved == 1
    publish.retry(session, "round", now=now + dt.timedelta(minutes=5))
    for number in range(60):
        wake_due(session, now + dt.timedelta(minutes=5, seconds=30 * number), 10, CONFIG)
    assert session.execute(text("SELECT version, status FROM runs")).one() == (2, "active")


def test_what_ended_a_run_while_it_had_failed_ends_it_when_it_goes_on(session, now):
    publish.publish(session, "round", round_and_round("1s"), now=now)
    later = now + dt.timedelta(minutes=2)
    spin(session, now, 1, 60)
    pipeline.run(session, [accepted(track("Gone", at=later, user_id="dana"), later)], later, CONFIG)
    publish.retry(session, "round", now=now + dt.timedelta(minutes=5))
    assert session.execute(text("SELECT status, end_reason FROM runs")).one() == ("done", "exit:Gone")
    assert session.scalar(text("SELECT count(*) FROM wakeups")) == 0


def test_stopping_ends_a_run_that_failed_too(session, now):
    publish.publish(session, "round", round_and_round("1s"), now=now)
    spin(session, now, 1, 60)
    assert publish.stop(session, "round", now=now) == 1
    assert publish.retry(session, "round", now=now) == 0


def test_a_run_that_cannot_be_written_is_parked_and_stops_nobody_else(session, now):
    publish.publish(session, "round", round_and_round("1m"), now=now)
    people = ("dana", "omer", "noa", "tal", "gil")
    pipeline.run(session, [accepted(track("Signed Up", at=now, user_id=each), now) for each in people], now, CONFIG)
    noa = session.scalar(text("SELECT profile_id FROM identities WHERE value = 'noa'"))
    session.execute(text(f"ALTER TABLE runs ADD CONSTRAINT poisoned CHECK (profile_id <> '{noa}' OR status = 'failed' OR steps = 0) NOT VALID"))
    later = now + dt.timedelta(minutes=1)
    wake_due(session, later, 10, CONFIG)
    rows = session.execute(text("SELECT status, end_reason, error FROM runs ORDER BY status")).all()
    assert [row.status for row in rows] == ["active"] * 4 + ["failed"]
    assert rows[-1].end_reason == "not_written"
    assert "poisoned" in rows[-1].error
    assert session.scalar(text("SELECT count(*) FROM wakeups")) == 4
    assert session.scalar(text("SELECT count(*) FROM event_inbox WHERE CAST(body AS json) ->> 'event' = 'Journey Ended'")) == 1
    session.execute(text("ALTER TABLE runs DROP CONSTRAINT poisoned"))
    assert publish.retry(session, "round", now=later) == 1
    wake_due(session, later, 10, CONFIG)
    assert session.scalar(text("SELECT count(*) FROM runs WHERE status = 'active'")) == 5


def test_runs_that_all_cannot_be_written_wait_until_it_is_mended(session, now):
    """A column that a new release misses, say: no one's run is to blame."""
    publish.publish(session, "round", round_and_round("1m"), now=now)
    three_each = [accepted(track("Signed Up", at=now, user_id=f"u{number % MANY}"), now) for number in range(3 * MANY)]
    pipeline.run(session, three_each, now, CONFIG)
    session.execute(text("ALTER TABLE runs RENAME COLUMN round TO rounds"))
    with pytest.raises(DBAPIError, match="round"), session.begin_nested():
        wake_due(session, now + dt.timedelta(minutes=1), 100, CONFIG)
    assert session.execute(text("SELECT status, count(*) FROM runs GROUP BY 1")).all() == [("active", 3 * MANY)]


def test_a_slow_loop_goes_on(session, now):
    publish.publish(session, "round", round_and_round("30s"), now=now)
    assert spin(session, now, 30, 60).status == "active"


def test_shortened_waits_do_not_count_as_running_away(session, now):
    graph_of = graph.parse(round_and_round("2s"))
    trial = tell(graph_of, now, [(now, "Signed Up", {}), (now + dt.timedelta(minutes=2), "Gone", {})])
    assert trial.runs[0].end_reason == "exit:Gone"


@pytest.mark.parametrize("wait", ["366d", "30s"])
def test_a_loop_is_tried_until_enough_was_seen(now, wait):
    """Not for twenty thousand steps, which take seconds, nor into a year that no calendar has."""
    trial = tell(graph.parse(round_and_round(wait)), now, [(now + dt.timedelta(hours=each), "Signed Up", {}) for each in range(3)])
    assert [run.status for run in trial.runs] == ["active"] * 3
    assert len(trial.steps) <= simulate.MOST + passage.MAX_AT_ONCE


def test_runs_that_begin_ten_others_each_are_tried_until_enough_was_seen(now):
    say = {f"say{n}": {"kind": "send_event", "settings": {"event": "Signed Up"}, "exits": {"next": f"say{n + 1}" if n < 9 else "end"}} for n in range(10)}
    trigger = {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}}
    drawn = {"name": {"en": "R"}, "trigger": trigger, "entry": "say0", "nodes": say | {"end": {"kind": "stop"}}}
    trial = tell(graph.parse(drawn), now, [(now, "Signed Up", {})])
    assert simulate.MOST <= len(trial.steps) <= simulate.MOST + passage.MAX_AT_ONCE


def test_a_loop_without_a_wait_cannot_be_published():
    drawn = round_and_round("1s")
    drawn["nodes"]["rest"] = {"kind": "set_trait", "settings": {"trait": "a", "value": 1}, "exits": {"next": "say"}}
    assert any("without a wait" in each for each in graph.check(drawn))


def test_a_webhook_or_a_survey_is_no_wait_since_it_may_end_at_once():
    for kind, settings in (("webhook", {"endpoint": "x"}), ("nps", {"template": "x"})):
        drawn = round_and_round("1s")
        ways = ("answered", "failed", "timed_out") if kind == "webhook" else ("promoter", "passive", "detractor", "no_answer")
        drawn["nodes"]["rest"] = {"kind": kind, "settings": settings, "exits": dict.fromkeys(ways, "say")}
        assert any("without a wait" in each for each in graph.check(drawn))
