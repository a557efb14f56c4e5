"""What was promised is kept as it was said, and judged of who said it, as surely as it was known."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from crm.scores import apply, check, train
from crm.scores.score import find
from crm.scores.score_models import ScorePast, ScoreVersion
from tests import makers
from tests.scores.makers import happened, people, shop
from tests.scores.test_apply import round_

COUNT = "SELECT count(*) FROM score_history WHERE kind = 'lead'"


def learned(session: Session, now: dt.datetime) -> ScoreVersion:
    return train.train(session, find(session, "lead"), config=makers.config(), now=now)


def test_a_slow_slide_within_a_band_is_kept_once_it_is_far(session: Session, now: dt.datetime) -> None:
    (dana,) = people(session, [{}], at=now - dt.timedelta(days=9))
    happened(session, [(dana, "Checkout Started", now - dt.timedelta(seconds=n), {}) for n in range(1, 7)])
    score = find(session, "engagement")
    for day in range(5):
        at = now + dt.timedelta(days=day)
        apply.apply(session, score, apply.by_rules(), apply.these([dana], now=at), config=makers.config(), now=at)
    kept = session.execute(select(ScorePast.band, ScorePast.probability).order_by(ScorePast.at)).all()
    assert [row.band for row in kept] == ["hot", "hot"], "each day moved it by two points, all of them by more than five"
    assert kept[0].probability - kept[1].probability >= apply.MOVED


def test_a_new_version_says_anew_what_it_promises_and_a_cold_chance_may_move_by_a_quarter(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    learned(session, now)
    round_(session, "lead", now)
    assert session.scalar(text(COUNT)) == 300
    learned(session, now)
    round_(session, "lead", now + dt.timedelta(minutes=1))
    assert session.scalar(text(COUNT)) == 600
    cold = session.scalars(select(ScorePast).where(ScorePast.kind == "lead", ScorePast.band == "cold").order_by(ScorePast.id.desc()).limit(2)).all()
    cold[0].probability *= 1.5
    cold[1].probability *= 1.1
    session.flush()
    round_(session, "lead", now + dt.timedelta(minutes=2))
    assert session.scalar(text(COUNT)) == 601


def test_a_new_champion_is_not_unseated_by_what_an_earlier_one_promised(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    learned(session, now)
    round_(session, "lead", now)
    then = now - dt.timedelta(days=31)
    session.execute(update(ScorePast).values(at=then, probability=0.9, band="hot"))
    champion = learned(session, now)
    made = check.compare(session, find(session, "lead"), config=makers.config(), now=now)
    assert made is not None
    assert (made.version_id, made.alarm) == (champion.id, None)
    assert [(band["band"], band["earlier"], band["broken"]) for band in made.bands] == [("hot", True, False)]
    session.execute(update(ScorePast).values(version_id=champion.id))
    made = check.compare(session, find(session, "lead"), config=makers.config(), now=now)
    assert made is not None
    assert made.alarm == "promises"


@pytest.mark.parametrize(("rows", "broken"), [(300, False), (30_000, True)])
def test_a_promise_learned_from_few_is_broken_by_more(rows: int, broken: bool) -> None:
    told = {"band": "hot", "people": 400, "promised": 0.4, "actual": 0.28, "earlier": False}
    assert check._kept(told, known=rows * 0.1)["broken"] is broken
