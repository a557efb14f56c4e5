"""Who may come again, who is left out, and what nodes get from the engine: on the real database, moved by the pipeline."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.db import engine_for, sessions
from crm.events import inbox
from crm.events.read import read
from journeys import past, publish
from journeys.engine import wake_due
from journeys.entry import Earlier, Holdout, Reentry, held_out, part, refusal
from journeys.graph import parse
from journeys.simulate import Somebody, simulate, tell
from tests.makers import accepted, config, identify, track
from workers import pipeline

CONFIG = config()
NOON = dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC)
hour, day = dt.timedelta(hours=1), dt.timedelta(days=1)


def drawing(nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A journey that starts with `Signed Up`, its nodes in a row."""
    names = list(nodes)
    row = {name: {"exits": {"next": after}} | nodes[name] for name, after in zip(names, [*names[1:], "end"], strict=True)}
    trigger = {"kind": "event", "settings": {"event": "Signed Up", "key": more.pop("key", "profile")} | more.pop("trigger", {})}
    return {"name": {"en": "Try"}, "trigger": trigger, "entry": names[0], "nodes": row | {"end": {"kind": "stop"}}} | more


WAIT = {"wait": {"kind": "wait", "settings": {"for": "1h"}}}


def go(session: Session, now: dt.datetime, *calls: Any) -> None:
    pipeline.run(session, [accepted(call, now) for call in calls], now, CONFIG)


def signed(at: dt.datetime, who: str = "anna", **said: Any) -> Any:
    return track("Signed Up", said, at=at, user_id=who)


def runs(session: Session) -> list[tuple[str, str | None]]:
    return [(row.status, row.end_reason) for row in session.execute(text("SELECT status, end_reason FROM runs ORDER BY started_at, id"))]


def refused(session: Session) -> list[str]:
    return list(session.scalars(text("SELECT reason FROM entry_refusals ORDER BY id")))


@pytest.mark.parametrize(
    ("again", "at_once", "then", "later"),
    [
        ("once", "one_per_key", None, "already_in"),
        ("after_exit", "one_per_key", None, None),
        ("after_interval", "one_per_key", None, "too_soon"),
        ("every_time", "unlimited", None, None),
        ("every_time", "one_per_key", "under_way", None),
        ("after_exit", "unlimited", "under_way", None),
    ],
)
def test_coming_again(again: str, at_once: str, then: str | None, later: str | None) -> None:
    rule = Reentry.model_validate({"again": again, "at_once": at_once} | ({"interval": "7d"} if again == "after_interval" else {}))
    assert refusal(rule, "k", [], NOON) is None
    going = refusal(rule, "k", [Earlier("k", NOON, active=True)], NOON + hour)
    assert going == (then if again == "every_time" else "under_way")
    assert refusal(rule, "k", [Earlier("k", NOON, active=False)], NOON + hour) == later
    assert refusal(rule, "k", [Earlier("k", NOON, active=False)], NOON + 8 * day) == ("already_in" if again == "once" else None)


def test_one_for_each_person_whatever_it_is_about() -> None:
    rule = Reentry(again="every_time", at_once="one_per_profile")
    assert refusal(rule, "b", [Earlier("a", NOON, active=True)], NOON) == "one_at_a_time"
    assert refusal(rule, "b", [Earlier("a", NOON, active=False)], NOON) is None


def test_again_after_the_exit_and_not_before(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "again", drawing(WAIT, reentry={"again": "after_exit"}), now=now)
    go(session, now, signed(now))
    go(session, now, signed(now))
    assert runs(session) == [("active", None)]
    wake_due(session, now + hour, 10, CONFIG)
    go(session, now + 2 * hour, signed(now + 2 * hour))
    assert runs(session) == [("done", "finished"), ("active", None)]


def test_a_property_tells_runs_apart_and_without_it_nothing_starts(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "orders", drawing(WAIT, key="property", trigger={"key_property": "order"}), now=now)
    go(session, now, signed(now, order="1"), signed(now, order="2"), signed(now, order="2"), signed(now))
    assert (len(runs(session)), refused(session)) == (2, ["no_key"])


def test_too_soon_is_written_down(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "again", drawing(WAIT, reentry={"again": "after_interval", "interval": "7d"}), now=now)
    go(session, now, signed(now))
    wake_due(session, now + hour, 10, CONFIG)
    go(session, now + day, signed(now + day))
    assert (len(runs(session)), refused(session)) == (1, ["too_soon"])


