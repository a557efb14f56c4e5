"""A split that lets the better way win: judged once, on people watched to the end, and honest about chance."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.messages import joining
from crm.profiles.rebuild import edges
from journeys import experiments, past, publish
from journeys.experiments import Tally, judge
from tests.makers import accepted, config, track
from workers import pipeline

CONFIG = config()
SALT = "subject"
REST = {"kind": "wait", "settings": {"for": "1d"}, "exits": {"next": "end"}}


def drawing(by: str = "goal") -> dict[str, Any]:
    shares = [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}]
    settings = {"salt": SALT, "shares": shares, "winner": {"by": by, "within": "1d", "people": 100}}
    nodes = {"toss": {"kind": "split", "settings": settings, "exits": {"a": "rest", "b": "rest"}}, "rest": REST, "end": {"kind": "stop"}}
    trigger = {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}}
    return {"name": {"en": "T"}, "trigger": trigger, "entry": "toss", "exit_on": [{"event": "Paid", "goal": True}], "nodes": nodes}


def live(session: Session, now: dt.datetime, by: str = "goal") -> int:
    publish.publish(session, "toss", drawing(by), now=now)
    return int(session.scalar(text("SELECT id FROM journeys WHERE slug = 'toss'")) or 0)


def watched(session: Session, journey: int, at: dt.datetime, hits: dict[str, int], people: int = 100) -> None:
    """People of each way, the first of whom were clicked through."""
    for arm, many in hits.items():
        for number in range(people):
            run = uuid.uuid4()
            row = {"j": journey, "p": uuid.uuid4(), "r": run, "a": arm, "t": at, "s": SALT, "c": at + dt.timedelta(hours=1) if number < many else None}
            session.execute(text("INSERT INTO split_arms (journey_id, salt, profile_id, run_id, arm, at) VALUES (:j, :s, :p, :r, :a, :t)"), row)
            made = "INSERT INTO messages (id, profile_id, run_id, channel, template, topic, purpose, status, created_at, clicked_at)"
            session.execute(text(made + " VALUES (gen_random_uuid(), :p, :r, 'email', 'x', '', '', 'sent', :t, :c)"), row)


def sign_up(session: Session, now: dt.datetime, *who: str) -> None:
    pipeline.run(session, [accepted(track("Signed Up", at=now, user_id=each), now) for each in who], now, CONFIG)


def ways(session: Session) -> list[str]:
    return list(session.scalars(text("SELECT exit FROM run_steps WHERE node = 'toss'")))


def test_the_way_of_each_person_is_kept_once(session, now):
    live(session, now)
    sign_up(session, now, *(f"p{n}" for n in range(40)))
    sign_up(session, now, "p1", "p1")
    arms = session.scalars(text("SELECT arm FROM split_arms")).all()
    assert len(arms) == 40
    assert set(arms) == {"a", "b"}


def test_the_better_way_wins_and_everybody_takes_it_from_then_on(session, now):
    journey = live(session, now, "clicked")
    watched(session, journey, now - dt.timedelta(days=2), {"a": 10, "b": 40})
    assert experiments.decide(session, now) == 1
    result = session.execute(text("SELECT winner, evidence FROM split_results")).one()
    assert result.winner == "b"
    assert [(each["arm"], each["people"], each["hits"]) for each in result.evidence["arms"]] == [("a", 100, 10), ("b", 100, 40)]
    sign_up(session, now, *(f"p{n}" for n in range(30)))
    assert set(ways(session)) == {"b"}
    assert session.scalar(text("SELECT count(*) FROM split_arms")) == 200  # nobody new was exposed


def test_nothing_is_decided_before_everybody_was_watched(session, now):
    journey = live(session, now, "clicked")
    watched(session, journey, now - dt.timedelta(hours=23), {"a": 10, "b": 40})
    assert experiments.decide(session, now) == 0
    assert experiments.decide(session, now + dt.timedelta(hours=2)) == 1
    assert experiments.decide(session, now + dt.timedelta(hours=3)) == 0


def test_too_few_people_decide_nothing(session, now):
    journey = live(session, now, "clicked")
    watched(session, journey, now - dt.timedelta(days=2), {"a": 1, "b": 90}, people=99)
    assert experiments.decide(session, now) == 0


def test_where_no_way_is_better_the_shares_stay(session, now):
    journey = live(session, now, "clicked")
    watched(session, journey, now - dt.timedelta(days=2), {"a": 30, "b": 31})
    assert experiments.decide(session, now) == 1
    assert session.scalar(text("SELECT winner FROM split_results")) is None
    sign_up(session, now, *(f"p{n}" for n in range(30)))
    assert set(ways(session)) == {"a", "b"}


def test_the_goal_counts_for_the_run_that_reached_it(session, now):
    journey = live(session, now)
    then = now - dt.timedelta(days=2)
    sign_up(session, then, "dana")
    pipeline.run(session, [accepted(track("Paid", at=then + dt.timedelta(hours=1), user_id="dana"), then + dt.timedelta(hours=1))], then, CONFIG)
    make = sessionmaker(session.connection(), expire_on_commit=False, join_transaction_mode="create_savepoint")
    while pipeline.drain(make, CONFIG, lambda: then + dt.timedelta(hours=2)):
        pass
    watched(session, journey, then + dt.timedelta(hours=3), {"a": 0, "b": 0})
    experiments.decide(session, now)
    arms = session.scalar(text("SELECT evidence FROM split_results"))["arms"]
    assert sum(each["hits"] for each in arms) == 1


def took(session: Session, journey: int, who: uuid.UUID, arm: str, at: dt.datetime) -> uuid.UUID:
    """Someone's way; returns the run that took it."""
    row = {"j": journey, "s": SALT, "p": who, "r": uuid.uuid4(), "a": arm, "t": at}
    session.execute(text("INSERT INTO split_arms (journey_id, salt, profile_id, run_id, arm, at) VALUES (:j, :s, :p, :r, :a, :t)"), row)
    return row["r"]


