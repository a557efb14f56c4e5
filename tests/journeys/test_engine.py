"""Runs on the real database, moved by the pipeline."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.events.models import HISTORY
from crm.events.spec import Accepted, Call
from journeys import board, graph, install, publish
from journeys.engine import wake_due
from journeys.node import Node, Run, Sentence, Settings, Step
from tests.makers import accepted, config, identify, product, track
from workers import pipeline

CONFIG = config()
HELLO: dict[str, Any] = {
    "name": {"en": "Hello"},
    "trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}},
    "entry": "mail",
    "nodes": {"mail": {"kind": "send", "settings": {"template": "hello"}, "exits": {"next": "end"}}, "end": {"kind": "stop"}},
}


def minutes(n: float) -> dt.timedelta:
    return dt.timedelta(minutes=n)


@pytest.fixture(autouse=True)
def shop(session: Session, now: dt.datetime) -> None:
    """The recipe live, and the templates it and the tests send."""
    for name in ("abandoned_cart", "hello"):
        session.execute(
            text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES (:n, 'email', 'offers', 'marketing', 1) ON CONFLICT DO NOTHING"),
            {"n": name},
        )
    install.install(session, now)


def go(session: Session, now: dt.datetime, *calls: Call, **how: Any) -> list[Accepted]:
    """Let calls happen, accepted now."""
    batch = [accepted(call, now, **how) for call in calls]
    pipeline.run(session, batch, now, CONFIG)
    return batch


def added(at: dt.datetime, who: str = "anna", **more: Any) -> Call:
    return track("Product Added", product("vase", **more), at=at, user_id=who)


def ordered(at: dt.datetime, who: str = "anna", **more: Any) -> Call:
    return track("Order Completed", {"order_id": f"o-{who}-{at.timestamp()}", "total": 10, "currency": "ILS", **more}, at=at, user_id=who)


def runs(session: Session) -> list[tuple[str, str | None]]:
    return [(row.status, row.end_reason) for row in session.execute(text("SELECT status, end_reason FROM runs ORDER BY started_at, id"))]


def messages(session: Session) -> list[tuple[str, str]]:
    return [(row.template, row.status) for row in session.execute(text("SELECT template, status FROM messages ORDER BY created_at, id"))]


def waiting(session: Session) -> int:
    return session.scalar(text("SELECT count(*) FROM wakeups")) or 0


def refusals(session: Session) -> list[str]:
    return list(session.scalars(text("SELECT reason FROM entry_refusals ORDER BY id")))


def test_a_cart_left_for_an_hour_asks_for_one_message(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    assert wake_due(session, now + minutes(59), 100, CONFIG) == 0
    assert wake_due(session, now + minutes(60), 100, CONFIG) == 1
    assert messages(session) == [("abandoned_cart", "queued")]
    assert runs(session) == [("done", "finished")]
    steps = session.execute(text("SELECT node, exit FROM run_steps ORDER BY number")).all()
    assert [tuple(step) for step in steps] == [("wait", "timed_out"), ("remind", "next"), ("end", "finished")]
    wanted = session.execute(text("SELECT relevant_if, data, journey FROM messages")).one()
    assert wanted.relevant_if["cart"] == {"source_id": 10, "key": None, "at": now.isoformat()}
    assert (wanted.data["cart"], wanted.journey) == (wanted.relevant_if["cart"], "abandoned_cart")


def test_a_wake_up_done_twice_asks_once(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    later = now + minutes(61)
    row = session.execute(text("SELECT run_id, profile_id, due_at FROM wakeups")).one()
    wake_due(session, later, 100, CONFIG)
    again = text("INSERT INTO wakeups VALUES (:r, :p, :d)")
    session.execute(again, {"r": row.run_id, "p": row.profile_id, "d": row.due_at})
    assert wake_due(session, later, 100, CONFIG) == 1
    assert (len(messages(session)), waiting(session)) == (1, 0)


def test_an_order_ends_the_run_at_once(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    go(session, now + minutes(5), ordered(now + minutes(5)))
    assert runs(session) == [("done", "exit:Order Completed")]
    assert (waiting(session), messages(session)) == (0, [])


def test_an_order_already_in_the_log_ends_the_run_before_its_first_step(session: Session, now: dt.datetime) -> None:
    go(session, now, ordered(now - minutes(1)))
    go(session, now, added(now - minutes(2)))
    assert runs(session) == [("done", "exit:Order Completed")]
    assert session.scalar(text("SELECT count(*) FROM run_steps")) == 0


def test_an_order_from_before_the_cart_ends_nothing(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now - minutes(2)))
    go(session, now, ordered(now - minutes(3)))
    assert runs(session) == [("active", None)]


def test_an_imported_order_ends_a_run_and_an_imported_cart_starts_none(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now, "other"), origin=HISTORY)
    assert runs(session) == []
    go(session, now, added(now))
    go(session, now, ordered(now + minutes(0)), origin=HISTORY)
    assert runs(session) == [("done", "exit:Order Completed")]


def test_an_order_withdraws_a_message_of_a_run_under_way(session: Session, now: dt.datetime) -> None:
    slow = HELLO | {"exit_on": ["Order Completed"]}
    rest = {"kind": "wait", "settings": {"for": "1d"}, "exits": {"next": "end"}}
    slow["nodes"] = HELLO["nodes"] | {"mail": HELLO["nodes"]["mail"] | {"exits": {"next": "rest"}}, "rest": rest}
    publish.publish(session, "slow", slow, now=now)
    go(session, now, track("Signed Up", at=now, user_id="anna"))
    assert messages(session) == [("hello", "queued")]
    go(session, now, ordered(now))
    assert messages(session) == [("hello", "dropped")]


def test_a_trigger_too_late_is_refused_visibly(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now - dt.timedelta(hours=7)))
    assert (runs(session), refusals(session)) == ([], ["too_late"])


def test_one_cart_gets_one_run_for_ever(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now, cart_id="c1"), added(now, cart_id="c1"), added(now, cart_id="c2"))
    assert len(runs(session)) == 2
    wake_due(session, now + minutes(61), 100, CONFIG)
    go(session, now + minutes(62), added(now + minutes(62), cart_id="c1"))
    assert (len(runs(session)), refusals(session)) == (2, ["already_in"])


def test_touching_the_cart_puts_the_reminder_off(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    go(session, now + minutes(50), added(now + minutes(50)))
    wake_due(session, now + minutes(61), 100, CONFIG)
    assert (messages(session), waiting(session)) == ([], 1)
    wake_due(session, now + minutes(111), 100, CONFIG)
    assert len(messages(session)) == 1


def test_joining_makes_one_run_of_two_and_an_order_elsewhere_ends_it(session: Session, now: dt.datetime) -> None:
    go(session, now - minutes(3), track("Product Added", product("vase"), at=now - minutes(3), anonymous_id="phone"))
    go(session, now - minutes(2), track("Product Added", product("cup"), at=now - minutes(2), user_id="anna"))
    assert [status for status, _ in runs(session)] == ["active", "active"]
    go(session, now, identify({"name": "Anna"}, at=now, anonymous_id="phone", user_id="anna"))
    assert runs(session) == [("active", None), ("done", "merged")]
    assert len(set(session.scalars(text("SELECT profile_id FROM runs")))) == 1
    go(session, now + minutes(1), added(now + minutes(1)))
    assert len(runs(session)) == 2
    go(session, now + minutes(2), ordered(now + minutes(2)))
    assert runs(session) == [("done", "exit:Order Completed"), ("done", "merged")]


def test_joining_runs_of_the_same_named_cart_keeps_the_older(session: Session, now: dt.datetime) -> None:
    named = product("vase", cart_id="c1")
    go(session, now - minutes(3), track("Product Added", named, at=now - minutes(3), anonymous_id="phone"))
    go(session, now - minutes(2), track("Product Added", named, at=now - minutes(2), user_id="anna"))
    go(session, now, identify({"name": "Anna"}, at=now, anonymous_id="phone", user_id="anna"))
    assert runs(session) == [("active", None), ("done", "merged")]
    assert waiting(session) == 1


def test_pause_holds_and_resume_goes_on(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    publish.pause(session, "abandoned_cart", now=now)
    assert wake_due(session, now + minutes(90), 100, CONFIG) == 0
    go(session, now + minutes(10), added(now + minutes(10), "bella"))
    assert (len(runs(session)), waiting(session), messages(session)) == (2, 0, [])
    publish.resume(session, "abandoned_cart", now=now)
    assert wake_due(session, now + minutes(90), 100, CONFIG) == 2
    assert len(messages(session)) == 2


def test_an_event_in_a_pause_is_not_lost(session: Session, now: dt.datetime) -> None:
    waits = HELLO | {"entry": "rest"}
    rest = {"kind": "wait", "settings": {"for": "1d", "until": ["Replied"]}, "exits": {"timed_out": "end", "happened": "mail"}}
    waits["nodes"] = HELLO["nodes"] | {"rest": rest}
    publish.publish(session, "waits", waits, now=now)
    go(session, now, track("Signed Up", at=now, user_id="anna"))
    publish.pause(session, "waits", now=now)
    go(session, now + minutes(1), track("Replied", at=now + minutes(1), user_id="anna"))
    assert messages(session) == []
    publish.resume(session, "waits", now=now)
    wake_due(session, now + minutes(2), 100, CONFIG)
    assert messages(session) == [("hello", "queued")]


def test_stopping_ends_every_run(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now), added(now, "bella"))
    assert publish.stop(session, "abandoned_cart", now=now) == 2
    assert runs(session) == [("done", "stopped")] * 2
    go(session, now, added(now, "cora"))
    assert (len(runs(session)), waiting(session)) == (2, 0)


def test_a_stopped_journey_begins_again_with_whoever_comes_then(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    publish.stop(session, "abandoned_cart", now=now)
    publish.resume(session, "abandoned_cart", now=now + minutes(1))
    go(session, now + minutes(2), added(now + minutes(2), "bella"))
    assert runs(session) == [("done", "stopped"), ("active", None)]


def test_what_was_done_elsewhere_ends_the_run_once_both_are_one(session: Session, now: dt.datetime) -> None:
    go(session, now - minutes(3), added(now - minutes(3)))
    order = track("Order Completed", {"order_id": "1", "total": 10, "currency": "ILS"}, at=now - minutes(2), anonymous_id="phone")
    go(session, now - minutes(2), order)
    assert runs(session) == [("active", None)]
    go(session, now, identify({"name": "Anna"}, at=now, anonymous_id="phone", user_id="anna"))
    assert (runs(session), waiting(session)) == ([("done", "exit:Order Completed")], 0)


def test_a_run_stays_on_its_version(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    publish.publish(session, "abandoned_cart", HELLO | {"name": {"en": "Other"}}, now=now)
    wake_due(session, now + minutes(61), 100, CONFIG)
    assert messages(session) == [("abandoned_cart", "queued")]
    assert install.install(session, now) == []
    assert session.scalar(text("SELECT max(number) FROM journey_versions")) == 2


def test_installing_again_changes_nothing(session: Session, now: dt.datetime) -> None:
    assert install.install(session, now) == []
    assert session.scalar(text("SELECT count(*) FROM journey_versions")) == 1


def test_only_what_can_be_done_is_done(session: Session, now: dt.datetime) -> None:
    with pytest.raises(InvalidError, match="only a paused, broken or stopped journey"):
        publish.resume(session, "abandoned_cart", now=now)
    publish.pause(session, "abandoned_cart", now=now)
    with pytest.raises(InvalidError, match="only a live journey"):
        publish.pause(session, "abandoned_cart", now=now)


class Nothing(Settings):
    """No settings."""


class Fragile(Node[Nothing]):
    """Raises for as long as it is told to."""

    kind = "fragile"
    title = _l("Fragile")
    settings_type = Nothing
    whole: ClassVar[bool] = False

    def exits(self, settings: Nothing) -> dict[str, str]:
        return {"next": ""}

    def step(self, settings: Nothing, run: Run) -> Step:
        if not self.whole:
            raise RuntimeError("it fell apart")
        return graph.NODES["send"].step(graph.NODES["send"].settings_type(template="hello"), run)

    def summary(self, settings: Nothing) -> Sentence:
        return Sentence("Fragile")


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(graph, "NODES", dict(graph.NODES) | {"fragile": Fragile()})
    yield
    board._parsed.clear()


@pytest.mark.usefixtures("fragile")
def test_a_node_that_raises_breaks_its_journey_and_nothing_else(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = HELLO | {"nodes": {"mail": {"kind": "fragile", "exits": {"next": "end"}}, "end": {"kind": "stop"}}}
    publish.publish(session, "fragile", drawing, now=now)
    go(session, now, track("Signed Up", at=now, user_id="anna"), track("Signed Up", at=now, user_id="bella"), added(now))
    broken = session.execute(text("SELECT status, problem FROM journeys WHERE slug = 'fragile'")).one()
    assert tuple(broken) == ("broken", "node 'mail': RuntimeError: it fell apart")
    assert session.scalar(text("SELECT count(*) FROM runs WHERE status = 'active'")) == 3
    assert session.scalars(text("SELECT error FROM runs WHERE error IS NOT NULL")).all() == ["node 'mail': RuntimeError: it fell apart"]
    go(session, now, track("Signed Up", at=now, user_id="cora"))
    assert refusals(session) == ["broken"]
    assert session.scalar(text("SELECT count(*) FROM events")) == 4
    wake_due(session, now + minutes(61), 100, CONFIG)
    assert messages(session) == [("abandoned_cart", "queued")]
    monkeypatch.setattr(Fragile, "whole", True)
    publish.resume(session, "fragile", now=now)
    wake_due(session, now + minutes(61), 100, CONFIG)
    assert sorted(messages(session)) == [("abandoned_cart", "queued"), ("hello", "queued"), ("hello", "queued")]


def test_a_version_that_can_no_longer_be_read_breaks_its_journey(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "hello", HELLO, now=now)
    session.execute(text("UPDATE journey_versions SET graph = '{}' WHERE journey_id = (SELECT id FROM journeys WHERE slug = 'hello')"))
    go(session, now, track("Signed Up", at=now, user_id="anna"))
    status, problem = session.execute(text("SELECT status, problem FROM journeys WHERE slug = 'hello'")).one()
    assert status == "broken"
    assert "the journey: trigger: this is needed" in problem


def test_an_older_version_that_can_no_longer_be_read_breaks_its_journey_where_people_stand_on_it(session: Session, now: dt.datetime) -> None:
    wait = HELLO | {"entry": "rest", "nodes": HELLO["nodes"] | {"rest": {"kind": "wait", "settings": {"for": "1h"}, "exits": {"next": "mail"}}}}
    publish.publish(session, "hello", wait, now=now)
    go(session, now, track("Signed Up", at=now, user_id="anna"))
    publish.publish(session, "hello", HELLO, now=now)
    session.execute(text("UPDATE journey_versions SET graph = '{}', published_at = now() WHERE graph->>'entry' = 'rest'"))
    wake_due(session, now + minutes(61), 100, CONFIG)
    status, problem = session.execute(text("SELECT status, problem FROM journeys WHERE slug = 'hello'")).one()
    assert (status, "version 1" in problem, runs(session)) == ("broken", True, [("active", None)])


def test_a_chain_of_causes_comes_to_an_end(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "hello", HELLO, now=now)
    call = accepted(track("Signed Up", at=now, user_id="anna"), now)
    pipeline.run(session, [replace(call, hops=8)], now, CONFIG)
    assert (messages(session), refusals(session)) == ([], ["too_many_hops"])


def test_a_loop_sends_each_round_once(session: Session, now: dt.datetime) -> None:
    rest = {"kind": "wait", "settings": {"for": "1d"}, "exits": {"next": "mail"}}
    weekly = HELLO | {"nodes": {"mail": HELLO["nodes"]["mail"] | {"exits": {"next": "rest"}}, "rest": rest}}
    publish.publish(session, "weekly", weekly, now=now)
    go(session, now, track("Signed Up", at=now, user_id="anna"))
    for day in range(1, 4):
        wake_due(session, now + dt.timedelta(days=day), 100, CONFIG)
    assert session.scalars(text("SELECT round FROM messages ORDER BY round")).all() == [0, 1, 2, 3]


def test_time_scale_is_applied_when_the_due_time_is_written(session: Session, now: dt.datetime) -> None:
    fast = config(time_scale=60.0)
    pipeline.run(session, [accepted(added(now), now)], now, fast)
    assert session.scalar(text("SELECT due_at FROM wakeups")) == now + minutes(1)
    assert session.scalar(text("SELECT entered_at FROM runs")) == now


def test_the_beginning_and_the_end_of_a_run_are_events(session: Session, now: dt.datetime) -> None:
    go(session, now, added(now))
    go(session, now, ordered(now + minutes(0)))
    begun, ended = session.scalars(text("SELECT body FROM event_inbox WHERE cause LIKE 'run:%' ORDER BY id")).all()
    assert "Journey Started" in begun
    assert "Journey Ended" in ended
    assert "exit:Order Completed" in ended
