"""A period lived again: what a drawing would have done, and that runs of then go the same way when they are decided anew."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError
from journeys import backtest, backtest_read, drafts, past, publish
from journeys.backtest_models import Backtest
from tests.databases import Databases
from tests.journeys import history
from tests.makers import config

CONFIG = config()
DAYS, PEOPLE = 3, 200
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def week(databases: Databases) -> Iterator[tuple[Engine, dt.datetime]]:
    """A database that has lived through some days."""
    with databases.copy() as url:
        made = engine_for(url)
        began = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0) - dt.timedelta(days=DAYS + 1)
        history.make(made, began, CONFIG, people=PEOPLE, days=DAYS)
        yield made, began
        made.dispose()


def now_of(began: dt.datetime) -> dt.datetime:
    return began + dt.timedelta(days=DAYS, hours=12)


def run(engine: Engine, slug: str, kind: backtest.Kind, period: tuple[dt.datetime, dt.datetime], **settings: Any) -> Backtest:
    """Ask for it and work until it is over."""
    maker = sessions(engine)
    with maker() as session:
        asked = backtest.ask(session, slug, kind=kind, period=period, settings=settings, now=dt.datetime.now(dt.UTC), by="noa")
        session.commit()
    while backtest.work(maker, CONFIG):
        pass
    with maker() as session:
        return session.get_one(Backtest, asked.id)


@pytest.mark.parametrize("slug", list(history.DRAWINGS))
def test_every_run_decided_anew_goes_the_way_it_went(week: tuple[Engine, dt.datetime], slug: str) -> None:
    engine, began = week
    found = run(engine, slug, "replay", (began, now_of(began)))
    assert (found.status, found.error) == ("done", "")
    assert found.report["differences"] == []
    with Session(engine) as session:
        there = session.scalar(text("SELECT count(*) FROM runs r JOIN journeys j ON j.id = r.journey_id WHERE slug = :slug"), {"slug": slug})
    assert found.report["same"] == found.report["runs"] == there
    assert there and there > 50


def test_the_history_took_every_kind_of_turn(week: tuple[Engine, dt.datetime]) -> None:
    """Else the replay above would prove little."""
    with Session(week[0]) as session:
        steps = text("SELECT j.slug || ' ' || s.node || ' ' || s.exit FROM run_steps s JOIN runs r ON r.id = s.run_id JOIN journeys j ON j.id = r.journey_id")
        taken = set(session.scalars(steps))
        refused = set(session.scalars(text("SELECT reason FROM entry_refusals")))
    assert {"cart code next", "cart code none", "cart half a", "cart half b", "cart day happened", "cart again next", "hello few next"} <= taken
    assert {"hello plan gold", "hello plan otherwise", "hello wait happened", "look wait happened", "after mail next"} <= taken
    assert {"asks ask often", "asks ask inside", "asks ask looked", "asks ask otherwise"} <= taken
    assert {"held_out", "already_in", "too_soon", "one_at_a_time"} <= refused


def altered(engine: Engine, change: str, back: str, slug: str, began: dt.datetime) -> dict[str, Any]:
    """A replay while one row says otherwise."""
    with engine.begin() as connection:
        connection.execute(text(change))
    try:
        return dict(run(engine, slug, "replay", (began, now_of(began))).report)
    finally:
        with engine.begin() as connection:
            connection.execute(text(back))


def test_a_run_that_went_another_way_is_listed_with_both_ways(week: tuple[Engine, dt.datetime]) -> None:
    engine, began = week
    with Session(engine) as session:
        one = session.scalar(text("SELECT run_id FROM run_steps WHERE node = 'half' AND exit = 'a' LIMIT 1"))
    steps = "UPDATE run_steps SET exit = '{}' WHERE node = 'half' AND run_id = '{}'"
    found = altered(engine, steps.format("b", one), steps.format("a", one), "cart", began)
    (told,) = found["differences"]
    assert (told["run"], told["cause"], found["causes"]) == (str(one), "facts", {"facts": 1})
    assert "half/b" in told["then"] and "half/a" in told["now"]
    assert found["same"] == found["runs"] - 1


def test_a_run_whose_event_left_the_log_says_so(week: tuple[Engine, dt.datetime]) -> None:
    engine, began = week
    with Session(engine) as session:
        one = session.execute(text("SELECT id, start->>'accepted' AS accepted FROM runs WHERE start->>'name' = 'Signed Up' LIMIT 1")).one()
    name = "UPDATE events SET name = '{}' WHERE accepted = {}"
    found = altered(engine, name.format("Gone", one.accepted), name.format("Signed Up", one.accepted), "hello", began)
    assert (str(one.id), "event_gone") in [(each["run"], each["cause"]) for each in found["differences"]]


def test_what_would_have_happened_adds_up(week: tuple[Engine, dt.datetime]) -> None:
    engine, began = week
    found = run(engine, "cart", "what_if", (began, now_of(began)), too_many=1).report
    edges, nodes = found["edges"], found["nodes"]
    assert found["started"] == sum(found["ends"].values()) + sum(found["standing"].values()) == nodes["wait"]
    for node in nodes:
        left = sum(count for name, count in edges.items() if name.startswith(f"{node}/"))
        assert nodes[node] >= left
    asked = edges["remind/next"] + edges.get("again/next", 0)
    assert found["sent"] + sum(found["held"].values()) == asked
    assert found["held"]["no_consent"] > 0
    assert sum(count for day in found["days"].values() for count in day.values()) == found["sent"]
    assert found["collisions"]["people"] > 0
    assert set(found["collisions"]["with"]) <= {"itself", "hello", "look", "after"}


def test_what_chance_and_pools_do_not_decide_comes_out_as_it_really_did(week: tuple[Engine, dt.datetime]) -> None:
    engine, began = week
    found = run(engine, "look", "what_if", (began, began + dt.timedelta(days=DAYS))).report
    with Session(engine) as session:
        real = text("SELECT count(*) FROM runs r JOIN journeys j ON j.id = r.journey_id WHERE slug = 'look'")
        assert found["started"] == session.scalar(real)


def test_prices_of_channels_make_a_cost(week: tuple[Engine, dt.datetime]) -> None:
    engine, began = week
    with Session(engine) as session:
        backtest.set_price(session, "email", Decimal("0.05"), "ILS")
        session.commit()
    (cost,) = run(engine, "hello", "what_if", (began, now_of(began))).report["cost"]
    assert (cost["price"], cost["currency"]) == ("0.05", "ILS")
    assert Decimal(cost["total"]) == Decimal("0.05") * cost["messages"] > 0


def table_counts(engine: Engine) -> dict[str, int]:
    """Rows inserted, updated and deleted in each table, ever. What a connection has counted is told at the latest when it ends."""
    engine.dispose()
    with engine.connect() as connection:
        others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        until = time.monotonic() + 60
        while connection.scalar(others):
            assert time.monotonic() < until
            time.sleep(0.01)
        rows = connection.execute(text("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS n FROM pg_stat_user_tables"))
        return {row.relname: row.n for row in rows}


def test_it_writes_its_own_row_and_nothing_else(week: tuple[Engine, dt.datetime]) -> None:
    engine, began = week
    before = table_counts(engine)
    run(engine, "cart", "what_if", (began, now_of(began)))
    run(engine, "cart", "replay", (began, now_of(began)))
    after = table_counts(engine)
    assert {name for name, count in after.items() if count != before.get(name)} == {"backtests"}


WRITES = ("UPDATE profiles SET name = ''", "INSERT INTO templates VALUES ('x', 'email', '', 'marketing', 1)", "DELETE FROM runs", "DELETE FROM backtests")


@pytest.mark.parametrize("reads_only", [True, False])
@pytest.mark.parametrize("write", WRITES)
def test_the_database_refuses_a_backtest_every_other_write(week: tuple[Engine, dt.datetime], write: str, reads_only: bool) -> None:
    with Session(week[0]) as session:
        assert backtest_read.narrow(session, reads_only=reads_only)
        with pytest.raises(DBAPIError, match="permission denied|read-only"):
            session.execute(text(write))


def test_without_the_role_reading_is_read_only_all_the_same(week: tuple[Engine, dt.datetime], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, began = week
    monkeypatch.setattr(backtest_read, "ROLE", "nobody_made_this_role")
    with Session(engine) as session:
        assert not backtest_read.narrow(session)
        with pytest.raises(DBAPIError, match="read-only"):
            session.execute(text(WRITES[0]))
    assert run(engine, "look", "what_if", (began, now_of(began))).status == "done"


class KilledError(BaseException):
    """As if the process were gone: nothing after it runs."""


def test_a_killed_worker_goes_on_where_it_was(week: tuple[Engine, dt.datetime], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, began = week
    whole = run(engine, "cart", "what_if", (began, now_of(began))).report
    monkeypatch.setattr(backtest, "BATCH", 7)
    maker, steps = sessions(engine), [0]

    def dying(*args: Any, **how: Any) -> Any:
        steps[0] += 1
        if steps[0] % 3 == 0:
            raise KilledError
        return real(*args, **how)

    real = backtest._live_again
    monkeypatch.setattr(backtest, "_live_again", dying)
    with maker() as session:
        asked = backtest.ask(session, "cart", kind="what_if", period=(began, now_of(began)), settings={}, now=dt.datetime.now(dt.UTC), by=None)
        session.commit()
    deaths = 0
    while True:
        try:
            if not backtest.work(maker, CONFIG, seconds=0.02):
                break
        except KilledError:
            deaths += 1
    with maker() as session:
        row = session.get_one(Backtest, asked.id)
    assert deaths > 3
    assert (row.status, row.report) == ("done", whole)


def test_what_kills_every_worker_is_given_up_and_shown(week: tuple[Engine, dt.datetime], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, began = week
    maker = sessions(engine)

    def dying(*_args: Any, **_how: Any) -> Any:
        raise KilledError

    monkeypatch.setattr(backtest, "_live_again", dying)
    monkeypatch.setattr(backtest, "TRIES", 3)
    with maker() as session:
        asked = backtest.ask(session, "look", kind="what_if", period=(began, now_of(began)), settings={}, now=dt.datetime.now(dt.UTC), by=None)
        session.commit()
    for _ in range(3):
        with pytest.raises(KilledError):
            backtest.work(maker, CONFIG)
    assert backtest.work(maker, CONFIG) == 1
    with maker() as session:
        row = session.get_one(Backtest, asked.id)
    assert (row.status, row.error) == ("failed", str(backtest.KILLED))


def test_a_cancelled_one_stops_and_a_broken_one_says_why(week: tuple[Engine, dt.datetime], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, began = week
    maker, now = sessions(engine), dt.datetime.now(dt.UTC)
    with maker() as session:
        asked = backtest.ask(session, "look", kind="what_if", period=(began, now_of(began)), settings={}, now=now, by=None)
        assert backtest.cancel(session, asked.id, now)
        session.commit()
    assert backtest.work(maker, CONFIG) == 0

    def failing(*_args: Any, **_how: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr(backtest, "_live_again", failing)
    assert run(engine, "look", "what_if", (began, now_of(began))).error == str(backtest.BROKEN)


def test_workers_give_it_one_process_and_a_command_more(week: tuple[Engine, dt.datetime]) -> None:
    engine, began = week
    maker, now = sessions(engine), dt.datetime.now(dt.UTC)
    with maker() as session:
        asked = backtest.ask(session, "look", kind="what_if", period=(began, now_of(began)), settings={}, now=now, by=None)
        session.commit()
    with maker() as busy:
        busy.execute(text("SELECT pg_advisory_xact_lock(:one)"), {"one": backtest.ONE})
        assert backtest.work(maker, CONFIG) == 0
        assert backtest.work(maker, CONFIG, alone=False) == 1
    with maker() as session:
        assert backtest.cancel(session, asked.id, now)
        session.commit()


@pytest.mark.parametrize(("since", "until", "said"), [(1, 5, "begin before"), (-1, -2, "begin before"), (500, 1, "400 days")])
def test_a_period_that_cannot_be_is_refused(session: Session, now: dt.datetime, since: int, until: int, said: str) -> None:
    publish.publish(session, "look", history.LOOK, now=now)
    period = (now - dt.timedelta(days=since), now - dt.timedelta(days=until))
    with pytest.raises(InvalidError, match=said):
        backtest.ask(session, "look", kind="what_if", period=period, settings={}, now=now, by=None)


def test_what_was_folded_since_is_not_compared_step_by_step(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "look", history.LOOK, now=now)
    asked: dict[str, Any] = {"settings": {}, "now": now, "by": None}
    since = now - past.KEEP
    assert backtest.ask(session, "look", kind="replay", period=(since, now), **asked).id
    assert backtest.ask(session, "look", kind="what_if", period=(since - dt.timedelta(days=9), now), **asked).id
    with pytest.raises(InvalidError, match=f"{past.KEEP.days} days"):
        backtest.ask(session, "look", kind="replay", period=(since - dt.timedelta(days=1), now), **asked)


def test_a_draft_that_is_not_whole_is_refused_with_what_is_wrong(session: Session, now: dt.datetime) -> None:
    journey = drafts.create(session, recipe=None, name={"en": "Half"}, now=now, by=None)
    period = (now - dt.timedelta(days=1), now)
    with pytest.raises(InvalidError, match="the trigger: event: this is needed"):
        backtest.ask(session, journey.slug, kind="what_if", period=period, settings={}, now=now, by=None, draft=True)
    with pytest.raises(InvalidError, match="never published"):
        backtest.ask(session, journey.slug, kind="replay", period=period, settings={}, now=now, by=None)
