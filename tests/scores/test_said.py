"""A salesperson's "wrong" is a label: learned from by the next training, and never what a version is judged on."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from sqlalchemy.orm import Session

from crm.scores import train
from crm.scores.score import find
from crm.scores.score_models import ScoreLabel
from tests import makers
from tests.scores.makers import column, own_score, people, shop


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


def test_where_a_column_holds_the_outcome_it_is_said_of_those_whose_is_not_known(session: Session, now: dt.datetime) -> None:
    known = people(session, [{"won": n % 3 // 2, "visits": n % 7} for n in range(300)], at=now - dt.timedelta(days=5))
    others = people(session, [{"visits": n % 7} for n in range(30)], at=now - dt.timedelta(days=5))
    column(session, "visits", "number", now=now)
    own_score(session, "wins", column_="won", values=["1"], now=now)
    say(session, "wins", known[:9] + others[:9], now - dt.timedelta(days=1))
    version = train.train(session, find(session, "wins"), config=makers.config(), now=now)
    assert (version.rows, version.metrics["judged"]["rows"]) == (309, 300)
