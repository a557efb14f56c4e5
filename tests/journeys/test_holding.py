"""Pause, resume, stop, failed runs, and the waiting time as a choice: nothing is dropped that nobody chose to drop."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.errors import InvalidError
from journeys import install, publish
from journeys.engine import wake_due
from journeys.runs import break_journeys
from tests.journeys.test_entry import CONFIG, WAIT, day, drawing, go, hour, runs, signed
from tests.makers import product, track

MAIL = {"mail": {"kind": "send", "settings": {"template": "hello"}}}


@pytest.fixture(autouse=True)
def template(session: Session) -> None:
    session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('hello', 'email', 'offers', 'marketing', 1)"))


def outbox(session: Session) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in session.execute(text("SELECT m.status, m.reason FROM messages m ORDER BY m.id"))]


def waiting(session: Session, now: dt.datetime) -> int:
    return session.scalar(text("SELECT count(*) FROM outbox WHERE due_at <= :now"), {"now": now}) or 0


def test_a_pause_holds_queued_messages_and_going_on_frees_them(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "hello", drawing(MAIL), now=now)
    go(session, now, signed(now))
    publish.pause(session, "hello", now=now)
    assert (outbox(session), waiting(session, now + 900 * day)) == ([("held", "journey_paused")], 0)
    publish.resume(session, "hello", now=now + day)
    assert (outbox(session), waiting(session, now + day)) == ([("queued", None)], 1)


@pytest.mark.parametrize(("how", "after"), [("catch_up", ("done", "finished")), ("drop", ("done", "dropped")), ("shift", ("active", None))])
def test_what_came_due_meanwhile_does_what_was_chosen(session: Session, now: dt.datetime, how: str, after: tuple[Any, ...]) -> None:
    publish.publish(session, "waits", drawing(WAIT), now=now)
    go(session, now, signed(now))
    half = hour / 2
    publish.pause(session, "waits", now=now + half)
    wake_due(session, now + 5 * hour, 10, CONFIG)
    assert runs(session) == [("active", None)]
    publish.resume(session, "waits", now=now + 5 * hour, how=how)
    wake_due(session, now + 5 * hour, 10, CONFIG)
    assert runs(session) == [after]
    if how == "shift":
        assert wake_due(session, now + 5 * hour + half - dt.timedelta(seconds=1), 10, CONFIG) == 0
        assert wake_due(session, now + 5 * hour + half, 10, CONFIG) == 1
        assert runs(session) == [("done", "finished")]


@pytest.mark.parametrize(("how", "after"), [("catch_up", ("done", "finished")), ("drop", ("done", "dropped"))])
def test_what_came_due_while_it_was_broken_does_what_was_chosen(session: Session, now: dt.datetime, how: str, after: tuple[Any, ...]) -> None:
    publish.publish(session, "waits", drawing(WAIT), now=now)
    go(session, now, signed(now))
    break_journeys(session, {session.scalar(text("SELECT id FROM journeys")): "a step raised"})
    go(session, now + day - hour / 2, signed(now + day - hour / 2, "bella"))
    wake_due(session, now + 5 * hour, 10, CONFIG)
    assert runs(session) == [("active", None)]
    publish.resume(session, "waits", now=now + day, how=how)
    wake_due(session, now + day, 10, CONFIG)
    assert runs(session) == [after]


def test_no_wait_is_made_longer_by_a_pause_there_was_not(session: Session, now: dt.datetime, signed_in: Callable[..., FlaskClient]) -> None:
    publish.publish(session, "waits", drawing(WAIT), now=now)
    break_journeys(session, {session.scalar(text("SELECT id FROM journeys")): "a step raised"})
    page = signed_in().get("/journeys/waits").get_data(as_text=True)
    assert [how for how in publish.RESUMES if f'value="{how}"' in page] == ["catch_up", "drop"]
    with pytest.raises(InvalidError):
        publish.resume(session, "waits", now=now, how="shift")


def test_stopping_takes_back_messages_of_runs_that_are_over(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "hello", drawing(MAIL), now=now)
    go(session, now, signed(now))
    assert runs(session) == [("done", "finished")]
    publish.stop(session, "hello", now=now)
    assert outbox(session) == [("dropped", "stopped")]


def test_more_runs_end_together_than_a_statement_takes_values(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "waits", drawing(WAIT), now=now)
    go(session, now, signed(now))
    some = [uuid.UUID(int=number) for number in range(66_000)]  # a driver sends 65,535 values at most
    publish._end(session, [*some, *session.scalars(text("SELECT id FROM runs"))], "stopped", now)
    assert runs(session) == [("done", "stopped")]


def test_failed_runs_go_on_together(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "waits", drawing(WAIT), now=now)
    go(session, now, signed(now), signed(now, "bella"))
    session.execute(text("UPDATE runs SET status = 'failed', error = 'x', steps = 1000, due_at = NULL"))
    session.execute(text("DELETE FROM wakeups"))
    assert publish.retry(session, "waits", now=now + hour) == 2
    wake_due(session, now + hour, 10, CONFIG)
    assert runs(session) == [("done", "finished")] * 2


def test_five_minutes_is_a_choice_on_the_page(session: Session, signed_in: Callable[..., FlaskClient]) -> None:
    now = clock.now()  # the page acts by the real clock
    install.install(session, now)
    go(session, now, track("Product Added", product("vase"), at=now, user_id="anna"))
    client = signed_in()
    page = client.get("/journeys/abandoned_cart").get_data(as_text=True)
    assert 'value="5m"' in page and "5 minutes" in page
    assert client.post("/journeys/abandoned_cart/wait", data={"for": "5m"}).status_code == 302
    assert wake_due(session, now + dt.timedelta(minutes=1), 10, CONFIG) == 1  # decides anew
    assert session.scalar(text("SELECT due_at - entered_at FROM runs")) == dt.timedelta(minutes=5)
    assert client.post("/journeys/abandoned_cart/wait", data={"for": "9y"}).status_code == 400


def test_the_page_offers_to_stop_and_to_choose_how_to_go_on(session: Session, now: dt.datetime, signed_in: Callable[..., FlaskClient]) -> None:
    publish.publish(session, "waits", drawing(WAIT), now=now)
    client = signed_in()
    client.post("/journeys/waits/pause")
    page = client.get("/journeys/waits").get_data(as_text=True)
    assert all(f'value="{how}"' in page for how in publish.RESUMES)
    client.post("/journeys/waits/resume", data={"how": "shift"})
    client.post("/journeys/waits/stop")
    assert session.scalar(text("SELECT status FROM journeys WHERE slug = 'waits'")) == "stopped"
    assert "Start again" in client.get("/journeys/waits").get_data(as_text=True)
    client.post("/journeys/waits/resume")
    assert session.scalar(text("SELECT status FROM journeys WHERE slug = 'waits'")) == "live"


def test_what_would_have_ended_a_run_takes_back_the_message_of_one_that_is_over(session: Session, now: dt.datetime) -> None:
    rule = {"event": "Order Completed", "where": [{"name": "total", "op": "at_least", "value": 100}]}
    publish.publish(session, "hello", drawing(MAIL, exit_on=[rule]), now=now)
    go(session, now, signed(now))
    assert (runs(session), outbox(session)) == ([("done", "finished")], [("queued", None)])
    go(session, now, track("Order Completed", {"order_id": "1", "total": 50, "currency": "ILS"}, at=now, user_id="anna"))
    assert outbox(session) == [("queued", None)]
    go(session, now, track("Order Completed", {"order_id": "2", "total": 150, "currency": "ILS"}, at=now, user_id="anna"))
    assert outbox(session) == [("dropped", "exit:Order Completed")]


def test_a_journey_that_broke_while_it_was_paused_is_still_paused_once_it_is_mended(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "hello", drawing(MAIL), now=now)
    go(session, now, signed(now))
    publish.pause(session, "hello", now=now)
    break_journeys(session, {session.scalar(text("SELECT id FROM journeys")): "a step raised"})
    publish.publish(session, "hello", drawing(WAIT | MAIL), now=now + hour)
    assert session.execute(text("SELECT status, problem FROM journeys")).all() == [("paused", None)]
    assert outbox(session) == [("held", "journey_paused")]
    publish.resume(session, "hello", now=now + day)
    assert (outbox(session), waiting(session, now + day)) == ([("queued", None)], 1)


def test_a_run_that_came_late_into_a_pause_begins_when_it_ends_and_waits_no_longer(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "waits", drawing({"mail": MAIL["mail"]} | WAIT), now=now)
    publish.pause(session, "waits", now=now)
    go(session, now + 2 * hour, signed(now - hour))
    publish.resume(session, "waits", now=now + 3 * hour, how="shift")
    assert wake_due(session, now + 3 * hour, 10, CONFIG) == 1
    assert outbox(session) == [("queued", None)]


def test_what_would_have_ended_a_run_that_is_over_also_stops_what_its_sender_gives_back(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "hello", drawing(MAIL, exit_on=["Order Completed"]), now=now)
    go(session, now, signed(now))
    session.execute(text("UPDATE messages SET status = 'sending'"))
    session.execute(text("UPDATE outbox SET lease_until = :soon"), {"soon": now + dt.timedelta(minutes=2)})
    go(session, now, track("Order Completed", {"order_id": "1", "total": 50, "currency": "ILS"}, at=now, user_id="anna"))
    assert session.scalar(text("SELECT taken FROM outbox")) == "exit:Order Completed"