def test_a_share_is_left_out_for_ever_and_told_once(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "measured", drawing(WAIT, key="event", holdout={"percent": 50}), now=now)
    go(session, now, *(signed(now, f"u{n}") for n in range(40)))
    arms = dict(session.execute(text("SELECT arm, count(*) FROM journey_arms GROUP BY arm")).all())
    assert sum(arms.values()) == 40 and 5 < arms["out"] < 35
    assert (len(runs(session)), refused(session)) == (arms["in"], ["held_out"] * arms["out"])
    go(session, now, *(signed(now, f"u{n}") for n in range(40)))
    assert (len(runs(session)), len(refused(session))) == (2 * arms["in"], arms["out"])


def test_a_larger_share_keeps_whom_the_smaller_left_out() -> None:
    small, large = Holdout(percent=5), Holdout(percent=20)
    out = [bucket for bucket in range(10_000) if held_out(bucket, small, "j")]
    assert 400 < len(out) < 600
    assert all(held_out(bucket, large, "j") for bucket in out)
    assert sum(part(bucket, "a") < 5000 and part(bucket, "b") < 5000 for bucket in range(10_000)) in range(2300, 2700)


def test_a_join_of_both_arms_is_mixed_and_stays_out(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "measured", drawing(WAIT, key="event", holdout={"percent": 50}), now=now)
    go(session, now, *(track("Signed Up", {}, at=now, anonymous_id=f"a{n}") for n in range(30)))
    arms = session.execute(text("SELECT i.value, a.arm FROM journey_arms a JOIN identities i ON i.profile_id = a.profile_id")).all()
    out, inside = (next(row.value for row in arms if row.arm == arm) for arm in ("out", "in"))
    go(session, now, identify(at=now, anonymous_id=out, user_id="joined"), identify(at=now, anonymous_id=inside, user_id="joined"))
    assert session.scalars(text("SELECT arm FROM journey_arms WHERE profile_id = (SELECT profile_id FROM identities WHERE value = 'joined')")).all() == [
        "mixed"
    ]


def test_a_goal_ends_the_run_only_where_its_conditions_hold(session: Session, now: dt.datetime) -> None:
    rule = {"event": "Order Completed", "where": [{"name": "total", "op": "at_least", "value": 100}], "goal": True}
    publish.publish(session, "goal", drawing(WAIT, exit_on=[rule]), now=now)
    go(session, now, signed(now))
    go(session, now, track("Order Completed", {"order_id": "1", "total": 50, "currency": "ILS"}, at=now, user_id="anna"))
    assert runs(session) == [("active", None)]
    go(session, now, track("Order Completed", {"order_id": "2", "total": 150, "currency": "ILS"}, at=now, user_id="anna"))
    assert runs(session) == [("done", "goal:Order Completed")]


def test_coupons_are_given_once_and_never_twice(session: Session, now: dt.datetime) -> None:
    session.execute(text("INSERT INTO coupons (pool, code) SELECT 'spring', 'S' || n FROM generate_series(1, 3) n"))
    session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('gift', 'email', 'offers', 'marketing', 1)"))
    gift = {"gift": {"kind": "coupon", "settings": {"pool": "spring"}, "exits": {"next": "mail", "none": "end"}}}
    mail = {"mail": {"kind": "send", "settings": {"template": "gift"}}}
    publish.publish(session, "gifts", drawing(gift | mail), now=now)
    go(session, now, *(signed(now, f"u{n}") for n in range(5)))
    exits = session.scalars(text("SELECT exit FROM run_steps WHERE node = 'gift' ORDER BY exit")).all()
    assert exits == ["next"] * 3 + ["none"] * 2
    assert sorted(session.scalars(text("SELECT data->'coupon'->>'code' FROM messages"))) == ["S1", "S2", "S3"]
    assert session.scalar(text("SELECT count(DISTINCT run_id) FROM coupons WHERE given_at IS NOT NULL")) == 3