def taken(session: Session) -> list[tuple[object, ...]]:
    rows = session.execute(text("SELECT profile_id, arm, run_id, at FROM split_arms ORDER BY profile_id"))
    return [tuple(row) for row in rows]


def test_two_joined_people_of_two_ways_count_in_none(session, now):
    journey, old, new = live(session, now), uuid.uuid4(), uuid.uuid4()
    took(session, journey, old, "a", now)
    took(session, journey, new, "b", now)
    experiments.move_arms(session, [(old, new)], now)
    assert [row[:2] for row in taken(session)] == [(new, "mixed")]


def test_two_of_two_ways_who_join_a_third_at_once_count_in_none(session, now):
    journey, one, other, third = live(session, now), uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    took(session, journey, one, "a", now)
    took(session, journey, other, "b", now + dt.timedelta(minutes=1))
    experiments.move_arms(session, [(one, third), (other, third)], now)
    assert [row[:2] for row in taken(session)] == [(third, "mixed")]


def test_of_two_who_went_the_same_way_the_first_run_counts_with_its_time(session, now):
    journey, old, new = live(session, now), uuid.uuid4(), uuid.uuid4()
    first = took(session, journey, old, "a", now - dt.timedelta(days=1))
    took(session, journey, new, "a", now)
    experiments.move_arms(session, [(old, new)], now)
    assert taken(session) == [(new, "a", first, now - dt.timedelta(days=1))]


@pytest.mark.parametrize("same", [True, False])
def test_an_undone_join_gives_each_side_the_way_it_took(session, now, same):
    live(session, now)
    sign_up(session, now, *(f"p{n}" for n in range(12)))
    before = taken(session)
    one, other = next((a[0], b[0]) for a in before for b in before if a[0] != b[0] and (a[1] == b[1]) is same)
    joining.merge(session, one, other, by="Dana", said="", now=now, currency="ILS")
    assert len(taken(session)) == len(before) - 1
    if not same:  # a run long over says it too
        session.execute(text("UPDATE runs SET status = 'done', ended_at = :at WHERE profile_id = :one"), {"one": one, "at": now - 2 * past.KEEP})
        past.fold(session, now)
    joining.unmerge(session, edges(session)[-1].id, by="Dana", said="", now=now, currency="ILS")
    assert taken(session) == before


def test_an_undone_join_counts_nobody_who_was_shown_what_had_won(session, now):
    journey = live(session, now)
    watched(session, journey, now - dt.timedelta(days=2), {"a": 10, "b": 40})
    session.execute(
        text("INSERT INTO split_results (journey_id, salt, winner, evidence, at) VALUES (:j, :s, 'b', '{}', :t)"),
        {"j": journey, "s": SALT, "t": now - dt.timedelta(days=1)},
    )
    sign_up(session, now, "dana", "rina")
    dana, rina = session.scalars(text("SELECT id FROM profiles")).all()
    took(session, journey, dana, "a", now - dt.timedelta(days=2))
    joining.merge(session, dana, rina, by="Dana", said="", now=now, currency="ILS")
    joining.unmerge(session, edges(session)[-1].id, by="Dana", said="", now=now, currency="ILS")
    assert session.scalar(text("SELECT count(*) FROM split_arms WHERE profile_id = ANY(:ids)"), {"ids": [dana, rina]}) == 0


def test_a_way_must_beat_every_other_by_more_than_chance():
    assert judge([Tally("a", 1000, 100), Tally("b", 1000, 150)])[0] == "b"
    assert judge([Tally("a", 1000, 100), Tally("b", 1000, 110)])[0] is None
    assert judge([Tally("a", 1000, 100), Tally("b", 1000, 150), Tally("c", 1000, 148)])[0] is None
    assert judge([Tally("a", 100, 0), Tally("b", 100, 4)])[0] is None  # too little happened to say
    assert judge([Tally("a", 100, 0), Tally("b", 100, 0)])[0] is None


def test_equal_ways_seldom_yield_a_winner():
    chance = random.Random(7)
    wrong = 0
    for _ in range(400):
        tallies = [Tally(name, 300, sum(chance.random() < 0.2 for _ in range(300))) for name in "abc"]
        wrong += judge(tallies)[0] is not None
    assert wrong / 400 <= 0.05


def test_the_journey_s_page_says_how_it_stands(session, now, signed_in):
    journey = live(session, now, "clicked")
    assert "goes on" in signed_in("viewer").get("/journeys/toss").get_data(as_text=True)
    watched(session, journey, now - dt.timedelta(days=2), {"a": 10, "b": 40})
    experiments.decide(session, now)
    page = signed_in("admin").get("/journeys/toss").get_data(as_text=True)
    assert "has won" in page
    assert signed_in("marketer").get("/journeys/toss/counts").get_json()["results"] == {"toss": "“b” has won"}
