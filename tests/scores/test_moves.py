"""Scores follow who people are: joins, their undoing, and erasure."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import crm.scores.dirty  # noqa: F401  it hears of joins
from crm.core.crypto import Keys
from crm.profiles.move import on_move, on_part
from crm.profiles.privacy import export, places, subject
from crm.scores import apply
from crm.scores.contest import settle
from crm.scores.score import find
from crm.scores.score_models import Score, ScorePast, ScoreVersion
from tests import makers
from tests.scores.makers import people


def test_a_join_leaves_one_score_and_both_pasts_and_its_undoing_gives_them_back(session: Session, now: dt.datetime) -> None:
    one, other = people(session, [{}, {}], at=now)
    apply.apply(session, find(session, "engagement"), apply.by_rules(), apply.these([one, other], now=now), config=makers.config(), now=now)
    session.execute(text("DELETE FROM score_dirty"))
    for hook in on_move:
        hook(session, [(other, one)], now)
    session.expire_all()
    assert [row.profile_id for row in session.scalars(select(Score))] == [one]
    assert {(row.profile_id, row.given_id) for row in session.scalars(select(ScorePast))} == {(one, None), (one, other)}
    assert session.scalars(text("SELECT profile_id FROM score_dirty")).all() == [one]
    for hook in on_part:
        hook(session, one, other, {other}, now)
    session.expire_all()
    assert {row.profile_id for row in session.scalars(select(ScorePast))} == {one, other}
    assert set(session.scalars(text("SELECT profile_id FROM score_dirty"))) == {one, other}


def test_what_is_promised_of_somebody_is_theirs_to_take_along_and_to_be_forgotten(session: Session, now: dt.datetime) -> None:
    (dana,) = people(session, [{}], at=now)
    apply.apply(session, find(session, "engagement"), apply.by_rules(), apply.these([dana], now=now), config=makers.config(), now=now)
    who = subject(session, dana)
    assert who is not None
    assert {"scores", "score_history"} <= set(export(session, who, Keys("secret"), now)["tables"])
    assert {"scores", "score_history", "score_labels", "score_dirty"} <= {place.table.name for place in places() if place.fate == "delete"}


def version_of(  # what tells two versions apart
    session: Session, number: int, now: dt.datetime, brier: float, features: list[str], *, against: dict[str, object] | None = None, **more: object
) -> ScoreVersion:
    measures = {"auc": {"value": 0.8, "low": 0.7, "high": 0.9, "rules": 0.6}, "brier": {"value": brier, "low": brier - 0.01, "high": brier + 0.01}}
    made = ScoreVersion(
        kind="lead", number=number, state="challenger", algorithm="trees", label={}, features=[{"name": name} for name in features], model=b"", serving={},
        metrics={"measures": measures, "refused": [], "against": against}, flags=[], rows=1, wins=1, trained_at=now,
    )  # fmt: skip
    for name, value in more.items():
        setattr(made, name, value)
    session.add(made)
    session.flush()
    settle(session, made)
    return made


def test_a_champion_stays_where_the_new_version_is_worse_unless_it_lives_on_what_it_may_not_know(session: Session, now: dt.datetime) -> None:
    first = version_of(session, 1, now, 0.10, ["trait:call_result", "days_7"])
    worse = version_of(session, 2, now, 0.20, ["days_7"])
    assert (first.state, worse.state) == ("champion", "challenger")
    honest = version_of(session, 3, now, 0.20, ["days_7"], flags=[{"feature": "trait:call_result", "evidence": [], "approved": False}])
    session.expire_all()
    assert (first.state, worse.state, honest.state) == ("retired", "retired", "champion")
    useless = {"auc": {"value": 0.55, "low": 0.5, "high": 0.6, "rules": 0.6}, "brier": {"value": 0.1, "low": 0.1, "high": 0.1}}
    assert version_of(session, 4, now, 0.1, ["days_7"], metrics={"measures": useless, "refused": []}).state == "refused"
    assert honest.state == "champion"