def test_a_rate_limit_lets_so_many_through_and_the_others_wait_their_turn(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "slow", drawing({"limit": {"kind": "rate_limit", "settings": {"limit": 2, "per": "1h"}}}), now=now)
    go(session, now, *(signed(now, f"u{n}") for n in range(5)))
    assert [status for status, _ in runs(session)].count("done") == 2
    done = []
    for hours in (1, 2, 3):
        wake_due(session, now + hours * hour, 10, CONFIG)
        done.append([status for status, _ in runs(session)].count("done"))
    assert done == [4, 5, 5]


def test_what_a_node_says_comes_back_through_the_log_once(session: Session, now: dt.datetime) -> None:
    level = {"level": {"kind": "set_trait", "settings": {"trait": "level", "value": "gold"}}}
    say = {"say": {"kind": "send_event", "settings": {"event": "Became Gold", "properties": {"by": "journey"}}}}
    publish.publish(session, "loyal", drawing(level | say), now=now)
    go(session, now, signed(now))
    rows = inbox.claim(session, 100)
    said = [read(row) for row in rows]
    assert [(each.call.type, each.hops) for each in said] == [("track", 1), ("identify", 1), ("track", 1), ("track", 1)]
    assert len({each.call.message_id for each in said}) == 4
    pipeline.run(session, said, now, CONFIG)
    assert session.scalar(text("SELECT traits->>'level' FROM profiles")) == "gold"
    assert session.scalar(text("SELECT properties->>'by' FROM events WHERE name = 'Became Gold'")) == "journey"


def test_waits_by_the_profiles_own_clock() -> None:
    tokyo, eilat = Somebody({"timezone": "Asia/Tokyo"}), Somebody({"country": "IL"}, timezone="UTC")
    graph = parse(drawing({"morning": {"kind": "wait_time", "settings": {"at": "09:00", "weekdays": ["sunday"]}}}))
    assert tell(graph, NOON, [(NOON, "Signed Up", {})], tokyo).runs[0].ended_at == dt.datetime(2026, 11, 29, 0, tzinfo=dt.UTC)
    assert tell(graph, NOON, [(NOON, "Signed Up", {})], eilat).runs[0].ended_at == dt.datetime(2026, 11, 29, 7, tzinfo=dt.UTC)


def test_a_wait_for_a_date_ends_days_before_it_or_says_why_not() -> None:
    node = {"kind": "wait_date", "settings": {"trait": "end", "days": -30, "at": "09:00"}, "exits": {"next": "end", "past": "end", "unknown": "end"}}
    graph = parse(drawing({"date": node}))
    ends = [tell(graph, NOON, [(NOON, "Signed Up", {})], Somebody({"end": end})).runs[0] for end in ("2027-03-01", "2026-12-01", "soon")]
    assert [run.passed[0].exit for run in ends] == ["next", "past", "unknown"]
    assert ends[0].ended_at == dt.datetime(2027, 1, 30, 7, tzinfo=dt.UTC)


@pytest.mark.parametrize(("end", "zone"), [("9999-12-31", "Pacific/Honolulu"), ("9999-12-30", "Asia/Jerusalem"), ("0001-01-01", "Asia/Tokyo")])
def test_a_date_at_the_end_of_all_calendars_breaks_no_journey(end: str, zone: str) -> None:
    """Anybody may say such a thing of themselves."""
    node = {"kind": "wait_date", "settings": {"trait": "end", "days": 2, "at": "00:30"}, "exits": {"next": "end", "past": "end", "unknown": "end"}}
    trial = tell(parse(drawing({"date": node})), NOON, [(NOON, "Signed Up", {})], Somebody({"end": end, "timezone": zone}))
    assert trial.runs[0].passed[0].exit == "unknown"


def test_a_split_is_even_and_the_same_for_ever() -> None:
    shares = [{"exit": "a", "percent": 20}, {"exit": "b", "percent": 80}]
    node = {"kind": "split", "settings": {"salt": "s", "shares": shares}, "exits": {"a": "mail", "b": "end"}}
    graph = parse(drawing({"split": node, "mail": {"kind": "send", "settings": {"template": "hello"}}}))
    sent = [bool(simulate(graph, NOON, [(NOON, "Signed Up", {})], Somebody(bucket=bucket))) for bucket in range(0, 10_000, 10)]
    assert 150 < sum(sent) < 250
    assert sent[:50] == [bool(simulate(graph, NOON, [(NOON, "Signed Up", {})], Somebody(bucket=bucket))) for bucket in range(0, 500, 10)]


