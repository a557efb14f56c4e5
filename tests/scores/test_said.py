"""A salesperson's "wrong" is a label: learned from until the outcome is known, never what a version is judged on, and no floor is reached by it."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.scores import read, rows, train
from crm.scores.score import find
from crm.scores.score_models import ScoreLabel
from tests import makers
from tests.scores.makers import column, happened, own_score, people, shop


def say(session: Session, kind: str, who: list[uuid.UUID], at: dt.datetime) -> None:
    session.add_all(ScoreLabel(profile_id=one, kind=kind, positive=True, probability=0.1, at=at) for one in who)
    session.flush()


@pytest.mark.parametrize("looks", [2, 4])
def test_what_was_said_yesterday_is_learned_from_and_judges_nothing(session: Session, now: dt.datetime, looks: int) -> None:
    ids = shop(session, people_count=500, now=now, looks=looks)
    lead = find(session, "lead")
    before = train.train(session, lead, config=makers.config(), now=now)
    say(session, "lead", ids[:20], now - dt.timedelta(days=1))
    after = train.train(session, lead, config=makers.config(), now=now)
    assert after.rows == before.rows + 20 - 2 * 20, "of whom more is learned, the looks that choose and judge say nothing"
    assert after.metrics["judged"]["rows"] == before.metrics["judged"]["rows"] - 20
    assert after.metrics["judged"]["until"] == before.metrics["judged"]["until"]


def heard(session: Session, kind: str, now: dt.datetime) -> list[uuid.UUID]:
    """Of whom the next training would hear what people say."""
    rows.lay_down(session, find(session, kind), names=[], told={}, now=now)
    return list(session.scalars(text("SELECT profile_id FROM score_rows WHERE said ORDER BY profile_id")))


def test_what_was_said_counts_until_it_is_known_or_taken_back(session: Session, now: dt.datetime) -> None:
    ids = shop(session, people_count=100, now=now)
    open_, bought, long_ago, regretted = ids[:4]
    session.execute(text("DELETE FROM events WHERE profile_id = ANY(:ids) AND name = 'Order Completed'"), {"ids": ids[:4]})
    say(session, "lead", [open_, bought, regretted], now - dt.timedelta(days=9))
    say(session, "lead", [long_ago], now - dt.timedelta(days=31))
    assert heard(session, "lead", now) == sorted([open_, bought, regretted]), "what became of somebody in thirty days is known"
    happened(session, [(bought, "Order Completed", now - dt.timedelta(days=2), {"revenue": 5})])
    read.take_back(session, regretted, "lead")
    assert heard(session, "lead", now) == [open_]
    assert heard(session, "lead", now + dt.timedelta(days=22)) == []


def test_what_people_say_is_a_tenth_of_what_is_learned_from_at_most(session: Session, now: dt.datetime) -> None:
    people(session, [{"won": n % 3 // 2} for n in range(60)], at=now - dt.timedelta(days=5))
    others = people(session, [{} for _ in range(9)], at=now - dt.timedelta(days=5))
    own_score(session, "wins", column_="won", values=["1"], now=now)
    say(session, "wins", others[:4], now - dt.timedelta(days=3))
    say(session, "wins", others[4:], now - dt.timedelta(days=1))
    assert len(heard(session, "wins", now)) == 6
    assert set(others[4:]) <= set(heard(session, "wins", now)), "the newest word first"


def test_no_floor_is_reached_by_what_people_say_nor_by_looks_that_were_taken_out(session: Session, now: dt.datetime) -> None:
    ids = shop(session, people_count=105, now=now, looks=2)
    lead = find(session, "lead")
    session.execute(text("DELETE FROM events WHERE name = 'Order Completed' AND profile_id = ANY(:ids)"), {"ids": ids[:20]})
    wins = rows.lay_down(session, lead, names=[], told={}, now=now).wins
    say(session, "lead", ids[:20], now - dt.timedelta(days=1))
    with pytest.raises(train.NotEnoughError) as error:
        train.train(session, lead, config=makers.config(), now=now)
    assert (error.value.said["rows"], error.value.said["wins"]) == (2 * 105 - 2 * 20, wins)


@pytest.mark.parametrize("looks", [(), (10.0, 20.0), (10.0, 20.0, 30.0, 40.0)])
def test_what_is_judged_on_comes_after_what_was_learned_from(looks: tuple[float, ...]) -> None:
    size, chance = 400, np.random.default_rng(8)
    cutoff = chance.choice(looks, size) if looks else chance.random(size)
    said = np.zeros(size, bool)
    said[:20], cutoff[:20] = True, 50
    nothing = np.zeros(size)
    matrix = np.zeros((size, 0), np.float32)
    learning = train.Learning((), matrix, nothing, nothing, cutoff, looks, said, np.arange(size), (), {}, {}, said)
    fit, check, test = train._parts(learning)
    assert not (fit & check).any()
    assert not (fit & test).any()
    assert not (check & test).any()
    assert cutoff[fit & ~said].max() <= cutoff[check].min() <= cutoff[check].max() < cutoff[test].min()
    assert said[fit].sum() == 20, "what people say is fitted to, and nothing is chosen by it or judged on it"


def test_where_a_column_holds_the_outcome_it_is_said_of_those_whose_is_not_known(session: Session, now: dt.datetime) -> None:
    known = people(session, [{"won": n % 3 // 2, "visits": n % 7} for n in range(300)], at=now - dt.timedelta(days=5))
    others = people(session, [{"visits": n % 7} for n in range(30)], at=now - dt.timedelta(days=5))
    column(session, "visits", "number", now=now)
    own_score(session, "wins", column_="won", values=["1"], now=now)
    say(session, "wins", known[:9] + others[:9], now - dt.timedelta(days=1))
    version = train.train(session, find(session, "wins"), config=makers.config(), now=now)
    assert (version.rows, version.metrics["judged"]["rows"]) == (309, 300)