@pytest.mark.parametrize(("within", "later"), [(None, 3), ("1d", 5)])
def test_only_so_many_begin_ever_or_within_a_span(session: Session, now: dt.datetime, within: str | None, later: int) -> None:
    limit = {"runs": 3} | ({"within": within} if within else {})
    publish.publish(session, "first", drawing(WAIT, limit=limit), now=now)
    publish.publish(session, "all", drawing(WAIT), now=now)
    go(session, now, signed(now, "a"), signed(now, "b"))
    go(session, now + hour, *(signed(now + hour, who) for who in "cde"))
    assert (begun(session), refused(session)) == ({"first": 3, "all": 5}, ["full", "full"])
    go(session, now + day + hour / 2, signed(now + day + hour / 2, "f"), signed(now + day + hour / 2, "g"))
    assert begun(session) == {"first": later, "all": 7}


def test_runs_long_over_count_for_a_limit_too(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "first", drawing(WAIT, limit={"runs": 1}), now=now)
    go(session, now, signed(now, "a"))
    wake_due(session, now + hour, 10, CONFIG)
    assert past.fold(session, now + past.KEEP + day) == 1
    go(session, now + day, signed(now + day, "b"))
    assert refused(session) == ["full"]


def test_two_batches_at_once_let_in_no_more_than_there_is_room(fresh_url: str, now: dt.datetime) -> None:
    made = sessions(engine_for(fresh_url))
    with made() as session:
        publish.publish(session, "first", drawing(WAIT, limit={"runs": 3}), now=now)
        session.commit()
    both = threading.Barrier(2)

    def come(who: str) -> None:
        with made() as session:
            both.wait()
            go(session, now, *(signed(now, f"{who}{number}") for number in range(3)))
            session.commit()

    people = [threading.Thread(target=come, args=(who,)) for who in "ab"]
    for each in people:
        each.start()
    for each in people:
        each.join()
    with made() as session:
        assert (begun(session), refused(session)) == ({"first": 3}, ["full"] * 3)


def begun(session: Session) -> dict[str, int]:
    return {row.slug: row.n for row in session.execute(text("SELECT j.slug, count(*) AS n FROM runs r JOIN journeys j ON j.id = r.journey_id GROUP BY 1"))}


def test_a_try_out_knows_what_it_has_learned_on_the_way() -> None:
    level = {"level": {"kind": "set_trait", "settings": {"trait": "level", "value": "gold"}}}
    which = {"kind": "switch", "settings": {"of": "trait", "name": "level", "cases": [{"exit": "gold", "value": "gold"}]}}
    graph = parse(drawing(level | WAIT | {"which": which | {"exits": {"gold": "end", "otherwise": "end"}}}))
    trial = tell(graph, NOON, [(NOON, "Signed Up", {})], Somebody(traits={"level": "none"}))
    assert [(step.node, step.exit) for step in trial.steps if step.node == "which"] == [("which", "gold")]


def test_who_waits_for_a_place_waits_for_one_of_the_new_rate_where_that_is_published(session: Session, now: dt.datetime) -> None:
    def few(limit: int) -> dict[str, Any]:
        return drawing({"limit": {"kind": "rate_limit", "settings": {"limit": limit, "per": "1h"}}})

    publish.publish(session, "slow", few(1), now=now)
    go(session, now, *(signed(now, f"u{n}") for n in range(9)))
    publish.publish_moving(session, "slow", few(2), choice=publish.Choice("same"), now=now)
    done = []
    for hours in (0, 1, 2, 3):
        while wake_due(session, now + hours * hour, 10, CONFIG):
            pass
        done.append([status for status, _ in runs(session)].count("done"))
    assert done == [2, 4, 6, 8]


def test_who_is_woken_by_an_event_in_a_try_out_gets_an_answer_too() -> None:
    wait = {"kind": "wait", "settings": {"for": "2h", "until": ["Product Viewed"]}, "exits": {"timed_out": "end", "happened": "code"}}
    code = {"kind": "coupon", "settings": {"pool": "spring"}, "exits": {"next": "end", "none": "end"}}
    trial = tell(parse(drawing({"wait": wait, "code": code})), NOON, [(NOON, "Signed Up", {}), (NOON + hour, "Product Viewed", {})])
    assert [(step.node, step.exit) for step in trial.steps] == [("wait", "happened"), ("code", "next"), ("end", "finished")]
